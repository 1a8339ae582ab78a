//! The leader is killed without warning, and the first write after it deletes a pod; how long until the pod that takes
//! its place is bound.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use base::env;
use bytes::Bytes;
use chaos::process::{Signal, signal};
use http::Method;

use super::deployment;
use crate::bench::Bench;
use crate::failover;
use crate::keelson::config_maps::ensure_namespace_for_pods;
use crate::keelson::http::Connection;
use crate::keelson::pod_watch::{Moment, PodWatch};
use crate::keelson::workloads::Kind;
use crate::load;
use crate::report::{Row, Target, Value};
use crate::scale;
use crate::stats::Samples;

const NAMESPACE: &str = "replaced";
const REPLICAS: u64 = 10;
const MORE_MAX_MS: f64 = 200.0;

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let cluster = bench.cluster()?;
    let whole = cluster.whole().await?;
    let connection = cluster.connect(&whole.leader, bench.protocol).await?;
    ensure_namespace_for_pods(&connection, NAMESPACE).await?;
    let watch = PodWatch::open(cluster.connect(&whole.leader, bench.protocol).await?, NAMESPACE).await?;
    let path = Kind::Deployment.collection(NAMESPACE);
    connection.accepted(Method::POST, &path, deployment::body("web", REPLICAS)).await?;
    watch.wait(Moment::Running, REPLICAS as usize, scale::PODS_MAX).await?;
    let (mut gaps, mut replaced, mut more) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..scale::REPLACEMENTS {
        let whole = cluster.whole().await?;
        let mut connections = Vec::new();
        for name in &whole.followers {
            connections.push(cluster.connect(name, bench.protocol).await?);
        }
        let watcher = cluster.connect(&whole.followers[0], bench.protocol).await?;
        let watch = PodWatch::open(watcher, NAMESPACE).await?;
        let victim = living(&connections[0]).await?.pop_first().context("no pod is left")?;
        let survivors =
            Deleters { connections, path: format!("{}/{victim}", Kind::Pod.collection(NAMESPACE)) };
        env::sleep(scale::BETWEEN_KILLS).await;
        let killed = env::monotonic();
        signal(cluster.pid(&whole.leader)?, Signal::KILL)?;
        let gap =
            failover::first_accepted(&survivors, whole.followers.len(), killed, scale::OUTAGE_MAX).await?;
        let bound = watch.wait(Moment::Bound, 1, scale::OUTAGE_MAX).await? - killed;
        gaps.push(gap);
        replaced.push(bound);
        more.push(bound.saturating_sub(gap));
        cluster.start_missing().await?;
    }
    let target = Target::RatioAtMostPlus(1.0, Value::Ms(MORE_MAX_MS));
    let name = format!(
        "leader SIGKILL to the replacement bound, median of {}; to the first write",
        scale::REPLACEMENTS
    );
    let row = Row::compared(name, Value::ms(replaced.median()), Value::ms(gaps.median()), target);
    let worst = Row::alone(
        "what the replacement takes longer than the first write, worst",
        Value::ms(more.worst()),
        Target::AtMost(Value::Ms(MORE_MAX_MS)),
    );
    Ok(vec![
        row.note(format!("bound {}, first write {}", replaced.listed_ms(), gaps.listed_ms())),
        worst.note(more.listed_ms()),
    ])
}

/// Names of the pods that are not going.
async fn living(connection: &Connection) -> Result<BTreeSet<String>> {
    let list: serde_json::Value =
        serde_json::from_slice(&connection.get(&Kind::Pod.collection(NAMESPACE)).await?)?;
    let pods = list["items"].as_array().context("a list of pods")?;
    let living = pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    Ok(living.filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect())
}

/// Clients that delete one pod, a connection each.
struct Deleters {
    connections: Vec<Connection>,
    path: String,
}

impl load::Target for Deleters {
    async fn call(&self, client: usize, _sequence: u64) -> Result<()> {
        let deleted = self.connections[client].accepted(Method::DELETE, &self.path, Bytes::new());
        // One that is answered late must not hold up the others.
        env::timeout(ANSWER_MAX, deleted).await.context("no answer")?.map(drop)
    }
}

/// A request that was lost with the leader is answered after its own limit.
const ANSWER_MAX: Duration = Duration::from_secs(30);
