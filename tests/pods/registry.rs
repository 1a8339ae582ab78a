//! Images of a registry that knows its clients: one that runs in a node's network, where engines trust it without TLS.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use chaos::Cluster;
use chaos::process::{Child, Command};

use super::create;
use crate::examples::tools::{eventually, kubectl, shows};

/// The program, and the Debian package that brings it.
const PROGRAM: &str = "docker-registry";

/// Whose network the registry is in, and whose pods ask it.
const NODE: &str = "node-1";

const ADDRESS: &str = "127.0.0.1:5000";
const IMAGE: &str = "127.0.0.1:5000/team/hello";

/// The only one who may ask, with a password that is hashed here as the registry wants it.
const USER: &str = "puller";
const PASSWORD: &str = "let-me-in";
const ACCOUNTS: &str = "puller:$2b$04$YtFb3AD8354Y8q2z1SS5FeXZflMW7INFfLmSIaAxm6xhQdLRri9jW\n";

pub async fn check(cluster: &Cluster) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|folder| folder.join(PROGRAM).is_file()) {
        chaos::report_skipped("images of a registry: docker-registry is not installed");
        return Ok(());
    }
    let folder = cluster.directory().join("registry");
    let _running = start(cluster, &folder)?;
    let docker = folder.display().to_string();
    let login = ["--config", &docker, "login", "--username", USER, "--password", PASSWORD, ADDRESS];
    eventually("a registry", async || cluster.nodes().docker(NODE, &login).await).await?;
    let tagged = format!("{IMAGE}:1");
    cluster.nodes().docker(NODE, &["tag", "keelson/hello:1", &tagged]).await?;
    let pushed = cluster.nodes().docker(NODE, &["--config", &docker, "push", &tagged]).await?;
    let digest =
        pushed.split_whitespace().find(|word| word.starts_with("sha256:")).context("a digest")?.to_owned();
    cluster.nodes().docker(NODE, &["rmi", &tagged]).await?;

    let secret = format!("--docker-server={ADDRESS} --docker-username={USER} --docker-password={PASSWORD}");
    kubectl(cluster, &format!("create secret docker-registry puller {secret}")).await?;
    create(cluster, "registry-with-secret.yaml").await?;
    kubectl(cluster, "wait --for=condition=Ready --timeout=120s pod/pulled").await?;
    let id = kubectl(cluster, "get pod pulled -o jsonpath={.status.containerStatuses[0].imageID}").await?;
    ensure!(
        id == format!("docker-pullable://{IMAGE}@{digest}"),
        "the image is {id}, and {digest} in its registry"
    );
    let told =
        [&*format!("Pulling image \"{tagged}\""), &format!("Successfully pulled image \"{tagged}\" in ")];
    shows(cluster, "get events --field-selector involvedObject.name=pulled", &told).await?;

    // The image is there, and still its registry is asked, for that is what this pod wants.
    create(cluster, "registry-without-secret.yaml").await?;
    let waiting = "get pod not-pulled -o jsonpath={.status.containerStatuses[0].state.waiting}";
    shows(cluster, waiting, &["ImagePullBackOff"]).await?;
    let told = ["Failed to pull image", "no basic auth credentials", "Error: ErrImagePull"];
    shows(cluster, "get events --field-selector involvedObject.name=not-pulled", &told).await.map(drop)
}

fn start(cluster: &Cluster, folder: &Path) -> Result<Child> {
    std::fs::create_dir(folder)?;
    let write = |name: &str, text: &str| -> Result<PathBuf> {
        std::fs::write(folder.join(name), text)?;
        Ok(folder.join(name))
    };
    let accounts = write("accounts", ACCOUNTS)?.display().to_string();
    let settings = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
         http: {{addr: \"{ADDRESS}\"}}\nauth: {{htpasswd: {{realm: keelson, path: {accounts}}}}}\n",
        folder.join("images").display()
    );
    let settings = write("settings.yml", &settings)?;
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &format!("kl-{}-{NODE}", cluster.nodes().short()?), PROGRAM, "serve"]);
    let log = std::fs::File::create(folder.join("log"))?;
    command.arg(settings).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    command.spawn().context("starting a registry")
}
