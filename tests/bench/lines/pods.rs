//! Pods and Deployments: written in each way, and read.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::Method;

use crate::bench::Bench;
use crate::keelson::config_maps::ensure_namespace;
use crate::keelson::http::{Connection, open_many};
use crate::keelson::workloads::{Kind, Way, Writers};
use crate::load::{self, Load, Shape};
use crate::procfs::CpuMeter;
use crate::report::{Row, Target, Value};
use crate::scale;
use crate::server::Server;

const NAMESPACE: &str = "pods";
const CREATES_RATIO_MIN: f64 = 1.5;
const CHANGES_RATIO_MIN: f64 = 0.8;
const APPLIES_RATIO_MIN: f64 = 0.5;
const READS_RATIO_MIN: f64 = 0.6;

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let etcd = bench.references.load.as_ref().map(|load| Value::PerSecond(load.per_second()));
    let creates = measured(bench, Kind::Pod, Way::Create, scale::MEASURED).await?;
    let mut rows = vec![row("2 KB pod creates/s, 64 clients", &creates, CREATES_RATIO_MIN).against(etcd)];
    let created = Some(Value::PerSecond(creates.0.per_second()));
    for (name, way) in [("strategic merge patches/s", Way::Patch), ("PUTs/s", Way::Update)] {
        let measured = measured(bench, Kind::Pod, way, scale::MEASURED).await?;
        let name = format!("{name} of pods; creates/s");
        rows.push(row(name, &measured, CHANGES_RATIO_MIN).against(created));
    }
    let updates = measured(bench, Kind::Deployment, Way::Update, scale::MEASURED).await?;
    let applies = measured(bench, Kind::Deployment, Way::Apply, scale::MEASURED).await?;
    let updated = Some(Value::PerSecond(updates.0.per_second()));
    let name = "server-side applies/s of a Deployment; PUTs/s of it";
    rows.push(row(name, &applies, APPLIES_RATIO_MIN).against(updated).note(updates.0.text()));
    Ok(rows)
}

fn row(name: impl Into<String>, (load, cpu): &(Load, String), least: f64) -> Row {
    let row = Row::alone(name, Value::PerSecond(load.per_second()), Target::RatioAtLeast(least));
    row.note(load.text()).note(cpu.clone())
}

/// The load on the leader, and the CPU time that each process used for it.
async fn measured(bench: &Bench, kind: Kind, way: Way, measured: Duration) -> Result<(Load, String)> {
    let cluster = bench.cluster()?;
    let whole = cluster.whole().await?;
    let count = bench.protocol.connections(scale::POD_CLIENTS);
    let connections = open_many(&cluster.endpoint(&whole.leader)?, bench.protocol, count).await?;
    ensure_namespace(&connections[0], NAMESPACE).await?;
    let prefix = format!("{kind:?}-{way:?}").to_lowercase();
    let writers = Writers::new(connections, NAMESPACE, kind, way, &prefix);
    if way != Way::Create {
        writers.prepare(scale::POD_CLIENTS).await?;
    }
    let shape = Shape { clients: scale::POD_CLIENTS, warm_up: scale::WARM_UP, measured };
    let meter = CpuMeter::start(&cluster.processes())?;
    let load = load::closed_loop(Arc::new(writers), shape).await?;
    Ok((load, meter.text()?))
}

/// Reads of one pod, and of the same bytes from memory.
pub(super) async fn reads(bench: &mut Bench) -> Result<Vec<Row>> {
    let pods = measured(bench, Kind::Pod, Way::Read, scale::MEASURED).await?;
    let cluster = bench.cluster()?;
    let whole = cluster.whole().await?;
    let connection = cluster.connect(&whole.leader, bench.protocol).await?;
    let path = format!("{}/pod-read-0000", Kind::Pod.collection(NAMESPACE));
    let server = Server::start(&connection.get(&path).await?).await?;
    let count = bench.protocol.connections(scale::POD_CLIENTS);
    let connections = open_many(server.endpoint(), bench.protocol, count).await?;
    let shape = Shape { clients: scale::POD_CLIENTS, warm_up: scale::WARM_UP, measured: scale::MEASURED };
    let plain = load::closed_loop(Arc::new(Readers(connections)), shape).await?;
    let reference = Some(Value::PerSecond(plain.per_second()));
    let name = "GETs/s of one pod, 64 clients; the same bytes from memory";
    Ok(vec![row(name, &pods, READS_RATIO_MIN).against(reference).note(plain.text())])
}

/// Clients that read the reference server's body.
struct Readers(Vec<Connection>);

impl load::Target for Readers {
    async fn call(&self, client: usize, _sequence: u64) -> Result<()> {
        let connection = &self.0[client % self.0.len()];
        connection.accepted(Method::GET, "/static", Bytes::new()).await.map(drop)
    }
}
