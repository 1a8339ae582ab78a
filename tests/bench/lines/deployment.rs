//! A Deployment comes and goes: until all its pods are bound, and until none is left.

use anyhow::Result;
use base::env;
use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::bench::Bench;
use crate::keelson::config_maps::ensure_namespace_for_pods;
use crate::keelson::http::MERGE_PATCH;
use crate::keelson::pod_watch::{Moment, PodWatch};
use crate::keelson::workloads::Kind;
use crate::procfs::CpuMeter;
use crate::report::{Row, Target, Value};
use crate::scale;
use crate::stats::Samples;

const NAMESPACE: &str = "deployment";
const BOUND_MAX_MS: f64 = 2000.0;
const GONE_MAX_MS: f64 = 3000.0;

/// A Deployment of pods with one small container.
pub(super) fn body(name: &str, replicas: u64) -> Bytes {
    let labels = json!({"app": name});
    let container = json!({
        "name": "main", "image": "registry.example.com/main:1", "resources": {"requests": {"cpu": "10m"}},
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    });
    deployment.to_string().into()
}

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let cluster = bench.cluster()?;
    let whole = cluster.whole().await?;
    let connection = cluster.connect(&whole.leader, bench.protocol).await?;
    ensure_namespace_for_pods(&connection, NAMESPACE).await?;
    let watch = PodWatch::open(cluster.connect(&whole.leader, bench.protocol).await?, NAMESPACE).await?;
    let path = Kind::Deployment.collection(NAMESPACE);
    let (mut bound, mut running, mut gone) = (Samples::default(), Samples::default(), Samples::default());
    let (replicas, mut cpu) = (scale::REPLICAS as usize, Vec::new());
    for round in 0..scale::SCALINGS {
        let name = format!("web-{round}");
        watch.begin();
        let (started, meter) = (env::monotonic(), CpuMeter::start(&cluster.processes())?);
        connection.accepted(Method::POST, &path, body(&name, scale::REPLICAS)).await?;
        bound.push(watch.wait(Moment::Bound, replicas, scale::PODS_MAX).await? - started);
        cpu.push(meter.text()?);
        running.push(watch.wait(Moment::Running, replicas, scale::PODS_MAX).await? - started);
        env::sleep(scale::SETTLE).await;
        let started = env::monotonic();
        let none = Bytes::from_static(br#"{"spec":{"replicas":0}}"#);
        connection.accepted_as(MERGE_PATCH, Method::PATCH, &format!("{path}/{name}"), none).await?;
        gone.push(watch.wait(Moment::Gone, replicas, scale::PODS_MAX).await? - started);
        env::sleep(scale::SETTLE).await;
    }
    let row = |name: &str, samples: &Samples, most_ms| {
        let target = Target::AtMost(Value::Ms(most_ms));
        Row::alone(name, Value::ms(samples.median()), target).note(samples.listed_ms())
    };
    Ok(vec![
        row("1,000 replicas on 100 nodes, created to all bound, median", &bound, BOUND_MAX_MS)
            .note(format!("all said to run after {}", running.listed_ms()))
            .note("k3s on like hardware took 24 s for 500")
            .note(cpu.join("; ")),
        row("scaled to 0 to all gone, median", &gone, GONE_MAX_MS).note("a hollow pod takes 500 ms to end"),
    ])
}
