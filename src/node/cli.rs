//! The command line of `keelson`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use base::files;
use base::ids::ClusterId;
use base::shutdown::{self, Shutdown};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::address::HostPort;
use crate::behaviour::Behaviour;
use crate::identity::{Bootstrap, Wanted};
use crate::service_ranges::{ONLY_FOR_NEW, ServiceRanges};
use crate::sizes::Sizes;
use crate::token::Token;
use crate::up::host::Linux;
use crate::up::{NetworkChoice, UpOptions, hollow};
use crate::{agent, balancer, failure, master, up};

/// Where `up` and `down` keep a cluster unless told otherwise.
const CLUSTER_DIRECTORY: &str = ".keelson";

/// Kubernetes with an event-sourced control plane on a built-in replicated log.
///
/// Exit codes: 0 done or stopped in order, 1 failed (the reason is on standard error), 2 wrong usage,
/// 101 a core thread panicked. Logs go to standard error; KEELSON_LOG filters them (default: info).
#[derive(Parser)]
#[command(name = "keelson", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a node: its pods, Services and names.
    Agent(Box<agent::Args>),
    /// Forward a stable address to whichever master lives (started by `up`).
    #[command(hide = true)]
    Balancer(BalancerArgs),
    /// Stop a cluster that `up` started; its data stays.
    Down {
        /// The cluster's directory.
        #[arg(long, default_value = CLUSTER_DIRECTORY)]
        dir: PathBuf,
    },
    /// Play nodes without containers, thousands in one process, in a cluster that `up` started.
    Hollow(Box<hollow::Args>),
    /// Run a master: the first of a new cluster, a new one of an existing cluster, or one that was here before.
    Server(Box<ServerArgs>),
    /// Start a whole cluster on this machine, or what is missing of it.
    Up {
        /// The cluster's directory.
        #[arg(long, default_value = CLUSTER_DIRECTORY)]
        dir: PathBuf,
        /// How many masters [default: what the cluster has; 3 for a new one].
        #[arg(long)]
        masters: Option<usize>,
        /// How many nodes, each with a network namespace and a Docker engine of its own; needs root [default: what the
        /// cluster has; none for a new one].
        #[arg(long)]
        nodes: Option<usize>,
        /// How many hollow nodes besides: they run nothing, and say that they do [default: what the cluster has].
        #[arg(long)]
        hollow_nodes: Option<usize>,
        /// Deploy a sample application, and wait until it answers; needs a node [default: what the cluster has].
        #[arg(long)]
        sample: bool,
        /// Whether a new cluster gets a network of its own.
        #[arg(long, value_enum, default_value_t = NetworkChoice::Auto)]
        network: NetworkChoice,
        #[command(flatten)]
        services: ServiceRanges,
        #[command(flatten)]
        behaviour: Behaviour,
        /// How long the Lease of each node holds; its agent renews it three times in that [default: what the cluster
        /// has; 9 for a new one].
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
        node_lease_duration_seconds: Option<u32>,
    },
}

#[derive(Args)]
struct BalancerArgs {
    /// The stable address.
    #[arg(long, value_name = "HOST:PORT")]
    listen: HostPort,
    /// A master's API; repeat for each.
    #[arg(long = "target", value_name = "HOST:PORT", required = true)]
    targets: Vec<HostPort>,
    /// The cluster's authority, PEM.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
}

#[derive(Args)]
struct ServerArgs {
    /// The master's data directory.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Its name among the masters, like master-1.
    #[arg(long)]
    name: Option<String>,
    /// Where it serves the API. Others must reach it there.
    #[arg(long, value_name = "HOST:PORT")]
    api: Option<HostPort>,
    /// Where other masters reach it.
    #[arg(long, value_name = "HOST:PORT")]
    peer: Option<HostPort>,
    /// A further host name or address of the API, for its certificate; repeat for several.
    #[arg(long = "san", value_name = "HOST")]
    sans: Vec<String>,
    /// Make a new cluster.
    #[arg(long, conflicts_with = "join")]
    init: bool,
    /// Join the cluster of this master.
    #[arg(long, value_name = "https://HOST:PORT")]
    join: Option<String>,
    /// The token to join with, as `kctl cluster add` prints it.
    #[arg(long, requires = "join", conflicts_with_all = ["init", "token_file"])]
    token: Option<Token>,
    /// A file that holds the token.
    #[arg(long, value_name = "FILE", requires = "join", conflicts_with = "init")]
    token_file: Option<PathBuf>,
    /// The new cluster's id (chosen by `up`).
    #[arg(long, requires = "init", hide = true)]
    cluster_id: Option<ClusterId>,
    #[command(flatten)]
    services: ServiceRanges,
    #[command(flatten)]
    sizes: Sizes,
    #[command(flatten)]
    behaviour: Behaviour,
}

impl ServerArgs {
    fn wanted(self) -> anyhow::Result<Wanted> {
        anyhow::ensure!(self.init || self.services == ServiceRanges::default(), "{}", ONLY_FOR_NEW);
        let bootstrap = match (self.init, self.join) {
            (true, _) => {
                Some(Bootstrap::Init { cluster: self.cluster_id, settings: self.services.settings()? })
            }
            (false, Some(through)) => {
                let through = HostPort::from_url(&through).context("reading --join")?;
                let token = match (self.token, self.token_file) {
                    (Some(token), _) => token,
                    (None, Some(file)) => {
                        let text =
                            files::read(&file)?.with_context(|| format!("there is no {}", file.display()))?;
                        text.parse().with_context(|| format!("reading {}", file.display()))?
                    }
                    (None, None) => {
                        anyhow::bail!("--join needs --token or --token-file: run `kctl cluster add`")
                    }
                };
                Some(Bootstrap::Join { through, token })
            }
            (false, None) => None,
        };
        Ok(Wanted { name: self.name, api: self.api, peer: self.peer, names: self.sans, bootstrap })
    }
}

/// Runs the `keelson` command.
pub fn main() -> ! {
    let cli = Cli::parse();
    base::telemetry::init_logs();
    let code = match run(cli.verb) {
        Ok(told) => {
            let mut stdout = std::io::stdout();
            // Whoever closed the pipe does not want to know.
            let _ = stdout.write_all(told.as_bytes()).and_then(|()| stdout.flush());
            0
        }
        Err(error) => {
            eprintln!("keelson: {}", failure::chain(&error));
            failure::FAILURE_EXIT_CODE
        }
    };
    failure::leave(code)
}

/// Runs a verb and returns what it tells.
fn run(verb: Verb) -> anyhow::Result<String> {
    match verb {
        Verb::Agent(args) => {
            agent_runtime()?.block_on(async { agent::run(*args, until_signalled()?).await })?;
            Ok(String::new())
        }
        Verb::Balancer(args) => {
            let options =
                balancer::Options { listen: args.listen, targets: args.targets, authority: args.ca };
            command_runtime()?.block_on(async { balancer::run(options, until_signalled()?).await })?;
            Ok(String::new())
        }
        Verb::Down { dir } => command_runtime()?.block_on(up::down(&Linux, &dir)),
        Verb::Hollow(args) => {
            agent_runtime()?.block_on(async { Box::pin(hollow::run(*args, until_signalled()?)).await })?;
            Ok(String::new())
        }
        Verb::Server(args) => {
            let (directory, sizes, behaviour) = (args.dir.clone(), args.sizes, args.behaviour.clone());
            master::run(&directory, args.wanted()?, sizes, &behaviour)?;
            Ok(String::new())
        }
        Verb::Up {
            dir,
            masters,
            nodes,
            hollow_nodes,
            sample,
            network,
            services,
            behaviour,
            node_lease_duration_seconds,
        } => {
            let options = UpOptions {
                directory: dir,
                masters,
                nodes,
                hollow_nodes,
                sample,
                network,
                services,
                behaviour,
                node_lease_seconds: node_lease_duration_seconds,
            };
            command_runtime()?.block_on(up::up(&Linux, &options))
        }
    }
}

/// Pods are many; a node has other uses for its processors.
fn agent_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(base::env::workers(4));
    builder.thread_name("agent").enable_all().build().context("starting the runtime")
}

/// One thread is plenty for waiting and forwarding.
fn command_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")
}

/// Fires at the first SIGTERM or SIGINT.
pub fn until_signalled() -> anyhow::Result<Shutdown> {
    let (trigger, shutdown) = shutdown::channel();
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    base::env::spawn(async move {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        trigger.fire();
    });
    Ok(shutdown)
}

#[cfg(test)]
mod tests {
    use apiserver::bootstrap::Settings;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    fn wanted(flags: &str) -> anyhow::Result<Wanted> {
        let words = format!("keelson server --dir d {flags}");
        match Cli::try_parse_from(words.split_whitespace())?.verb {
            Verb::Server(args) => args.wanted(),
            _ => unreachable!("server was asked for"),
        }
    }

    #[test]
    fn how_a_master_begins() {
        let token = format!("{}.{}.{}", "a".repeat(64), "b".repeat(16), "c".repeat(32));
        let begins = |flags: &str| wanted(flags).map(|wanted| wanted.bootstrap);
        assert_eq!(begins("").expect("nothing"), None);
        let init = begins("--init --cluster-id 00000000000000ff").expect("init");
        let settings = Settings::default();
        assert_eq!(init, Some(Bootstrap::Init { cluster: Some(ClusterId(255)), settings }));
        let ranges =
            begins("--init --service-cluster-ip-range 10.1.0.0/20,fd00::/112 --service-node-port-range 1-9");
        let Ok(Some(Bootstrap::Init { settings, .. })) = ranges else { panic!("{ranges:?}") };
        let said = settings.service_cidrs.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            (said, settings.node_ports.to_string()),
            (vec!["10.1.0.0/20".into(), "fd00::/112".into()], "1-9".into())
        );
        let join = begins(&format!("--join https://10.0.0.1:6443/ --token {token}")).expect("join");
        let through = "10.0.0.1:6443".parse().expect("address");
        assert_eq!(join, Some(Bootstrap::Join { through, token: token.parse().expect("token") }));
        for flags in [
            "--init --service-cluster-ip-range 10.0.0.0/16,10.1.0.0/16",
            "--service-node-port-range 1-9",
            "--join 10.0.0.1:6443",
            "--init --join a:1",
            "--token x",
            "--init --token-file x",
        ] {
            assert!(begins(flags).is_err(), "{flags}");
        }
    }
}
