//! Resident memory of a master with many pods.

use std::sync::Arc;

use anyhow::Result;

use crate::bench::{Bench, at_rest, of_each};
use crate::keelson::config_maps::ensure_namespace;
use crate::keelson::http::open_many;
use crate::keelson::workloads::{Kind, Way, Writers};
use crate::load;
use crate::procfs;
use crate::report::{Row, Target, Value};
use crate::scale;

const NAMESPACE: &str = "sized-pods";
const RATIO_MAX: f64 = 3.0;

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let cluster = bench.cluster()?;
    let whole = cluster.whole().await?;
    let count = bench.protocol.connections(scale::CLIENTS);
    let connections = open_many(&cluster.endpoint(&whole.leader)?, bench.protocol, count).await?;
    ensure_namespace(&connections[0], NAMESPACE).await?;
    let writers = Writers::new(connections, NAMESPACE, Kind::Pod, Way::Create, "pod");
    let took = load::exactly(Arc::new(writers), scale::CLIENTS, scale::SIZED_PODS).await?;
    at_rest(cluster).await?;
    let sizes = of_each(cluster, procfs::resident_bytes)?;
    let largest = sizes.iter().map(|(_, bytes)| *bytes).max().unwrap_or_default();
    let raw_bytes = scale::SIZED_PODS * scale::VALUE_BYTES as u64;
    let row = Row::compared(
        "with 100,000 pods of 2 KB, the largest master; the raw bytes",
        Value::mib(largest),
        Value::mib(raw_bytes),
        Target::RatioAtMost(RATIO_MAX),
    );
    let rate = scale::SIZED_PODS as f64 / took.as_secs_f64();
    Ok(vec![row.note(format!("filled at {rate:.0} creates/s"))])
}
