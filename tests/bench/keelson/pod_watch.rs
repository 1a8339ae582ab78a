//! Pods of a namespace as a watch on one master tells of them: when each was bound, ran, and was gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base::env::{self, Instant};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde::Deserialize;

use super::http::{Connection, succeeded};
use crate::watching::Lines;

/// Between two looks at what was told.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What happens to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It has a node.
    Bound,
    /// Its node says that it runs.
    Running,
    /// There is no such pod any more.
    Gone,
}

/// What a watch has told since it was opened, or since [`PodWatch::begin`].
#[derive(Default)]
struct Told {
    /// What happened last to each pod.
    pods: BTreeMap<String, Moment>,
    moments: Vec<(Moment, Instant, String)>,
    has_ended: bool,
}

/// A watch, being read.
pub struct PodWatch(Arc<Mutex<Told>>);

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Object,
}

#[derive(Default, Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    status: serde_json::Value,
}

#[derive(Deserialize)]
struct List {
    metadata: Metadata,
    items: Vec<Object>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    resource_version: String,
}

impl Object {
    fn moment(&self) -> Moment {
        if self.status["phase"] == "Running" { Moment::Running } else { Moment::Bound }
    }
}

impl PodWatch {
    /// Tells of what happens from now on. Keeps `connection` open for as long as the stream lasts.
    pub async fn open(connection: Connection, namespace: &str) -> Result<Self> {
        // A pod without a node concerns nobody here: the first that is told of one is that it has one.
        let path = format!("/api/v1/namespaces/{namespace}/pods?fieldSelector=spec.nodeName%21%3D");
        let list: List = serde_json::from_slice(&connection.get(&path).await?)?;
        let path = format!("{path}&watch=1&resourceVersion={}", list.metadata.resource_version);
        let answer = connection.send(Method::GET, &path, Bytes::new()).await?;
        let mut body = succeeded(answer).await.context("opening a watch on pods")?.into_body();
        let known = list.items.into_iter().map(|pod| (pod.moment(), pod.metadata.name));
        let pods = known.map(|(moment, name)| (name, moment)).collect();
        let told = Arc::new(Mutex::new(Told { pods, ..Told::default() }));
        let reader = Arc::clone(&told);
        env::spawn(async move {
            let mut lines = Lines::default();
            while let Some(Ok(frame)) = body.frame().await {
                let Ok(data) = frame.into_data() else { continue };
                let now = env::monotonic();
                let mut told = reader.lock();
                lines.push(&data, |line| told.event(line, now));
            }
            reader.lock().has_ended = true;
            drop(connection);
        });
        Ok(Self(told))
    }

    /// Forgets what was told of before.
    pub fn begin(&self) {
        self.0.lock().moments.clear();
    }

    /// When it happened, to each pod that it happened to, in order.
    pub fn when(&self, moment: Moment) -> Vec<Instant> {
        let told = self.0.lock();
        told.moments.iter().filter(|(of, ..)| *of == moment).map(|(_, at, _)| *at).collect()
    }

    /// Waits until it has happened to as many pods; returns when it did to the last of them.
    ///
    /// # Errors
    /// When it has not within `limit`.
    pub async fn wait(&self, moment: Moment, count: usize, limit: Duration) -> Result<Instant> {
        env::wait_until(limit, LOOK_EVERY, || {
            let told = self.0.lock();
            told.has_ended || told.moments.iter().filter(|(of, ..)| *of == moment).count() >= count
        })
        .await;
        let when = self.when(moment);
        match count.checked_sub(1).and_then(|last| when.get(last)) {
            Some(at) => Ok(*at),
            None if self.0.lock().has_ended => bail!("the watch on pods ended"),
            None => bail!("{moment:?}: {} of {count} pods within {limit:?}", when.len()),
        }
    }
}

impl Told {
    fn event(&mut self, line: &[u8], now: Instant) {
        let Ok(Event { kind, object }) = serde_json::from_slice::<Event>(line) else { return };
        let moment = match kind.as_str() {
            "DELETED" => Moment::Gone,
            "ADDED" | "MODIFIED" => object.moment(),
            _ => return,
        };
        let name = object.metadata.name;
        let before = self.pods.get(&name).copied();
        if before == Some(moment) || before == Some(Moment::Running) && moment == Moment::Bound {
            return;
        }
        // Who runs was bound, though two writes may have come as one.
        if before.is_none() && moment == Moment::Running {
            self.moments.push((Moment::Bound, now, name.clone()));
        }
        match moment {
            Moment::Gone => _ = self.pods.remove(&name),
            _ => _ = self.pods.insert(name.clone(), moment),
        }
        self.moments.push((moment, now, name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_moment_of_a_pod_counts_once() {
        let mut told = Told::default();
        let now = env::monotonic();
        let mut event = |kind: &str, name: &str, phase: &str| {
            let object = serde_json::json!({"metadata": {"name": name}, "status": {"phase": phase}});
            told.event(serde_json::json!({"type": kind, "object": object}).to_string().as_bytes(), now);
        };
        event("ADDED", "a", "Pending");
        event("MODIFIED", "a", "Pending");
        event("MODIFIED", "a", "Running");
        event("MODIFIED", "a", "Running");
        event("BOOKMARK", "", "");
        event("ADDED", "b", "Running");
        event("DELETED", "a", "Running");
        event("ERROR", "", "");
        let moments: Vec<_> = told.moments.iter().map(|(of, _, name)| (*of, name.as_str())).collect();
        use Moment::{Bound, Gone, Running};
        assert_eq!(moments, [(Bound, "a"), (Running, "a"), (Bound, "b"), (Running, "b"), (Gone, "a")]);
    }
}
