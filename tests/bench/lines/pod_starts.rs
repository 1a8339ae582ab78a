//! Pods on a node that has nothing else to do, against containers that Docker starts in the same engine from the same
//! image.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use base::env;
use bytes::Bytes;
use chaos::nodes::Nodes;
use futures::{StreamExt, TryStreamExt};
use http::Method;
use serde_json::json;

use crate::bench::Bench;
use crate::keelson::config_maps::ensure_namespace_for_pods;
use crate::keelson::http::Connection;
use crate::keelson::pod_watch::{Moment, PodWatch};
use crate::keelson::workloads::Kind;
use crate::report::{Row, Target, Value};
use crate::scale;
use crate::stats::Samples;

const NAMESPACE: &str = "starts";
/// The node, and the image that the sample left on it.
const NODE: &str = "node-1";
const IMAGE: &str = "keelson/hello:1";
const SLEEP: [&str; 3] = ["/bin/busybox", "sleep", "600"];
const RATIO_MAX: f64 = 1.5;
const ONE_MORE_MS: f64 = 100.0;
/// Between two starts, so that none pays for the end of the one before.
const REST: Duration = Duration::from_millis(500);

/// One pod.
pub(super) async fn one(bench: &mut Bench) -> Result<Vec<Row>> {
    let (mut ours, mut docker) = (Samples::default(), Samples::default());
    let starter = Starter::open(bench).await?;
    for round in 0..=scale::POD_STARTS {
        let (container, pod) = (starter.containers(round, 1).await?, starter.pods(round, 1).await?);
        // The first brings what it needs into memory.
        if round > 0 {
            docker.push(container);
            ours.push(pod);
        }
    }
    let target = Target::RatioAtMostPlus(RATIO_MAX, Value::Ms(ONE_MORE_MS));
    Ok(vec![row("one pod, created to Running, median; `docker run -d`", &ours, &docker, target)])
}

/// Many pods at once.
pub(super) async fn burst(bench: &mut Bench) -> Result<Vec<Row>> {
    let (mut ours, mut docker) = (Samples::default(), Samples::default());
    let starter = Starter::open(bench).await?;
    for round in 0..scale::BURSTS {
        docker.push(starter.containers(round, scale::BURST_PODS).await?);
        ours.push(starter.pods(round, scale::BURST_PODS).await?);
    }
    let name = "30 pods at once, created to all Running, median; 30 `docker run -d`, 4 at a time";
    Ok(vec![row(name, &ours, &docker, Target::RatioAtMost(RATIO_MAX))])
}

fn row(name: &str, ours: &Samples, docker: &Samples, target: Target) -> Row {
    let row = Row::compared(name, Value::ms(ours.median()), Value::ms(docker.median()), target);
    row.note(format!("pods {}, containers {}", ours.listed_ms(), docker.listed_ms()))
}

struct Starter {
    connection: Arc<Connection>,
    watch: PodWatch,
    nodes: Nodes,
}

impl Starter {
    async fn open(bench: &Bench) -> Result<Self> {
        let cluster = bench.cluster()?;
        let whole = cluster.whole().await?;
        let connection = cluster.connect(&whole.leader, bench.protocol).await?;
        ensure_namespace_for_pods(&connection, NAMESPACE).await?;
        let watch = PodWatch::open(cluster.connect(&whole.leader, bench.protocol).await?, NAMESPACE).await?;
        Ok(Self { connection: Arc::new(connection), watch, nodes: cluster.nodes() })
    }

    /// Starts pods at once; returns how long until all run. They are gone afterwards.
    async fn pods(&self, round: usize, count: usize) -> Result<Duration> {
        let path = Kind::Pod.collection(NAMESPACE);
        self.watch.begin();
        let started = env::monotonic();
        let creates = (0..count).map(|number| {
            let (connection, path) = (Arc::clone(&self.connection), path.clone());
            let body = pod(&format!("pod-{count}-{round}-{number}"));
            async move { connection.accepted(Method::POST, &path, body).await }
        });
        futures::future::try_join_all(creates).await?;
        let took = self.watch.wait(Moment::Running, count, scale::PODS_MAX).await? - started;
        self.connection.accepted(Method::DELETE, &path, Bytes::new()).await?;
        self.watch.wait(Moment::Gone, count, scale::PODS_MAX).await?;
        env::sleep(REST).await;
        Ok(took)
    }

    /// Starts containers, some at a time; returns how long until all are started. They are gone afterwards.
    async fn containers(&self, round: usize, count: usize) -> Result<Duration> {
        let name = |number: usize| format!("bench-{count}-{round}-{number}");
        let started = env::monotonic();
        let runs = (0..count).map(|number| self.container(name(number)));
        let runs: Vec<()> =
            futures::stream::iter(runs).buffer_unordered(scale::DOCKER_AT_A_TIME).try_collect().await?;
        let took = started.elapsed();
        for number in 0..runs.len() {
            self.nodes.docker(NODE, &["rm", "--force", &name(number)]).await?;
        }
        env::sleep(REST).await;
        Ok(took)
    }

    async fn container(&self, name: String) -> Result<()> {
        let run = [&["run", "--detach", "--network", "none", "--name", &name, IMAGE], &SLEEP[..]].concat();
        self.nodes.docker(NODE, &run).await.map(drop).context("docker run")
    }
}

fn pod(name: &str) -> Bytes {
    let container = json!({"name": "main", "image": IMAGE, "command": SLEEP});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": NODE},
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        },
    });
    pod.to_string().into()
}
