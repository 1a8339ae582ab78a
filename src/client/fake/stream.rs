//! The stream of a watch, and what can go wrong with it.

use std::sync::Arc;
use std::time::Duration;

use base::env;
use bytes::Bytes;
use futures::Stream;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::watch as published;

use super::selector::Selector;
use super::store::{Change, Path};
use super::{Shared, failure};
use crate::transport::BodyError;

/// After how long without a change a bookmark comes.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(1);

/// What goes wrong with a stream.
#[derive(Clone, Debug, Default)]
pub struct Break {
    /// So many changes from before the start are told again.
    pub repeated: usize,
    /// After so many events the stream ends.
    pub cut_after: Option<usize>,
    /// It ends with half an event.
    pub is_torn: bool,
    /// It ends with an ERROR of this code.
    pub error: Option<u16>,
    /// So long it takes to each event.
    pub delay: Duration,
}

struct Events {
    shared: Arc<Shared>,
    changed: published::Receiver<u64>,
    master: usize,
    path: Path,
    selector: Selector,
    revision: u64,
    told: usize,
    broken: Break,
    is_over: bool,
}

type Item = Result<Frame<Bytes>, BodyError>;

pub(super) fn events(
    shared: Arc<Shared>,
    master: usize,
    path: Path,
    selector: Selector,
    revision: u64,
    broken: Break,
) -> impl Stream<Item = Item> + Send {
    let changed = shared.changed.subscribe();
    let revision = shared.world.lock().store.before(revision, broken.repeated);
    let events =
        Events { shared, changed, master, path, selector, revision, told: 0, broken, is_over: false };
    futures::stream::unfold(events, |mut events| async move {
        let item = events.next().await?;
        Some((item, events))
    })
}

impl Events {
    async fn next(&mut self) -> Option<Item> {
        loop {
            if self.is_over {
                return None;
            }
            if !self.shared.world.lock().is_alive[self.master] {
                self.is_over = true;
                return Some(Err(BodyError("connection reset".to_owned())));
            }
            if self.broken.cut_after.is_some_and(|after| self.told >= after) {
                self.is_over = true;
                return self.last();
            }
            if self.revision < self.shared.world.lock().store.floor() {
                self.is_over = true;
                return Some(frame("ERROR", &failure(410, "too old resource version")));
            }
            let Some(change) = self.take() else {
                if env::timeout(BOOKMARK_INTERVAL, self.changed.changed()).await.is_err() {
                    return Some(frame("BOOKMARK", &self.bookmark()));
                }
                continue;
            };
            env::sleep(self.broken.delay).await;
            if let Some(item) = self.tell(&change) {
                self.told += 1;
                return Some(item);
            }
        }
    }

    fn take(&mut self) -> Option<Change> {
        let world = self.shared.world.lock();
        let change = world.store.after(self.revision)?.clone();
        self.revision = change.revision;
        Some(change)
    }

    fn bookmark(&self) -> Value {
        json!({"metadata": {"resourceVersion": self.revision.to_string()}})
    }

    /// A change as this watch sees it: objects come into its selection, and leave it.
    fn tell(&self, change: &Change) -> Option<Item> {
        if !self.path.holds(&change.key) {
            return None;
        }
        let is_seen = |object: &&Arc<Value>| self.selector.matches(object);
        let (before, after) = (change.before.as_ref().filter(is_seen), change.after.as_ref().filter(is_seen));
        match (before, after) {
            (None, None) => None,
            (None, Some(after)) => Some(frame("ADDED", after)),
            (Some(_), Some(after)) => Some(frame("MODIFIED", after)),
            (Some(before), None) => {
                let mut last = Value::clone(before);
                last["metadata"]["resourceVersion"] = change.revision.to_string().into();
                Some(frame("DELETED", &last))
            }
        }
    }

    /// How a broken stream ends.
    fn last(&mut self) -> Option<Item> {
        if let Some(code) = self.broken.error {
            return Some(frame("ERROR", &failure(code, "scripted")));
        }
        if !self.broken.is_torn {
            return None;
        }
        Some(Ok(Frame::data(Bytes::from_static(b"{\"type\":\"ADDED\",\"object\":{\"metadata\":{"))))
    }
}

fn frame(kind: &str, object: &Value) -> Item {
    let mut line = json!({"type": kind, "object": object}).to_string();
    line.push('\n');
    Ok(Frame::data(Bytes::from(line)))
}
