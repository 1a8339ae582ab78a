//! A whole cluster on one machine: `keelson up` and `keelson down`.
//!
//! # Flow
//! Level-triggered: each `up` looks at what the directory and the host hold and adds what is missing,
//! whether that is everything (the first time, or after a reboot) or nothing. `down` takes processes and
//! plumbing away and keeps the data, so that the next `up` goes on with the same identities.
//!
//! ```text
//! DIR/cluster.json      what the cluster is made of
//! DIR/kubeconfig        the administrator's; its current context is the stable address
//! DIR/ca.crt            the cluster's authority
//! DIR/data/NAME/        the data directory of a master, of a node's agent, of a node's engine
//! DIR/log/NAME.log      a process's output
//! DIR/run/NAME.pid      its pid
//! DIR/run/NAME.token    lets a master or node join
//! ```

pub mod cluster_file;
pub mod hollow;
pub mod host;
mod needs;
mod nodes;
pub mod plumbing;
pub mod process;
mod remains;
mod sample;
mod start;
mod stop;
mod summary;
mod wait;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use base::ids::ClusterId;

use crate::behaviour::Behaviour;
use crate::data_dir::DataDir;
use crate::pki::Authority;
use crate::service_ranges::{ONLY_FOR_NEW, ServiceRanges};
use base::files::{self, Lock};
use cluster_file::{ClusterFile, Network};
use host::Host;
use process::Processes;

pub use start::up;
pub use stop::down;

/// Masters of a new cluster unless told otherwise: the fewest that survive the loss of one.
const MASTERS_DEFAULT: usize = 3;

/// What `up` is asked for.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// The cluster's directory.
    pub directory: PathBuf,
    /// How many masters; what it has, or [`MASTERS_DEFAULT`], when not given.
    pub masters: Option<usize>,
    /// How many nodes; what it has, or none, when not given.
    pub nodes: Option<usize>,
    /// Whether a new cluster gets a network of its own.
    pub network: NetworkChoice,
    /// Where the Services of a new cluster get their addresses and node ports.
    pub services: ServiceRanges,
    /// How many hollow nodes; what it has, or none, when not given.
    pub hollow_nodes: Option<usize>,
    /// Whether to deploy the sample application; a cluster that has it keeps it.
    pub sample: bool,
    /// What masters that start do by themselves; what they were told before, when nothing is given.
    pub behaviour: Behaviour,
    /// How long the Leases of nodes hold; as long as before, when not given.
    pub node_lease_seconds: Option<u32>,
}

/// Whether a new cluster gets a network of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum NetworkChoice {
    /// A bridge when root, loopback otherwise.
    Auto,
    /// A bridge and a network namespace for each master. Needs root.
    Bridge,
    /// Ports on the host's loopback.
    Loopback,
}

/// One cluster's directory, locked.
struct ClusterDir {
    path: PathBuf,
    processes: Processes,
    _lock: Lock,
}

fn cluster_json(directory: &Path) -> PathBuf {
    directory.join("cluster.json")
}

fn data(directory: &Path, master: &str) -> DataDir {
    DataDir::new(&directory.join("data").join(master))
}

/// What the cluster in a directory is made of; `None`: there is none.
fn load(directory: &Path) -> anyhow::Result<Option<ClusterFile>> {
    let path = cluster_json(directory);
    let Some(text) = files::read(&path)? else { return Ok(None) };
    let file = ClusterFile::parse(&text);
    Ok(Some(file.with_context(|| {
        format!("reading {} failed: put back a copy, or take another directory", path.display())
    })?))
}

/// The cluster's authority, from the first master that has it.
fn authority(directory: &Path, file: &ClusterFile) -> anyhow::Result<Authority> {
    let mut found =
        file.masters.iter().filter_map(|master| data(directory, &master.name).authority().transpose());
    found.next().context("no master has the cluster's authority")?
}

impl ClusterDir {
    /// Makes the directory if need be and locks it.
    fn open(path: &Path) -> anyhow::Result<Self> {
        files::make_directory(path)?;
        // Absolute, because it stands in the command lines by which processes are found again.
        let path = path.canonicalize().with_context(|| format!("finding {}", path.display()))?;
        let Some(lock) = files::try_lock(&path.join("lock"))? else {
            bail!("another `keelson up` or `keelson down` works on {}: wait for it to end", path.display());
        };
        Ok(Self { processes: Processes::new(&path), path, _lock: lock })
    }

    fn data(&self, master: &str) -> DataDir {
        data(&self.path, master)
    }

    fn authority(&self) -> PathBuf {
        self.path.join("ca.crt")
    }

    fn kubeconfig(&self) -> PathBuf {
        self.path.join("kubeconfig")
    }

    /// Where a master's token lies until it has joined.
    fn token(&self, master: &str) -> PathBuf {
        self.path.join("run").join(format!("{master}.token"))
    }

    fn load(&self) -> anyhow::Result<Option<ClusterFile>> {
        load(&self.path)
    }

    fn save(&self, file: &ClusterFile) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(file)?;
        text.push('\n');
        Ok(files::write(&cluster_json(&self.path), text.as_bytes())?)
    }

    /// What the cluster is made of: chosen the first time, grown when asked to.
    fn load_or_make(&self, host: &dyn Host, options: &UpOptions) -> anyhow::Result<ClusterFile> {
        let known = self.load()?;
        let cluster = known.as_ref().map_or_else(|| Ok(ClusterId::random()), ClusterFile::id)?;
        let mut free_port = free_ports(cluster);
        let ranges = options.services.arguments();
        let mut file = match &known {
            Some(file) if ranges.is_empty() || ranges == file.service_ranges => file.clone(),
            Some(_) => bail!("{ONLY_FOR_NEW}"),
            None => {
                options.services.clone().settings()?;
                let network = choose_network(host, cluster, options.network)?;
                let mut file = ClusterFile::new(cluster, network, &mut free_port)?;
                file.service_ranges = ranges;
                file
            }
        };
        let masters = file.masters.iter().map(|master| master.name.as_str());
        let agents = file.nodes.iter().map(|node| node.name.as_str());
        let lease = options.node_lease_seconds.map(nodes::lease_flag);
        file.behaviour =
            self.told_at_start(host, masters, "masters", &file.behaviour, options.behaviour.arguments())?;
        file.agents =
            self.told_at_start(host, agents, "agents", &file.agents, lease.into_iter().collect())?;
        file.hollow_nodes = options.hollow_nodes.unwrap_or(file.hollow_nodes);
        file.sample |= options.sample;
        let usual = if known.is_none() { MASTERS_DEFAULT } else { file.masters.len() };
        file.grow(options.masters.unwrap_or(usual), &mut free_port)?;
        file.grow_nodes(options.nodes.unwrap_or(file.nodes.len()))?;
        if known.as_ref() != Some(&file) {
            self.save(&file)?;
        }
        Ok(file)
    }

    /// The flags that processes of one sort get from now on, which they read when they start: what is wanted, or what is
    /// `known` when that is nothing.
    fn told_at_start<'a>(
        &self,
        host: &dyn Host,
        names: impl Iterator<Item = &'a str>,
        sort: &str,
        known: &[String],
        wanted: Vec<String>,
    ) -> anyhow::Result<Vec<String>> {
        if wanted.is_empty() || wanted == known {
            return Ok(known.to_vec());
        }
        for name in names {
            if self.processes.running(host, name)?.is_some() {
                let directory = self.path.display();
                bail!(
                    "{name} runs without {}: {sort} read it when they start. Stop them with \
                     `keelson down --dir {directory}`, which keeps all data, and say it again",
                    wanted.join(" ")
                );
            }
        }
        Ok(wanted)
    }
}

#[cfg(test)]
impl UpOptions {
    /// What `keelson up` is asked for without a flag.
    fn in_directory(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            masters: None,
            nodes: None,
            hollow_nodes: None,
            sample: false,
            network: NetworkChoice::Auto,
            services: ServiceRanges::default(),
            behaviour: Behaviour::default(),
            node_lease_seconds: None,
        }
    }
}

fn choose_network(host: &dyn Host, cluster: ClusterId, choice: NetworkChoice) -> anyhow::Result<Network> {
    let bridge = match choice {
        NetworkChoice::Auto => host.is_root(),
        NetworkChoice::Bridge => true,
        NetworkChoice::Loopback => false,
    };
    if !bridge {
        return Ok(Network::Loopback);
    }
    let used = plumbing::used_subnets(host).context("looking for a free subnet")?;
    let subnet = cluster_file::choose_subnet(cluster, &used).context(
        "no /24 between 10.128.0.0 and 10.250.255.255 is free on this host (see `ip route`): \
         remove a route, or use --network loopback",
    )?;
    Ok(Network::Bridge { subnet })
}

/// Gives ports of the loopback address that nobody listens on at this moment, each once.
fn free_ports(cluster: ClusterId) -> impl FnMut() -> anyhow::Result<u16> {
    let mut candidates = cluster_file::ports(cluster);
    let is_free = |port: &u16| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    move || candidates.find(is_free).context("no port of 127.0.0.1 is free for a master: stop what uses them")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::host::fake::FakeHost;
    use crate::up::plumbing::Names;

    #[test]
    fn a_cluster_is_chosen_once() {
        let root = tempfile::tempdir().expect("temporary directory");
        let cluster = ClusterDir::open(root.path()).expect("open");
        let host = FakeHost { root: true, ..FakeHost::default() };
        let first = cluster.load_or_make(&host, &UpOptions::in_directory(root.path())).expect("make");
        let second = cluster.load_or_make(&host, &UpOptions::in_directory(root.path())).expect("load");
        assert_eq!(first, second);
        assert_eq!(first.masters.len(), MASTERS_DEFAULT);
        assert!(matches!(first.network, Network::Bridge { .. }));
    }

    #[test]
    fn a_new_cluster_takes_ranges_for_services_and_keeps_them() {
        let root = tempfile::tempdir().expect("temporary directory");
        let cluster = ClusterDir::open(root.path()).expect("open");
        let host = FakeHost::default();
        let with = |flags: &str| UpOptions {
            services: ServiceRanges::of(flags),
            ..UpOptions::in_directory(root.path())
        };
        let flags = "--service-cluster-ip-range=10.1.0.0/20 --service-node-port-range=31000-31999";
        assert!(
            cluster.load_or_make(&host, &with("--service-cluster-ip-range=10.0.0.0/16,10.1.0.0/16")).is_err()
        );
        let made = cluster.load_or_make(&host, &with(flags)).expect("make");
        assert_eq!(made.service_ranges.join(" "), flags);
        for again in [flags, ""] {
            assert_eq!(cluster.load_or_make(&host, &with(again)).expect("load"), made);
        }
        let refused =
            cluster.load_or_make(&host, &with("--service-node-port-range=1-9")).expect_err("refused");
        assert_eq!(refused.to_string(), ONLY_FOR_NEW);
    }

    #[test]
    fn what_masters_do_by_themselves_changes_while_none_runs() {
        let root = tempfile::tempdir().expect("temporary directory");
        let cluster = ClusterDir::open(root.path()).expect("open");
        let host = FakeHost::default();
        let with = |flags: &str| {
            cluster.load_or_make(
                &host,
                &UpOptions { behaviour: Behaviour::of(flags), ..UpOptions::in_directory(root.path()) },
            )
        };
        let flag = |seconds: u32| format!("--default-not-ready-toleration-seconds={seconds}");
        assert_eq!(with(&flag(5)).expect("make").behaviour, [flag(5)]);
        assert_eq!(with("").expect("load").behaviour, [flag(5)], "what was said is kept");
        let file = with(&flag(6)).expect("change");
        assert_eq!(file.behaviour, [flag(6)]);
        let command = vec!["keelson".to_owned(), cluster.data("master-1").path().display().to_string()];
        let master = process::Process { name: "master-1".to_owned(), command };
        cluster.processes.start(&host, &master).expect("start");
        assert_eq!(with(&flag(6)).expect("the same again"), file);
        let refused = with(&flag(7)).expect_err("they run").to_string();
        assert!(refused.starts_with(&format!("master-1 runs without {}: ", flag(7))), "{refused}");
        assert_eq!(cluster.load().expect("a file"), Some(file), "nothing was changed");
    }

    #[test]
    fn how_long_leases_of_nodes_hold_changes_while_no_agent_runs() {
        let root = tempfile::tempdir().expect("temporary directory");
        let cluster = ClusterDir::open(root.path()).expect("open");
        let host = FakeHost { root: true, ..FakeHost::default() };
        let with = |seconds| {
            let asked = UpOptions {
                node_lease_seconds: seconds,
                nodes: Some(1),
                ..UpOptions::in_directory(root.path())
            };
            cluster.load_or_make(&host, &asked)
        };
        let flag = |seconds: u32| format!("--node-lease-duration-seconds={seconds}");
        assert_eq!(with(Some(20)).expect("make").agents, [flag(20)]);
        let file = with(None).expect("load");
        assert_eq!(file.agents, [flag(20)], "what was said is kept");
        let agent =
            nodes::agent(&cluster, &Names::of(file.id().expect("id")), "keelson", &file, &file.nodes[0]);
        assert!(agent.command.contains(&flag(20)), "{agent:?}");
        cluster.processes.start(&host, &agent).expect("start");
        let refused = with(Some(30)).expect_err("it runs").to_string();
        assert!(refused.starts_with(&format!("node-1 runs without {}: agents ", flag(30))), "{refused}");
    }

    #[test]
    fn what_a_cluster_was_asked_to_have_it_keeps() {
        let root = tempfile::tempdir().expect("temporary directory");
        let cluster = ClusterDir::open(root.path()).expect("open");
        let host = FakeHost { root: true, ..FakeHost::default() };
        let asked = UpOptions {
            nodes: Some(3),
            hollow_nodes: Some(5),
            sample: true,
            masters: Some(1),
            ..UpOptions::in_directory(root.path())
        };
        let made = cluster.load_or_make(&host, &asked).expect("make");
        assert_eq!((made.masters.len(), made.nodes.len(), made.hollow_nodes, made.sample), (1, 3, 5, true));
        assert_eq!(cluster.load_or_make(&host, &UpOptions::in_directory(root.path())).expect("load"), made);
        let fewer = UpOptions { hollow_nodes: Some(0), ..UpOptions::in_directory(root.path()) };
        assert_eq!(cluster.load_or_make(&host, &fewer).expect("load").hollow_nodes, 0);
    }

    #[test]
    fn without_root_it_is_loopback_and_ports_differ() {
        let root = tempfile::tempdir().expect("temporary directory");
        let cluster = ClusterDir::open(root.path()).expect("open");
        let file =
            cluster.load_or_make(&FakeHost::default(), &UpOptions::in_directory(root.path())).expect("make");
        assert_eq!(file.network, Network::Loopback);
        let mut ports: Vec<u16> = file.masters.iter().flat_map(|m| [m.api.port, m.peer.port]).collect();
        ports.push(file.stable.port);
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 7);
    }

    #[test]
    fn two_commands_never_work_on_one_directory() {
        let root = tempfile::tempdir().expect("temporary directory");
        let held = ClusterDir::open(root.path()).expect("open");
        assert!(ClusterDir::open(root.path()).is_err());
        drop(held);
        assert!(ClusterDir::open(root.path()).is_ok());
    }
}
