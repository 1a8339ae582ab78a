//! What somebody at a terminal waits for.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use base::env;

use crate::bench::Bench;
use crate::keelson::config_maps::ensure_namespace;
use crate::keelson::http::open_many;
use crate::keelson::workloads::{Kind, Way, Writers};
use crate::load;
use crate::report::{Row, Target, Value};
use crate::scale;
use crate::stats::Samples;

const NAMESPACE: &str = "shown";
/// A command that takes longer hangs.
const COMMAND_MAX: Duration = Duration::from_secs(120);

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let cluster = bench.cluster()?;
    let whole = cluster.whole().await?;
    let connections = open_many(&cluster.endpoint(&whole.leader)?, bench.protocol, 4).await?;
    ensure_namespace(&connections[0], NAMESPACE).await?;
    let writers = Writers::new(connections, NAMESPACE, Kind::Pod, Way::Create, "pod");
    load::exactly(Arc::new(writers), scale::POD_CLIENTS, scale::SHOWN_PODS).await?;
    let folder = tempfile::tempdir()?;
    let manifest = folder.path().join("objects.yaml");
    let mut text = String::new();
    for number in 0..scale::APPLIED_OBJECTS {
        let body = Kind::Deployment.body(&format!("applied-{number}"), 0);
        writeln!(text, "---\n{}", String::from_utf8_lossy(&body))?;
    }
    std::fs::write(&manifest, text)?;
    let apply = format!("apply -f {}", manifest.display());
    let commands = [
        ("kubectl get pods, 1,000 of them", "get pods"),
        ("kubectl apply of 100 new Deployments", &*apply),
        ("kubectl apply of the same again", &*apply),
        ("kubectl explain pod.spec", "explain pod.spec"),
    ];
    let mut rows = Vec::new();
    for (name, line) in commands {
        let times = if line == apply { 1 } else { scale::COMMANDS };
        let mut samples = Samples::default();
        for _ in 0..times {
            samples.push(timed(bench, line).await?);
        }
        rows.push(Row::alone(name, Value::ms(samples.median()), Target::Printed).note(samples.listed_ms()));
    }
    Ok(rows)
}

async fn timed(bench: &Bench, line: &str) -> Result<Duration> {
    let mut command = bench.cluster()?.kubectl();
    command.args(["--namespace", NAMESPACE]).args(line.split(' '));
    let started = env::monotonic();
    chaos::process::run(&mut command, COMMAND_MAX).await?;
    Ok(started.elapsed())
}
