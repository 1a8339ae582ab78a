//! The Node object and its Lease: registered once, kept for as long as the agent runs.

use std::time::Duration;

use api::time;
use base::env;
use client::{Client, Lease, Patch, Repeat};
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Node;
use kubelet::engine::docker::Docker;
use serde_json::Value;

use crate::node::{self, Facts, Machine, Seen};
use crate::pressure::{Measured, Pressures};
use crate::store::Store;

/// How often the lease is renewed while it holds.
const RENEWALS: u32 = 3;

/// How often the status is written though nothing changed: Kubernetes' `nodeStatusReportFrequency`.
const STATUS_INTERVAL: Duration = Duration::from_secs(300);

/// How long after a write of the status somebody else's is not looked for: until then the watch may tell of what was.
const LOOK_AFTER: Duration = Duration::from_secs(3);

/// How long a renewal may take before the next is tried.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the engine may take to say that it is there.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the engine may be away before the node is not ready: one that is restarted costs no pod its node.
const ENGINE_AWAY_MAX: Duration = Duration::from_secs(10);

/// How often the engine's images are looked at, as kubelet does.
const IMAGES_INTERVAL: Duration = Duration::from_secs(30);

/// Creates the Node, or finds it; returns its uid. One that somebody made by hand is given the labels that every node
/// has. `pod_cidr` is where this node's pods are already, if it registers once more.
///
/// # Errors
/// When the masters refuse.
pub async fn register(
    client: &Client,
    facts: &Facts,
    machine: &Machine,
    pod_cidr: Option<Ipv4Net>,
) -> anyhow::Result<String> {
    let path = format!("/api/v1/nodes/{}", facts.name);
    let created = client.create("/api/v1/nodes", node::object(facts, machine, pod_cidr).to_string()).await;
    let read = match created {
        Err(error) if error.is_conflict() => client.get(&path).await?,
        created => created?,
    };
    let found: Node = serde_json::from_slice(&read)?;
    if let Some(labels) = node::lacking(&found, facts, machine) {
        client.patch(&path, Patch::Merge, labels.to_string(), Repeat::Unknown).await?;
    }
    report(client, facts, machine, &Seen::default()).await?;
    Ok(found.metadata.uid.unwrap_or_default())
}

/// Writes the status.
async fn report(client: &Client, facts: &Facts, machine: &Machine, seen: &Seen) -> Result<(), client::Error> {
    let path = format!("/api/v1/nodes/{}", facts.name);
    let found: Value = serde_json::from_slice(&client.get(&path).await?).unwrap_or_default();
    let known = &found["status"]["conditions"];
    let status = node::status(facts, machine, known, seen, env::wall_ms());
    let path = format!("{path}/status");
    client.patch(&path, Patch::Strategic, status.to_string(), Repeat::Unknown).await?;
    for turn in node::turns(known, &status) {
        tell(client, facts, &turn, &format!("Node {} status is now: {turn}", facts.name));
    }
    Ok(())
}

/// Tells of the node. Nobody waits for it, and what fails is lost: nothing depends on events.
pub fn tell(client: &Client, facts: &Facts, reason: &str, message: &str) {
    let event = node::event(facts, reason, message, env::wall_ms());
    let client = client.clone();
    env::spawn(async move {
        if let Err(error) = client.create("/api/v1/namespaces/default/events", event.to_string()).await {
            tracing::debug!(%error, %event, "an event of the node was not written");
        }
    });
}

/// Whether the Node says of its readiness what the agent does: the masters say something else of a node that was
/// silent. One that nobody was told of is asked for: it may have been deleted.
fn says(nodes: &Store<Node>, name: &str, is_ready: bool) -> bool {
    if !nodes.is_synced() {
        return true;
    }
    let status = nodes.get("", name).and_then(|node| node.status.clone());
    let conditions = status.and_then(|status| status.conditions).unwrap_or_default();
    let mut ready = conditions.iter().filter(|condition| condition.type_ == "Ready");
    ready.any(|condition| condition.status == if is_ready { "True" } else { "False" })
}

/// Whether no new pods are to come; `None` while nobody told.
fn is_closed(nodes: &Store<Node>, name: &str) -> Option<bool> {
    let node = nodes.is_synced().then(|| nodes.get("", name))??;
    Some(node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false))
}

/// Whether the engine answers; if not, what to say.
async fn answer(engine: &Docker) -> Result<(), String> {
    let why = match env::timeout(ENGINE_TIMEOUT, engine.ping()).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", ENGINE_TIMEOUT.as_secs()),
    };
    Err(format!("container runtime is down: {why}"))
}

/// Since when the engine is away.
#[derive(Default)]
struct Outage(Option<env::Instant>);

impl Outage {
    /// What is wrong with the node, if it is by now.
    fn look(&mut self, answer: Result<(), String>) -> Option<String> {
        let Err(why) = answer else {
            self.0 = None;
            return None;
        };
        let since = *self.0.get_or_insert_with(env::monotonic);
        (since.elapsed() >= ENGINE_AWAY_MAX).then_some(why)
    }
}

/// What a node remembers of how it was.
#[derive(Default)]
struct Health {
    outage: Outage,
    pressures: Pressures,
    images: Option<Vec<(Vec<String>, u64)>>,
    images_asked: Option<env::Instant>,
}

impl Health {
    /// Looks at engine and machine.
    async fn look(&mut self, facts: &Facts, engine: &Docker) -> Seen {
        let answer = answer(engine).await;
        let now = env::monotonic();
        if answer.is_ok() && self.images_asked.is_none_or(|asked| now - asked >= IMAGES_INTERVAL) {
            self.images_asked = Some(now);
            match env::timeout(ENGINE_TIMEOUT, engine.images()).await {
                Ok(Ok(there)) => self.images = Some(node::images(there)),
                // The Node shows what there was, until the engine says more.
                Ok(Err(error)) => tracing::debug!(%error, "the engine does not say which images it has"),
                Err(_) => tracing::debug!("the engine does not say in time which images it has"),
            }
        }
        let directory = facts.directory.clone();
        let measured = env::blocking(move || Measured::look(&directory)).await;
        Seen {
            trouble: self.outage.look(answer),
            short: self.pressures.look(&facts.thresholds, &measured, now),
            images: self.images.clone(),
        }
    }
}

/// Renews the lease, which holds for `seconds`, and writes the status when it changes or is old.
///
/// # Errors
/// Never: what fails is tried again.
pub async fn keep(
    client: &Client,
    facts: &Facts,
    machine: &Machine,
    (uid, pod_cidr): (String, Ipv4Net),
    (engine, nodes): (&Docker, &Store<Node>),
    seconds: u32,
) -> anyhow::Result<()> {
    let owner = |uid| Some(["v1".to_owned(), "Node".to_owned(), facts.name.clone(), uid]);
    let mut lease = Lease {
        namespace: "kube-node-lease".to_owned(),
        name: facts.name.clone(),
        holder: facts.name.clone(),
        duration_seconds: seconds as i32,
        owner: owner(uid),
    };
    let interval = Duration::from_secs(seconds.into()) / RENEWALS;
    let mut health = Health::default();
    let (mut told, mut reported) = (Seen::default(), env::monotonic());
    let mut was_closed = None;
    loop {
        let began = env::monotonic();
        if let Some(closed) = is_closed(nodes, &facts.name)
            && was_closed.replace(closed).is_some_and(|was| was != closed)
        {
            let turn = if closed { "NodeNotSchedulable" } else { "NodeSchedulable" };
            tell(client, facts, turn, &format!("Node {} status is now: {turn}", facts.name));
        }
        match env::timeout(interval.min(RENEWAL_TIMEOUT), client.renew(&lease)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the lease was not renewed"),
            Err(_) => tracing::debug!("the lease was not renewed in time"),
        }
        let now = health.look(facts, engine).await;
        let mut is_due = now.differs(&told) || reported.elapsed() >= STATUS_INTERVAL;
        if !is_due && reported.elapsed() >= LOOK_AFTER {
            is_due = !says(nodes, &facts.name, now.trouble.is_none());
        }
        if is_due {
            match report(client, facts, machine, &now).await {
                Ok(()) => (told, reported) = (now, env::monotonic()),
                // Deleted under its feet: it registers again, with the range that its pods are in.
                Err(error) if error.is_not_found() => {
                    match register(client, facts, machine, Some(pod_cidr)).await {
                        // The next look reports all that there is to say.
                        Ok(uid) => (lease.owner, told) = (owner(uid), Seen::default()),
                        Err(error) => {
                            tracing::warn!(%error, "the node was deleted, and cannot register again yet")
                        }
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, at = time::rfc3339(env::wall_ms()), "the status was not written")
                }
            }
        }
        env::sleep_until(began + interval).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use client::Event;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_engine_that_is_away_for_long_makes_the_node_not_ready() {
        env::simulate(1, async {
            let mut outage = Outage::default();
            let away = || Err("down".to_owned());
            for answer in [away(), Ok(()), away()] {
                assert_eq!(outage.look(answer), None);
                env::sleep(ENGINE_AWAY_MAX / 2).await;
            }
            assert_eq!(outage.look(away()), None);
            env::sleep(ENGINE_AWAY_MAX / 2).await;
            assert_eq!(outage.look(away()).as_deref(), Some("down"));
            assert_eq!(outage.look(Ok(())), None);
        });
    }

    #[test]
    fn whether_a_node_is_closed_is_known_once_it_was_told() {
        let nodes = Store::<Node>::default();
        assert_eq!(is_closed(&nodes, "n"), None);
        for spec in [json!({}), json!({"unschedulable": true}), json!({"unschedulable": false})] {
            let object = json!({"metadata": {"name": "n"}, "spec": spec});
            nodes.take(Event::Restarted(vec![Arc::new(serde_json::from_value(object).expect("a node"))]));
            assert_eq!(is_closed(&nodes, "n"), Some(spec["unschedulable"] == true));
        }
    }

    #[test]
    fn what_the_masters_say_of_a_node_is_seen_without_asking() {
        let nodes = Store::<Node>::default();
        let node = |status: &str| {
            let conditions = json!([{"type": "Ready", "status": status}]);
            let object = json!({"metadata": {"name": "n"}, "status": {"conditions": conditions}});
            Arc::new(serde_json::from_value::<Node>(object).expect("a node"))
        };
        // Before anything was told, nothing is wrong.
        assert!(says(&nodes, "n", true));
        nodes.take(Event::Restarted(vec![node("True")]));
        assert!(says(&nodes, "n", true) && !says(&nodes, "n", false));
        nodes.take(Event::Applied(node("Unknown")));
        assert!(!says(&nodes, "n", true) && !says(&nodes, "n", false));
        nodes.take(Event::Deleted(node("Unknown")));
        assert!(!says(&nodes, "n", true));
    }
}
