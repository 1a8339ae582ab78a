//! The Node object and its Lease: registered once, kept for as long as the agent runs.

use std::time::Duration;

use api::time;
use base::env;
use client::{Client, Lease, Patch, Repeat};
use k8s_openapi::api::core::v1::Node;
use kubelet::engine::docker::Docker;
use serde_json::Value;

use crate::node::{self, Facts, Machine};

/// How often the lease is renewed: a node is taken for dead after three of these without.
const LEASE_INTERVAL: Duration = Duration::from_secs(3);

/// How long a lease means that its holder lives.
const LEASE_SECONDS: i32 = 9;

/// How often the status is written though nothing changed: Kubernetes' `nodeStatusReportFrequency`.
const STATUS_INTERVAL: Duration = Duration::from_secs(300);

/// How long a renewal may take before the next is tried.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Creates the Node, or finds it; returns its uid.
///
/// # Errors
/// When the masters refuse.
pub async fn register(client: &Client, facts: &Facts, machine: &Machine) -> anyhow::Result<String> {
    let path = format!("/api/v1/nodes/{}", facts.name);
    let created = client.create("/api/v1/nodes", node::object(facts, machine).to_string()).await;
    let read = match created {
        Err(error) if error.is_conflict() => client.get(&path).await?,
        created => created?,
    };
    let found: Node = serde_json::from_slice(&read)?;
    report(client, facts, machine, None).await?;
    Ok(found.metadata.uid.unwrap_or_default())
}

/// Writes the status.
async fn report(
    client: &Client,
    facts: &Facts,
    machine: &Machine,
    trouble: Option<&str>,
) -> Result<(), client::Error> {
    let path = format!("/api/v1/nodes/{}", facts.name);
    let known: Value = serde_json::from_slice(&client.get(&path).await?).unwrap_or_default();
    let status = node::status(facts, machine, &known["status"]["conditions"], trouble, env::wall_ms());
    let path = format!("{path}/status");
    client.patch(&path, Patch::Strategic, status.to_string(), Repeat::Unknown).await.map(drop)
}

/// Renews the lease, and writes the status when it changes or is old.
///
/// # Errors
/// Never: what fails is tried again.
pub async fn keep(
    client: &Client,
    facts: &Facts,
    machine: &Machine,
    uid: String,
    engine: &Docker,
) -> anyhow::Result<()> {
    let lease = Lease {
        namespace: "kube-node-lease".to_owned(),
        name: facts.name.clone(),
        holder: facts.name.clone(),
        duration_seconds: LEASE_SECONDS,
        owner: Some(["v1".to_owned(), "Node".to_owned(), facts.name.clone(), uid]),
    };
    let (mut trouble, mut reported) = (None, env::monotonic());
    loop {
        let began = env::monotonic();
        match env::timeout(RENEWAL_TIMEOUT, client.renew(&lease)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the lease was not renewed"),
            Err(_) => tracing::debug!("the lease was not renewed in time"),
        }
        let now = engine.version().await.err().map(|error| format!("container runtime is down: {error}"));
        if now.is_some() != trouble.is_some() || reported.elapsed() >= STATUS_INTERVAL {
            match report(client, facts, machine, now.as_deref()).await {
                Ok(()) => (trouble, reported) = (now, env::monotonic()),
                // Deleted under its feet: it registers again.
                Err(error) if error.is_not_found() => _ = register(client, facts, machine).await,
                Err(error) => {
                    tracing::debug!(%error, at = time::rfc3339(env::wall_ms()), "the status was not written")
                }
            }
        }
        env::sleep_until(began + LEASE_INTERVAL).await;
    }
}
