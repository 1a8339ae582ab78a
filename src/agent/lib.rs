//! One node: joining, and the parts that run there.
//!
//! # Flow
//! [`run`] gets a certificate, registers the Node, and starts the parts: the pod network, the kubelet, the service
//! proxy, DNS, and the server through which masters reach logs and processes. All of them are fed by watches of the
//! public API, which prefer the leader and go on at another master from where they were.
//!
//! # Guarantees
//! - An agent that stops or is killed leaves its containers running; the next one adopts them.
//! - It writes only its own Node and Lease, the status of its pods, and Events.

mod control;
pub mod credentials;
mod events;
mod feeds;
mod given;
mod heartbeat;
mod node;
mod pod_network;
pub mod pressure;
mod referenced;
mod server;
mod store;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use base::env;
use base::shutdown::Shutdown;
use client::{Client, Server};
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::{Node, Service};
use kubelet::engine::ContainerEngine;
use kubelet::engine::docker::Docker;
use kubelet::{Kubelet, NodeFacts};

use credentials::{Credentials, Purpose};
use node::{Facts, Machine};
use store::Store;

/// What an agent is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node's name.
    pub name: String,
    /// Its address, at which other nodes and the masters reach it.
    pub address: Ipv4Addr,
    /// Where it keeps its certificates and its pods' files.
    pub directory: PathBuf,
    /// Some masters.
    pub servers: Vec<Server>,
    /// The cluster's authority, PEM.
    pub authority: String,
    /// Lets it ask for its first certificate.
    pub token: Option<String>,
    /// The engine's socket: a path.
    pub engine: String,
    /// `cluster.local`
    pub domain: String,
    /// Where all pods are.
    pub cluster_cidr: Ipv4Net,
    /// Where cluster IPs of Services are.
    pub service_cidr: Ipv4Net,
    /// Labels of the node.
    pub labels: BTreeMap<String, String>,
    /// How long its Lease holds: silent for longer, it counts as dead.
    pub lease_seconds: u32,
    /// Below what the machine runs short, and the node says so.
    pub thresholds: pressure::Thresholds,
}

/// Runs until the shutdown.
///
/// # Errors
/// When it cannot begin: no certificate, no engine, no address to listen on.
pub async fn run(options: Options, mut shutdown: Shutdown) -> anyhow::Result<()> {
    let stopping = shutdown.clone();
    tokio::select! {
        biased;
        () = shutdown.wait() => Ok(()),
        // Dropped where it stands: containers run on, and everything else is made anew by the next agent.
        ended = live(&options, stopping) => ended,
    }
}

async fn live(options: &Options, shutdown: Shutdown) -> anyhow::Result<()> {
    base::files::make_directory(&options.directory)?;
    let names = vec![options.name.clone(), options.address.to_string()];
    let credentials = Credentials::new(&options.directory, &options.name, names);
    let client = join(options, &credentials).await?;
    let machine = Machine::look(&options.directory);
    let engine = Arc::new(engine(&options.engine).await?);
    let facts = facts(options, &engine.version().await.unwrap_or_default());
    let node = heartbeat::register(&client, &facts, &machine, None).await.context("registering the node")?;
    heartbeat::tell(&client, &facts, "Starting", "Starting kubelet.");
    let services = Arc::new(Store::<Service>::default());
    let control = Arc::new(control::Masters::new(client.clone(), &options.name, Arc::clone(&services)));
    let nodes = Arc::new(Store::<Node>::default());
    let network = pod_network::start(options, &client, Arc::clone(&nodes)).await?;
    let node_facts = inputs::NodeFacts {
        allocatable: machine
            .capacity()
            .into_iter()
            .map(|(name, amount)| {
                (name.to_owned(), k8s_openapi::apimachinery::pkg::api::resource::Quantity(amount))
            })
            .collect(),
        host_ips: vec![options.address.to_string()],
    };
    let given =
        given::Given::open(&options.directory, client.clone(), Arc::clone(&control) as _, node_facts)?;
    let kubelet_options = kubelet::Options {
        node: NodeFacts {
            name: options.name.clone(),
            ips: vec![options.address.to_string()],
            root: options.directory.clone(),
            cluster_dns: vec![network.dns.to_string()],
            cluster_domain: options.domain.clone(),
        },
    };
    let (kubelet, handle) = Kubelet::new(
        kubelet_options,
        Arc::clone(&engine) as Arc<dyn ContainerEngine>,
        Arc::clone(&control) as _,
        Arc::clone(&network.pods) as _,
        Arc::clone(&given) as _,
    );
    let served = server::Node {
        name: options.name.clone(),
        address: options.address.into(),
        engine: Arc::clone(&engine) as _,
        pods: Arc::clone(&network.pods),
    };
    let serving = server::start(options, &credentials, &client, served).await?;
    tracing::info!(node = options.name, address = %options.address, "the agent runs");
    // Nothing of this is taken up again: the first that ends, ends the agent.
    tokio::select! {
        biased;
        () = kubelet.run(shutdown.clone()) => Ok(()),
        ended = heartbeat::keep(
            &client, &facts, &machine, (node, network.pod_cidr), (&engine, &nodes), options.lease_seconds,
        ) => ended,
        ended = feeds::pods(&client, &options.name, &handle) => ended,
        ended = feeds::services(&client, services, &network) => ended,
        ended = network.run(&client, shutdown) => ended,
        () = given.run() => Ok(()),
        () = credentials.keep(&client, Purpose::Client, |identity| {
            if let Err(error) = client.set_identity(Some(identity)) {
                tracing::error!(%error, "the new certificate cannot be used");
            }
        }) => Ok(()),
        ended = serving.run() => ended,
    }
}

fn facts(options: &Options, engine: &str) -> Facts {
    Facts {
        name: options.name.clone(),
        address: options.address,
        engine: format!("docker://{engine}"),
        labels: options.labels.clone(),
        directory: options.directory.clone(),
        thresholds: options.thresholds.clone(),
    }
}

/// Opens the way to the masters: with the certificate that is there, or with one that the token gets.
async fn join(options: &Options, credentials: &Credentials) -> anyhow::Result<Client> {
    let with = |identity, token| client::Options {
        servers: options.servers.clone(),
        authority: options.authority.clone(),
        identity,
        token,
    };
    if let Some(identity) = credentials.load(Purpose::Client)? {
        return Ok(Client::new(with(Some(identity), None))?);
    }
    let token = options.token.clone().context(
        "this node has no certificate yet, and no token to ask for one: give it --token as `kctl cluster token` prints it",
    )?;
    let joining = Client::new(with(None, Some(token)))?;
    let identity = credentials.obtain(&joining, Purpose::Client).await.context("joining the cluster")?;
    Ok(Client::new(with(Some(identity), None))?)
}

/// Waits for the engine: it may be starting.
async fn engine(socket: &str) -> anyhow::Result<Docker> {
    let deadline = env::monotonic() + kubelet::limits::ENGINE_RETRY * 60;
    loop {
        match Docker::connect(socket).await {
            Ok(engine) => return Ok(engine),
            Err(error) if env::monotonic() >= deadline => {
                return Err(
                    anyhow::Error::new(error).context(format!("reaching the container engine at {socket}"))
                );
            }
            Err(error) => tracing::debug!(%error, "the engine does not answer yet"),
        }
        env::sleep(kubelet::limits::ENGINE_RETRY / 10).await;
    }
}
