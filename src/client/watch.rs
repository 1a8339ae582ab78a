//! A local picture of a collection, kept up to date.
//!
//! # Flow
//! List page by page, then watch from the list's revision. A stream that ends or breaks is opened again, on
//! whichever master answers, from the last revision that was told. A task of its own reads and decodes; whoever
//! follows takes the events from a short queue.
//!
//! # Guarantees
//! - Between two [`Event::Restarted`] every change is told exactly once, in the order of revisions.
//! - There is a new [`Event::Restarted`] only when the masters' history does not reach back far enough (410).
//! - A stream that works on another master than the leader moves there later, within [`DRIFT`], so that a new leader
//!   does not get all streams of a cluster at once. Streams are opened again after a random pause.
//! - Nothing is read ahead of the queue but what the connection's window takes.
//!
//! # Assumptions
//! Revisions are decimal numbers that grow, the same on all masters.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base::backoff::Backoff;
use base::env;
use futures::Stream;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use crate::frame::{Frame, Lines};
use crate::kind::{Kind, Selection};
use crate::list::Page;
use crate::server::Server;
use crate::transport::Body;
use crate::{Client, Inner};

/// Events that wait for whoever follows.
pub const EVENTS_AHEAD_MAX: usize = 256;
/// Within what time the streams of a cluster move to a new leader.
pub const DRIFT: Duration = Duration::from_secs(60);
/// The first pause after a stream ended, and its bound. Each is drawn from between nothing and that.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Within what time streams are opened again once a master answers something else.
const BACK_SPREAD: Duration = Duration::from_secs(1);
/// See [`PAUSE_MIN`].
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// What is told of a collection.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<K> {
    /// These objects are all there are now; whatever else was told before is gone.
    Restarted(Vec<Arc<K>>),
    /// The object is new, or has changed.
    Applied(Arc<K>),
    /// The object is gone, or no longer selected; this is how it was.
    Deleted(Arc<K>),
}

/// A stream of events. Ends only with the runtime.
pub struct Watch<K> {
    events: mpsc::Receiver<Event<K>>,
    task: env::JoinHandle<()>,
}

impl<K> Drop for Watch<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<K> Watch<K> {
    /// The next event. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event<K>> {
        self.events.recv().await
    }
}

impl<K> Stream for Watch<K> {
    type Item = Event<K>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event<K>>> {
        self.events.poll_recv(context)
    }
}

impl Client {
    /// Follows the selected objects of a kind.
    pub fn watch<K: Kind>(&self, selection: Selection) -> Watch<K> {
        let (sender, events) = mpsc::channel(EVENTS_AHEAD_MAX);
        let client = self.clone();
        let task = env::spawn(async move {
            let mut watcher = Watcher { client, selection, backoff: Backoff::new(PAUSE_MIN, PAUSE_MAX) };
            let mut state = State::Empty;
            loop {
                let (next, event) = watcher.step(state).await;
                state = next;
                if let Some(event) = event
                    && sender.send(event).await.is_err()
                {
                    return;
                }
            }
        });
        Watch { events, task }
    }
}

/// How far a picture has come.
enum State<K> {
    /// Nothing is known.
    Empty,
    /// Some pages are there; the token names the next.
    Listing { objects: Vec<Arc<K>>, next: String },
    /// Everything up to the revision was told, and no stream is open.
    Waiting { revision: u64 },
    /// Everything up to the revision was told, and what follows comes from a stream.
    Following { revision: u64, source: Source },
}

/// An open stream.
struct Source {
    lines: Lines,
    server: Server,
    /// Resolves when the stream should move to the leader.
    drift: BoxFuture<'static, ()>,
}

struct Watcher {
    client: Client,
    selection: Selection,
    backoff: Backoff,
}

impl Watcher {
    async fn step<K: Kind>(&mut self, state: State<K>) -> (State<K>, Option<Event<K>>) {
        match state {
            State::Empty => self.list(Vec::new(), String::new()).await,
            State::Listing { objects, next } => self.list(objects, next).await,
            State::Waiting { revision } => (self.open(revision).await, None),
            State::Following { revision, source } => self.follow(revision, source).await,
        }
    }

    /// Reads a page.
    async fn list<K: Kind>(
        &mut self,
        mut objects: Vec<Arc<K>>,
        next: String,
    ) -> (State<K>, Option<Event<K>>) {
        let Page { metadata, items } = match self.client.page(&self.selection, &next).await {
            Ok(page) => page,
            Err(error) => {
                // The revision that the pages before belong to is history: begin anew.
                let is_lost = error.is_gone();
                self.pause(&error).await;
                return (if is_lost { State::Empty } else { State::Listing { objects, next } }, None);
            }
        };
        objects.extend(items);
        if !metadata.next.is_empty() {
            return (State::Listing { objects, next: metadata.next }, None);
        }
        match metadata.revision.parse() {
            Ok(revision) => (State::Waiting { revision }, Some(Event::Restarted(objects))),
            Err(_) => {
                self.pause(&format!("a list at revision {:?}", metadata.revision)).await;
                (State::Empty, None)
            }
        }
    }

    async fn open<K: Kind>(&mut self, revision: u64) -> State<K> {
        match self.client.changes::<K>(&self.selection, revision).await {
            Ok((server, body)) => State::Following { revision, source: self.source(server, body) },
            Err(error) => self.interrupted(revision, error.is_gone(), &error).await,
        }
    }

    fn source(&self, server: Server, body: Body) -> Source {
        let drift = Box::pin(drift(Arc::clone(&self.client.0), server.clone()));
        Source { lines: Lines::new(body), server, drift }
    }

    /// Waits for what the stream says next.
    async fn follow<K: Kind>(&mut self, revision: u64, mut source: Source) -> (State<K>, Option<Event<K>>) {
        // Both arms may be dropped: the lines keep what they have read, and a drift that is due stays due.
        let line = tokio::select! {
            biased;
            () = &mut source.drift => {
                tracing::debug!(from = %source.server, "a watch moves to the leader");
                return (State::Waiting { revision }, None);
            }
            line = source.lines.next() => line,
        };
        let frame = match line {
            Ok(Some(line)) => serde_json::from_slice::<Frame<K>>(&line).map_err(|error| error.to_string()),
            Ok(None) => Err("the stream ended".to_owned()),
            Err(why) => Err(why),
        };
        match frame {
            Ok(Frame::Bookmark(told)) => {
                self.backoff.reset();
                let revision = told.parse().map_or(revision, |told| revision.max(told));
                (State::Following { revision, source }, None)
            }
            Ok(Frame::Applied(object)) => self.told(revision, source, Arc::new(object), Event::Applied).await,
            Ok(Frame::Deleted(object)) => self.told(revision, source, Arc::new(object), Event::Deleted).await,
            Ok(Frame::Failed(status)) => {
                (self.interrupted(revision, status.code == 410, &status.message).await, None)
            }
            Err(why) => (self.interrupted(revision, false, &why).await, None),
        }
    }

    /// An object changed, unless that was told already.
    async fn told<K: Kind>(
        &mut self,
        revision: u64,
        source: Source,
        object: Arc<K>,
        event: fn(Arc<K>) -> Event<K>,
    ) -> (State<K>, Option<Event<K>>) {
        let told = object.revision().and_then(|text| text.parse().ok());
        match told {
            None => (self.interrupted(revision, false, &"an event without a revision").await, None),
            Some(told) if told <= revision => (State::Following { revision, source }, None),
            Some(told) => {
                self.backoff.reset();
                (State::Following { revision: told, source }, Some(event(object)))
            }
        }
    }

    /// The stream is over, or could not be opened.
    async fn interrupted<K: Kind>(
        &mut self,
        revision: u64,
        is_gone: bool,
        why: &(dyn std::fmt::Display + Sync),
    ) -> State<K> {
        self.pause(why).await;
        if is_gone { State::Empty } else { State::Waiting { revision } }
    }

    /// A random pause, so that the streams of a cluster do not come back together.
    async fn pause(&mut self, why: &(dyn std::fmt::Display + Sync)) {
        let bound_ms = self.backoff.next_delay().as_millis() as u64;
        let pause = Duration::from_millis(env::random_u64() % bound_ms.max(1));
        tracing::debug!(selection = ?self.selection, "a watch goes on in {} ms: {why}", pause.as_millis());
        let mut back = self.client.0.back.subscribe();
        // Masters that are there again are not kept waiting for long.
        if let Ok(Ok(())) = env::timeout(pause, back.changed()).await {
            let spread = pause.min(BACK_SPREAD).as_millis() as u64;
            env::sleep(Duration::from_millis(env::random_u64() % spread.max(1))).await;
        }
    }
}

/// Resolves when a stream from `server` should move to the leader: some time after another was seen to lead, drawn
/// anew for each, and never while that one fails.
async fn drift(inner: Arc<Inner>, server: Server) {
    let mut published = inner.leader.subscribe();
    loop {
        let leader = published.borrow_and_update().clone();
        let Some(leader) = leader.filter(|leader| *leader != server) else {
            if published.changed().await.is_err() {
                return std::future::pending().await;
            }
            continue;
        };
        let delay = Duration::from_millis(env::random_u64() % DRIFT.as_millis() as u64);
        if env::timeout(delay, published.changed()).await.is_err() && !inner.is_avoided(&leader) {
            return;
        }
    }
}
