//! Masters that die, stand still or are cut off, under load: nothing acknowledged is lost, and a master
//! that does not know says so.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;
use chaos::client::{Client, ClientError};
use chaos::faults::{FAULTS, Fault};
use chaos::traffic::Plan;
use chaos::{Cluster, Options, scenario};

/// How long a master without a quorum may take to say so: above every time limit of its own.
const NO_QUORUM_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the cluster may take to serve again.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Names the one fault to run, to look closer at it.
const ONLY: &str = "KEELSON_FAULT";

#[test]
fn every_fault_under_load_loses_nothing() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let only = std::env::var(ONLY).ok().filter(|name| !name.is_empty());
        let is_chosen = |fault: &&Fault| only.as_deref().is_none_or(|name| name == fault.name);
        let mut cluster = Cluster::start(machine, Options::default()).await?;
        let mut failures = Vec::new();
        for fault in FAULTS.iter().filter(is_chosen) {
            if let Some(missing) = fault.needs.iter().find_map(|need| need.missing()) {
                eprintln!("SKIPPED: {}: {missing}", fault.name);
                continue;
            }
            let plan = Plan { namespace: fault.name.replace('_', "-"), ..Plan::default() };
            if let Err(failure) = scenario::run(&cluster, fault, &plan).await {
                eprintln!("{}: {failure:#}\n{}", fault.name, cluster.last_words());
                failures.push(fault.name);
                // What one fault broke must not fail the next.
                drop(cluster);
                cluster = Cluster::start(machine, Options::default()).await?;
            }
        }
        ensure!(failures.is_empty(), "these faults broke a guarantee: {failures:?}");
        Ok(())
    });
}

/// Asks for a fresh read and a write, and checks that both are refused in time, with a reason.
async fn check_refuses(client: &Client, codes_of_writes: &[u16]) -> Result<()> {
    let read = client.list("").await.map(|_| ());
    let write = client.create("nobody-knows", "x").await.map(|_| ());
    for (what, answer, codes) in [("read", read, &[503][..]), ("write", write, codes_of_writes)] {
        match answer {
            Err(ClientError::Status { code, message, .. })
                if codes.contains(&code) && !message.is_empty() => {}
            other => {
                anyhow::bail!("a {what} without a quorum gave {other:?}, not one of {codes:?} with a reason")
            }
        }
    }
    Ok(())
}

/// What a master says once it has lost its quorum; the first write may still be on its way (504).
async fn check_without_quorum(cluster: &Cluster, left: &str) -> Result<()> {
    let client = cluster.client(left)?.with_timeout(NO_QUORUM_TIMEOUT);
    check_refuses(&client, &[503, 504]).await.with_context(|| format!("at once, on {left}"))?;
    check_refuses(&client, &[503]).await.with_context(|| format!("later, on {left}"))?;
    let (_, items) = client.list("?resourceVersion=0").await.context("what it holds may still be read")?;
    let is_there = items.iter().any(|item| item["metadata"]["name"] == "before");
    ensure!(is_there, "{left} forgot what it holds");
    Ok(())
}

#[test]
fn a_master_without_a_quorum_says_so_in_time_and_shows_nothing_stale_as_fresh() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let cluster = Cluster::start(machine, Options::default()).await?;
        cluster.any_client()?.create("before", "x").await?;
        cluster.wait_ready(READY_TIMEOUT).await?;
        let (leader, followers) = cluster.roles().await?;

        // The leader alone, then a follower alone.
        cluster.kill(&followers).await?;
        check_without_quorum(&cluster, &leader).await?;
        cluster.up().await?;
        cluster.wait_ready(READY_TIMEOUT).await?;
        let (leader, followers) = cluster.roles().await?;
        cluster.kill(&[leader, followers[0].clone()]).await?;
        check_without_quorum(&cluster, &followers[1]).await?;

        cluster.up().await?;
        cluster.wait_ready(READY_TIMEOUT).await?;
        cluster.any_client()?.create("after", "x").await?;
        cluster.verify().await?;
        Ok(())
    });
}

#[test]
fn a_write_refused_by_a_master_that_was_cut_off_never_appears() {
    chaos::run(&chaos::programs!(), &[chaos::Need::Namespaces], async |machine| {
        let cluster = Cluster::start(machine, Options::default()).await?;
        let injury = (chaos::faults::named("partition_leader").inject)(&cluster).await?;
        // Long enough for the others to elect one of them.
        env::sleep(Duration::from_secs(2)).await;
        let mut refused = Vec::new();
        for name in cluster.masters() {
            let client = cluster.client(&name)?.with_timeout(NO_QUORUM_TIMEOUT);
            match client.create(&format!("by-{name}"), "x").await {
                Ok(_) => {}
                Err(ClientError::Status { code: 503, .. }) => refused.push(name),
                Err(other) => anyhow::bail!("{name} answered a write with {other}"),
            }
        }
        ensure!(refused.len() == 1, "one master was cut off, {refused:?} refused");
        injury.heal(&cluster).await?;
        cluster.wait_ready(READY_TIMEOUT).await?;
        for name in cluster.masters() {
            let answer = cluster.client(&name)?.get(&format!("by-{}", refused[0])).await;
            let code = answer.as_ref().err().and_then(ClientError::code);
            ensure!(code == Some(404), "{name} has the refused write: {answer:?}");
        }
        Ok(())
    });
}
