//! One client, one create after another.

use std::sync::Arc;

use anyhow::Result;

use crate::bench::Bench;
use crate::keelson::config_maps::{Creators, ensure_namespace};
use crate::load::{self, Shape};
use crate::procfs::CpuMeter;
use crate::report::{Row, Target, Value};
use crate::scale;

const RATIO_MAX: f64 = 0.6;
const NAMESPACE: &str = "one-client";

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let whole = bench.cluster()?.whole().await?;
    let on_leader = row(bench, "p50 on the leader", &whole.leader, Target::RatioAtMost(RATIO_MAX)).await?;
    let through = row(bench, "p50 through a follower", &whole.followers[0], Target::Printed).await?;
    Ok(vec![on_leader, through])
}

async fn row(bench: &Bench, name: &str, master: &str, target: Target) -> Result<Row> {
    let cluster = bench.cluster()?;
    let connection = cluster.connect(master, bench.protocol).await?;
    ensure_namespace(&connection, NAMESPACE).await?;
    let creators = Creators::new(vec![connection], NAMESPACE, master, scale::VALUE_BYTES);
    let shape = Shape { clients: 1, warm_up: scale::CHECK / 4, measured: scale::CHECK };
    let meter = CpuMeter::start(&cluster.processes())?;
    let load = load::closed_loop(Arc::new(creators), shape).await?;
    let etcd = bench.references.one_client.as_ref().map(|load| Value::ms(load.latencies.p50()));
    let row = Row::alone(name, Value::ms(load.latencies.p50()), target).against(etcd);
    Ok(row.note(load.text()).note(meter.text()?))
}
