//! The leader stops, or the network cuts it off; how long until another master accepts a write.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use base::env;
use chaos::process::{Signal, signal};

use super::kills::survivors;
use crate::bench::Bench;
use crate::failover;
use crate::procfs::Pid;
use crate::report::{Row, Target, Value};
use crate::scale;
use crate::stats::Samples;

const OUTAGE_MAX_MS: f64 = 2000.0;
/// The nft table that cuts a master off; gone with its network namespace at the latest.
const CUT_TABLE: &str = "keelson_bench_cut";

/// What is done to the leader, and how it ends.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Stop,
    Cut,
}

impl Fault {
    fn begin(self, pid: Pid) -> Result<()> {
        match self {
            Self::Stop => signal(pid, Signal::STOP),
            Self::Cut => cut(pid),
        }
    }

    fn end(self, pid: Pid) -> Result<()> {
        match self {
            Self::Stop => signal(pid, Signal::CONT),
            Self::Cut => nft(pid, &format!("delete table inet {CUT_TABLE}")),
        }
    }
}

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let target = Target::AtMost(Value::Ms(OUTAGE_MAX_MS));
    let mut rows = Vec::new();
    for (name, fault) in [("SIGSTOP, worst", Fault::Stop), ("network cut, worst", Fault::Cut)] {
        rows.push(match outages(bench, fault).await {
            Ok(samples) => Row::alone(name, Value::ms(samples.worst()), target).note(samples.listed_ms()),
            Err(error) => Row::not_measured(name, target, format!("{error:#}")),
        });
    }
    Ok(rows)
}

async fn outages(bench: &Bench, fault: Fault) -> Result<Samples> {
    let cluster = bench.cluster()?;
    let mut samples = Samples::default();
    for round in 0..scale::FAULTS {
        let whole = cluster.whole().await?;
        let prefix = format!("{fault:?}-{round}").to_lowercase();
        let survivors = survivors(cluster, &whole, &prefix, bench.protocol).await?;
        let leader = cluster.pid(&whole.leader)?;
        let begun = env::monotonic();
        fault.begin(leader)?;
        let outage =
            failover::first_accepted(&survivors, whole.followers.len(), begun, scale::OUTAGE_MAX).await;
        // Ended before the outage is looked at: a master must not stay stopped.
        fault.end(leader)?;
        samples.push(outage?);
    }
    Ok(samples)
}

/// Drops everything that the master sends and gets, but on its own loopback.
fn cut(pid: Pid) -> Result<()> {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net"));
    let apart = namespace(&pid.to_string())? != namespace("self")?;
    ensure!(apart, "the masters share this machine's network: cutting one off needs root at `keelson up`");
    let chain = |hook: &str, interface: &str| {
        format!(
            "add chain inet {CUT_TABLE} {hook} {{ type filter hook {hook} priority -300; policy drop; }}; \
             add rule inet {CUT_TABLE} {hook} {interface} lo accept"
        )
    };
    nft(
        pid,
        &format!("add table inet {CUT_TABLE}; {}; {}", chain("input", "iifname"), chain("output", "oifname")),
    )
}

fn nft(pid: Pid, commands: &str) -> Result<()> {
    let mut nft = Command::new("nsenter");
    nft.args(["--target", &pid.to_string(), "--net", "nft", commands]);
    let output = nft.output().context("running nsenter and nft")?;
    ensure!(output.status.success(), "nft {commands}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
