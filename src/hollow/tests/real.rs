//! Nodes and pods of a real master.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::{env, shutdown};
use client::{Client, Identity, Repeat};
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;

use super::cluster::Cluster;
use super::{path, pod};
use crate::Options;

const NODES: usize = 200;
const PODS: usize = 500;

/// Requests of the test at a time.
const AT_A_TIME: usize = 32;

/// How long the master may take for each part of it.
const LIMIT: Duration = Duration::from_secs(120);

fn client(cluster: &Cluster) -> Result<Client> {
    let access = cluster.access()?;
    let servers = access.servers.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let identity = Some(Identity { certificate: access.certificate, key: access.key });
    Ok(Client::new(client::Options { servers, authority: access.authority, identity, token: None })?)
}

async fn items(client: &Client, path: &str) -> Result<Vec<Value>> {
    let list: Value = serde_json::from_slice(&client.get(path).await?)?;
    list["items"].as_array().cloned().context("a list without items")
}

/// Reads until what is read is as wanted.
async fn until(client: &Client, path: &str, wanted: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>> {
    let read = async {
        loop {
            let items = items(client, path).await?;
            if wanted(&items) {
                return anyhow::Ok(items);
            }
            env::sleep(Duration::from_millis(250)).await;
        }
    };
    env::timeout(LIMIT, read).await.with_context(|| format!("{path} never became what it should"))?
}

async fn live(client: &Client) -> Result<()> {
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    until(client, "/api/v1/nodes", |nodes| nodes.len() == NODES).await?;
    let first = until(client, leases, |leases| leases.len() == NODES).await?;
    let first = renewals(&first);
    // Every lease is another one than it was.
    until(client, leases, |leases| renewals(leases).is_disjoint(&first)).await?;

    let create = |number: usize| async move {
        let mut pod = pod(&format!("hollow-{}", number % NODES), serde_json::json!({}), "Always");
        pod["metadata"]["name"] = format!("p{number}").into();
        client.create("/api/v1/namespaces/default/pods", pod.to_string()).await
    };
    futures::stream::iter(0..PODS).map(create).buffer_unordered(AT_A_TIME).try_collect::<Vec<_>>().await?;
    let is_running = |pods: &[Value]| pods.iter().all(|pod| pod["status"]["phase"] == "Running");
    let pods = until(client, "/api/v1/pods", |pods| pods.len() == PODS && is_running(pods)).await?;
    let addresses: BTreeSet<String> = pods.iter().map(|pod| pod["status"]["podIP"].to_string()).collect();
    ensure!(addresses.len() == PODS, "{} addresses", addresses.len());
    let ready = &pods[0]["status"]["conditions"];
    let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    ensure!(ready.as_array().is_some_and(|all| all.iter().any(is_ready)), "{ready}");

    let delete = |number: usize| async move {
        client.delete(&path(&format!("p{number}")), "{}", Repeat::Undone).await
    };
    futures::stream::iter(0..PODS).map(delete).buffer_unordered(AT_A_TIME).try_collect::<Vec<_>>().await?;
    until(client, "/api/v1/pods", <[Value]>::is_empty).await.map(drop)
}

/// Names and times of renewals.
fn renewals(leases: &[Value]) -> BTreeSet<String> {
    let told =
        leases.iter().map(|lease| format!("{} {}", lease["metadata"]["name"], lease["spec"]["renewTime"]));
    told.collect()
}

#[tokio::test]
async fn nodes_and_pods_of_a_real_master_live_and_go() {
    let Some(cluster) = Cluster::start(1).expect("a master") else { return };
    let client = client(&cluster).expect("a client");
    let (trigger, signal) = shutdown::channel();
    let running = env::spawn(crate::run(Options::new(client.clone(), NODES), signal));
    live(&client).await.expect("they live");
    trigger.fire();
    running.await.expect("ends").expect("in order");
}
