//! Resident memory of the leader with many pods that run on hollow nodes, controllers and scheduler at work.

use std::sync::Arc;

use anyhow::Result;
use base::env;
use bytes::Bytes;
use http::Method;

use crate::bench::{Bench, of_each};
use crate::keelson::config_maps::ensure_namespace_for_pods;
use crate::keelson::http::{Connection, open_many};
use crate::keelson::pod_watch::{Moment, PodWatch};
use crate::keelson::workloads::Kind;
use crate::load;
use crate::procfs;
use crate::report::{Row, Target, Value};
use crate::scale;

const NAMESPACE: &str = "hollow-pods";
const RATIO_MAX: f64 = 5.0;

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let cluster = bench.cluster()?;
    let whole = cluster.whole().await?;
    let count = bench.protocol.connections(scale::POD_CLIENTS);
    let connections = open_many(&cluster.endpoint(&whole.leader)?, bench.protocol, count).await?;
    ensure_namespace_for_pods(&connections[0], NAMESPACE).await?;
    let accounts = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
    let account =
        Bytes::from_static(br#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"web"}}"#);
    connections[0].accepted(Method::POST, &accounts, account).await?;
    let before = of_each(cluster, procfs::resident_bytes)?;
    let watch = PodWatch::open(cluster.connect(&whole.leader, bench.protocol).await?, NAMESPACE).await?;
    let creators = Arc::new(Creators(connections));
    let took = load::exactly(creators, scale::POD_CLIENTS, scale::SIZED_PODS).await?;
    watch.wait(Moment::Running, scale::SIZED_PODS as usize, scale::PODS_MAX).await?;
    env::sleep(scale::SETTLE * 2).await;
    let after = of_each(cluster, procfs::resident_bytes)?;
    let leader = |sizes: &[(String, u64)]| {
        sizes.iter().find(|(name, _)| *name == whole.leader).map_or(0, |(_, bytes)| *bytes)
    };
    let row = Row::compared(
        "100,000 pods of 2 KB that run on 100 hollow nodes, the leader; the raw bytes",
        Value::mib(leader(&after)),
        Value::mib(scale::SIZED_PODS * scale::VALUE_BYTES as u64),
        Target::RatioAtMost(RATIO_MAX),
    );
    let rate = scale::SIZED_PODS as f64 / took.as_secs_f64();
    let each: Vec<String> = after.iter().map(|(name, bytes)| format!("{name} {} MiB", bytes >> 20)).collect();
    Ok(vec![row.note(format!(
        "filled at {rate:.0} creates/s, {} MiB before; {}",
        leader(&before) >> 20,
        each.join(", ")
    ))])
}

/// Clients that create pods, each with its node: more than the nodes would take by themselves.
struct Creators(Vec<Connection>);

impl load::Target for Creators {
    async fn call(&self, client: usize, sequence: u64) -> Result<()> {
        let node = sequence as usize % scale::HOLLOW_WORKERS;
        let body = on_node(&Kind::Pod.body(&format!("pod-{sequence:06}"), sequence), node);
        let connection = &self.0[client % self.0.len()];
        connection.accepted(Method::POST, &Kind::Pod.collection(NAMESPACE), body).await.map(drop)
    }
}

/// The same pod, bound.
fn on_node(body: &[u8], node: usize) -> Bytes {
    let text = String::from_utf8_lossy(body);
    text.replacen(r#""spec":{"#, &format!(r#""spec":{{"nodeName":"hollow-{node}","#), 1).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_bound_and_otherwise_the_same() {
        let body = Kind::Pod.body("a", 1);
        let before: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let mut after: serde_json::Value = serde_json::from_slice(&on_node(&body, 7)).expect("JSON");
        assert_eq!(after["spec"]["nodeName"], "hollow-7");
        after["spec"].as_object_mut().expect("a spec").remove("nodeName");
        assert_eq!(after, before);
    }
}
