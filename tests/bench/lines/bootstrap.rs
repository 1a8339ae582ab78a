//! Three masters on empty directories: CA, init, both joins as voters, first accepted write.

use anyhow::Result;
use base::env;

use crate::bench::Bench;
use crate::failover;
use crate::keelson::cluster::{Cluster, MASTERS, Parts};
use crate::keelson::config_maps::Creators;
use crate::report::{Row, Target, Value};
use crate::scale;
use crate::stats::Samples;

const RATIO_MAX: f64 = 2.0;

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let (mut until_up, mut until_write) = (Samples::default(), Samples::default());
    for _ in 0..scale::BOOTSTRAPS {
        let started = env::monotonic();
        let cluster = Cluster::up(&bench.binaries, Parts::MASTERS).await?;
        until_up.push(started.elapsed());
        cluster.whole().await?;
        let mut connections = Vec::new();
        for (name, _) in cluster.processes() {
            connections.push(cluster.connect(&name, bench.protocol).await?);
        }
        let creators = Creators::new(connections, "default", "bootstrap", 0);
        until_write.push(failover::first_accepted(&creators, MASTERS, started, scale::OUTAGE_MAX).await?);
    }
    let etcd = bench.references.bootstrap.as_ref().map(|samples| Value::ms(samples.median()));
    let row = Row::alone(
        "exec to first write accepted by 3 voters, median",
        Value::ms(until_write.median()),
        Target::RatioAtMost(RATIO_MAX),
    );
    Ok(vec![row.against(etcd).note(until_write.listed_ms()).note(format!(
        "`keelson up` had returned after {} (network namespaces and the wait for voters included)",
        until_up.listed_ms()
    ))])
}
