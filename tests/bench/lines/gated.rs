//! Many pods wait for a gate each; then all gates open. How fast they are bound, and run.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use base::env;
use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::bench::Bench;
use crate::keelson::config_maps::ensure_namespace_for_pods;
use crate::keelson::http::{Connection, MERGE_PATCH, open_many};
use crate::keelson::pod_watch::{Moment, PodWatch};
use crate::keelson::workloads::Kind;
use crate::load;
use crate::procfs::CpuMeter;
use crate::report::{Row, Target, Value};
use crate::scale;

const NAMESPACE: &str = "gated";
/// What Kubernetes' own test of 50,000 pods on 5,000 nodes must reach.
const KUBERNETES_PER_S: f64 = 810.0;
const RATIO_MIN: f64 = 2.0;
const RUNNING_PER_S_MIN: f64 = 500.0;

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let cluster = bench.cluster()?;
    let whole = cluster.whole().await?;
    let count = bench.protocol.connections(scale::POD_CLIENTS);
    let connections = open_many(&cluster.endpoint(&whole.leader)?, bench.protocol, count).await?;
    ensure_namespace_for_pods(&connections[0], NAMESPACE).await?;
    let connections = Arc::new(connections);
    let creators = Gates { connections: Arc::clone(&connections), opens: false };
    let created = load::exactly(Arc::new(creators), scale::POD_CLIENTS, scale::GATED_PODS).await?;
    env::sleep(scale::SETTLE).await;
    let watch = PodWatch::open(cluster.connect(&whole.leader, bench.protocol).await?, NAMESPACE).await?;
    let meter = CpuMeter::start(&cluster.processes())?;
    let (pods, started) = (scale::GATED_PODS as usize, env::monotonic());
    let openers = Gates { connections, opens: true };
    let released = load::exactly(Arc::new(openers), scale::POD_CLIENTS, scale::GATED_PODS).await?;
    let last = watch.wait(Moment::Bound, pods, scale::PODS_MAX).await?;
    let cpu = meter.text()?;
    let ran = watch.wait(Moment::Running, pods, scale::PODS_MAX).await?;
    let first = *watch.when(Moment::Bound).first().context("no pod was bound")?;
    let per_s = |took: Duration| Value::PerSecond(scale::GATED_PODS as f64 / took.as_secs_f64());
    let bound = Row::compared(
        "10,000 pods bound to 5,000 nodes, first to last; what Kubernetes asks of itself",
        per_s(last - first),
        Value::PerSecond(KUBERNETES_PER_S),
        Target::RatioAtLeast(RATIO_MIN),
    );
    let all = Row::alone(
        "the same until all are said to run, from the first gate that opens",
        per_s(ran - started),
        Target::AtLeast(Value::PerSecond(RUNNING_PER_S_MIN)),
    );
    let told = format!(
        "as the leader's watch tells it; created in {:.1} s, gates open after {:.1} s, the first bound after {:.0} ms",
        created.as_secs_f64(),
        released.as_secs_f64(),
        (first - started).as_secs_f64() * 1000.0
    );
    Ok(vec![bound.note(told).note(cpu), all])
}

/// Clients that create pods with a gate, or open them.
struct Gates {
    connections: Arc<Vec<Connection>>,
    opens: bool,
}

impl load::Target for Gates {
    async fn call(&self, client: usize, sequence: u64) -> Result<()> {
        let connection = &self.connections[client % self.connections.len()];
        let (name, path) = (format!("pod-{sequence:05}"), Kind::Pod.collection(NAMESPACE));
        if self.opens {
            let patch = Bytes::from_static(br#"{"spec":{"schedulingGates":null}}"#);
            let path = format!("{path}/{name}");
            return connection.accepted_as(MERGE_PATCH, Method::PATCH, &path, patch).await.map(drop);
        }
        let requests = json!({"cpu": "100m", "memory": "500Mi"});
        let body = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "schedulingGates": [{"name": "example.com/bench"}],
                "containers": [{
                    "name": "main", "image": "registry.example.com/main:1", "resources": {"requests": requests},
                }],
            },
        });
        connection.accepted(Method::POST, &path, body.to_string().into()).await.map(drop)
    }
}
