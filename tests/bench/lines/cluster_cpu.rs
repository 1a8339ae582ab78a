//! CPU of a whole cluster that nobody asks anything: masters, agents, engines, and what runs in containers.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use base::env;

use crate::bench::Bench;
use crate::keelson::cluster::Cluster;
use crate::procfs::{self, Pid};
use crate::report::{Row, Target, Value};
use crate::scale;

const PERCENT_OF_CORE_MAX: f64 = 6.0;
/// Programs that the note names, those that use the most first.
const SHOWN_MAX: usize = 8;

/// Three masters, two nodes, the sample.
pub(super) async fn nodes(bench: &mut Bench) -> Result<Vec<Row>> {
    let target = Target::AtMost(Value::PercentOfCore(PERCENT_OF_CORE_MAX));
    Ok(vec![measured(bench, "three masters, two nodes and the sample, of one core", target).await?])
}

/// Three masters and many hollow nodes.
pub(super) async fn hollow(bench: &mut Bench) -> Result<Vec<Row>> {
    let name = "three masters and 5,000 hollow nodes, of one core";
    Ok(vec![measured(bench, name, Target::Printed).await?])
}

async fn measured(bench: &Bench, name: &str, target: Target) -> Result<Row> {
    let cluster = bench.cluster()?;
    env::sleep(scale::SETTLE * 2).await;
    let (before, started) = (times(cluster)?, env::monotonic());
    env::sleep(scale::IDLE).await;
    let (after, elapsed_s) = (times(cluster)?, started.elapsed().as_secs_f64());
    let mut by_program: BTreeMap<String, Duration> = BTreeMap::new();
    for (pid, (program, time)) in &after {
        let was = before.get(pid).map_or(Duration::ZERO, |(_, time)| *time);
        *by_program.entry(program.clone()).or_default() += time.saturating_sub(was);
    }
    let percent = |time: Duration| time.as_secs_f64() / elapsed_s * 100.0;
    let mut listed: Vec<(&String, &Duration)> = by_program.iter().collect();
    listed.sort_by_key(|(_, time)| std::cmp::Reverse(**time));
    let listed: Vec<String> = listed
        .into_iter()
        .take(SHOWN_MAX)
        .map(|(program, time)| format!("{program} {:.2} %", percent(*time)))
        .collect();
    let row = Row::alone(name, Value::PercentOfCore(percent(by_program.values().sum())), target);
    Ok(row.note(format!("{} processes over {:?}: {}", after.len(), scale::IDLE, listed.join(", "))))
}

/// Name and CPU time of every process of the cluster. Masters and agents go by their own names.
fn times(cluster: &Cluster) -> Result<BTreeMap<Pid, (String, Duration)>> {
    let masters = cluster.processes();
    let mut times = BTreeMap::new();
    for (program, pid) in cluster.all_processes()? {
        // One that ended since is counted by who waited for it.
        let Ok(time) = procfs::cpu_time_with_children(pid) else { continue };
        let name = masters.iter().find(|(_, of)| *of == pid).map_or(program, |(name, _)| name.clone());
        times.insert(pid, (name, time));
    }
    Ok(times)
}
