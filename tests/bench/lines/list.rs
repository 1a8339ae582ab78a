//! LIST of many objects, against the same bytes from memory through the same HTTP stack.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;
use bytes::Bytes;
use http::Method;

use crate::bench::{Bench, populate};
use crate::keelson::config_maps::collection;
use crate::keelson::http::{Connection, Protocol};
use crate::report::{Row, Target, Value};
use crate::scale;
use crate::server::Server;
use crate::stats::Samples;

const RATIO_MAX: f64 = 2.0;
const NAMESPACE: &str = "listed";

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let cluster = bench.cluster()?;
    let whole = cluster.whole().await?;
    populate(cluster, &whole, NAMESPACE, scale::LISTED_OBJECTS, scale::LISTED_OBJECT_BYTES).await?;
    let path = collection(NAMESPACE);
    let body = cluster.connect(&whole.leader, Protocol::Http1).await?.get(&path).await?;
    let server = Server::start(&body).await?;
    let mut rows = Vec::new();
    for (master, role) in [(&whole.leader, "leader"), (&whole.followers[0], "follower")] {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let keelson = cluster.connect(master, protocol).await?;
            let reference = Connection::open(server.endpoint(), protocol).await?;
            let (list, plain) = alternating(&keelson, &path, &reference, body.len() as u64).await?;
            let name = format!("LIST of 10,000, median, {role}, {protocol:?}");
            let (list_ms, plain_ms) = (Value::ms(list.median()), Value::ms(plain.median()));
            let target = if role == "leader" { Target::RatioAtMost(RATIO_MAX) } else { Target::Printed };
            rows.push(Row::compared(name, list_ms, plain_ms, target));
        }
    }
    let size =
        format!("{:.1} MiB of JSON; reads of both sides alternate", body.len() as f64 / f64::from(1 << 20));
    if let Some(last) = rows.pop() {
        rows.push(last.note(size));
    }
    Ok(rows)
}

/// Reads one and the other in turn, so that a slow moment of the machine meets both.
async fn alternating(
    keelson: &Connection,
    path: &str,
    reference: &Connection,
    size_bytes: u64,
) -> Result<(Samples, Samples)> {
    let (mut lists, mut plains) = (Samples::default(), Samples::default());
    for _ in 0..scale::LISTS {
        lists.push(timed(keelson, path, size_bytes).await.context("LIST")?);
        plains.push(timed(reference, "/static", size_bytes).await.context("reading the static body")?);
    }
    Ok((lists, plains))
}

/// From the request to the last byte of an answer of about the size expected (a list's own revision
/// may have grown by a digit).
async fn timed(connection: &Connection, path: &str, size_bytes: u64) -> Result<Duration> {
    /// More than a revision's digits.
    const SLACK_BYTES: u64 = 64;
    let started = env::monotonic();
    let read_bytes = connection.accepted(Method::GET, path, Bytes::new()).await?;
    let took = started.elapsed();
    let close = read_bytes.abs_diff(size_bytes) <= SLACK_BYTES;
    ensure!(close, "{path} had {read_bytes} bytes instead of {size_bytes}: the two are not the same");
    Ok(took)
}
