//! Durable proposals through Raft, without the API.

use std::sync::Arc;

use anyhow::Result;

use crate::bench::Bench;
use crate::load::{self, Shape};
use crate::procfs::CpuMeter;
use crate::propose::Proposers;
use crate::report::{Row, Target, Value};
use crate::scale;

const RATE_RATIO_MIN: f64 = 5.0;
const P99_RATIO_MAX: f64 = 0.3;

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let etcd = bench.references.load.as_ref();
    let etcd_rate = etcd.map(|load| Value::PerSecond(load.per_second()));
    let etcd_p99 = etcd.map(|load| Value::ms(load.latencies.p99()));
    let (rate_name, p99_name) = ("2 KB proposals/s, 256 in flight", "the same, p99");
    let (rate_target, p99_target) =
        (Target::RatioAtLeast(RATE_RATIO_MIN), Target::RatioAtMost(P99_RATIO_MAX));
    let cluster = bench.cluster()?;
    let whole = cluster.whole().await?;
    let data = |name: &str| cluster.data(name);
    let proposers = Proposers::open(data, &whole, scale::CONNECTIONS, scale::VALUE_BYTES)?;
    let shape = Shape { clients: scale::CLIENTS, warm_up: scale::WARM_UP, measured: scale::MEASURED };
    let meter = CpuMeter::start(&cluster.processes())?;
    let load = load::closed_loop(Arc::new(proposers), shape).await?;
    let rate = Row::alone(rate_name, Value::PerSecond(load.per_second()), rate_target).against(etcd_rate);
    let p99 = Row::alone(p99_name, Value::ms(load.latencies.p99()), p99_target).against(etcd_p99);
    Ok(vec![rate.note(load.text()).note(meter.text()?), p99])
}
