//! Many watchers on one kind: is every event delivered, how fast, and up to which rate.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;
use bytes::Bytes;
use http::Method;

use crate::bench::Bench;
use crate::keelson::cluster::Whole;
use crate::keelson::config_maps::{collection, ensure_namespace, stamped_body};
use crate::keelson::http::{Connection, Protocol, open_many, succeeded};
use crate::procfs::CpuMeter;
use crate::report::{Row, Target, Value};
use crate::scale;
use crate::server::Server;
use crate::watching::{Audience, Delivery};

const P99_MAX_MS: f64 = 100.0;
const NAMESPACE: &str = "watched";
/// From one rate to the next while looking for the highest.
const RAISE: f64 = 1.25;
const LOWER: f64 = 0.7;

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let cluster = bench.cluster()?;
    let whole = cluster.whole().await?;
    let writer = Writer::open(bench, &whole).await?;
    let audience = watch(bench, &whole).await?;
    let frame_bytes = writer.frame_bytes(&audience).await?;
    let (bare, bare_cpu) = bare_rate(frame_bytes).await.context("measuring R, the bare stack's rate")?;
    let half = bare / 2.0;
    let step = writer.offer(&audience, half).await?;
    let (highest, tried) = search(&writer, &audience, half, &step).await?;

    let share = format!(
        "{:.0} writes/s, {} watchers over all masters, frames of {frame_bytes} bytes",
        half / scale::WATCHERS as f64,
        scale::WATCHERS
    );
    // A write that was refused was offered all the same.
    let offered = (step.accepted + step.refused) * scale::WATCHERS as u64;
    let per_second = Value::PerSecond;
    Ok(vec![
        Row::compared("events/s offered, half of R; R", per_second(half), per_second(bare), Target::Printed)
            .note(share)
            .note(bare_cpu),
        Row::alone(
            "events delivered, of those offered",
            Value::Count(step.delivered),
            Target::Exactly(Value::Count(offered)),
        )
        .note(step.text()),
        Row::alone(
            "p99 from the moment the write was due",
            Value::ms(step.latencies.p99()),
            Target::AtMost(Value::Ms(P99_MAX_MS)),
        ),
        Row::compared(
            "highest events/s with all delivered and p99 kept; R",
            per_second(highest),
            per_second(bare),
            Target::Printed,
        )
        .note(tried),
    ])
}

/// Raises the rate until it is not kept any more, or lowers it until it is.
async fn search(writer: &Writer, audience: &Audience, half: f64, first: &Step) -> Result<(f64, String)> {
    let mut tried = vec![format!("{half:.0}: {}", first.text())];
    let mut highest = if first.is_kept() { first.events_per_second() } else { 0.0 };
    let factor = if first.is_kept() { RAISE } else { LOWER };
    let mut rate = half;
    for _ in 0..scale::WATCH_STEPS_MAX {
        rate *= factor;
        let step = writer.offer(audience, rate).await?;
        tried.push(format!("{rate:.0}: {}", step.text()));
        if step.is_kept() {
            highest = highest.max(step.events_per_second());
        }
        if step.is_kept() != first.is_kept() {
            break;
        }
    }
    Ok((highest, format!("tried: {}", tried.join("; "))))
}

/// Events/s that the same stack pushes to as many clients without Keelson.
async fn bare_rate(frame_bytes: usize) -> Result<(f64, String)> {
    let server = Server::start(b"").await?;
    let connections = open_many(server.endpoint(), Protocol::Http1, scale::WATCHERS).await?;
    let audience = Audience::new();
    for connection in &connections {
        let answer = connection.send(Method::GET, &format!("/frames/{frame_bytes}"), Bytes::new()).await?;
        audience.count_bytes(succeeded(answer).await?.into_body());
    }
    env::sleep(scale::WATCH_STEP / 5).await;
    let meter = CpuMeter::start(&[("server".to_owned(), server.pid())])?;
    let (before, started) = (audience.read_bytes(), env::monotonic());
    env::sleep(scale::WATCH_STEP).await;
    let read_bytes = audience.read_bytes() - before;
    let rate = read_bytes as f64 / frame_bytes as f64 / started.elapsed().as_secs_f64();
    Ok((rate, format!("R alone: {}", meter.text()?)))
}

/// Opens the watches, spread evenly over the masters, all from one revision.
async fn watch(bench: &Bench, whole: &Whole) -> Result<Audience> {
    let cluster = bench.cluster()?;
    let masters = [vec![whole.leader.clone()], whole.followers.clone()].concat();
    let connection = cluster.connect(&whole.leader, Protocol::Http1).await?;
    let list: serde_json::Value =
        serde_json::from_slice(&connection.get("/api/v1/configmaps?limit=1").await?)?;
    let revision = list["metadata"]["resourceVersion"].as_str().context("the list has no resourceVersion")?;
    let path = format!("/api/v1/configmaps?watch=1&resourceVersion={revision}");
    let audience = Audience::new();
    for (index, master) in masters.iter().enumerate() {
        // The first masters take one more where the number does not divide evenly.
        let count = (scale::WATCHERS + masters.len() - 1 - index) / masters.len();
        for connection in open_many(&cluster.endpoint(master)?, Protocol::Http1, count).await? {
            let answer = connection.send(Method::GET, &path, Bytes::new()).await?;
            audience.follow(succeeded(answer).await.context("opening a watch")?.into_body(), connection);
        }
    }
    Ok(audience)
}

/// What came of one rate.
struct Step {
    /// Writes that the masters accepted.
    accepted: u64,
    refused: u64,
    delivered: u64,
    latencies: crate::stats::Latencies,
    ended: u64,
    took: Duration,
}

impl Step {
    fn is_kept(&self) -> bool {
        let all = self.delivered == self.accepted * scale::WATCHERS as u64;
        all && self.refused == 0 && self.latencies.p99().as_secs_f64() * 1000.0 <= P99_MAX_MS
    }

    fn events_per_second(&self) -> f64 {
        self.delivered as f64 / self.took.as_secs_f64()
    }

    fn text(&self) -> String {
        let ms = |share: f64| self.latencies.quantile(share).as_secs_f64() * 1000.0;
        format!(
            "{} of {} delivered, p50 {:.1} ms, p99 {:.1} ms, {} writes refused, {} watches ended",
            self.delivered,
            self.accepted * scale::WATCHERS as u64,
            ms(0.5),
            ms(0.99),
            self.refused,
            self.ended
        )
    }
}

/// Creates objects at a given rate, over one connection to the leader.
struct Writer {
    connection: Arc<Connection>,
}

impl Writer {
    async fn open(bench: &Bench, whole: &Whole) -> Result<Self> {
        let connection = bench.cluster()?.connect(&whole.leader, Protocol::Http2).await?;
        ensure_namespace(&connection, NAMESPACE).await?;
        Ok(Self { connection: Arc::new(connection) })
    }

    /// The length of one event as it arrives.
    async fn frame_bytes(&self, audience: &Audience) -> Result<usize> {
        let step = self.offer(audience, scale::WATCHERS as f64).await?;
        ensure!(step.delivered > 0, "no event arrived at one write a second: {}", step.text());
        Ok(audience.last_line_bytes())
    }

    /// Writes so often that `events_per_second` follow, and waits for their delivery.
    async fn offer(&self, audience: &Audience, events_per_second: f64) -> Result<Step> {
        let delivery = audience.begin();
        let every = Duration::from_secs_f64(scale::WATCHERS as f64 / events_per_second);
        let started = env::monotonic();
        let mut writes = Vec::new();
        loop {
            let due = started + every * (writes.len() as u32);
            if due >= started + scale::WATCH_STEP {
                break;
            }
            env::sleep_until(due).await;
            let connection = Arc::clone(&self.connection);
            let name = format!("{}-{}", delivery.round, writes.len());
            let body = stamped_body(&name, &delivery.stamp(due), scale::WATCHED_OBJECT_BYTES);
            writes.push(env::spawn(async move {
                connection.accepted(Method::POST, &collection(NAMESPACE), body).await
            }));
        }
        let (mut accepted, mut refused) = (0, 0);
        for write in writes {
            if write.await?.is_ok() { accepted += 1 } else { refused += 1 }
        }
        let took = started.elapsed();
        Ok(step(audience, &delivery, accepted, refused, took).await)
    }
}

/// Waits for the last events, and takes stock.
async fn step(audience: &Audience, delivery: &Delivery, accepted: u64, refused: u64, took: Duration) -> Step {
    let expected = accepted * scale::WATCHERS as u64;
    let all = || audience.delivered() >= expected;
    env::wait_until(scale::WATCH_DRAIN_MAX, Duration::from_millis(20), all).await;
    let (delivered, latencies) = audience.end(delivery);
    Step { accepted, refused, delivered, latencies, ended: audience.ended(), took }
}
