//! An application on three masters and two nodes: real engines, real packets, and what heals when something dies.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;
use chaos::client::Client;
use chaos::nodes::{Pod, page, pods, wait_for_pods};
use chaos::process;
use chaos::{Cluster, Machine, Need, Options};

/// How long pods may take to be as they should after something small happened.
const SOON: Duration = Duration::from_secs(30);

/// How long the pods of a dead node may take to run elsewhere: twice what is promised.
const NODE_DEATH: Duration = Duration::from_secs(30);

/// How long a proxy may take to know what the masters know.
const PROXY_FOLLOWS: Duration = Duration::from_secs(10);

/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// What the sample's pods are called.
const SAMPLE: &str = "hello-";

fn with_nodes() -> Options {
    Options { nodes: 2, ..Options::default() }
}

fn ready(found: &[Pod]) -> Vec<&Pod> {
    found.iter().filter(|pod| pod.is_ready && pod.name.starts_with(SAMPLE)).collect()
}

/// Where the sample answers: on every node.
fn addresses(cluster: &Cluster) -> Result<Vec<String>> {
    Ok(cluster.nodes().addresses()?.iter().map(|address| format!("http://{address}:30080")).collect())
}

async fn answers(url: &str) -> Result<String> {
    let deadline = env::monotonic() + SOON;
    loop {
        match page(url).await {
            Ok(text) => return Ok(text),
            Err(error) => ensure!(env::monotonic() < deadline, "{url} does not answer: {error:#}"),
        }
        env::sleep(Duration::from_millis(50)).await;
    }
}

/// A cluster whose sample runs in two pods.
async fn started(machine: &Arc<Machine>) -> Result<(Cluster, Client, Vec<Pod>)> {
    let cluster = Cluster::start(machine, with_nodes()).await?;
    let client = cluster.any_client()?;
    let found = wait_for_pods(&client, SOON, "two pods", |found| ready(found).len() == 2).await?;
    Ok((cluster, client, found))
}

async fn kctl(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    process::run(cluster.kctl().args(arguments), COMMAND_TIMEOUT).await
}

#[test]
fn an_application_runs_behind_a_service_and_heals() {
    chaos::run(&chaos::programs!(), &[Need::Engines], async |machine| {
        let (cluster, client, found) = started(machine).await?;
        for url in addresses(&cluster)? {
            ensure!(answers(&url).await?.starts_with("hello from hello-"), "{url}");
        }

        // Through any master into the pod.
        let pod = &ready(&found)[0].name;
        ensure!(kctl(&cluster, &["exec", pod, "--", "/bin/busybox", "hostname"]).await?.trim() == *pod);
        let inside =
            ["exec", pod, "--", "/bin/busybox", "wget", "-qO-", "http://hello.default.svc.cluster.local"];
        ensure!(kctl(&cluster, &inside).await?.starts_with("hello from hello-"), "by name, from inside");
        let token = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
        ensure!(
            kctl(&cluster, &["exec", pod, "--", "/bin/busybox", "cat", token]).await?.trim() == "default"
        );

        // A container dies: the same pod, once more.
        let victim = ready(&found)[0].clone();
        cluster.nodes().docker(&victim.node, &["kill", &victim.container]).await?;
        let restarted = |found: &[Pod]| {
            ready(found).iter().any(|pod| pod.name == victim.name && pod.restarts == victim.restarts + 1)
        };
        wait_for_pods(&client, SOON, "a container that was killed", restarted).await?;

        // The agent dies: nothing of the application does.
        let before = pods(&client).await?;
        process::signal(cluster.pid("node-1")?, process::Signal::KILL)?;
        ensure!(answers(&addresses(&cluster)?[0]).await?.starts_with("hello"), "while no agent runs");
        cluster.up().await?;
        ensure!(pods(&client).await? == before, "the pods are not what they were");

        // The leader dies, and a pod is deleted at that moment.
        let leader = cluster.leader().await?;
        cluster.kill(&[leader]).await?;
        let victim = ready(&before)[0].name.clone();
        kctl(&cluster, &["delete", "pod", &victim, "--wait=false"]).await?;
        let replaced = |found: &[Pod]| ready(found).len() == 2 && !found.iter().any(|pod| pod.name == victim);
        wait_for_pods(&cluster.any_client()?, SOON, "a deleted pod", replaced).await?;
        cluster.up().await?;

        // Nothing is left of it all.
        let before = cluster.up().await?;
        ensure!(before == cluster.up().await?, "a further up tells something else");
        cluster.down().await.map(drop)
    });
}

/// Waits until a node leads nothing to these addresses any more. From then on no connection goes there, and each that
/// is made has an answer, if anybody is left who gives one.
async fn nothing_goes_to(cluster: &Cluster, dead: &[String], node: &str, is_served: bool) -> Result<()> {
    let deadline = env::monotonic() + PROXY_FOLLOWS;
    let is_named = |rules: &str| {
        let mut words = rules.split(|letter: char| !letter.is_ascii_digit() && letter != '.');
        words.any(|word| dead.iter().any(|address| address == word))
    };
    while is_named(&cluster.nodes().service_rules(node).await?) {
        ensure!(env::monotonic() < deadline, "{node} leads packets to {dead:?}");
        env::sleep(Duration::from_millis(20)).await;
    }
    let url = format!("http://{}:30080", cluster.nodes().address(node)?);
    if is_served {
        // Who is ready may not be led to yet.
        answers(&url).await?;
    }
    for _ in 0..if is_served { 100 } else { 0 } {
        ensure!(page(&url).await?.starts_with("hello"), "a connection went to the dead node");
    }
    Ok(())
}

/// The other one of two nodes.
fn other(node: &str) -> &'static str {
    if node == "node-1" { "node-2" } else { "node-1" }
}

fn addresses_on(found: &[Pod], node: &str) -> Vec<String> {
    let on_it = found.iter().filter(|pod| pod.node == node && !pod.address.is_empty());
    on_it.map(|pod| pod.address.clone()).collect()
}

#[test]
fn the_pods_of_a_dead_node_run_elsewhere_and_it_gives_them_up_when_it_returns() {
    chaos::run(&chaos::programs!(), &[Need::Engines], async |machine| {
        let (cluster, client, found) = started(machine).await?;
        let victim = ready(&found)[0].node.clone();
        cluster.nodes().kill(&victim).await?;
        let died = env::monotonic();
        let (alive, dead) = (other(&victim), addresses_on(&found, &victim));
        let elsewhere = |found: &[Pod]| ready(found).iter().all(|pod| pod.node != victim);
        let known = wait_for_pods(&client, NODE_DEATH, "its death to be known", elsewhere).await?;
        nothing_goes_to(&cluster, &dead, alive, !ready(&known).is_empty()).await?;
        let replaced = |found: &[Pod]| elsewhere(found) && ready(found).len() == 2;
        let left = NODE_DEATH.saturating_sub(died.elapsed());
        wait_for_pods(&client, left, "the pods of a dead node", replaced).await?;
        nothing_goes_to(&cluster, &dead, alive, true).await?;

        // It returns late: what was replaced is not run again.
        cluster.nodes().link(&victim, true).await?;
        cluster.up().await?;
        let gone = |found: &[Pod]| found.iter().all(|pod| !pod.is_going) && ready(found).len() == 2;
        wait_for_pods(&client, SOON, "the pods that were replaced", gone).await?;
        let filter = "label=io.kubernetes.container.name=hello";
        let left = cluster.nodes().docker(&victim, &["ps", "--quiet", "--filter", filter]).await?;
        let on_it = pods(&client).await?.iter().filter(|pod| pod.node == victim).count();
        ensure!(left.lines().count() == on_it, "containers of replaced pods run on");
        Ok(())
    });
}

#[test]
fn the_pods_of_a_dead_agent_run_elsewhere_and_the_application_answers_all_the_time() {
    chaos::run(&chaos::programs!(), &[Need::Engines], async |machine| {
        let (cluster, client, found) = started(machine).await?;
        let victim = ready(&found)[0].node.clone();
        let url = format!("http://{}:30080", cluster.nodes().address(other(&victim))?);
        answers(&url).await?;
        cluster.kill(std::slice::from_ref(&victim)).await?;
        let replaced =
            |found: &[Pod]| ready(found).len() == 2 && ready(found).iter().all(|pod| pod.node != victim);
        let ask = async {
            loop {
                page(&url).await.context("a request has no answer")?;
            }
        };
        // Its containers run on: whoever is asked meanwhile answers.
        tokio::select! {
            biased;
            replaced = wait_for_pods(&client, NODE_DEATH, "the pods of a dead agent", replaced) => drop(replaced?),
            failed = ask => return failed,
        }
        nothing_goes_to(&cluster, &addresses_on(&found, &victim), other(&victim), true).await?;
        cluster.up().await?;
        let given_up = |found: &[Pod]| found.iter().all(|pod| !pod.is_going) && ready(found).len() == 2;
        wait_for_pods(&client, SOON, "the pods that were replaced", given_up).await?;
        cluster.down().await.map(drop)
    });
}
