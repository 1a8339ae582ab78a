//! Power cuts, full disks and disks that hang: what was acknowledged is there afterwards. And the proof that the power
//! cuts would find a master that does not sync: two mutants that they must catch.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;
use chaos::client::ClientError;
use chaos::faults::power_cut::{self, Course, Tally};
use chaos::faults::{disk_full, hung_disk};
use chaos::lossy::Mercy;
use chaos::traffic::{Plan, Traffic};
use chaos::{Cluster, Disks, Machine, Need, Options, process, scenario};

/// Power cuts of one run, each at another point: half of them on masters as they are, half on masters with
/// small stores. `KEELSON_POWER_CUTS` asks for another number.
const POWER_CUTS: u64 = 200;

/// Power cuts within which a mutant must be caught.
const MUTANT_CUTS_MAX: u64 = 40;

/// How a master says that its store lacks what was acknowledged: it does not start.
const LOSS_FOUND_AT_START: [&str; 2] = [
    "acknowledged records are missing: the journal was synced up to",
    "durable versions are missing: the store was flushed at",
];

/// The environment variable that makes debug builds misbehave.
const MUTANT: &str = "KEELSON_MUTANT";

/// Size of a disk that is to be filled: a few times what a young store needs.
const SMALL_DISK_MIB: u32 = 192;

/// How long a follower without space may take to refuse a fresh read: below the time that other reads wait
/// for a quorum (5 s), so that only the short wait of a full disk can have answered.
const SHORT_REFUSAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Pause before a master is asked again whether it has noticed.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long a phase may take.
const PHASE_TIMEOUT: Duration = Duration::from_secs(30);

/// Writes that must be acknowledged in each phase.
const WRITES_PER_PHASE: u64 = 60;

/// How long a master may wait for a disk that hangs: twice its own limit of 10 s for a sync.
const HUNG_TIMEOUT: Duration = Duration::from_secs(20);

fn on(disks: Disks) -> Options {
    Options { disks, ..Options::default() }
}

/// Cuts the power for one half of all seeds, and says what the cuts fell into.
fn check_power_cuts(environment: &[(&str, &str)], course: impl Fn(u64) -> Course + Send) -> Option<Tally> {
    let asked = std::env::var("KEELSON_POWER_CUTS").ok().and_then(|text| text.parse().ok());
    let count = asked.unwrap_or(POWER_CUTS).div_ceil(2);
    let mut complete = None;
    chaos::run(&chaos::programs!(), &[Need::Fuse], async |machine| {
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let cluster = Cluster::start(machine, Options { environment, ..on(Disks::Lossy) }).await?;
        let started = env::monotonic();
        let tally = power_cut::each(&cluster, 0..count, course).await?;
        println!("{tally}; took {:?}", started.elapsed());
        // Fewer may miss something by chance.
        complete = (count >= POWER_CUTS / 2).then_some(tally);
        Ok(())
    });
    complete
}

/// Of some cuts only what was synced survives, which is the hardest that a disk may do.
fn mercy(seed: u64) -> Mercy {
    if seed.is_multiple_of(7) { Mercy::None } else { Mercy::Random }
}

#[test]
fn power_cuts_on_all_masters_lose_nothing() {
    check_power_cuts(&[], |seed| Course {
        fails_again: seed % 10 == 0,
        mercy: mercy(seed),
        ..Course::default()
    });
}

#[test]
fn power_cuts_on_masters_that_flush_and_purge_all_the_time_lose_nothing() {
    let course = |seed| Course {
        fails_again: seed % 10 == 0,
        lags: seed % 20 == 0,
        mercy: mercy(seed),
        ..Course::default()
    };
    let tally = check_power_cuts(&power_cut::SMALL_STORES, course);
    if let Some(tally) = tally {
        tally.check_complete().expect("the cuts fall into everything that masters do");
    }
}

/// What one power cut proved about masters that misbehave.
enum Verdict {
    /// Something acknowledged was lost, and the checks or the master itself found that.
    Caught(String),
    /// Nothing was lost this time.
    Survived,
    /// Neither: the masters came to an end in another way.
    Accident(anyhow::Error),
}

/// Cuts the power once. That something went wrong is not enough: the loss must be what was found.
async fn judge_mutant(cluster: &Cluster, seed: u64) -> Verdict {
    // Disks that are merciful may keep what they were not told to keep, and then nothing is lost.
    let course = Course { mercy: Mercy::None, leaves_traces: true, ..Course::default() };
    match power_cut::once(cluster, seed, course).await {
        Ok(cut) => match scenario::judge(&cut.evidence) {
            Ok(()) => Verdict::Survived,
            Err(lost) => Verdict::Caught(format!("{lost:#}")),
        },
        Err(refused) => {
            let told = format!("{refused:#}");
            match LOSS_FOUND_AT_START.iter().any(|words| told.contains(words)) {
                true => Verdict::Caught(told),
                false => Verdict::Accident(refused),
            }
        }
    }
}

/// How far masters are when they begin to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    /// They just came up for the first time.
    New,
    /// They were started again, and an open syncs what it finds: all that they did until now is durable.
    Durable,
}

async fn start_mutants(machine: &Arc<Machine>, mutant: &str, begin: Begin) -> Result<Cluster> {
    let environment = vec![(MUTANT.to_owned(), mutant.to_owned())];
    let cluster = Cluster::start(machine, Options { environment, ..on(Disks::Lossy) }).await?;
    if begin == Begin::Durable {
        cluster.down().await?;
        cluster.up().await?;
    }
    Ok(cluster)
}

/// Cuts the power of masters that misbehave until something acknowledged is lost.
fn check_mutant(mutant: &str, begin: Begin) {
    chaos::run(&chaos::programs!(), &[Need::Fuse], async |machine| {
        let mut cluster = start_mutants(machine, mutant, begin).await?;
        for seed in 0..MUTANT_CUTS_MAX {
            match judge_mutant(&cluster, seed).await {
                Verdict::Caught(how) => {
                    println!("mutant {mutant}: caught by power cut {seed}: {how}");
                    return Ok(());
                }
                Verdict::Survived => {}
                Verdict::Accident(what) => {
                    println!("mutant {mutant}: power cut {seed} proves nothing: {what:#}");
                    drop(cluster);
                    cluster = start_mutants(machine, mutant, begin).await?;
                }
            }
        }
        anyhow::bail!(
            "mutant {mutant} survived {MUTANT_CUTS_MAX} power cuts: they would not find a real fault"
        )
    });
}

#[test]
fn power_cuts_catch_a_log_that_is_not_synced() {
    check_mutant("no-fsync", Begin::Durable);
}

#[test]
fn power_cuts_catch_an_acknowledgement_before_the_flush() {
    check_mutant("ack-before-flush", Begin::New);
}

/// The part in Raft of the master whose disk is full, or hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Leader,
    Follower,
}

/// Expects a refusal with this code, and these words in its reason.
fn check_refused<T: std::fmt::Debug>(
    answer: Result<T, ClientError>,
    expected: u16,
    words: &str,
) -> Result<()> {
    match answer {
        Err(ClientError::Status { code, message, .. }) if code == expected && message.contains(words) => {
            Ok(())
        }
        other => anyhow::bail!("answered with {other:?}, not with {expected} and {words:?}"),
    }
}

/// A fresh read of the follower without space, which takes no entries and so cannot keep up.
async fn check_fresh_read_is_refused(cluster: &Cluster, full: &str) -> Result<()> {
    let client = cluster.client(full)?.with_timeout(SHORT_REFUSAL_TIMEOUT);
    check_refused(client.list("?limit=1").await, 503, "disk is nearly full")
}

/// A write through any master while the leader's disk is full.
async fn check_write_is_refused(cluster: &Cluster, name: &str) -> Result<()> {
    let answer = cluster.client(name)?.create(&format!("full-{name}"), "x").await;
    check_refused(answer, 507, "disk is full")
}

/// Waits until the master without space has noticed: it looks now and then.
async fn wait_until_noticed(cluster: &Cluster, full: &str, part: Part) -> Result<()> {
    let deadline = env::monotonic() + PHASE_TIMEOUT;
    for turn in 0.. {
        let noticed = match part {
            Part::Leader => {
                let answer = cluster.client(full)?.create(&format!("filling-{turn}"), "x").await;
                check_refused(answer, 507, "disk is full")
            }
            Part::Follower => check_fresh_read_is_refused(cluster, full).await,
        };
        match noticed {
            Ok(()) => break,
            Err(not_yet) if env::monotonic() > deadline => return Err(not_yet),
            Err(_) => env::sleep(LOOK_AGAIN).await,
        }
    }
    Ok(())
}

/// Reads go on: what a master holds is read from every one, and fresh data too, but from a follower
/// without space, which says so at once.
async fn check_reads(cluster: &Cluster, full: &str, part: Part) -> Result<()> {
    for name in cluster.masters() {
        let client = cluster.client(&name)?;
        client.list("?limit=1&resourceVersion=0").await.with_context(|| format!("read what {name} holds"))?;
        if name == full && part == Part::Follower {
            check_fresh_read_is_refused(cluster, full)
                .await
                .with_context(|| format!("fresh, from {name}"))?;
        } else {
            client.list("?limit=1").await.with_context(|| format!("a fresh read from {name}"))?;
        }
    }
    cluster.any_client()?.list("?limit=1").await.context("read from the stable address")?;
    Ok(())
}

/// Without space on the leader every master refuses a write. Without space on a follower the others take
/// it, and the follower, which would not learn what came of it, refuses it.
async fn check_writes(cluster: &Cluster, full: &str, part: Part) -> Result<()> {
    for name in cluster.masters() {
        let checked = match part {
            Part::Leader => check_write_is_refused(cluster, &name).await,
            Part::Follower if name == full => {
                let client = cluster.client(&name)?.with_timeout(SHORT_REFUSAL_TIMEOUT);
                check_refused(
                    client.create("by-the-full-one", "x").await,
                    507,
                    "write through another master",
                )
            }
            Part::Follower => cluster
                .client(&name)?
                .create(&format!("by-{name}"), "x")
                .await
                .map(|_| ())
                .map_err(Into::into),
        };
        checked.with_context(|| format!("a write through {name}"))?;
    }
    Ok(())
}

/// Fills the disk of the leader or of a follower under load, and frees it again.
fn check_full_disk(part: Part) {
    chaos::run(&chaos::programs!(), &[Need::Tmpfs], async |machine| {
        let cluster = Cluster::start(machine, on(Disks::Tmpfs(SMALL_DISK_MIB))).await?;
        let (leader, followers) = cluster.roles().await?;
        let full = if part == Part::Leader { leader } else { followers[0].clone() };
        let pid = cluster.pid(&full)?;
        let plan = Plan { namespace: "full".to_owned(), padding_bytes: 4000, ..Plan::default() };
        let traffic = Traffic::start(&cluster, &plan).await?;
        traffic.progress(WRITES_PER_PHASE, PHASE_TIMEOUT).await.context("before")?;

        let ballast = disk_full::fill(&cluster, &full)?;
        wait_until_noticed(&cluster, &full, part).await.context("a full disk must be noticed")?;
        check_reads(&cluster, &full, part).await.context("while the disk is full")?;
        check_writes(&cluster, &full, part).await.context("while the disk is full")?;
        if part == Part::Follower {
            traffic
                .progress(WRITES_PER_PHASE, PHASE_TIMEOUT)
                .await
                .context("while a follower's disk is full")?;
        }
        ballast.remove()?;

        traffic.progress(WRITES_PER_PHASE, PHASE_TIMEOUT).await.context("after space was freed")?;
        cluster.wait_ready(PHASE_TIMEOUT).await?;
        ensure!(cluster.pid(&full)? == pid, "{full} ended because its disk was full");
        let evidence = traffic.stop(&cluster).await?;
        println!("{} writes acknowledged, {} of unknown outcome", evidence.acknowledged(), evidence.open());
        scenario::judge(&evidence)
    });
}

#[test]
fn a_full_disk_on_the_leader_loses_nothing_and_heals() {
    check_full_disk(Part::Leader);
}

#[test]
fn a_full_disk_on_a_follower_loses_nothing_and_heals() {
    check_full_disk(Part::Follower);
}

/// Waits until the master has ended by itself, and checks that it said why, and what to do.
async fn check_ended(cluster: &Cluster, name: &str, pid: u32, why: &str) -> Result<()> {
    process::wait_gone(pid, HUNG_TIMEOUT).await.with_context(|| format!("{name}, whose disk hangs"))?;
    let log = cluster.log(name);
    let words = log.lines().rfind(|line| line.starts_with("keelson: ")).unwrap_or_default();
    ensure!(words.contains(why), "{name} ended with: {words}");
    ensure!(words.contains("once its disk works again, start it"), "{name} does not say what next: {words}");
    Ok(())
}

/// The disk of the leader or of a follower hangs under load.
fn check_hung_disk(part: Part) {
    chaos::run(&chaos::programs!(), &[Need::Fuse], async |machine| {
        let cluster = Cluster::start(machine, on(Disks::Lossy)).await?;
        let (leader, followers) = cluster.roles().await?;
        let name = if part == Part::Leader { leader } else { followers[0].clone() };
        let plan = Plan { namespace: "hung".to_owned(), ..Plan::default() };
        let traffic = Traffic::start(&cluster, &plan).await?;
        traffic.progress(WRITES_PER_PHASE, PHASE_TIMEOUT).await.context("before")?;

        let hung = hung_disk::hang(&cluster, &name)?;
        check_ended(&cluster, &name, hung.pid, "takes longer than 10s: the disk hangs").await?;
        traffic.progress(WRITES_PER_PHASE, PHASE_TIMEOUT).await.context("on two masters")?;

        hung.release().await?;
        cluster.up().await?;
        cluster.wait_ready(PHASE_TIMEOUT).await?;
        traffic.progress(WRITES_PER_PHASE, PHASE_TIMEOUT).await.context("with all masters again")?;
        let evidence = traffic.stop(&cluster).await?;
        println!("{} writes acknowledged, {} of unknown outcome", evidence.acknowledged(), evidence.open());
        scenario::judge(&evidence)
    });
}

#[test]
fn a_leader_whose_disk_hangs_ends_and_the_others_go_on() {
    check_hung_disk(Part::Leader);
}

#[test]
fn a_follower_whose_disk_hangs_ends_and_the_others_go_on() {
    check_hung_disk(Part::Follower);
}

#[test]
fn a_master_whose_disk_hangs_while_it_votes_ends() {
    chaos::run(&chaos::programs!(), &[Need::Fuse], async |machine| {
        let cluster = Cluster::start(machine, on(Disks::Lossy)).await?;
        let (leader, followers) = cluster.roles().await?;
        let [other, voter] = &followers[..] else { anyhow::bail!("two followers, not {followers:?}") };
        // Acknowledged without the other one, it is synced by the voter, which has nothing else to sync.
        cluster.kill(std::slice::from_ref(other)).await?;
        cluster.client(&leader)?.create("before", "x").await?;
        let hung = hung_disk::hang(&cluster, voter)?;
        cluster.kill(std::slice::from_ref(&leader)).await?;
        // Whoever leads next needs the voter's vote, or makes it note another's.
        let started = cluster.up().await;
        ensure!(started.is_err(), "the cluster is whole with a disk that hangs: {started:?}");
        check_ended(&cluster, voter, hung.pid, "saving the vote takes longer than 10s: the disk hangs")
            .await?;
        cluster.client(&leader)?.create("after", "x").await.context("on two masters")?;

        hung.release().await?;
        cluster.up().await?;
        cluster.wait_ready(PHASE_TIMEOUT).await?;
        cluster.check_holds(&["before", "after"]).await?;
        cluster.verify().await?;
        Ok(())
    });
}
