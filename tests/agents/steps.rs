//! Agents that are killed at every step of a pod's life: right before the engine hears of it, and right after the engine
//! did it.

use chaos::engine_steps::{EngineSteps, Moment};
use futures::future::try_join_all;

use super::*;

/// More steps than a pod has.
const STEPS_MAX: usize = 30;

/// Each node has another moment.
const NODES: [(&str, Moment); 2] = [("node-1", Moment::Before), ("node-2", Moment::After)];

/// A pod of a node that is asked to end before it ends.
fn of(node: &str, step: usize) -> Value {
    let mut pod = pod(&format!("s{step}-{node}"), "Always", UNTIL_ASKED);
    pod["spec"]["nodeName"] = node.into();
    pod
}

struct Steps<'c> {
    cluster: &'c Cluster,
    client: &'c Client,
    ways: [EngineSteps; 2],
}

impl Steps<'_> {
    /// Lets the agents do something, which `holds` tells of a node, and kills each at its `step`-th request. Returns at
    /// which requests: none if that was beyond the last.
    async fn through(
        &self,
        step: usize,
        begin: impl AsyncFn(&str) -> Result<()>,
        holds: impl AsyncFn(&str) -> Result<bool>,
    ) -> Result<Vec<String>> {
        for (way, (node, moment)) in self.ways.iter().zip(NODES) {
            way.arm(self.cluster, node, step, moment)?;
            begin(node).await?;
        }
        let ends = self.ways.iter().zip(NODES).map(async |(way, (node, _))| {
            until("a step", SOON, async || Ok(way.has_struck() || holds(node).await?)).await
        });
        try_join_all(ends).await?;
        let struck: Vec<String> = self.ways.iter().filter_map(EngineSteps::disarm).collect();
        if !struck.is_empty() {
            self.cluster.up().await?;
        }
        try_join_all(
            NODES.map(async |(node, _)| until("what was cut", SOON, async || holds(node).await).await),
        )
        .await?;
        Ok(struck)
    }

    async fn found(&self, node: &str, step: usize) -> Result<Option<Pod>> {
        let name = format!("s{step}-{node}");
        Ok(pods(self.client).await?.into_iter().find(|pod| pod.name == name))
    }
}

#[test]
fn an_agent_killed_at_each_step_of_starting_and_stopping_a_pod_loses_nothing_and_does_nothing_twice() {
    chaos::run(&chaos::programs!(), &[Need::Engines], async |machine| {
        let cluster = Cluster::start(machine, with_nodes()).await?;
        let client = cluster.any_client()?;
        let ways = [EngineSteps::between(&cluster, NODES[0].0)?, EngineSteps::between(&cluster, NODES[1].0)?];
        for (node, _) in NODES {
            kill(&cluster, node).await?;
        }
        cluster.up().await?;
        let steps = Steps { cluster: &cluster, client: &client, ways };

        let (mut starts, mut stops, mut is_beyond) = (Vec::new(), Vec::new(), false);
        for step in 1..STEPS_MAX {
            let make = async |node: &str| create(&client, &of(node, step)).await;
            let is_ready =
                async |node: &str| Ok(steps.found(node, step).await?.is_some_and(|pod| pod.is_ready));
            let started = steps.through(step, make, is_ready).await?;
            for (node, _) in NODES {
                let pod = steps.found(node, step).await?.context("it is ready")?;
                let made = containers(&cluster, node, &pod.name).await?;
                ensure!(pod.restarts == 0, "{started:?}: restarted: {pod:?}");
                ensure!(
                    made.len() == 3 && made.iter().all(|name| name.ends_with("_0")),
                    "{started:?}: {made:?}"
                );
            }
            let remove = async |node: &str| {
                client
                    .request(Method::DELETE, &format!("{PLACE}/s{step}-{node}"), None)
                    .await
                    .map(drop)
                    .map_err(Into::into)
            };
            let is_gone = async |node: &str| Ok(steps.found(node, step).await?.is_none());
            let stopped = steps.through(step, remove, is_gone).await?;
            for (node, _) in NODES {
                until("containers of a pod that is gone", SOON, async || {
                    Ok(containers(&cluster, node, &format!("s{step}-")).await?.is_empty())
                })
                .await?;
            }
            is_beyond = started.is_empty() && stopped.is_empty();
            starts.extend(started);
            stops.extend(stopped);
            if is_beyond {
                break;
            }
        }
        ensure!(is_beyond, "a pod has more steps: {starts:?} {stops:?}");
        // Of each of three containers, before and after.
        let count = |all: &[String], what: &str| all.iter().filter(|one| one.contains(what)).count();
        ensure!(count(&starts, "/create") >= 6 && count(&starts, "/start") >= 6, "{starts:?}");
        ensure!(count(&stops, "/kill?signal=SIGTERM") >= 2 && count(&stops, "DELETE ") >= 6, "{stops:?}");
        cluster.down().await.map(drop)
    });
}
