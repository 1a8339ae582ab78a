//! Three etcd members on loopback, with etcd's defaults and without TLS.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base::env;

use super::client::Connection;
use crate::process::Process;
use crate::procfs::Pid;

/// As many as Keelson's masters.
pub const MEMBERS: usize = 3;
/// etcd elects within 2 s; more than this means that it does not run.
const LEADER_WAIT_MAX: Duration = Duration::from_secs(30);
/// Between two looks at the members.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// A running cluster; its processes end and its data goes when this is dropped.
pub struct Cluster {
    program: PathBuf,
    members: Vec<Member>,
    directory: tempfile::TempDir,
}

struct Member {
    name: String,
    client: SocketAddr,
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Cluster {
    /// Executes the members on empty directories; does not wait for them.
    pub fn start(program: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("keelson-bench-etcd-").tempdir();
        let directory = directory.context("making a directory for etcd")?;
        let ports = free_ports::<{ 2 * MEMBERS }>()?;
        let (clients, peers) = ports.split_at(MEMBERS);
        let initial: Vec<String> = peers
            .iter()
            .enumerate()
            .map(|(index, peer)| format!("etcd-{}=http://{peer}", index + 1))
            .collect();
        let member = |index: usize| {
            let name = format!("etcd-{}", index + 1);
            let data = directory.path().join(&name);
            let arguments = arguments(&name, &data, clients[index], peers[index], &initial.join(","));
            Member { name, client: clients[index], arguments, process: None }
        };
        let members = (0..MEMBERS).map(member).collect();
        let mut cluster = Self { program: program.to_owned(), members, directory };
        (0..MEMBERS).try_for_each(|index| cluster.start_member(index))?;
        Ok(cluster)
    }

    /// Executes one member again, on the data that it has.
    pub fn start_member(&mut self, index: usize) -> Result<()> {
        let member = &mut self.members[index];
        let log = self.directory.path().join(format!("{}.log", member.name));
        member.process = Some(Process::start(&self.program, &member.arguments, &log)?);
        Ok(())
    }

    /// Kills one member without warning.
    pub fn kill_member(&mut self, index: usize) -> Result<()> {
        let process = self.members[index].process.take();
        process.with_context(|| format!("{} does not run", self.members[index].name))?.kill()
    }

    /// Where each member serves clients.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.client).collect()
    }

    /// The running members by name.
    pub fn processes(&self) -> Vec<(String, Pid)> {
        let running = |member: &Member| Some((member.name.clone(), member.process.as_ref()?.pid()));
        self.members.iter().filter_map(running).collect()
    }

    /// Waits until all members agree on a leader; returns its index and the term.
    pub async fn leader(&self) -> Result<(usize, u64)> {
        let deadline = env::monotonic() + LEADER_WAIT_MAX;
        loop {
            match self.agreed_leader().await {
                Ok(Some(found)) => return Ok(found),
                waiting if env::monotonic() >= deadline => {
                    bail!("etcd has no leader after {LEADER_WAIT_MAX:?}: {waiting:?}; {}", self.last_words())
                }
                _ => env::sleep(POLL_EVERY).await,
            }
        }
    }

    async fn agreed_leader(&self) -> Result<Option<(usize, u64)>> {
        let mut statuses = Vec::new();
        for address in self.addresses() {
            statuses.push(Connection::open(address).await?.status().await?);
        }
        let (leader, term) = (statuses[0].leader, statuses[0].term);
        let agreed =
            leader != 0 && statuses.iter().all(|status| (status.leader, status.term) == (leader, term));
        let index = statuses.iter().position(|status| status.member == leader);
        Ok(index.filter(|_| agreed).map(|index| (index, term)))
    }

    /// The end of each member's log, for an error message.
    fn last_words(&self) -> String {
        let last = |member: &Member| {
            let log = self.directory.path().join(format!("{}.log", member.name));
            let text = std::fs::read_to_string(log).unwrap_or_default();
            format!("{} said last: {}", member.name, text.lines().last().unwrap_or("nothing"))
        };
        self.members.iter().map(last).collect::<Vec<_>>().join("; ")
    }
}

fn arguments(name: &str, data: &Path, client: SocketAddr, peer: SocketAddr, initial: &str) -> Vec<String> {
    [
        ("--name", name.to_owned()),
        ("--data-dir", data.display().to_string()),
        ("--listen-client-urls", format!("http://{client}")),
        ("--advertise-client-urls", format!("http://{client}")),
        ("--listen-peer-urls", format!("http://{peer}")),
        ("--initial-advertise-peer-urls", format!("http://{peer}")),
        ("--initial-cluster", initial.to_owned()),
        ("--initial-cluster-token", "keelson-bench".to_owned()),
    ]
    .into_iter()
    .flat_map(|(flag, value)| [flag.to_owned(), value])
    .collect()
}

/// Loopback addresses that nobody listens on. All are held until all are found, so none comes twice.
fn free_ports<const N: usize>() -> Result<[SocketAddr; N]> {
    let listeners: Vec<TcpListener> = (0..N)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<std::io::Result<_>>()
        .context("finding free ports on loopback")?;
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for (address, listener) in addresses.iter_mut().zip(&listeners) {
        *address = listener.local_addr().context("asking for a free port")?;
    }
    Ok(addresses)
}
