//! Many Services: what the first packet of a connection costs, and how fast packets follow an endpoint that changes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;
use bytes::Bytes;
use http::Method;
use serde_json::{Value as Json, json};

use crate::bench::Bench;
use crate::keelson::config_maps::ensure_namespace;
use crate::keelson::http::{Connection, MERGE_PATCH, open_many};
use crate::load;
use crate::probe::Inside;
use crate::procfs::CpuMeter;
use crate::report::{Row, Target, Value};
use crate::scale;
use crate::stats::{Latencies, Samples};

const NAMESPACE: &str = "services";
/// From where packets are sent.
const NODE: &str = "node-1";
const FIRST_RATIO_MAX: f64 = 1.2;
const FOLLOWED_MAX_MS: f64 = 100.0;
/// Packets that have not followed by then never will.
const FOLLOW_MAX: Duration = Duration::from_secs(60);
/// Between two changes.
const REST: Duration = Duration::from_millis(300);

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let few = measured(bench, 0, scale::FEW_SERVICES).await.context("with few Services")?;
    let many =
        measured(bench, scale::FEW_SERVICES, scale::MANY_SERVICES).await.context("with many Services")?;
    let us = |latencies: &Latencies| {
        let us = |took: Duration| took.as_micros();
        format!("p50 {} us, p99 {} us", us(latencies.p50()), us(latencies.p99()))
    };
    let first = Row::compared(
        "first packet among 10,000 Services of 2 endpoints, median; among 10",
        Value::ms(many.first.p50()),
        Value::ms(few.first.p50()),
        Target::RatioAtMost(FIRST_RATIO_MAX),
    );
    let followed = Row::compared(
        "an endpoint changes to the first packet that follows, worst; among 10",
        Value::ms(many.followed.worst()),
        Value::ms(few.followed.worst()),
        Target::AtMost(Value::Ms(FOLLOWED_MAX_MS)),
    );
    let filled = format!(
        "{}; 10,000 were all there after {:.1} s; {}",
        us(&many.first),
        many.made.as_secs_f64(),
        many.cpu
    );
    Ok(vec![
        first.note(filled).note(format!("among 10: {}", us(&few.first))),
        followed.note(many.followed.listed_ms()).note(format!("among 10: {}", few.followed.listed_ms())),
    ])
}

struct Measured {
    first: Latencies,
    followed: Samples,
    /// Until packets reached the last Service.
    made: Duration,
    cpu: String,
}

/// With as many Services, of which some are there.
async fn measured(bench: &Bench, known: usize, wanted: usize) -> Result<Measured> {
    let cluster = bench.cluster()?;
    let whole = cluster.whole().await?;
    let count = bench.protocol.connections(scale::POD_CLIENTS);
    let connections = open_many(&cluster.endpoint(&whole.leader)?, bench.protocol, count).await?;
    ensure_namespace(&connections[0], NAMESPACE).await?;
    let backends = backends(&connections[0]).await?;
    let inside = Inside(cluster.pid(NODE)?);
    let processes = [cluster.processes(), vec![(NODE.to_owned(), cluster.pid(NODE)?)]].concat();
    let (started, meter) = (env::monotonic(), CpuMeter::start(&processes)?);
    let makers = Arc::new(Makers { connections, known, backends: backends.clone() });
    load::exactly(Arc::clone(&makers), scale::POD_CLIENTS, (wanted - known) as u64).await?;
    let connection = &makers.connections[0];
    let addresses = addresses(connection, wanted).await?;
    let last = inside.follow(&addresses[wanted - 1])?.answers(&names(&backends), FOLLOW_MAX).await;
    last.context("the last Service")?;
    let (made, cpu) = (started.elapsed(), meter.text()?);
    env::sleep(scale::SETTLE).await;

    // Evenly over all Services, so that none is asked twice where there are enough.
    let step = (wanted / scale::FIRST_PACKETS).max(1);
    let asked: Vec<String> =
        (0..scale::FIRST_PACKETS).map(|number| addresses[number * step % wanted].clone()).collect();
    let first = inside.first(&asked).await?;
    let followed = changes(inside, connection, &addresses[0], &backends).await?;
    Ok(Measured { first, followed, made, cpu })
}

/// Gives the first Service one endpoint, then another, again and again.
async fn changes(
    inside: Inside,
    connection: &Connection,
    address: &str,
    backends: &[Backend],
) -> Result<Samples> {
    let path = format!("{}/{}", slices(), slice_name(0));
    let mut follower = inside.follow(address)?;
    let mut samples = Samples::default();
    for round in 0..=scale::ENDPOINT_CHANGES {
        let backend = &backends[round % backends.len()];
        let patch = json!({"endpoints": endpoints(std::slice::from_ref(backend))}).to_string();
        let started = env::monotonic();
        connection.accepted_as(MERGE_PATCH, Method::PATCH, &path, patch.into()).await?;
        let followed = follower.answers(&[&backend.name], FOLLOW_MAX).await? - started;
        // Before the first change either could answer.
        if round > 0 {
            samples.push(followed);
        }
        env::sleep(REST).await;
    }
    Ok(samples)
}

/// A pod of the sample: it answers with its name.
#[derive(Clone, Debug)]
struct Backend {
    name: String,
    address: String,
}

fn names(backends: &[Backend]) -> Vec<&str> {
    backends.iter().map(|backend| backend.name.as_str()).collect()
}

async fn backends(connection: &Connection) -> Result<Vec<Backend>> {
    let list: Json = serde_json::from_slice(&connection.get("/api/v1/namespaces/default/pods").await?)?;
    let pods = list["items"].as_array().context("a list of pods")?.iter();
    let living = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let backends: Vec<Backend> = living
        .map(|pod| Backend { name: text(&pod["metadata"]["name"]), address: text(&pod["status"]["podIP"]) })
        .collect();
    let have_addresses = backends.iter().all(|backend| !backend.address.is_empty());
    ensure!(backends.len() == 2 && have_addresses, "the sample has not two pods: {backends:?}");
    Ok(backends)
}

/// Where each Service is reached, by its number.
async fn addresses(connection: &Connection, wanted: usize) -> Result<Vec<String>> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/services");
    let list: Json = serde_json::from_slice(&connection.get(&path).await?)?;
    let services = list["items"].as_array().context("a list of Services")?.iter();
    let addresses = services.filter_map(|service| service["spec"]["clusterIP"].as_str());
    let addresses: Vec<String> = addresses.map(|address| format!("{address}:80")).collect();
    ensure!(addresses.len() == wanted, "{} of {wanted} Services have an address", addresses.len());
    Ok(addresses)
}

fn slices() -> String {
    format!("/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices")
}

fn slice_name(number: usize) -> String {
    format!("service-{number:05}-pods")
}

fn endpoints(backends: &[Backend]) -> Vec<Json> {
    let endpoint = |backend: &Backend| json!({"addresses": [backend.address], "conditions": {"ready": true}});
    backends.iter().map(endpoint).collect()
}

/// Clients that make Services without selectors, each with its endpoints.
struct Makers {
    connections: Vec<Connection>,
    known: usize,
    backends: Vec<Backend>,
}

impl load::Target for Makers {
    async fn call(&self, client: usize, sequence: u64) -> Result<()> {
        let connection = &self.connections[client % self.connections.len()];
        let number = self.known + sequence as usize;
        let name = format!("service-{number:05}");
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        });
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": slice_name(number), "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
            "endpoints": endpoints(&self.backends),
        });
        let path = format!("/api/v1/namespaces/{NAMESPACE}/services");
        connection.accepted(Method::POST, &path, Bytes::from(service.to_string())).await?;
        connection.accepted(Method::POST, &slices(), Bytes::from(slice.to_string())).await.map(drop)
    }
}
