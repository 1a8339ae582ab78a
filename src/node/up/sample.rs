//! A sample application: two small web servers behind a Service, from an image that is made on the spot.

use std::time::Duration;

use anyhow::{Context, bail};
use base::env;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ClusterDir;
use super::cluster_file::ClusterFile;
use super::host::{Host, command};
use super::plumbing::Names;
use super::wait::Api;
use super::{hollow, nodes};

/// The application's name, and that of its objects.
const NAME: &str = "hello";

/// What its containers are made from.
pub const IMAGE: &str = "keelson/hello:1";

/// The port at which every node leads to it.
const NODE_PORT: u16 = 30_080;

/// The program in the image: static, so that it needs nothing beside it.
pub const PROGRAM: &str = "/bin/busybox";

/// Packs the image: nothing but the program `$0`, and a link to it for each of its commands. They lead to where it runs
/// from, which is `/bin` on some machines and `/usr/bin` on others: in the image these are one.
const PACK: &str = r#"
    rm -rf "$1.root"
    mkdir -p "$1.root/usr/bin" "$1.root/tmp"
    ln -s usr/bin "$1.root/bin"
    cp "$0" "$1.root/bin/busybox"
    "$0" --install -s "$1.root/bin"
    tar --create --file "$1.part" --directory "$1.root" .
    mv "$1.part" "$1"
    rm -rf "$1.root"
"#;

/// How long the application may take to answer, and an engine.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// How long one answer may take, and how often it is asked for.
const ASK_DEADLINE: Duration = Duration::from_secs(2);
const ASK_INTERVAL: Duration = Duration::from_millis(50);

/// Makes the image on every node that lacks it.
///
/// # Errors
/// When an engine refuses.
pub async fn make_image(
    host: &dyn Host,
    directory: &ClusterDir,
    names: &Names,
    file: &ClusterFile,
) -> anyhow::Result<()> {
    for node in &file.nodes {
        let engine = format!("docker --host unix://{}", nodes::socket(names, &node.name).display());
        wait_for_engine(host, &engine, &node.name).await?;
        let is_there = host.run(&command(&format!("{engine} image inspect {IMAGE}"))).is_ok();
        if is_there {
            continue;
        }
        let archive = directory.path.join("run").join("hello.tar");
        if !archive.exists() {
            let arguments = ["sh", "-ec", PACK, PROGRAM].map(str::to_owned);
            let pack = arguments.into_iter().chain([archive.display().to_string()]).collect();
            host.run(&pack).context("packing the sample's image")?;
        }
        host.run(&command(&format!("{engine} import {} {IMAGE}", archive.display())))
            .with_context(|| format!("giving {} the sample's image", node.name))?;
    }
    Ok(())
}

/// A node that was ready a moment ago, when everything was killed, may have an engine that only starts.
async fn wait_for_engine(host: &dyn Host, engine: &str, node: &str) -> anyhow::Result<()> {
    let deadline = env::monotonic() + ANSWER_DEADLINE;
    while let Err(error) = host.run(&command(&format!("{engine} version"))) {
        if env::monotonic() >= deadline {
            return Err(error).with_context(|| format!("the engine of {node} does not answer"));
        }
        env::sleep(ASK_INTERVAL).await;
    }
    Ok(())
}

/// Creates what is missing of the application.
///
/// # Errors
/// When the masters refuse.
pub async fn deploy(api: &Api) -> anyhow::Result<()> {
    api.create("/apis/apps/v1/namespaces/default/deployments", &deployment())
        .await
        .context("deploying the sample")?;
    api.create("/api/v1/namespaces/default/services", &service()).await.context("exposing the sample")
}

fn deployment() -> Value {
    // A first process that asks for no signal gets none: the server alone would not hear that it shall end.
    let serve = "trap exit TERM; mkdir -p /www; echo \"hello from $(hostname)\" | tee /www/index.html; \
                 httpd -f -p 8080 -h /www & wait";
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "labels": {"app": NAME}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": NAME}},
            "template": {
                "metadata": {"labels": {"app": NAME}},
                "spec": {
                    "terminationGracePeriodSeconds": 2,
                    // Where it would only seem to run, it answers nobody.
                    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{
                            "matchExpressions": [{"key": hollow::LABEL, "operator": "DoesNotExist"}],
                        }],
                    }}},
                    "containers": [{
                        "name": NAME,
                        "image": IMAGE,
                        "command": ["sh", "-c", serve],
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
                    }],
                },
            },
        },
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "labels": {"app": NAME}},
        "spec": {
            "type": "NodePort",
            "selector": {"app": NAME},
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "nodePort": NODE_PORT}],
        },
    })
}

/// Waits until the application answers; returns its address.
///
/// # Errors
/// When it does not in time.
pub async fn answers(file: &ClusterFile) -> anyhow::Result<String> {
    let node = file.nodes.first().context("the sample needs a node")?;
    let place = format!("{}:{NODE_PORT}", node.address);
    let deadline = env::monotonic() + ANSWER_DEADLINE;
    loop {
        let last = match env::timeout(ASK_DEADLINE, get(&place)).await {
            Ok(Ok(())) => return Ok(format!("http://{place}")),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if env::monotonic() >= deadline {
            bail!(
                "the sample does not answer at http://{place} ({last}): `kubectl describe pods -l app={NAME}` tells why"
            );
        }
        env::sleep(ASK_INTERVAL).await;
    }
}

async fn get(place: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(place).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(1 << 10).read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.0 200") || answer.starts_with(b"HTTP/1.1 200") {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    Err(std::io::Error::other(said))
}
