//! A session with kctl on real masters and nodes: what each command does, not only what it prints.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;
use chaos::client::{ClientError, Method};
use chaos::nodes::{Pod, page, wait_for_pods};
use chaos::process::{self, Command};
use chaos::{Cluster, Need, Options};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

/// How long a command may take, and what it waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often something is looked at that is waited for.
const GLANCE: Duration = Duration::from_millis(100);

/// Where pods stand.
const PODS: &str = "/api/v1/namespaces/default/pods";

/// What the sample's pods are called.
const SAMPLE: &str = "hello-";

/// The sample's image: busybox alone.
const IMAGE: &str = "keelson/hello:1";

/// Where the sample's Deployment stands.
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/hello";

/// What kctl prints for a line of words between spaces.
async fn kctl(cluster: &Cluster, line: &str) -> Result<String> {
    process::run(cluster.kctl().args(line.split_whitespace()), PATIENCE).await
}

/// What it says while it fails.
async fn fails(cluster: &Cluster, line: &str) -> Result<String> {
    process::capture(cluster.kctl().args(line.split_whitespace()), PATIENCE).await?.failure()
}

async fn object(cluster: &Cluster, path: &str) -> Result<Value> {
    Ok(cluster.any_client()?.request(Method::GET, path, None).await?)
}

/// Waits until all pods of the sample are ready, and as many as this.
async fn sample(cluster: &Cluster, count: usize, what: &str) -> Result<Vec<Pod>> {
    let of_sample = |found: &[Pod]| -> Vec<Pod> {
        found.iter().filter(|pod| pod.name.starts_with(SAMPLE)).cloned().collect()
    };
    let are_ready = |found: &[Pod]| {
        let sample = of_sample(found);
        sample.len() == count && sample.iter().all(|pod| pod.is_ready)
    };
    Ok(of_sample(&wait_for_pods(&cluster.any_client()?, PATIENCE, what, are_ready).await?))
}

#[test]
fn every_command_does_what_it_says_on_a_real_cluster() {
    chaos::run(&chaos::programs!(), &[Need::Engines], async |machine| {
        let cluster = Cluster::start(machine, Options { nodes: 2, ..Options::default() }).await?;
        rollouts(&cluster).await.context("rollouts")?;
        a_wait_names_what_keeps_it(&cluster).await.context("a wait on a terminal")?;
        pods(&cluster).await.context("pods")?;
        nodes(&cluster).await.context("nodes")?;
        plans(&cluster).await.context("plans")
    });
}

/// The phase of a pod and its node, which may be none.
async fn place(cluster: &Cluster, pod: &str) -> Result<(String, Option<String>)> {
    let pod = object(cluster, &format!("{PODS}/{pod}")).await?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok((text(&pod["status"]["phase"]).unwrap_or_default(), text(&pod["spec"]["nodeName"])))
}

async fn wait_until_it_runs(cluster: &Cluster, pod: &str) -> Result<()> {
    let deadline = env::monotonic() + PATIENCE;
    while place(cluster, pod).await? != ("Running".to_owned(), Some("hollow-0".to_owned())) {
        ensure!(env::monotonic() < deadline, "{pod} does not run: {:?}", place(cluster, pod).await?);
        env::sleep(GLANCE).await;
    }
    Ok(())
}

#[test]
fn a_pod_of_another_scheduler_waits_until_that_binds_it() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let options = Options { masters: 1, flags: &["--hollow-nodes", "1"], ..Options::default() };
        let cluster = Cluster::start(machine, options).await?;
        let client = cluster.any_client()?;
        let pod = |name: &str, scheduler: &str| {
            json!({
                "metadata": {"name": name},
                "spec": {"schedulerName": scheduler, "containers": [{"name": "main", "image": "none"}]},
            })
        };
        let deadline = env::monotonic() + PATIENCE;
        // The account of pods is made by a controller.
        while let Err(refused) = client.request(Method::POST, PODS, Some(&pod("theirs", "another"))).await {
            ensure!(env::monotonic() < deadline, "{refused}");
            env::sleep(GLANCE).await;
        }
        client.request(Method::POST, PODS, Some(&pod("ours", "default-scheduler"))).await?;
        wait_until_it_runs(&cluster, "ours").await?;
        ensure!(place(&cluster, "theirs").await? == ("Pending".to_owned(), None), "it was not theirs alone");

        let binding = json!({"metadata": {"name": "theirs"}, "target": {"kind": "Node", "name": "hollow-0"}});
        let bind = format!("{PODS}/theirs/binding");
        client.request(Method::POST, &bind, Some(&binding)).await?;
        wait_until_it_runs(&cluster, "theirs").await?;
        let again = client.request(Method::POST, &bind, Some(&binding)).await;
        ensure!(again.as_ref().err().and_then(ClientError::code) == Some(409), "bound twice: {again:?}");
        Ok(())
    });
}

async fn rollouts(cluster: &Cluster) -> Result<()> {
    kctl(cluster, "scale deployment/hello --replicas=3").await?;
    let told = kctl(cluster, "rollout status deployment/hello").await?;
    ensure!(told.ends_with("deployment \"hello\" successfully rolled out\n"), "{told}");
    let before = sample(cluster, 3, "three pods").await?;

    kctl(cluster, "rollout pause deployment/hello").await?;
    ensure!(object(cluster, DEPLOYMENT).await?["spec"]["paused"] == true, "it is not paused");
    let refused = fails(cluster, "rollout restart deployment/hello").await?;
    ensure!(refused.contains("paused"), "{refused}");
    kctl(cluster, "rollout resume deployment/hello").await?;
    ensure!(object(cluster, DEPLOYMENT).await?["spec"]["paused"] != true, "it is still paused");

    kctl(cluster, "rollout restart deployment/hello").await?;
    kctl(cluster, "rollout status deployment/hello").await?;
    let after = sample(cluster, 3, "pods of the new template").await?;
    let stayed = after.iter().filter(|pod| before.iter().any(|old| old.name == pod.name)).count();
    ensure!(stayed == 0, "{stayed} pods were not replaced");
    let history = kctl(cluster, "rollout history deployment/hello").await?;
    let revisions: Vec<_> = history.lines().filter_map(|line| line.split_whitespace().next()).collect();
    ensure!(revisions.ends_with(&["1", "2"]), "{history}");
    let detail = kctl(cluster, "rollout history deployment/hello --revision=2").await?;
    ensure!(detail.contains("restartedAt"), "{detail}");
    Ok(())
}

/// Reads until one of these is seen; all that was read.
async fn until(from: &mut (impl AsyncRead + Unpin), words: &[&str]) -> Result<String> {
    let mut seen = String::new();
    let mut piece = [0; 4096];
    let reading = async {
        while !words.iter().any(|word| seen.contains(word)) {
            let count = from.read(&mut piece).await?;
            ensure!(count > 0, "it ended without one of {words:?}: {seen}");
            seen.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
        Ok(())
    };
    env::timeout(PATIENCE, reading).await.with_context(|| format!("none of {words:?} was seen"))??;
    Ok(seen)
}

async fn a_wait_names_what_keeps_it(cluster: &Cluster) -> Result<()> {
    let said = kctl(cluster, "set image deployment/hello hello=keelson/none:9").await?;
    ensure!(said == "deployment.apps/hello image updated\n", "{said}");
    // A terminal as narrow as most are.
    let words = cluster.kctl();
    let line =
        format!("stty cols 80; {} rollout status deploy/hello", words.as_std().get_program().display());
    let mut waiting = Command::new("script");
    waiting.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
    waiting.env("KUBECONFIG", cluster.directory().join("kubeconfig")).env("TERM", "xterm");
    waiting.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut waiting = waiting.spawn().context("script is installed")?;
    let mut shown = waiting.stdout.take().context("its output")?;
    let seen = until(&mut shown, &["ErrImagePull", "ImagePullBackOff"]).await?;
    ensure!(seen.contains("1/3 updated") && !seen.contains("Waiting for deployment"), "{seen}");

    let said = kctl(cluster, "rollout undo deployment/hello").await?;
    ensure!(said == "deployment.apps/hello rolled back\n", "{said}");
    let seen = until(&mut shown, &["successfully rolled out"]).await?;
    ensure!(seen.contains("\r\u{1b}[K"), "the line was not erased: {seen:?}");
    let ended = env::timeout(PATIENCE, waiting.wait()).await.context("it does not end")??;
    ensure!(ended.success(), "it ended with {ended}");
    sample(cluster, 3, "the pods of before").await.map(drop)
}

async fn pods(cluster: &Cluster) -> Result<()> {
    kctl(cluster, "expose deployment/hello --name=again --port=80 --target-port=http").await?;
    let run = format!(
        "run one --image={IMAGE} --restart=Never --port=8080 --labels=app=one --command -- sh -c \
         trap${{IFS}}exit${{IFS}}TERM;echo${{IFS}}begun;echo${{IFS}}mine>index.html;httpd${{IFS}}-f${{IFS}}-p${{IFS}}8080&wait"
    );
    kctl(cluster, &run).await?;
    kctl(cluster, "wait --for=condition=Ready pod/one --timeout=60s").await?;
    let logs = kctl(cluster, "logs one").await?;
    ensure!(logs == "begun\n", "{logs}");
    let name = kctl(cluster, "exec one -- hostname").await?;
    ensure!(name.trim() == "one", "{name}");
    let refused = fails(cluster, "exec one -- sh -c exit${IFS}3").await?;
    ensure!(refused.contains("exit code 3"), "{refused}");
    let deadline = env::monotonic() + PATIENCE;
    loop {
        match kctl(cluster, "exec one -- wget -qO- http://again").await {
            Ok(answer) if answer.starts_with("hello from hello-") => break,
            other => ensure!(env::monotonic() < deadline, "the Service does not answer: {other:?}"),
        }
        env::sleep(GLANCE).await;
    }

    let mut forward = cluster.kctl();
    forward.args(["port-forward", "pod/one", ":8080"]).stdout(Stdio::piped()).kill_on_drop(true);
    let mut forward = forward.spawn()?;
    let mut lines = BufReader::new(forward.stdout.take().context("its output")?).lines();
    let told = env::timeout(PATIENCE, lines.next_line()).await.context("nothing is forwarded")??;
    let told = told.context("it ended")?;
    let place = told.strip_prefix("Forwarding from ").and_then(|rest| rest.split(' ').next());
    let answer = page(&format!("http://{}", place.with_context(|| told.clone())?)).await?;
    ensure!(answer == "mine", "{answer}");
    forward.kill().await?;
    Ok(())
}

async fn nodes(cluster: &Cluster) -> Result<()> {
    let node = "/api/v1/nodes/node-1";
    kctl(cluster, "cordon node-1").await?;
    ensure!(object(cluster, node).await?["spec"]["unschedulable"] == true, "it is not cordoned");
    kctl(cluster, "drain node-1 --ignore-daemonsets --force --timeout=60s").await?;
    let found = sample(cluster, 3, "the pods of the node that was drained").await?;
    ensure!(found.iter().all(|pod| pod.node == "node-2"), "pods are left on it: {found:?}");
    kctl(cluster, "uncordon node-1").await?;
    ensure!(object(cluster, node).await?["spec"]["unschedulable"] != true, "it is still cordoned");
    kctl(cluster, "scale deployment/hello --replicas=5").await?;
    let found = sample(cluster, 5, "five pods").await?;
    ensure!(found.iter().any(|pod| pod.node == "node-1"), "none came back to it: {found:?}");
    Ok(())
}

async fn plans(cluster: &Cluster) -> Result<()> {
    // Asked for at run time: checkouts share compiled tests.
    let top = std::env::var("CARGO_MANIFEST_DIR").context("cargo tells its tests")?;
    let told = kctl(cluster, &format!("plan -f {top}/docs/examples/deployment.yaml")).await?;
    for word in ["deployment.apps/web would be created", "Where pods would land", "node-1", "node-2"] {
        ensure!(told.contains(word), "{word:?} is not in\n{told}");
    }
    let refused = fails(cluster, "get deployment web").await?;
    ensure!(refused.contains("NotFound"), "planning created it: {refused}");
    Ok(())
}
