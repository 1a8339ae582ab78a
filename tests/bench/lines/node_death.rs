//! A node dies in one moment: its link, its agent, its engine and its containers. How long until what ran there runs
//! elsewhere.

use anyhow::{Context, Result};
use base::env;

use crate::bench::Bench;
use crate::keelson::http::Connection;
use crate::keelson::pod_watch::{Moment, PodWatch};
use crate::report::{Row, Target, Value};
use crate::scale;
use crate::stats::Samples;

const REPLACED_MAX_MS: f64 = 15_000.0;
/// Where the sample runs.
const NAMESPACE: &str = "default";

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let cluster = bench.cluster()?;
    let mut samples = Samples::default();
    for _ in 0..scale::NODE_DEATHS {
        let whole = cluster.whole().await?;
        cluster.take_pods(&whole.leader).await?;
        let connection = cluster.connect(&whole.leader, bench.protocol).await?;
        let pods = placed(&connection).await?;
        let victim = pods.first().context("the sample has no pods")?;
        let lost = pods.iter().filter(|node| *node == victim).count();
        let watch = PodWatch::open(connection, NAMESPACE).await?;
        let killed = env::monotonic();
        cluster.nodes().kill(victim).await?;
        let replaced = watch.wait(Moment::Running, lost, scale::PODS_MAX).await;
        // Brought back before that is looked at: other lines need it.
        cluster.nodes().link(victim, true).await?;
        cluster.start_missing().await?;
        samples.push(replaced? - killed);
    }
    let row = Row::alone(
        "node killed to its pods Running elsewhere, worst",
        Value::ms(samples.worst()),
        Target::AtMost(Value::Ms(REPLACED_MAX_MS)),
    );
    Ok(vec![row.note(samples.listed_ms()).note("Kubernetes takes about 350 s as it comes")])
}

/// The node of each pod that is not going.
async fn placed(connection: &Connection) -> Result<Vec<String>> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let list: serde_json::Value = serde_json::from_slice(&connection.get(&path).await?)?;
    let pods = list["items"].as_array().context("a list of pods")?.iter();
    let living = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    Ok(living.filter_map(|pod| pod["spec"]["nodeName"].as_str().map(str::to_owned)).collect())
}
