//! What etcd does on this machine, in this run: the numbers that Keelson's are held against.
//!
//! All of it is taken before any Keelson process starts, so that neither side disturbs the other.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use base::env;

use super::client::{Connection, Putters};
use super::cluster::Cluster;
use crate::failover;
use crate::load::{self, Load, Shape, Target};
use crate::procfs::{self, CpuMeter};
use crate::report::{Row, Section, Target as Goal, Value};
use crate::scale;
use crate::stats::Samples;

/// A reference that a line needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// From exec on empty directories to the first accepted write.
    Bootstrap,
    /// Resident memory of an idle member.
    Idle,
    /// Puts from many clients, and the check that the client is fast enough.
    Load,
    /// Puts from one client, one after another.
    OneClient,
    /// From the leader's death to the next accepted write.
    Kills,
}

/// What was measured; `None` where no selected line needs it.
#[derive(Debug, Default)]
pub struct References {
    /// Of [`Need::Bootstrap`].
    pub bootstrap: Option<Samples>,
    /// Of [`Need::Idle`]: the largest member.
    pub idle_bytes: Option<u64>,
    /// Of [`Need::Load`].
    pub load: Option<Load>,
    /// Of [`Need::OneClient`].
    pub one_client: Option<Load>,
    /// Of [`Need::Kills`].
    pub kills: Option<Samples>,
}

/// What a client of another make reaches alone on hardware like this; a slower client of ours would
/// make etcd look slow. The disk decides as well, so the target leaves a quarter of room.
const ONE_CLIENT_PUTS_PER_SECOND: f64 = 500.0;
const ONE_CLIENT_RATIO_MIN: f64 = 0.75;
/// The client runs on one thread: while it uses no more than this much of a core, it is not what limits
/// the load.
const CLIENT_PERCENT_OF_CORE_MAX: f64 = 60.0;

/// Measures what is needed. The second value is the table of the references themselves.
pub async fn measure(program: &Path, needs: &[Need]) -> Result<(References, Section)> {
    let started = env::monotonic();
    let mut references = References::default();
    let mut rows = Vec::new();
    for need in needs {
        eprintln!("etcd: {need:?}");
        let measured = match need {
            Need::Bootstrap => bootstraps(program, &mut references).await,
            Need::Idle => idle(program, &mut references).await,
            Need::Load => many_clients(program, &mut references).await,
            Need::OneClient => one_client(program, &mut references).await,
            Need::Kills => kills(program, &mut references).await,
        };
        rows.extend(measured.with_context(|| format!("measuring etcd: {need:?}"))?);
    }
    Ok((references, Section { line: "etcd", rows, took: started.elapsed() }))
}

async fn bootstraps(program: &Path, references: &mut References) -> Result<Vec<Row>> {
    let mut samples = Samples::default();
    for _ in 0..scale::BOOTSTRAPS {
        let started = env::monotonic();
        let cluster = Cluster::start(program)?;
        let target = Puts::unconnected(&cluster);
        let took =
            failover::first_accepted(&target, target.members.len(), started, scale::OUTAGE_MAX).await?;
        samples.push(took);
    }
    let row = Row::reference("exec to first accepted write, median", Value::ms(samples.median()));
    let row = row.note(samples.listed_ms());
    references.bootstrap = Some(samples);
    Ok(vec![row])
}

async fn idle(program: &Path, references: &mut References) -> Result<Vec<Row>> {
    let cluster = Cluster::start(program)?;
    cluster.leader().await?;
    env::sleep(scale::SETTLE).await;
    let sizes: Result<Vec<u64>> =
        cluster.processes().iter().map(|(_, pid)| procfs::resident_bytes(*pid)).collect();
    let largest = sizes?.into_iter().max().unwrap_or_default();
    references.idle_bytes = Some(largest);
    Ok(vec![Row::reference("resident memory of an idle member", Value::mib(largest))])
}

async fn many_clients(program: &Path, references: &mut References) -> Result<Vec<Row>> {
    let cluster = Cluster::start(program)?;
    let (leader, term) = cluster.leader().await?;
    let address = cluster.addresses()[leader];
    let putters = Putters::open(address, scale::CONNECTIONS, scale::VALUE_BYTES).await?;
    let shape = Shape { clients: scale::CLIENTS, warm_up: scale::WARM_UP, measured: scale::MEASURED };
    let meter = CpuMeter::start(&cluster.processes())?;
    let puts = load::closed_loop(Arc::new(putters), shape).await?;
    let (cpu, client_cores) = (meter.text()?, meter.client_cores()?);
    let same_term = cluster.leader().await?.1 == term;
    let elections = if same_term { "no election meanwhile" } else { "AN ELECTION HAPPENED MEANWHILE" };
    let name = format!("puts/s of {} bytes, {} clients", scale::VALUE_BYTES, scale::CLIENTS);
    let rate = Row::reference(&name, Value::PerSecond(puts.per_second()))
        .note(format!("{}; {} connections, all to the leader; {elections}", puts.text(), scale::CONNECTIONS))
        .note(cpu);
    let p99 = Row::reference("the same, p99", Value::ms(puts.latencies.p99()));
    let headroom = Row::alone(
        "client check: the core that its one thread uses",
        Value::PercentOfCore(client_cores * 100.0),
        Goal::AtMost(Value::PercentOfCore(CLIENT_PERCENT_OF_CORE_MAX)),
    );
    references.load = Some(puts);
    Ok(vec![rate, p99, headroom])
}

async fn one_client(program: &Path, references: &mut References) -> Result<Vec<Row>> {
    let cluster = Cluster::start(program)?;
    let (leader, _) = cluster.leader().await?;
    let address = cluster.addresses()[leader];
    let putters = Putters::open(address, 1, scale::VALUE_BYTES).await?;
    let shape = Shape { clients: 1, warm_up: scale::CHECK / 4, measured: scale::CHECK };
    let meter = CpuMeter::start(&cluster.processes())?;
    let load = load::closed_loop(Arc::new(putters), shape).await?;
    let check = Row::compared(
        "client check: puts/s from one client, against 500/s",
        Value::PerSecond(load.per_second()),
        Value::PerSecond(ONE_CLIENT_PUTS_PER_SECOND),
        Goal::RatioAtLeast(ONE_CLIENT_RATIO_MIN),
    );
    let check = check.note(load.text()).note(meter.text()?);
    let p50 = Row::reference("one client, p50", Value::ms(load.latencies.p50()));
    references.one_client = Some(load);
    Ok(vec![p50, check])
}

async fn kills(program: &Path, references: &mut References) -> Result<Vec<Row>> {
    let mut cluster = Cluster::start(program)?;
    let mut samples = Samples::default();
    for _ in 0..scale::KILLS {
        let (leader, _) = cluster.leader().await?;
        let target = Puts::connected(&cluster, leader).await?;
        env::sleep(scale::BETWEEN_KILLS).await;
        let killed = env::monotonic();
        cluster.kill_member(leader)?;
        let survivors = target.members.len();
        samples.push(failover::first_accepted(&target, survivors, killed, scale::OUTAGE_MAX).await?);
        cluster.start_member(leader)?;
    }
    let median = Row::reference("leader killed to first accepted write, median", Value::ms(samples.median()));
    let worst = Row::reference("the same, worst", Value::ms(samples.worst())).note(samples.listed_ms());
    references.kills = Some(samples);
    Ok(vec![median, worst])
}

/// Small puts to given members, for finding the first that is accepted.
struct Puts {
    members: Vec<(std::net::SocketAddr, Option<Connection>)>,
}

impl Puts {
    /// Connects for each put: for members that do not listen yet.
    fn unconnected(cluster: &Cluster) -> Self {
        Self { members: cluster.addresses().into_iter().map(|address| (address, None)).collect() }
    }

    /// Connects now to all members but one.
    async fn connected(cluster: &Cluster, without: usize) -> Result<Self> {
        let mut members = Vec::new();
        for (index, address) in cluster.addresses().into_iter().enumerate() {
            if index != without {
                members.push((address, Some(Connection::open(address).await?)));
            }
        }
        Ok(Self { members })
    }
}

impl Target for Puts {
    async fn call(&self, client: usize, _sequence: u64) -> Result<()> {
        match &self.members[client] {
            (_, Some(connection)) => connection.put(b"probe", b"x").await,
            (address, None) => Connection::open(*address).await?.put(b"probe", b"x").await,
        }
    }
}
