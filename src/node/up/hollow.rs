//! Hollow nodes of a cluster on one machine: thousands in one process, for trying what large clusters do.

use std::path::PathBuf;

use anyhow::{Context, bail};
use base::shutdown::Shutdown;

use super::ClusterDir;
use super::process::Process;
use crate::pki::{ADMIN_GROUP, ADMIN_USER};

/// The name of the process.
pub const NAME: &str = "hollow";

/// The label of nodes that only say that they run pods.
pub const LABEL: &str = "keelson.io/hollow";

/// Nodes that Kubernetes promises to bear, and twice that.
const NODES_MAX: usize = 10_000;

/// `keelson hollow`
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// How many nodes.
    #[arg(long)]
    nodes: usize,
    /// The directory of the cluster that `keelson up` started.
    #[arg(long, default_value = ".keelson")]
    dir: PathBuf,
    /// They are called `PREFIX-0` and so on.
    #[arg(long, value_name = "PREFIX", default_value = "hollow")]
    name_prefix: String,
    /// How long the Lease of each holds; it is renewed four times in that.
    #[arg(long, value_name = "SECONDS", default_value_t = hollow::LEASE_SECONDS, value_parser = clap::value_parser!(u32).range(1..=3600))]
    node_lease_duration_seconds: u32,
}

/// Plays the nodes until the shutdown.
///
/// # Errors
/// When there is no cluster in the directory, or it refuses.
pub async fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    if args.nodes > NODES_MAX {
        bail!("--nodes {} is not possible: at most {NODES_MAX} in one process", args.nodes);
    }
    let Some(file) = super::load(&args.dir)? else {
        bail!("{} holds no cluster: give the directory of `keelson up` with --dir", args.dir.display());
    };
    let authority = super::authority(&args.dir, &file)?;
    let admin = authority.client(ADMIN_USER, ADMIN_GROUP)?;
    let servers = file.masters.iter().map(|master| master.api.url().parse());
    let client = client::Client::new(client::Options {
        servers: servers.collect::<Result<_, _>>().context("reading the masters' addresses")?,
        authority: authority.certificate_pem().to_owned(),
        identity: Some(client::Identity { certificate: admin.chain_pem, key: admin.key_pem }),
        token: None,
    })?;
    let options = hollow::Options {
        name_prefix: args.name_prefix,
        lease_seconds: args.node_lease_duration_seconds,
        labels: [(LABEL.to_owned(), "true".to_owned())].into(),
        ..hollow::Options::new(client, args.nodes)
    };
    hollow::run(options, shutdown).await
}

/// The process that plays the nodes of a cluster.
pub(super) fn process(directory: &ClusterDir, program: &str, nodes: usize) -> Process {
    let words = ["hollow", "--nodes", &nodes.to_string(), "--dir"].map(str::to_owned);
    let mut command = vec![program.to_owned()];
    command.extend(words);
    command.push(directory.path.display().to_string());
    Process { name: NAME.to_owned(), command }
}
