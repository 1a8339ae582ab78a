//! What all lines share: the references, and the cluster that is up at the moment.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use base::env;

use crate::etcd::reference::References;
use crate::keelson::cluster::{Binaries, Cluster, Parts, Whole};
use crate::keelson::config_maps::{Creators, ensure_namespace};
use crate::keelson::http::{Protocol, open_many};
use crate::procfs;
use crate::{load, metrics, scale};

/// What a line finds when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No cluster: the line starts its own.
    Empty,
    /// A cluster with few objects, shared by all lines of this stage.
    Small,
    /// The same, and nothing acts by itself: what is measured are requests alone.
    Api,
    /// A cluster that grows to [`scale::SIZED_PODS`], and nothing acts by itself.
    Pods,
    /// A cluster that grows to [`scale::MANY_OBJECTS`], shared by all lines of this stage.
    Large,
    /// A cluster with [`scale::HOLLOW_NODES`].
    Hollow,
    /// A cluster with [`scale::HOLLOW_WORKERS`].
    Workers,
    /// A cluster with [`scale::NODES`] that run containers, and the sample application.
    Nodes,
}

impl Stage {
    /// What its cluster is made of.
    pub fn parts(self) -> Parts {
        let masters = Parts::MASTERS;
        match self {
            Self::Empty | Self::Small | Self::Large => masters,
            Self::Api | Self::Pods => Parts { api_alone: true, ..masters },
            Self::Hollow => Parts { hollow_nodes: scale::HOLLOW_NODES, ..masters },
            Self::Workers => Parts { hollow_nodes: scale::HOLLOW_WORKERS, ..masters },
            Self::Nodes => Parts { nodes: scale::NODES, ..masters },
        }
    }
}

/// Everything that a line may use.
pub struct Bench {
    /// The product.
    pub binaries: Binaries,
    /// What etcd did.
    pub references: References,
    /// What the gated throughput lines speak.
    pub protocol: Protocol,
    cluster: Option<(Stage, Cluster)>,
    growth: Option<Growth>,
}

/// What filling a cluster with [`scale::SIZED_OBJECTS`] objects of [`scale::VALUE_BYTES`] did.
#[derive(Clone, Debug)]
pub struct Growth {
    /// Resident memory of each master before, idle.
    pub idle_bytes: Vec<(String, u64)>,
    /// And afterwards.
    pub filled_bytes: Vec<(String, u64)>,
    /// The JSON that was sent.
    pub raw_bytes: u64,
    /// What each master caused to be written to disk, until it came to rest.
    pub written_bytes: Vec<(String, u64)>,
    /// The same by part, as each master's metrics tell.
    pub written_by_part: Vec<(String, Vec<(String, u64)>)>,
    /// How long the creates took.
    pub took: Duration,
}

impl Bench {
    /// Nothing is up yet.
    pub fn new(binaries: Binaries, references: References, protocol: Protocol) -> Self {
        Self { binaries, references, protocol, cluster: None, growth: None }
    }

    /// Brings up the cluster that `stage` asks for, or none.
    pub async fn enter(&mut self, stage: Stage) -> Result<()> {
        if self.cluster.as_ref().is_some_and(|(up, _)| *up == stage) {
            return Ok(());
        }
        self.leave();
        if stage != Stage::Empty {
            let cluster = Cluster::up(&self.binaries, stage.parts()).await?;
            let whole = cluster.whole().await?;
            cluster.take_pods(&whole.leader).await?;
            self.cluster = Some((stage, cluster));
        }
        Ok(())
    }

    /// Stops the cluster that is up.
    pub fn leave(&mut self) {
        self.cluster = None;
        self.growth = None;
    }

    /// The cluster that is up.
    pub fn cluster(&self) -> Result<&Cluster> {
        self.cluster.as_ref().map(|(_, cluster)| cluster).context("no cluster is up in this stage")
    }

    /// The term, when a cluster is up and answers.
    pub async fn term(&self) -> Option<u64> {
        let (_, cluster) = self.cluster.as_ref()?;
        cluster.status().await.ok().map(|status| status.term)
    }

    /// Fills the cluster to [`scale::SIZED_OBJECTS`], once; measures what that costs.
    pub async fn growth(&mut self) -> Result<Growth> {
        if self.growth.is_none() {
            self.growth = Some(grow(self.cluster()?).await?);
        }
        self.growth.clone().context("just set")
    }

    /// Fills the cluster to [`scale::MANY_OBJECTS`], once.
    pub async fn fill(&mut self) -> Result<()> {
        self.growth().await?;
        let cluster = self.cluster()?;
        let whole = cluster.whole().await?;
        let connection = cluster.connect(&whole.leader, Protocol::Http2).await?;
        if count(&connection).await? < scale::MANY_OBJECTS {
            let missing = scale::MANY_OBJECTS - scale::SIZED_OBJECTS;
            populate(cluster, &whole, "many", missing, scale::SMALL_OBJECT_BYTES).await?;
        }
        Ok(())
    }
}

/// How many ConfigMaps there are: those of the first page, and those that it says remain.
async fn count(connection: &crate::keelson::http::Connection) -> Result<u64> {
    #[derive(serde::Deserialize)]
    struct Page {
        metadata: Metadata,
        items: Vec<serde_json::Value>,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        remaining_item_count: Option<u64>,
    }
    let page: Page = serde_json::from_slice(&connection.get("/api/v1/configmaps?limit=1").await?)?;
    Ok(page.items.len() as u64 + page.metadata.remaining_item_count.unwrap_or(0))
}

/// Creates `objects` ConfigMaps of `size_bytes` in `namespace`, by many clients at once. The one place
/// to change if there is ever a quicker way in than single creates.
pub async fn populate(
    cluster: &Cluster,
    whole: &Whole,
    namespace: &str,
    objects: u64,
    size_bytes: usize,
) -> Result<Duration> {
    let connections =
        open_many(&cluster.endpoint(&whole.leader)?, Protocol::Http2, scale::CONNECTIONS).await?;
    ensure_namespace(&connections[0], namespace).await?;
    let creators = Creators::new(connections, namespace, "object", size_bytes);
    load::exactly(std::sync::Arc::new(creators), scale::CLIENTS, objects).await
}

async fn grow(cluster: &Cluster) -> Result<Growth> {
    let whole = cluster.whole().await?;
    env::sleep(scale::SETTLE).await;
    let idle_bytes = of_each(cluster, procfs::resident_bytes)?;
    let written_before = of_each(cluster, procfs::bytes_written)?;
    let parts_before = metrics::written_of_each(cluster).await;
    let took = populate(cluster, &whole, "sized", scale::SIZED_OBJECTS, scale::VALUE_BYTES).await?;
    let written_after = at_rest(cluster).await?;
    let parts_after = metrics::written_of_each(cluster).await;
    Ok(Growth {
        idle_bytes,
        filled_bytes: of_each(cluster, procfs::resident_bytes)?,
        raw_bytes: scale::SIZED_OBJECTS * scale::VALUE_BYTES as u64,
        written_bytes: grown(&written_before, &written_after),
        written_by_part: parts_after
            .into_iter()
            .zip(parts_before)
            .map(|((name, after), (_, before))| (name, grown(&before, &after)))
            .collect(),
        took,
    })
}

/// How much each name's number grew.
fn grown(before: &[(String, u64)], after: &[(String, u64)]) -> Vec<(String, u64)> {
    let was = |name: &String| before.iter().find(|(known, _)| known == name).map_or(0, |(_, bytes)| *bytes);
    after.iter().map(|(name, bytes)| (name.clone(), bytes.saturating_sub(was(name)))).collect()
}

/// One number of each master's process.
pub fn of_each(cluster: &Cluster, read: fn(procfs::Pid) -> Result<u64>) -> Result<Vec<(String, u64)>> {
    cluster.processes().into_iter().map(|(name, pid)| Ok((name, read(pid)?))).collect()
}

/// Waits until the masters have stopped writing what they owe the disk (write-behind, compaction);
/// returns what they have written in all.
pub async fn at_rest(cluster: &Cluster) -> Result<Vec<(String, u64)>> {
    let mut last = of_each(cluster, procfs::bytes_written)?;
    let deadline = env::monotonic() + scale::REST_MAX;
    loop {
        env::sleep(scale::REST_LOOK_EVERY).await;
        let now = of_each(cluster, procfs::bytes_written)?;
        let most = grown(&last, &now).into_iter().map(|(_, bytes)| bytes).max().unwrap_or_default();
        if most <= scale::REST_BYTES_MAX {
            return Ok(now);
        }
        if env::monotonic() >= deadline {
            bail!(
                "the masters still write {most} bytes in {:?} after {:?}",
                scale::REST_LOOK_EVERY,
                scale::REST_MAX
            );
        }
        last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_by_name_and_never_negative() {
        let named = |pairs: &[(&str, u64)]| -> Vec<(String, u64)> {
            pairs.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect()
        };
        let after = named(&[("log", 500), ("new", 7), ("image", 5)]);
        let expect = named(&[("log", 400), ("new", 7), ("image", 0)]);
        assert_eq!(grown(&named(&[("image", 9), ("log", 100)]), &after), expect);
    }
}
