//! An agent's process: who the masters are, then [`agent::run`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use base::backoff::Backoff;
use base::env;
use base::shutdown::Shutdown;
use bytes::Bytes;
use http::Method;
use tokio::net::UdpSocket;

use crate::address::HostPort;
use crate::https::Https;
use crate::node_token::NodeToken;
use crate::pki::AuthorityHash;
use base::files;

/// How long the masters may take to tell their authority.
const AUTHORITY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long one answer may take.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pauses between tries.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// The name of the authority's certificate in an agent's directory.
const AUTHORITY: &str = "ca.crt";

/// `keelson agent`
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Where it keeps its certificates and its pods' files.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/keelson/agent")]
    dir: PathBuf,
    /// The node's name [default: the host's].
    #[arg(long)]
    name: Option<String>,
    /// The node's address: masters and other nodes must reach it there [default: the one that leads to the masters].
    #[arg(long)]
    address: Option<Ipv4Addr>,
    /// A master; repeat for several. The others are learned from it.
    #[arg(long = "server", value_name = "https://HOST:PORT", required = true)]
    servers: Vec<String>,
    /// The token to join with, as `kctl cluster token` prints it.
    #[arg(long, conflicts_with = "token_file")]
    token: Option<NodeToken>,
    /// A file that holds the token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The container engine's socket.
    #[arg(long, value_name = "unix://PATH", default_value = "unix:///var/run/docker.sock")]
    engine: String,
    /// The cluster's domain.
    #[arg(long, default_value = "cluster.local")]
    cluster_domain: String,
    /// Where all pods get their addresses from.
    #[arg(long, value_name = "CIDR", default_value = "10.42.0.0/16")]
    cluster_cidr: ipnet::Ipv4Net,
    /// Where Services get theirs from.
    #[arg(long, value_name = "CIDR", default_value = "10.96.0.0/16")]
    service_cluster_ip_range: ipnet::Ipv4Net,
    /// A label of the node; repeat for several.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// How long the node's Lease holds; it is renewed three times in that.
    #[arg(long, value_name = "SECONDS", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=3600))]
    node_lease_duration_seconds: u32,
    /// Below what the node says that it runs short, and gets no more pods: of memory.available, nodefs.available (the
    /// disk of --dir) and pid.available.
    #[arg(
        long,
        value_name = "SIGNAL<AMOUNT,...>",
        default_value = "memory.available<100Mi,nodefs.available<10%"
    )]
    eviction_hard: agent::pressure::Thresholds,
}

/// Runs an agent to its end.
///
/// # Errors
/// When it cannot begin.
pub async fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    let token = args.token()?;
    let mut servers = Vec::new();
    for server in &args.servers {
        servers.push(server.parse().with_context(|| format!("reading --server {server}"))?);
    }
    let address = match args.address {
        Some(address) => address,
        None => own_address(&args.servers).await?,
    };
    files::make_directory(&args.dir)?;
    let authority = authority(&args, token.as_ref()).await?;
    let options = agent::Options {
        name: args.name.clone().map_or_else(hostname, Ok)?,
        address,
        directory: args.dir.clone(),
        servers,
        authority,
        token: token.map(|token| token.bearer()),
        engine: args.engine.trim_start_matches("unix://").to_owned(),
        domain: args.cluster_domain.clone(),
        cluster_cidr: args.cluster_cidr,
        service_cidr: args.service_cluster_ip_range,
        labels: args.labels()?,
        lease_seconds: args.node_lease_duration_seconds,
        thresholds: args.eviction_hard.clone(),
    };
    // Boxed: all of a node is one future.
    Box::pin(agent::run(options, shutdown)).await
}

impl Args {
    fn token(&self) -> anyhow::Result<Option<NodeToken>> {
        if self.token.is_some() {
            return Ok(self.token.clone());
        }
        let Some(path) = &self.token_file else { return Ok(None) };
        let text = files::read(path)?;
        text.map(|text| text.parse().with_context(|| format!("reading {}", path.display()))).transpose()
    }

    fn labels(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let pair = |label: &String| match label.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => bail!("--label {label:?} is not of the form KEY=VALUE"),
        };
        self.labels.iter().map(pair).collect()
    }
}

/// The address from which this host reaches a master. Nothing is sent.
async fn own_address(servers: &[String]) -> anyhow::Result<Ipv4Addr> {
    let mut reasons = Vec::new();
    for server in servers {
        let to = HostPort::from_url(server).with_context(|| format!("reading --server {server}"))?;
        let found = async {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
            socket.connect((to.host.as_str(), to.port)).await?;
            socket.local_addr()
        };
        match found.await.map(|found| found.ip()) {
            Ok(IpAddr::V4(address)) if !address.is_loopback() => return Ok(address),
            Ok(address) => reasons.push(format!("{server} is reached from {address}")),
            Err(error) => reasons.push(format!("{server}: {error}")),
        }
    }
    bail!("this node's address is not known ({}): give it --address", reasons.join("; "))
}

fn hostname() -> anyhow::Result<String> {
    let name = files::read(std::path::Path::new("/proc/sys/kernel/hostname"))?;
    let name = name.map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty());
    name.context("this host has no name: give the node one with --name")
}

/// The cluster's authority: the one that is known, or the one that the token names, asked of the masters.
async fn authority(args: &Args, token: Option<&NodeToken>) -> anyhow::Result<String> {
    let path = args.dir.join(AUTHORITY);
    if let Some(known) = files::read(&path)? {
        return Ok(known);
    }
    let token = token.context(
        "this agent joined no cluster yet: give it --token or --token-file, as `kctl cluster token` prints it",
    )?;
    let pem = ask_for_authority(&args.servers, token.authority).await?;
    files::write(&path, pem.as_bytes())?;
    Ok(pem)
}

async fn ask_for_authority(servers: &[String], pinned: AuthorityHash) -> anyhow::Result<String> {
    let https = Https::pinned(pinned)?;
    let deadline = env::monotonic() + AUTHORITY_TIMEOUT;
    let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
    loop {
        let mut reasons = Vec::new();
        for server in servers {
            let through = HostPort::from_url(server).with_context(|| format!("reading --server {server}"))?;
            let asked = https
                .request(Method::GET, &through, "/keelson/v1/authority", Bytes::new(), REPLY_TIMEOUT)
                .await;
            match asked {
                // The connection was let in by that very authority, so what it says of itself is true.
                Ok(reply) if reply.status.is_success() => return Ok(String::from_utf8(reply.body.to_vec())?),
                Ok(reply) => reasons.push(format!("{through}: {}", reply.message())),
                Err(error) => reasons.push(error.to_string()),
            }
        }
        if env::monotonic() >= deadline {
            bail!(
                "no master told its authority for {} s: {}",
                AUTHORITY_TIMEOUT.as_secs(),
                reasons.join("; ")
            );
        }
        env::sleep(backoff.next_delay()).await;
    }
}
