//! Agents and engines that are killed, and nodes and masters that are cut off: what runs goes on, and nothing is lost.

mod steps;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;
use chaos::client::{Client, Method};
use chaos::nodes::{Pod, page, pods, wait_for_pods};
use chaos::process::{self, Signal};
use chaos::{Cluster, Need, Options};
use serde_json::{Value, json};

/// How long pods may take to be as they should.
const SOON: Duration = Duration::from_secs(60);

/// Twice the time within which a node that returns stops pods that were replaced.
const GIVEN_UP: Duration = Duration::from_secs(30);

/// How long a node stays cut off: its pods are given up long before.
const ISOLATION: Duration = Duration::from_secs(30);

/// How long all masters stay out of reach.
const OUTAGE: Duration = Duration::from_secs(45);

/// For how long after an outage nobody may be evicted: silence would count up to it.
const AFTER_OUTAGE: Duration = Duration::from_secs(12);

/// Pods that are at different steps when their agent dies.
const PODS: usize = 6;

/// Between one pod and the next.
const STAGGER: Duration = Duration::from_millis(120);

/// The sample's image: busybox alone.
const IMAGE: &str = "keelson/hello:1";

/// Runs until it is asked to end.
const UNTIL_ASKED: &str = "trap 'exit 7' TERM; while :; do /bin/busybox sleep 0.1; done";

fn with_nodes() -> Options {
    Options { nodes: 2, ..Options::default() }
}

/// A pod of node-1 that nothing but its owner takes away.
fn pod(name: &str, policy: &str, script: &str) -> Value {
    let shell = |script: &str| json!(["/bin/busybox", "sh", "-c", script]);
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "nodeName": "node-1",
            "restartPolicy": policy,
            "tolerations": [{"operator": "Exists"}],
            "initContainers": [{"name": "init", "image": IMAGE, "command": shell("exit 0")}],
            "containers": [{"name": "main", "image": IMAGE, "command": shell(script)}],
        },
    })
}

const PLACE: &str = "/api/v1/namespaces/default/pods";

async fn create(client: &Client, object: &Value) -> Result<()> {
    client.request(Method::POST, PLACE, Some(object)).await?;
    Ok(())
}

async fn kill(cluster: &Cluster, name: &str) -> Result<()> {
    let pid = cluster.pid(name)?;
    process::signal(pid, Signal::KILL)?;
    process::wait_gone(pid, SOON).await
}

/// Names of containers on a node, running or not, of pods whose names begin so.
async fn containers(cluster: &Cluster, node: &str, prefix: &str) -> Result<BTreeSet<String>> {
    listed(cluster, node, prefix, &["--all"]).await
}

/// The same of those that run.
async fn running(cluster: &Cluster, node: &str, prefix: &str) -> Result<BTreeSet<String>> {
    listed(cluster, node, prefix, &[]).await
}

async fn listed(cluster: &Cluster, node: &str, prefix: &str, options: &[&str]) -> Result<BTreeSet<String>> {
    let command = [&["ps", "--format", "{{.Names}}"], options].concat();
    let listed = cluster.nodes().docker(node, &command).await?;
    let is_of = |name: &&str| name.split('_').nth(2).is_some_and(|pod| pod.starts_with(prefix));
    Ok(listed.lines().filter(is_of).map(str::to_owned).collect())
}

/// Waits for something that is looked at again and again.
async fn until(what: &str, limit: Duration, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let deadline = env::monotonic() + limit;
    while !holds().await? {
        ensure!(env::monotonic() < deadline, "{what}: not within {limit:?}");
        env::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

fn named<'f>(found: &'f [Pod], prefix: &str) -> Vec<&'f Pod> {
    found.iter().filter(|pod| pod.name.starts_with(prefix)).collect()
}

/// What the agent of a node keeps for each pod: folders with files and mounts, and addresses.
fn kept(cluster: &Cluster) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let directory: PathBuf = cluster.data("node-1");
    let entries = std::fs::read_dir(directory.join("pods"))?;
    let folders = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let text = std::fs::read_to_string(directory.join("addresses.json"))?;
    let addresses: Value = serde_json::from_str(&text)?;
    let addresses = addresses["pods"].as_object().context("addresses of pods")?;
    Ok((folders.collect::<Result<_>>()?, addresses.keys().cloned().collect()))
}

/// The uids of the pods of node-1.
async fn uids(client: &Client) -> Result<BTreeSet<String>> {
    let list = client.request(Method::GET, PLACE, None).await?;
    let items = list["items"].as_array().context("a list")?.iter();
    let own = items.filter(|pod| pod["spec"]["nodeName"] == "node-1");
    Ok(own.filter_map(|pod| pod["metadata"]["uid"].as_str().map(str::to_owned)).collect())
}

#[test]
fn an_agent_killed_at_any_step_of_a_pods_life_loses_nothing() {
    chaos::run(&chaos::programs!(), &[Need::Engines], async |machine| {
        let cluster = Cluster::start(machine, with_nodes()).await?;
        let client = cluster.any_client()?;

        // Each pod is at another step of its start when the agent dies: each is started once.
        for number in 0..PODS {
            create(&client, &pod(&format!("p{number}-life"), "Always", UNTIL_ASKED)).await?;
            env::sleep(STAGGER).await;
        }
        kill(&cluster, "node-1").await?;
        cluster.up().await?;
        let run = |found: &[Pod]| named(found, "p").iter().filter(|pod| pod.is_ready).count() == PODS;
        let found = wait_for_pods(&client, SOON, "pods whose start was cut", run).await?;
        ensure!(named(&found, "p").iter().all(|pod| pod.restarts == 0), "restarted: {found:?}");
        let made = containers(&cluster, "node-1", "p").await?;
        ensure!(made.len() == 3 * PODS && made.iter().all(|name| name.ends_with("_0")), "twice: {made:?}");

        // One ends while nobody looks: its exit code is told.
        create(&client, &pod("ends", "Never", "/bin/busybox sleep 6; exit 5")).await?;
        let runs = |found: &[Pod]| named(found, "ends").iter().any(|pod| pod.is_ready);
        wait_for_pods(&client, SOON, "a pod that ends", runs).await?;
        kill(&cluster, "node-1").await?;
        let exited = ["ps", "--all", "--quiet", "--filter", "status=exited", "--filter"];
        let exited = [&exited[..], &["label=io.kubernetes.pod.name=ends"]].concat();
        until("the end of a container", SOON, async || {
            Ok(cluster.nodes().docker("node-1", &exited).await?.lines().count() == 2)
        })
        .await?;
        cluster.up().await?;
        until("an exit code", SOON, async || {
            let ended = client.request(Method::GET, &format!("{PLACE}/ends"), None).await?;
            let code = &ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"];
            Ok(ended["status"]["phase"] == "Failed" && *code == 5)
        })
        .await?;

        // Each is at another step of its end.
        for number in 0..PODS {
            client.request(Method::DELETE, &format!("{PLACE}/p{number}-life"), None).await?;
            env::sleep(STAGGER).await;
        }
        kill(&cluster, "node-1").await?;
        cluster.up().await?;
        let gone = |found: &[Pod]| named(found, "p").is_empty();
        wait_for_pods(&client, SOON, "pods whose end was cut", gone).await?;
        until("containers, folders and addresses of pods that are gone", SOON, async || {
            let (folders, addresses) = kept(&cluster)?;
            let there = uids(&client).await?;
            let left = containers(&cluster, "node-1", "p").await?;
            Ok(left.is_empty() && folders.is_subset(&there) && addresses.is_subset(&there))
        })
        .await
    });
}

#[test]
fn pods_survive_an_engine_that_is_killed_or_stopped() {
    chaos::run(&chaos::programs!(), &[Need::Engines], async |machine| {
        let cluster = Cluster::start(machine, with_nodes()).await?;
        let client = cluster.any_client()?;
        create(&client, &pod("stays", "Always", UNTIL_ASKED)).await?;
        create(&client, &pod("once", "Never", UNTIL_ASKED)).await?;
        let run = |found: &[Pod]| found.iter().filter(|pod| pod.is_ready).count() == 4;
        wait_for_pods(&client, SOON, "pods", run).await?;

        // Away for long: the node says so.
        kill(&cluster, "node-1-engine").await?;
        let ready = async || {
            let node = client.request(Method::GET, "/api/v1/nodes/node-1", None).await?;
            let conditions = node["status"]["conditions"].as_array().context("conditions")?.clone();
            conditions.into_iter().find(|one| one["type"] == "Ready").context("a condition")
        };
        until("a node without an engine", SOON, async || {
            let ready = ready().await?;
            let says =
                ready["message"].as_str().is_some_and(|text| text.starts_with("container runtime is down"));
            Ok(ready["status"] == "False" && says)
        })
        .await?;
        cluster.up().await?;
        until("a node whose engine is back", SOON, async || Ok(ready().await?["status"] == "True")).await?;
        until("Events of the node", SOON, async || {
            let about = "involvedObject.kind=Node,involvedObject.name=node-1,source=kubelet";
            let path = format!("/api/v1/namespaces/default/events?fieldSelector={about}");
            let events = client.request(Method::GET, &path, None).await?;
            let told = events["items"].as_array().context("a list")?;
            let is_told = |reason: &&str| told.iter().any(|event| event["reason"] == **reason);
            Ok(["Starting", "NodeReady", "NodeNotReady"].iter().all(is_told))
        })
        .await?;
        let back = |restarts| {
            move |found: &[Pod]| {
                let is_back = |pod: &&Pod| pod.name == "stays" && pod.is_ready && pod.restarts == restarts;
                found.iter().filter(is_back).count() == 1
            }
        };
        wait_for_pods(&client, SOON, "a pod that starts again", back(1)).await?;
        until("a pod that does not", SOON, async || {
            let once = client.request(Method::GET, &format!("{PLACE}/once"), None).await?;
            Ok(once["status"]["phase"] == "Failed")
        })
        .await?;

        // Stopped in order, it stops its containers: those that shall run are started again.
        let engine = cluster.pid("node-1-engine")?;
        process::signal(engine, Signal::TERM)?;
        process::wait_gone(engine, SOON).await?;
        cluster.up().await?;
        wait_for_pods(&client, SOON, "a pod that starts once more", back(2)).await?;
        registers_again(&client, "node-1").await
    });
}

/// Deletes a Node whose agent runs, and waits until it is there again, with its range of pods and a Lease of its own.
async fn registers_again(client: &Client, node: &str) -> Result<()> {
    let path = format!("/api/v1/nodes/{node}");
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node}");
    let old = client.request(Method::GET, &path, None).await?;
    client.request(Method::DELETE, &path, None).await?;
    until("a node that was deleted", SOON, async || {
        let (node, lease) =
            (client.request(Method::GET, &path, None).await, client.request(Method::GET, &lease, None).await);
        let (Ok(node), Ok(lease)) = (node, lease) else { return Ok(false) };
        ensure!(node["spec"]["podCIDR"] == old["spec"]["podCIDR"], "its pods have another range: {node}");
        let uid = &node["metadata"]["uid"];
        Ok(*uid != old["metadata"]["uid"] && lease["metadata"]["ownerReferences"][0]["uid"] == *uid)
    })
    .await
}

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const ENDPOINTS: &str = "/api/v1/namespaces/default/endpoints";

/// How many addresses of a Service take traffic.
async fn endpoints(client: &Client, service: &str) -> Result<usize> {
    let list = client.request(Method::GET, SLICES, None).await?;
    let slices = list["items"].as_array().context("a list")?.iter();
    let of_it = slices.filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == service);
    Ok(of_it.map(ready_in).sum())
}

/// How many addresses of an EndpointSlice, or of an Endpoints, take traffic.
fn ready_in(object: &Value) -> usize {
    let items = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let ready = items(&object["endpoints"]).into_iter().filter(|one| one["conditions"]["ready"] == true);
    let addresses = items(&object["subsets"]).into_iter().flat_map(|subset| items(&subset["addresses"]));
    ready.count() + addresses.count()
}

/// The most addresses that a Service of one slice ever had since a revision, by all that a watch tells of it.
async fn most_endpoints(client: &Client, service: &str, since: &str) -> Result<usize> {
    let mut most = 0;
    for path in [SLICES, ENDPOINTS] {
        let told = client.text(&format!("{path}?watch=1&timeoutSeconds=1&resourceVersion={since}")).await?;
        let events: Vec<Value> = told.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let is_of = |object: &&Value| {
            let metadata = &object["metadata"];
            metadata["name"] == service || metadata["labels"]["kubernetes.io/service-name"] == service
        };
        let counts = events.iter().map(|event| &event["object"]).filter(is_of).map(ready_in);
        most = most.max(counts.max().with_context(|| format!("nothing was told of {service} in {path}"))?);
    }
    Ok(most)
}

/// One pod behind a Service.
async fn run_solo(client: &Client) -> Result<Pod> {
    let labels = json!({"app": "solo"});
    let mut template = pod("solo", "Always", UNTIL_ASKED);
    template["metadata"] = json!({"labels": labels});
    for field in ["nodeName", "tolerations"] {
        template["spec"].as_object_mut().context("a spec")?.remove(field);
    }
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "solo"},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {
            "metadata": template["metadata"], "spec": template["spec"],
        }},
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "solo"},
        "spec": {"selector": labels, "ports": [{"port": 80}]},
    });
    client.request(Method::POST, "/apis/apps/v1/namespaces/default/deployments", Some(&deployment)).await?;
    client.request(Method::POST, "/api/v1/namespaces/default/services", Some(&service)).await?;
    let is_one = |found: &[Pod]| named(found, "solo").iter().any(|pod| pod.is_ready);
    let found = wait_for_pods(client, SOON, "a pod behind a Service", is_one).await?;
    named(&found, "solo").first().map(|pod| Pod::clone(pod)).context("a pod")
}

/// As somebody who loads a firewall anew, and a link that went down: the kernel of a node has no rules and no routes to
/// other nodes' pods.
async fn take_its_network(cluster: &Cluster, node: &str) -> Result<()> {
    let nodes = cluster.nodes();
    nodes.inside(node, &["nft", "flush", "ruleset"]).await?;
    ensure!(nodes.service_rules(node).await.is_err(), "the rules are still there");
    let routes = nodes.inside(node, &["ip", "-o", "route"]).await?;
    let others: Vec<&str> =
        routes.lines().filter(|line| line.starts_with("10.42.") && line.contains(" via ")).collect();
    ensure!(!others.is_empty(), "no route to pods of other nodes: {routes}");
    for route in others {
        let to = route.split(' ').next().context("where it leads")?;
        nodes.inside(node, &["ip", "route", "del", to]).await?;
    }
    Ok(())
}

#[test]
fn a_node_that_is_cut_off_runs_on_and_gives_up_what_was_replaced() {
    chaos::run(&chaos::programs!(), &[Need::Engines], async |machine| {
        let cluster = Cluster::start(machine, with_nodes()).await?;
        let client = cluster.any_client()?;
        let begun = client.request(Method::GET, SLICES, None).await?;
        let begun = begun["metadata"]["resourceVersion"].as_str().context("a revision")?;
        let old = run_solo(&client).await?;
        cluster.nodes().link(&old.node, false).await?;
        take_its_network(&cluster, &old.node).await?;
        let returns = env::monotonic() + ISOLATION;
        while env::monotonic() < returns {
            ensure!(endpoints(&client, "solo").await? <= 1, "two pods are endpoints");
            // The first container has ended; the other one and the pod's sandbox run.
            ensure!(
                running(&cluster, &old.node, &old.name).await?.len() == 2,
                "its containers do not run on"
            );
            env::sleep(Duration::from_millis(200)).await;
        }
        let is_replaced = |pod: &Pod| pod.is_ready && pod.node != old.node;
        let found = pods(&client).await?;
        ensure!(named(&found, "solo").into_iter().any(is_replaced), "not replaced: {found:?}");

        cluster.nodes().link(&old.node, true).await?;
        until("the containers of a pod that was replaced", GIVEN_UP, async || {
            ensure!(endpoints(&client, "solo").await? <= 1, "two pods are endpoints");
            Ok(containers(&cluster, &old.node, &old.name).await?.is_empty())
        })
        .await?;
        wait_for_pods(&client, SOON, "one pod", |found| named(found, "solo").len() == 1).await?;
        let most = most_endpoints(&client, "solo", begun).await?;
        ensure!(most == 1, "{most} pods were endpoints at a time");
        // Its proxy leads to pods elsewhere again, along the routes that were taken away.
        let url = format!("http://{}:30080", cluster.nodes().address(&old.node)?);
        until("the network of a node", SOON, async || {
            Ok(page(&url).await.is_ok_and(|page| page.starts_with("hello")))
        })
        .await
    });
}

#[test]
fn pods_of_nodes_that_all_fall_silent_stay_and_are_ready_again_when_these_return() {
    chaos::run(&chaos::programs!(), &[Need::Engines], async |machine| {
        let cluster = Cluster::start(machine, with_nodes()).await?;
        let client = cluster.any_client()?;
        let ready = |found: &[Pod]| found.iter().filter(|pod| pod.is_ready).count();
        let before = wait_for_pods(&client, SOON, "the sample", |found| ready(found) == 2).await?;
        for pod in &before {
            cluster.nodes().link(&pod.node, false).await?;
        }
        // Where all nodes fall silent at a time nobody is evicted: it is the network, or the masters themselves.
        wait_for_pods(&client, SOON, "pods of silent nodes", |found| ready(found) == 0).await?;
        for pod in &before {
            cluster.nodes().link(&pod.node, true).await?;
        }
        wait_for_pods(&client, SOON, "the pods that were there", |found| found == before).await?;
        until("their Service", SOON, async || Ok(endpoints(&client, "hello").await? == 2)).await
    });
}

#[test]
fn pods_and_services_do_without_masters() {
    chaos::run(&chaos::programs!(), &[Need::Engines], async |machine| {
        let cluster = Cluster::start(machine, with_nodes()).await?;
        let client = cluster.any_client()?;
        let two = |found: &[Pod]| found.iter().filter(|pod| pod.is_ready).count() == 2;
        let before = wait_for_pods(&client, SOON, "the sample", two).await?;
        let addresses = cluster.nodes().addresses()?;
        let pages: Vec<String> = addresses.iter().map(|address| format!("http://{address}:30080")).collect();

        for master in cluster.masters() {
            cluster.nodes().link(&master, false).await?;
        }
        let returns = env::monotonic() + OUTAGE;
        while env::monotonic() < returns {
            for url in &pages {
                ensure!(page(url).await?.starts_with("hello"), "{url}");
            }
            let ask = ["/bin/busybox", "wget", "-qO-", "http://hello"];
            for pod in &before {
                let said = cluster
                    .nodes()
                    .docker(&pod.node, &[&["exec", &*pod.container], &ask[..]].concat())
                    .await?;
                ensure!(said.starts_with("hello"), "from {}: {said}", pod.name);
            }
            env::sleep(Duration::from_millis(500)).await;
        }
        for master in cluster.masters() {
            cluster.nodes().link(&master, true).await?;
        }
        let same = |found: &[Pod]| found == before;
        wait_for_pods(&client, SOON, "the pods that were there", same).await?;
        let judged = env::monotonic() + AFTER_OUTAGE;
        while env::monotonic() < judged {
            // A new leader may be found meanwhile.
            if let Ok(found) = pods(&client).await {
                ensure!(found == before, "{before:?} became {found:?}");
            }
            env::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    });
}
