//! LIST of many objects with a selector that matches none: what looking at each costs.

use anyhow::{Result, ensure};
use base::env;
use bytes::Bytes;
use http::Method;

use crate::bench::Bench;
use crate::report::{Row, Target, Value};
use crate::scale;
use crate::stats::Latencies;

const P99_MAX_MS: f64 = 50.0;
const PATH: &str = "/api/v1/configmaps?labelSelector=absent%3Dyes";
/// An empty list is no longer than this; more means that the selector matched something.
const EMPTY_LIST_BYTES_MAX: u64 = 1024;

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    bench.fill().await?;
    let cluster = bench.cluster()?;
    let whole = cluster.whole().await?;
    let connection = cluster.connect(&whole.leader, bench.protocol).await?;
    let first = env::monotonic();
    connection.accepted(Method::GET, PATH, Bytes::new()).await?;
    let first = first.elapsed();
    let mut latencies = Latencies::default();
    for _ in 0..scale::SELECTIONS {
        let started = env::monotonic();
        let size_bytes = connection.accepted(Method::GET, PATH, Bytes::new()).await?;
        latencies.record(started.elapsed());
        ensure!(size_bytes <= EMPTY_LIST_BYTES_MAX, "the selector matched: {size_bytes} bytes");
    }
    let p50 = Row::alone("p50", Value::ms(latencies.p50()), Target::Printed);
    let p99 = Row::alone("p99", Value::ms(latencies.p99()), Target::AtMost(Value::Ms(P99_MAX_MS)));
    let note = format!("{} objects; the very first, not counted, took {first:.0?}", scale::MANY_OBJECTS);
    Ok(vec![p50, p99.note(note)])
}
