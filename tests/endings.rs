//! What ends badly, on real nodes: everything at once, images that nobody has, pods that do not listen.

use std::time::Duration;

use crate::examples::tools::{
    PATIENCE, Traffic, ask, eventually, kubectl, kubectl_with, no_pods, node_ports, shows,
};
use anyhow::{Context, Result, ensure};
use base::env;
use chaos::client::Method;
use chaos::nodes::{Pod, pods, wait_for_pods};
use chaos::{Cluster, Need, Options};
use serde_json::{Value, json};

/// The pods of the sample.
const SAMPLE: usize = 2;

#[test]
fn what_ends_badly_is_told_and_ended_well() {
    chaos::run(&chaos::programs!(), &[Need::Engines, Need::Kubectl], async |machine| {
        let cluster = Cluster::start(machine, Options { nodes: 2, ..Options::default() }).await?;
        let (image, stubborn, host) = futures::future::join3(
            an_image_that_nobody_has(&cluster),
            a_pod_that_does_not_listen(&cluster),
            the_ports_and_the_network_of_a_node(&cluster),
        )
        .await;
        image.context("an image that nobody has")?;
        stubborn.context("a pod that ignores SIGTERM")?;
        host.context("the node's own network")?;
        everything_is_killed(&cluster).await.context("everything is killed")
    });
}

/// Refused at once, because nobody listens there.
const ABSENT: &str = "127.0.0.1:1/absent:1";

async fn an_image_that_nobody_has(cluster: &Cluster) -> Result<()> {
    kubectl(cluster, &format!("create deployment absent --image={ABSENT} -- sleep 1000")).await?;
    let reason =
        "get pods -l app=absent -o jsonpath={.items[0].status.containerStatuses[0].state.waiting.reason}";
    shows(cluster, reason, &["ImagePullBackOff"]).await?;
    let told = ["Failed to pull image", "Error: ErrImagePull", "Back-off pulling image", "ImagePullBackOff"];
    shows(cluster, "describe pods -l app=absent", &told).await?;
    shows(cluster, "get events", &["ErrImagePull", "Back-off pulling image"]).await?;
    for node in ["node-1", "node-2"] {
        cluster.nodes().docker(node, &["tag", "keelson/hello:1", ABSENT]).await?;
    }
    kubectl(cluster, "rollout status deployment/absent --timeout=120s").await?;
    kubectl(cluster, "delete deployment absent").await?;
    // It does not listen either, and need not have all of its time.
    kubectl(cluster, "delete pods -l app=absent --grace-period=1 --ignore-not-found").await.map(drop)
}

async fn a_pod_that_does_not_listen(cluster: &Cluster) -> Result<()> {
    const GRACE: Duration = Duration::from_secs(3);
    let run = "run stubborn --image=keelson/hello:1 --restart=Never --command -- sh -c";
    kubectl_with(cluster, run, "trap '' TERM; while true; do sleep 1; done").await?;
    kubectl(cluster, "wait --for=condition=Ready --timeout=120s pod/stubborn").await?;
    let (since, line) = (env::monotonic(), format!("delete pod stubborn --grace-period={}", GRACE.as_secs()));
    kubectl(cluster, &line).await?;
    ensure!(since.elapsed() >= GRACE, "the pod was gone before its time: after {:?}", since.elapsed());
    for node in ["node-1", "node-2"] {
        let filter = "label=io.kubernetes.pod.name=stubborn";
        let left = cluster.nodes().docker(node, &["ps", "--all", "--quiet", "--filter", filter]).await?;
        ensure!(left.is_empty(), "containers are left on {node}: {left}");
    }
    Ok(())
}

/// A web server at one port, and how it is reached from outside.
fn server(name: &str, port: u16, further: &Value) -> Value {
    let serve = format!(
        "trap exit TERM; mkdir -p /www; echo {name} > /www/index.html; httpd -f -p {port} -h /www & wait"
    );
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{
            "name": name,
            "image": "keelson/hello:1",
            "command": ["sh", "-c", serve],
            "ports": [{"containerPort": port}],
        }]},
    });
    for (field, value) in further.as_object().into_iter().flatten() {
        pod["spec"][field] = value.clone();
    }
    if further["hostNetwork"].is_null() {
        pod["spec"]["containers"][0]["ports"][0]["hostPort"] = json!(18_081);
    }
    pod
}

async fn the_ports_and_the_network_of_a_node(cluster: &Cluster) -> Result<()> {
    let client = cluster.any_client()?;
    let on_it = server("on-host", 18_082, &json!({"hostNetwork": true, "nodeName": "node-1"}));
    let through = server("by-port", 8080, &json!({"nodeName": "node-2"}));
    for pod in [on_it, through] {
        client.request(Method::POST, "/api/v1/namespaces/default/pods", Some(&pod)).await?;
    }
    let addresses = cluster.nodes().addresses()?;
    for (place, expected) in
        [(format!("{}:18082", addresses[0]), "on-host"), (format!("{}:18081", addresses[1]), "by-port")]
    {
        let said = eventually(&place, async || ask(&place, None).await).await?;
        ensure!(said == expected, "{place} says {said}");
    }
    let host_ip = kubectl(cluster, "get pod on-host -o jsonpath={.status.podIP}").await?;
    ensure!(host_ip == addresses[0], "a pod of the node's network is at {host_ip}");
    kubectl(cluster, "delete pod on-host by-port").await?;
    ensure!(ask(&format!("{}:18081", addresses[1]), None).await.is_err(), "the port leads somewhere still");
    Ok(())
}

fn ready(found: &[Pod]) -> usize {
    found.iter().filter(|pod| pod.is_ready).count()
}

async fn everything_is_killed(cluster: &Cluster) -> Result<()> {
    let places = node_ports(cluster, "hello").await?;
    no_pods(cluster, "app!=hello").await?;
    let before = kubectl(cluster, "get deployments,replicasets,services,endpointslices -o name").await?;
    cluster.kill_everything().await?;
    cluster.up().await?;
    let client = cluster.any_client()?;
    let as_before = |found: &[Pod]| found.len() == SAMPLE && ready(found) == SAMPLE;
    wait_for_pods(&client, PATIENCE, "the sample", as_before).await?;
    for place in &places {
        let page = eventually(place, async || ask(place, None).await).await?;
        ensure!(page.starts_with("hello from hello-"), "{page}");
    }
    // From here on nothing fails any more, and nothing is there twice.
    let traffic = Traffic::start(&places);
    let after = kubectl(cluster, "get deployments,replicasets,services,endpointslices -o name").await?;
    ensure!(after == before, "before:\n{before}after:\n{after}");
    let mut running = 0;
    for node in ["node-1", "node-2"] {
        let filter = "label=io.kubernetes.container.name=hello";
        running +=
            cluster.nodes().docker(node, &["ps", "--quiet", "--filter", filter]).await?.lines().count();
    }
    ensure!(running == SAMPLE, "{running} containers run for {:?}", pods(&client).await?);
    shows(cluster, "get nodes", &["node-1", "node-2", "Ready"]).await?;
    cluster.check_whole().await?;
    traffic.check().map(drop)
}
