//! Power cuts and full disks: what was acknowledged is there afterwards. And the proof that the power
//! cuts would find a master that does not sync: two mutants that they must catch.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;
use chaos::client::ClientError;
use chaos::faults::{disk_full, power_cut};
use chaos::traffic::{Plan, Traffic};
use chaos::{Cluster, Disks, Need, Options, scenario};

/// Power cuts of one run, each at another point. `KEELSON_POWER_CUTS` asks for another number.
const POWER_CUTS: u64 = 200;

/// Power cuts within which a mutant must be caught.
const MUTANT_CUTS_MAX: u64 = 40;

/// The environment variable that makes debug builds misbehave.
const MUTANT: &str = "KEELSON_MUTANT";

/// Size of a disk that is to be filled: a few times what a young store needs.
const SMALL_DISK_MIB: u32 = 192;

/// How long a disk stays full.
const FULL_FOR: Duration = Duration::from_secs(3);

/// How long a master may take to answer while a disk is full: above every time limit of its own.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a phase may take.
const PHASE_TIMEOUT: Duration = Duration::from_secs(30);

/// Writes that must be acknowledged in each phase.
const WRITES_PER_PHASE: u64 = 60;

fn on(disks: Disks) -> Options {
    Options { disks, ..Options::default() }
}

#[test]
fn power_cuts_on_all_masters_lose_nothing() {
    chaos::run(&chaos::programs!(), &[Need::Fuse], async |machine| {
        let count = std::env::var("KEELSON_POWER_CUTS").ok().and_then(|text| text.parse().ok());
        let cluster = Cluster::start(machine, on(Disks::Lossy)).await?;
        let started = env::monotonic();
        let count = count.unwrap_or(POWER_CUTS);
        power_cut::each(&cluster, 0..count).await?;
        println!("{count} power cuts took {:?}", started.elapsed());
        Ok(())
    });
}

/// Cuts the power of masters that misbehave until something acknowledged is lost.
fn check_mutant(mutant: &str) {
    chaos::run(&chaos::programs!(), &[Need::Fuse], async |machine| {
        let environment = vec![(MUTANT.to_owned(), mutant.to_owned())];
        let options = Options { disks: Disks::Lossy, environment, ..Options::default() };
        let cluster = Cluster::start(machine, options).await?;
        for seed in 0..MUTANT_CUTS_MAX {
            let caught = match power_cut::once(&cluster, seed).await {
                Ok(cut) => scenario::judge(&cut.evidence).err(),
                // A master that finds out by itself is as good: it does not serve on.
                Err(refused) => Some(refused),
            };
            if let Some(caught) = caught {
                println!("mutant {mutant}: caught by power cut {seed}: {caught:#}");
                return Ok(());
            }
        }
        anyhow::bail!(
            "mutant {mutant} survived {MUTANT_CUTS_MAX} power cuts: they would not find a real fault"
        )
    });
}

#[test]
fn power_cuts_catch_a_log_that_is_not_synced() {
    check_mutant("no-fsync");
}

#[test]
fn power_cuts_catch_an_acknowledgement_before_the_flush() {
    check_mutant("ack-before-flush");
}

/// Reads go on: fresh ones everywhere but on the master without space, which cannot keep up and must say
/// so in time; what it holds is read from it still.
async fn check_reads(cluster: &Cluster, full: &str) -> Result<()> {
    for name in cluster.masters() {
        let client = cluster.client(&name)?.with_timeout(ANSWER_TIMEOUT);
        client.list("?limit=1&resourceVersion=0").await.with_context(|| format!("read what {name} holds"))?;
        match client.list("?limit=1").await {
            Ok(_) => {}
            Err(ClientError::Status { code: 503 | 504, message, .. })
                if name == full && !message.is_empty() =>
            {
                println!("{name} refuses a fresh read: {message}");
            }
            Err(other) => anyhow::bail!("{name} answered a fresh read with {other}"),
        }
    }
    cluster.any_client()?.list("?limit=1").await.context("read from the stable address")?;
    Ok(())
}

/// Each master takes a write, or refuses it with a reason, in time.
async fn check_writes_are_answered(cluster: &Cluster) -> Result<()> {
    for name in cluster.masters() {
        let client = cluster.client(&name)?.with_timeout(ANSWER_TIMEOUT);
        match client.create(&format!("full-{name}"), "x").await {
            Ok(_) => {}
            Err(ClientError::Status { code: 500.., message, .. }) if !message.is_empty() => {
                println!("{name} refuses a write: {message}");
            }
            Err(other) => anyhow::bail!("{name} answered a write with {other}"),
        }
    }
    Ok(())
}

/// Fills the disk of the leader or of a follower under load, and frees it again.
fn check_full_disk(of_leader: bool) {
    chaos::run(&chaos::programs!(), &[Need::Tmpfs], async |machine| {
        let cluster = Cluster::start(machine, on(Disks::Tmpfs(SMALL_DISK_MIB))).await?;
        let (leader, followers) = cluster.roles().await?;
        let target = if of_leader { leader } else { followers[0].clone() };
        let pid = cluster.pid(&target)?;
        let plan = Plan { namespace: "full".to_owned(), padding_bytes: 4000, ..Plan::default() };
        let traffic = Traffic::start(&cluster, &plan).await?;
        traffic.progress(WRITES_PER_PHASE, PHASE_TIMEOUT).await.context("before")?;

        let ballast = disk_full::fill(&cluster, &target)?;
        env::sleep(FULL_FOR).await;
        check_reads(&cluster, &target).await.context("while the disk is full")?;
        check_writes_are_answered(&cluster).await.context("while the disk is full")?;
        if !of_leader {
            traffic
                .progress(WRITES_PER_PHASE, PHASE_TIMEOUT)
                .await
                .context("while a follower's disk is full")?;
        }
        ballast.remove()?;

        traffic.progress(WRITES_PER_PHASE, PHASE_TIMEOUT).await.context("after space was freed")?;
        cluster.wait_ready(PHASE_TIMEOUT).await?;
        ensure!(cluster.pid(&target)? == pid, "{target} ended because its disk was full");
        let evidence = traffic.stop(&cluster).await?;
        println!("{} writes acknowledged, {} of unknown outcome", evidence.acknowledged(), evidence.open());
        scenario::judge(&evidence)
    });
}

#[test]
fn a_full_disk_on_the_leader_loses_nothing_and_heals() {
    check_full_disk(true);
}

#[test]
fn a_full_disk_on_a_follower_loses_nothing_and_heals() {
    check_full_disk(false);
}
