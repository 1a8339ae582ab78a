//! The leader is killed without warning; how long until a survivor accepts a write.

use anyhow::Result;
use base::env;
use chaos::process::{Signal, signal};

use crate::bench::Bench;
use crate::failover;
use crate::keelson::cluster::{Cluster, Whole};
use crate::keelson::config_maps::{Creators, ensure_namespace};
use crate::keelson::http::Protocol;
use crate::report::{Row, Target, Value};
use crate::scale;
use crate::stats::Samples;

const MEDIAN_RATIO_MAX: f64 = 0.5;
const WORST_RATIO_MAX: f64 = 0.75;
const NAMESPACE: &str = "failover";

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let cluster = bench.cluster()?;
    let mut samples = Samples::default();
    for round in 0..scale::KILLS {
        let whole = cluster.whole().await?;
        let survivors = survivors(cluster, &whole, &format!("kill-{round}"), bench.protocol).await?;
        let leader = cluster.pid(&whole.leader)?;
        env::sleep(scale::BETWEEN_KILLS).await;
        let killed = env::monotonic();
        signal(leader, Signal::KILL)?;
        let count = whole.followers.len();
        samples.push(failover::first_accepted(&survivors, count, killed, scale::OUTAGE_MAX).await?);
        cluster.start_missing().await?;
    }
    let etcd = bench.references.kills.as_ref();
    let median = Row::alone(
        format!("to the first accepted write, median of {}", scale::KILLS),
        Value::ms(samples.median()),
        Target::RatioAtMost(MEDIAN_RATIO_MAX),
    );
    let worst =
        Row::alone("the same, worst", Value::ms(samples.worst()), Target::RatioAtMost(WORST_RATIO_MAX));
    Ok(vec![
        median.against(etcd.map(|etcd| Value::ms(etcd.median()))),
        worst.against(etcd.map(|etcd| Value::ms(etcd.worst()))).note(samples.listed_ms()),
    ])
}

/// Writers to all masters but the leader, connected before the fault.
pub(super) async fn survivors(
    cluster: &Cluster,
    whole: &Whole,
    prefix: &str,
    protocol: Protocol,
) -> Result<Creators> {
    let mut connections = Vec::new();
    for name in &whole.followers {
        connections.push(cluster.connect(name, protocol).await?);
    }
    ensure_namespace(&connections[0], NAMESPACE).await?;
    Ok(Creators::new(connections, NAMESPACE, prefix, 0))
}
