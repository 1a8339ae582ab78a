//! Three real masters, of which the leader is killed in the middle.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;
use k8s_openapi::api::core::v1::ConfigMap;

use super::cluster::Cluster;
use super::{name, path, revision};
use crate::{Client, Error, Event, Identity, Options, Selection};

/// How long the masters may take for all of it.
const LIMIT: Duration = Duration::from_secs(120);

/// How many objects are written; the leader dies in the middle.
const OBJECTS: usize = 200;

async fn write(client: &Client, number: usize) -> Result<()> {
    let name = format!("m{number}");
    let body = format!(r#"{{"metadata":{{"name":"{name}"}}}}"#);
    match client.create("/api/v1/namespaces/default/configmaps", body).await {
        // Done or not: whoever is told so looks.
        Err(Error::Unknown { .. }) => {
            let there = client.get(&path(&name)).await;
            if there.as_ref().is_err_and(Error::is_not_found) {
                return Box::pin(write(client, number)).await;
            }
            there?;
        }
        Err(error) if error.code() == Some(504) => drop(client.get(&path(&name)).await?),
        written => drop(written?),
    }
    Ok(())
}

fn client(cluster: &Cluster) -> Result<Client> {
    let access = cluster.access()?;
    let servers = access.servers.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let identity = Some(Identity { certificate: access.certificate, key: access.key });
    Ok(Client::new(Options { servers, authority: access.authority, identity, token: None })?)
}

async fn survive(cluster: Arc<Cluster>) -> Result<()> {
    let client = client(&cluster)?;
    let mut watch = client.watch::<ConfigMap>(Selection::namespace("default"));
    let first = watch.next().await.context("a watch does not end")?;
    ensure!(matches!(first, Event::Restarted(_)), "{first:?}");
    let writer = env::spawn({
        let client = client.clone();
        async move {
            for number in 0..OBJECTS {
                if number == OBJECTS / 2 {
                    cluster.kill_leader()?;
                }
                write(&client, number).await?;
            }
            anyhow::Ok(())
        }
    });
    let mut seen = BTreeSet::new();
    let mut last = 0;
    while seen.len() < OBJECTS {
        match watch.next().await.context("a watch does not end")? {
            Event::Applied(map) if name(&map).starts_with('m') => {
                ensure!(revision(&map) > last, "{} after {last}", revision(&map));
                last = revision(&map);
                ensure!(seen.insert(name(&map)), "{} was told twice", name(&map));
            }
            Event::Applied(_) => {}
            other => anyhow::bail!("nothing was deleted, and no history lost: {other:?}"),
        }
    }
    writer.await?
}

#[tokio::test]
async fn a_watch_loses_nothing_when_the_leader_is_killed() {
    let Some(cluster) = Cluster::start(3).expect("masters") else { return };
    let survived = env::timeout(LIMIT, survive(Arc::new(cluster))).await.expect("in time");
    survived.expect("nothing lost, nothing twice");
}
