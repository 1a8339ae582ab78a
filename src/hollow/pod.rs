//! A pod: the few fields that are decoded of what the watch tells, and the little that is kept.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use base::env::Instant;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::template::Template;

/// Annotations that begin like this are for hollow nodes.
const ANNOTATIONS: &str = "hollow.keelson.io/";

/// A pod as the watch tells of it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Seen {
    pub(crate) metadata: Meta,
    pub(crate) spec: Spec,
    #[serde(default)]
    pub(crate) status: Status,
}

/// Of its metadata.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: Box<str>,
    pub(crate) resource_version: String,
    pub(crate) deletion_timestamp: Option<IgnoredAny>,
    #[serde(default, rename = "annotations", deserialize_with = "behaviour")]
    pub(crate) behaviour: Behaviour,
}

/// Of its specification.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    #[serde(default)]
    pub(crate) node_name: String,
    pub(crate) containers: Vec<Container>,
    #[serde(default)]
    pub(crate) init_containers: Vec<Container>,
    #[serde(default)]
    pub(crate) restart_policy: Restart,
    #[serde(default)]
    pub(crate) host_network: bool,
}

/// Of a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Container {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) image: String,
}

/// When a container that ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum Restart {
    #[default]
    Always,
    OnFailure,
    Never,
}

/// Of its status, written by an earlier process.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Status {
    #[serde(default)]
    pub(crate) phase: String,
    #[serde(default, rename = "podIP")]
    pub(crate) address: String,
    #[serde(default)]
    pub(crate) conditions: Vec<Condition>,
}

/// Of a condition.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) name: String,
    pub(crate) status: String,
}

/// What becomes of a pod, by its annotations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Behaviour {
    /// All containers end well, that long after they began.
    pub(crate) succeed_after: Option<Duration>,
    /// All containers fail, that long after they began.
    pub(crate) fail_after: Option<Duration>,
    /// It runs, and is never ready.
    pub(crate) not_ready: bool,
}

impl Seen {
    /// `NAMESPACE/NAME`
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.metadata.namespace, self.metadata.name)
    }

    pub(crate) fn revision(&self) -> u64 {
        self.metadata.resource_version.parse().unwrap_or(0)
    }

    /// Whether it runs, and its readiness is another than its node's behaviour makes it: the masters say of the pods of a
    /// silent node that they are not ready.
    pub(crate) fn is_overwritten(&self) -> bool {
        let ready = self.status.conditions.iter().find(|one| one.name == "Ready");
        let is_other = ready.is_some_and(|one| (one.status == "True") == self.metadata.behaviour.not_ready);
        self.status.phase == "Running" && is_other
    }

    /// What its status says.
    pub(crate) fn told(&self) -> Told {
        match self.status.phase.as_str() {
            "Running" => Told::Running { restarts: 0 },
            "Succeeded" => Told::Succeeded,
            "Failed" => Told::Failed,
            _ => Told::Nothing,
        }
    }
}

impl client::Kind for Seen {
    fn group() -> String {
        "/api/v1".to_owned()
    }

    const PLURAL: &'static str = "pods";

    fn revision(&self) -> Option<&str> {
        Some(&self.metadata.resource_version)
    }
}

/// What the masters were told of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    Running { restarts: u32 },
    Succeeded,
    Failed,
}

/// A pod as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) uid: Box<str>,
    /// Of the newest that was seen or written.
    pub(crate) revision: u64,
    pub(crate) behaviour: Behaviour,
    pub(crate) restart: Restart,
    /// The index of its node.
    pub(crate) node: usize,
    pub(crate) template: Arc<Template>,
    /// `None` where it has that of its node.
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) told: Told,
    /// Whether others told them something else since.
    pub(crate) is_overwritten: bool,
    /// When that was so first.
    pub(crate) since: Instant,
    /// When it was seen to be deleted.
    pub(crate) deleted: Option<Instant>,
    /// Seconds since the epoch at which it was told to run.
    pub(crate) started_s: u64,
    /// Writes that failed, one after another.
    pub(crate) failures: u32,
    /// Not before this.
    pub(crate) retry_at: Option<Instant>,
    /// Where it stands among those that are looked at later.
    pub(crate) waits: Option<(Instant, u64)>,
    /// Whether a write is on its way, or waits to be.
    pub(crate) is_busy: bool,
}

fn behaviour<'de, D: Deserializer<'de>>(from: D) -> Result<Behaviour, D::Error> {
    from.deserialize_any(BehaviourVisitor)
}

struct BehaviourVisitor;

impl<'de> Visitor<'de> for BehaviourVisitor {
    type Value = Behaviour;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("annotations")
    }

    fn visit_unit<E>(self) -> Result<Behaviour, E> {
        Ok(Behaviour::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Behaviour, A::Error> {
        let mut behaviour = Behaviour::default();
        while let Some(key) = map.next_key::<String>()? {
            let Some(name) = key.strip_prefix(ANNOTATIONS) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value: String = map.next_value()?;
            match name {
                "succeed-after" => behaviour.succeed_after = duration(&value),
                "fail-after" => behaviour.fail_after = duration(&value),
                "not-ready" => behaviour.not_ready = value == "true",
                _ => tracing::warn!("nothing is known of the annotation {key}"),
            }
        }
        Ok(behaviour)
    }
}

/// `500ms`, `5s`, `2m`; what is none of these means nothing.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|next: char| !next.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let unit_ms = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.saturating_mul(unit_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_fields_are_decoded() {
        let seen: Seen = serde_json::from_str(
            r#"{"kind":"Pod","metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"7","generation":1,
            "deletionTimestamp":"2026-01-01T00:00:00Z","annotations":{"x":"y","hollow.keelson.io/not-ready":"true",
            "hollow.keelson.io/fail-after":"90s"}},"spec":{"nodeName":"hollow-1","restartPolicy":"Never","volumes":[],
            "containers":[{"name":"c","image":"i","env":[]}]},"status":{"phase":"Running","podIP":"10.128.0.1"}}"#,
        )
        .expect("a pod");
        let behaviour =
            Behaviour { fail_after: Some(Duration::from_secs(90)), not_ready: true, ..Behaviour::default() };
        assert_eq!(seen.metadata.behaviour, behaviour);
        assert_eq!((seen.key().as_str(), seen.revision()), ("n/a", 7));
        assert!(seen.metadata.deletion_timestamp.is_some());
        assert_eq!(seen.spec.restart_policy, Restart::Never);
        assert_eq!(seen.told(), Told::Running { restarts: 0 });
    }

    #[test]
    fn durations_have_a_unit() {
        let cases = [
            ("500ms", Some(500)),
            ("5s", Some(5_000)),
            ("2m", Some(120_000)),
            ("5", None),
            ("s", None),
            ("", None),
        ];
        for (text, expect_ms) in cases {
            assert_eq!(duration(text), expect_ms.map(Duration::from_millis), "{text:?}");
        }
    }
}
