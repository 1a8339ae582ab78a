//! ConfigMap creates: decoded, validated, committed on three masters.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::bench::Bench;
use crate::keelson::config_maps::{Creators, ensure_namespace};
use crate::keelson::http::{Connection, Protocol, open_many};
use crate::load::{self, Load, Shape};
use crate::procfs::CpuMeter;
use crate::report::{Row, Target, Value};
use crate::scale;

const RATIO_MIN: f64 = 2.0;
const NAMESPACE: &str = "creates";

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let whole = bench.cluster()?.whole().await?;
    let leader = vec![whole.leader.clone()];
    let everyone = [leader.clone(), whole.followers.clone()].concat();
    let other = if bench.protocol == Protocol::Http2 { Protocol::Http1 } else { Protocol::Http2 };
    let gated = measured(bench, "a", &leader, bench.protocol, scale::MEASURED).await?;
    let rate = Value::PerSecond(gated.0.per_second());
    let name = format!("creates/s of 2 KB, 256 clients on the leader, {:?}", bench.protocol);
    let etcd = bench.references.load.as_ref().map(|load| Value::PerSecond(load.per_second()));
    let mut rows =
        vec![with_notes(Row::alone(name, rate, Target::RatioAtLeast(RATIO_MIN)).against(etcd), &gated)];
    let variants = [
        ("b", &leader, other, format!("the same, {other:?}")),
        ("c", &everyone, bench.protocol, "the same, clients on all masters".to_owned()),
    ];
    for (prefix, masters, protocol, name) in variants {
        let measured = measured(bench, prefix, masters, protocol, scale::PRINTED).await?;
        let row = Row::alone(name, Value::PerSecond(measured.0.per_second()), Target::Printed);
        rows.push(with_notes(row.against(etcd), &measured));
    }
    Ok(rows)
}

fn with_notes(row: Row, (load, cpu): &(Load, String)) -> Row {
    row.note(load.text()).note(cpu.clone())
}

/// The load, and the CPU time that each process used for it.
async fn measured(
    bench: &Bench,
    prefix: &str,
    masters: &[String],
    protocol: Protocol,
    measured: Duration,
) -> Result<(Load, String)> {
    let cluster = bench.cluster()?;
    let each = protocol.connections(scale::CLIENTS).div_ceil(masters.len());
    let mut connections: Vec<Connection> = Vec::new();
    for name in masters {
        connections.extend(open_many(&cluster.endpoint(name)?, protocol, each).await?);
    }
    ensure_namespace(&connections[0], NAMESPACE).await?;
    let creators = Arc::new(Creators::new(connections, NAMESPACE, prefix, scale::VALUE_BYTES));
    let shape = Shape { clients: scale::CLIENTS, warm_up: scale::WARM_UP, measured };
    let meter = CpuMeter::start(&cluster.processes())?;
    let load = load::closed_loop(creators, shape).await?;
    Ok((load, meter.text()?))
}
