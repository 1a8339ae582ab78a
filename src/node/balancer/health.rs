//! Whether a master is fit to serve, asked over and over on one open connection.

use std::time::Duration;

use base::env;
use bytes::Bytes;
use http::Method;
use tokio::sync::watch;

use crate::address::HostPort;
use crate::https::{Connection, Https};

/// How often a master is asked.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// How long it may take to answer, connecting included.
const PROBE_DEADLINE: Duration = Duration::from_secs(1);
/// What is asked: ready means that it takes part in a quorum and has caught up.
const PROBE_PATH: &str = "/readyz";

/// Reports the health of `target` until nobody listens. One missed probe is enough to be unhealthy: a
/// client that is sent on to another master loses nothing, one that stays with a dead one waits.
pub async fn probe(https: Https, target: HostPort, report: watch::Sender<bool>) {
    let mut connection = None;
    while !report.is_closed() {
        let asked = env::monotonic();
        let healthy =
            env::timeout(PROBE_DEADLINE, ask(&https, &target, &mut connection)).await.unwrap_or(false);
        if !healthy {
            connection = None;
        }
        let changed = report.send_if_modified(|known| std::mem::replace(known, healthy) != healthy);
        if changed {
            tracing::info!(%target, healthy, "master's health changed");
        }
        env::sleep_until(asked + PROBE_INTERVAL).await;
    }
}

/// One probe, on the open connection if there is one. Not cancel-safe: the caller drops the connection.
async fn ask(https: &Https, target: &HostPort, connection: &mut Option<Connection>) -> bool {
    if connection.is_none() {
        *connection = https.connect(target).await.ok();
    }
    let Some(open) = connection.as_mut() else { return false };
    match open.request(Method::GET, PROBE_PATH, Bytes::new()).await {
        Ok(reply) => reply.status.is_success(),
        Err(_) => {
            // A server may close a connection that is old: that alone is no illness.
            *connection = https.connect(target).await.ok();
            let Some(open) = connection.as_mut() else { return false };
            open.request(Method::GET, PROBE_PATH, Bytes::new())
                .await
                .is_ok_and(|reply| reply.status.is_success())
        }
    }
}
