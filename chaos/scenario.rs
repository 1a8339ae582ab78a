//! One fault under load, from the first write to the verdict.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;

use crate::checks;
use crate::cluster::Cluster;
use crate::evidence::Evidence;
use crate::faults::Fault;
use crate::traffic::{Plan, Traffic};

/// Writes that must be acknowledged before the fault, during it (where a quorum is left) and after it.
const WRITES_PER_PHASE: u64 = 60;

/// How long a fault lasts at least: several elections.
const FAULT_HOLD: Duration = Duration::from_millis(1500);

/// How long a phase may take: an election that had to be repeated, on a busy machine.
const PHASE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the masters may take to be ready after the fault.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Compares the masters' states and injects `fault` under the load of `plan`, heals it, and checks everything.
///
/// # Errors
/// When the masters are not whole before the fault, when writes do not go on where they must, when a master does
/// not come back, and with every violation of a guarantee.
pub async fn run(cluster: &Cluster, fault: &Fault, plan: &Plan) -> Result<Evidence> {
    let traffic = Traffic::start(cluster, plan).await?;
    let fail = |phase: &'static str| move || format!("{} the fault {}", phase, fault.name);
    traffic.progress(WRITES_PER_PHASE, PHASE_TIMEOUT).await.with_context(fail("before"))?;
    cluster.check_whole().await.with_context(fail("before"))?;
    let watches = traffic.watches();
    let injury = (fault.inject)(cluster).await.with_context(fail("injecting"))?;
    if fault.keeps_quorum {
        env::sleep(FAULT_HOLD).await;
        traffic.progress(WRITES_PER_PHASE, PHASE_TIMEOUT).await.with_context(fail("during"))?;
        if fault.silences {
            traffic.resumed(watches, PHASE_TIMEOUT).await.with_context(fail("during"))?;
        }
    }
    injury.heal(cluster).await.with_context(fail("healing"))?;
    traffic.progress(WRITES_PER_PHASE, PHASE_TIMEOUT).await.with_context(fail("after"))?;
    cluster.wait_ready(READY_TIMEOUT).await.with_context(fail("after"))?;
    let evidence = traffic.stop(cluster).await.with_context(fail("after"))?;
    println!(
        "{}: {} writes acknowledged, {} of unknown outcome, {} reads, longest silence {} ms",
        fault.name,
        evidence.acknowledged(),
        evidence.open(),
        evidence.reads.len(),
        evidence.longest_silence_ms()
    );
    judge(&evidence).with_context(fail("after"))?;
    Ok(evidence)
}

/// Fails with every violation of every guarantee.
///
/// # Errors
/// When there is one.
pub fn judge(evidence: &Evidence) -> Result<()> {
    let violations = checks::violations(evidence);
    ensure!(violations.is_empty(), "guarantees were violated:\n{violations}");
    Ok(())
}
