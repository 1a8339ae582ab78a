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

/// A log that is purged after a few hundred writes, and says so.
const SMALL_LOG: [(&str, &str); 3] = [
    ("KEELSON_SNAPSHOT_AFTER_BYTES", "65536"),
    ("KEELSON_LOG_KEPT_BYTES", "16384"),
    ("KEELSON_LOG", "info,openraft=error,raft::log=debug"),
];

/// How long the log may take to be purged: looks twice a second, and a flush.
const PURGE_TIMEOUT: Duration = Duration::from_secs(20);

/// Names the one fault to run, to look closer at it.
const ONLY: &str = "KEELSON_FAULT";

/// How often each fault is injected: once, unless this says otherwise.
const ROUNDS: &str = "KEELSON_FAULT_ROUNDS";

#[test]
fn every_fault_under_load_loses_nothing() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let only = std::env::var(ONLY).ok().filter(|name| !name.is_empty());
        let is_chosen = |fault: &&Fault| only.as_deref().is_none_or(|name| name == fault.name);
        let rounds = std::env::var(ROUNDS).map_or(Ok(1), |text| text.parse()).context(ROUNDS)?;
        let mut cluster = Cluster::start(machine, Options::default()).await?;
        let mut failures = Vec::new();
        let all_rounds = (0..rounds).flat_map(|round: u32| FAULTS.iter().map(move |fault| (round, fault)));
        for (round, fault) in all_rounds.filter(|(_, fault)| is_chosen(fault)) {
            if let Some(missing) = fault.needs.iter().find_map(|need| need.missing()) {
                chaos::report_skipped(&format!("{}: {missing}", fault.name));
                continue;
            }
            let namespace = format!("{}-{round}", fault.name.replace('_', "-"));
            let plan = Plan { namespace, ..Plan::default() };
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

/// What `name` tells of the changes after `from`, up to `last`.
async fn revisions_after(cluster: &Cluster, name: &str, from: u64, last: u64) -> Result<Vec<u64>> {
    let mut watch = cluster.client(name)?.watch(from).await?;
    let mut revisions = Vec::new();
    while revisions.last().is_none_or(|told| *told < last) {
        let event = watch.next(READY_TIMEOUT).await.with_context(|| format!("watch {name} from {from}"))?;
        revisions
            .push(event.with_context(|| format!("{name} ended the watch after {revisions:?}"))?.revision);
    }
    Ok(revisions)
}

#[test]
fn a_master_that_lacks_purged_entries_gets_a_snapshot_with_its_history() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let environment = SMALL_LOG.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let cluster = Cluster::start(machine, Options { environment, ..Options::default() }).await?;
        cluster.wait_ready(READY_TIMEOUT).await?;
        let (leader, followers) = cluster.roles().await?;
        // The leader's own address: the stable one may lead to the master that is killed, whose client is told then
        // that an outcome is unknown.
        let client = cluster.client(&leader)?;
        let mut revisions = vec![client.create("value", "0").await?];
        let late = &followers[0];
        let status = cluster.status().await?;
        let applied = status.members.iter().find(|member| member.name == *late).and_then(|m| m.applied);
        let applied = applied.with_context(|| format!("{late} applied nothing"))?;
        cluster.kill(std::slice::from_ref(late)).await?;
        let padding = "x".repeat(4096);
        for number in 1..100 {
            let at = revisions[revisions.len() - 1];
            revisions.push(client.update("value", &format!("{number} {padding}"), at).await?);
        }
        let others = [&leader, &followers[1]];
        // One more than it may have in its log: whoever leads must have purged what comes next.
        let purged = || others.iter().all(|name| cluster.purged_upto(name) > applied + 1);
        ensure!(env::wait_until(PURGE_TIMEOUT, Duration::from_millis(50), purged).await, "no log was purged");

        cluster.up().await?;
        cluster.wait_ready(READY_TIMEOUT).await?;
        ensure!(cluster.log(late).contains("installed a snapshot"), "{late} got along without a snapshot");
        cluster.verify().await?;
        let (from, last) = (revisions[0], revisions[revisions.len() - 1]);
        ensure!(revisions_after(&cluster, late, from, last).await? == revisions[1..], "{late} lacks history");
        let query = format!("?resourceVersion={}&resourceVersionMatch=Exact", revisions[50]);
        let then = cluster.client(late)?.list(&query).await?;
        ensure!(then == cluster.client(&leader)?.list(&query).await?, "{late} remembers something else");

        // It counts: with another one gone there is still a quorum.
        cluster.kill(&followers[1..2]).await?;
        cluster.client(&leader)?.create("after", "x").await.context("a write with it in the quorum")?;
        Ok(())
    });
}
