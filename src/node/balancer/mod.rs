//! The stable address: forwards TCP connections to a live master, and never looks inside.
//!
//! # Flow
//! One prober per master keeps its health; each connection goes to the next healthy master in turn and
//! lasts until either side closes it or that master turns unhealthy, so that clients reconnect at once
//! instead of waiting for a silent peer.
//!
//! # Guarantees
//! TLS ends at the masters: the balancer holds no key and cannot read or change a request.

mod health;
mod relay;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use base::env;
use base::shutdown::Shutdown;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::address::HostPort;
use crate::https::Https;
use crate::open_files;
use relay::{Target, Turn};

/// Connections at a time, unless the process may not open as many files. Beyond it new ones wait in the
/// listener's queue.
const CONNECTIONS_MAX: usize = 9_000;
/// Pause after the listener refused to accept, which happens when files run out.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What to listen on and where to send to.
#[derive(Clone, Debug)]
pub struct Options {
    /// The stable address.
    pub listen: HostPort,
    /// The masters' API addresses.
    pub targets: Vec<HostPort>,
    /// The cluster's authority, PEM: a prober only believes a master.
    pub authority: PathBuf,
}

/// Runs until shutdown.
///
/// # Errors
/// When the authority cannot be read or the address cannot be listened on.
pub async fn run(options: Options, mut shutdown: Shutdown) -> anyhow::Result<()> {
    let authority = CertificateDer::from_pem_file(&options.authority)
        .with_context(|| format!("reading the authority from {}", options.authority.display()))?;
    let https = Https::trusting(&authority, None)?;
    let address = (options.listen.host.as_str(), options.listen.port);
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("listening on {}", options.listen))?;
    let targets: Vec<Target> = options.targets.iter().map(|address| watched(&https, address)).collect();
    tracing::info!(listen = %options.listen, targets = targets.len(), "balancing");
    let turn = Arc::new(Turn::new(targets));
    let connections_max = open_files::of_balancer(open_files::raise(), CONNECTIONS_MAX);
    let permits = Arc::new(Semaphore::new(connections_max));
    loop {
        tokio::select! {
            biased;
            // Cancel-safe: nothing is lost when the others win.
            () = shutdown.wait() => return Ok(()),
            // Cancel-safe: a connection not accepted stays in the queue.
            () = accept(&listener, &turn, &permits) => {}
        }
    }
}

fn watched(https: &Https, address: &HostPort) -> Target {
    let (report, healthy) = watch::channel(false);
    env::spawn(health::probe(https.clone(), address.clone(), report));
    Target { address: address.clone(), healthy }
}

async fn accept(listener: &TcpListener, turn: &Arc<Turn>, permits: &Arc<Semaphore>) {
    let Ok(permit) = Arc::clone(permits).acquire_owned().await else { return };
    match listener.accept().await {
        Ok((client, _)) => {
            let turn = Arc::clone(turn);
            env::spawn(async move {
                relay::serve(client, &turn).await;
                drop(permit);
            });
        }
        Err(error) => {
            tracing::warn!(%error, "accepting a connection failed");
            env::sleep(ACCEPT_RETRY).await;
        }
    }
}
