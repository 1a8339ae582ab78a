//! GET of a collection's changes.
//!
//! # Flow
//! Where to start, then perhaps the objects that there are (as ADDED), then every change, until the
//! client goes, the time is up, or history is lost.
//!
//! # Guarantees
//! Every change after the start is told once, in order of revision. An object that begins or ceases to
//! match the selectors is told as ADDED or DELETED. What history no longer reaches ends the stream with
//! an ERROR of code 410. A master that installs a snapshot ends its streams without a word: a client
//! resumes where it was, from the history that came with the snapshot.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use api::lens::Lens;
use api::{Status, proto};
use axum::body::Body;
use axum::response::Response;
use base::env::{self, Instant};
use base::shutdown::Shutdown;
use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use replica::{Event, WatchEnd};
use state::Object;

use super::list_options::ListOptions;
use super::{Call, moment_for, revision};
use crate::backend::Changes;
use crate::errors::Failure;
use crate::filter::Filter;
use crate::limits::{BOOKMARK_INTERVAL, WATCH_CHUNK_BYTES, WATCH_DURATION_MAX, WATCH_DURATION_MIN};
use crate::metrics::OpenWatch;
use crate::negotiate::{self, Representation};
use crate::present;
use crate::server::Context;

/// Opens the stream.
pub(super) async fn handle(context: Arc<Context>, call: Call) -> Result<Response, Failure> {
    negotiate::stream(&call.accept)?;
    let form = call.form()?;
    let (wanted, filter) = ListOptions::of(&call)?;
    let options = Options::of(&call, &wanted)?;
    let encoder = Encoder { form, filter, lens: call.lens.clone(), has_columns: false };
    let media = match encoder.form {
        form if form.is_protobuf() => "application/vnd.kubernetes.protobuf;stream=watch",
        _ => "application/json",
    };
    let prefix = call.row.prefix(&call.path.namespace);
    let start = start(&context, &options, &prefix).await?;
    let (changes, start) = match context.backend.watch(&prefix, start.revision) {
        Ok(changes) => (Some(changes), start),
        Err(end) => (None, Start::lost(end, encoder.form)),
    };
    let stream = Stream {
        changes,
        encoder,
        pending: start.pending.into_iter().collect(),
        initial: start.initial,
        ends: start.ends,
        deadline: env::monotonic() + options.duration,
        bookmark_at: options.bookmarks.then(|| env::monotonic() + BOOKMARK_INTERVAL),
        shutdown: context.shutdown.clone(),
        _open: context.metrics.open_watch(&call.row),
    };
    let chunks = futures::stream::unfold(stream, |mut stream| async move {
        let chunk = stream.next().await?;
        Some((Ok::<_, Infallible>(chunk), stream))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    Ok(response)
}

/// Which watch is asked for.
struct Options {
    revision: Option<u64>,
    /// `sendInitialEvents`, if it is given.
    initial: Option<bool>,
    bookmarks: bool,
    duration: Duration,
}

impl Options {
    fn of(call: &Call, wanted: &ListOptions) -> Result<Self, Status> {
        let duration = match wanted.timeout_seconds.unwrap_or(0) {
            // Spread, so that the watches of a restarted cluster do not all end together.
            0 => WATCH_DURATION_MIN.mul_f64(1.0 + (env::random_u64() % 1000) as f64 / 1000.0),
            seconds => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(WATCH_DURATION_MAX),
        };
        let revision = revision(call.query.get("resourceVersion"));
        let revision = revision.map_err(|error| Status::unexplained(error.to_string()))?;
        let bookmarks = call.query.is_true("allowWatchBookmarks");
        Ok(Self { revision, initial: wanted.send_initial_events, bookmarks, duration })
    }

    /// Whether what exists is told before what changes.
    fn wants_initial(&self) -> bool {
        self.initial.unwrap_or(matches!(self.revision, None | Some(0)))
    }
}

/// Where a watch begins, and what is told before any change.
struct Start {
    revision: u64,
    /// What ends a watch that cannot begin: one frame, or none.
    pending: Option<Bytes>,
    initial: std::vec::IntoIter<Arc<Object>>,
    /// The revision of the bookmark behind the initial objects, if one is wanted.
    ends: Option<u64>,
}

impl Start {
    /// A watch that cannot begin tells why, and nothing else.
    fn lost(end: WatchEnd, form: Representation) -> Self {
        Self { revision: 0, pending: last_frame(end, form), initial: Vec::new().into_iter(), ends: None }
    }
}

async fn start(context: &Context, options: &Options, prefix: &str) -> Result<Start, Failure> {
    let moment = moment_for(&*context.backend, options.revision).await?;
    let (revision, initial): (_, Vec<_>) = match options.revision {
        _ if options.wants_initial() => (moment.revision(), moment.state.range(prefix).cloned().collect()),
        Some(given @ 1..) => (given, Vec::new()),
        _ => (moment.revision(), Vec::new()),
    };
    let ends = (options.bookmarks && options.initial == Some(true)).then_some(revision);
    Ok(Start { revision, pending: None, initial: initial.into_iter(), ends })
}

/// A watch on its way to one client. Polled only as fast as the client reads.
struct Stream {
    /// `None` once it is over.
    changes: Option<Box<dyn Changes>>,
    encoder: Encoder,
    /// Frames to be sent first. More are asked for once they are gone: never more than those of the changes
    /// that [`Changes::next`] hands out at a time, and a last one.
    pending: VecDeque<Bytes>,
    /// Objects to be told as ADDED.
    initial: std::vec::IntoIter<Arc<Object>>,
    /// The revision of the bookmark that ends the initial events, while it is owed.
    ends: Option<u64>,
    deadline: Instant,
    /// When the next bookmark is due, if the client wants any.
    bookmark_at: Option<Instant>,
    shutdown: Shutdown,
    _open: OpenWatch,
}

/// What a watch wakes for.
enum Wake {
    Changes(Result<Vec<Arc<Event>>, WatchEnd>),
    Bookmark,
    End,
}

impl Stream {
    /// The next bytes for the client; `None` when the watch is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(chunk) = self.ready() {
                return Some(chunk);
            }
            match self.wake().await? {
                Wake::Changes(Ok(events)) => {
                    let encoder = &mut self.encoder;
                    self.pending.extend(events.iter().filter_map(|event| encoder.change(event)));
                }
                Wake::Changes(Err(end)) => {
                    self.pending.extend(last_frame(end, self.encoder.form));
                    self.changes = None;
                }
                Wake::Bookmark => self.bookmark(),
                Wake::End => {
                    if self.bookmark_at.is_some() {
                        self.bookmark();
                    }
                    self.changes = None;
                }
            }
        }
    }

    /// What can be sent without waiting, put together up to the size of a chunk.
    fn ready(&mut self) -> Option<Bytes> {
        let first = self.frame()?;
        let mut next = self.frame();
        if next.is_none() {
            return Some(first);
        }
        let mut chunk = BytesMut::with_capacity(WATCH_CHUNK_BYTES);
        chunk.extend_from_slice(&first);
        while let Some(frame) = next {
            chunk.extend_from_slice(&frame);
            next = if chunk.len() < WATCH_CHUNK_BYTES { self.frame() } else { None };
        }
        Some(chunk.freeze())
    }

    fn frame(&mut self) -> Option<Bytes> {
        if let Some(frame) = self.pending.pop_front() {
            return Some(frame);
        }
        for object in self.initial.by_ref() {
            if self.encoder.filter.matches(&object) {
                return Some(self.encoder.object("ADDED", &object.bytes.to_bytes()));
            }
        }
        self.ends.take().map(|revision| self.encoder.bookmark(revision, true))
    }

    async fn wake(&mut self) -> Option<Wake> {
        let changes = self.changes.as_mut()?;
        let bookmark_at = self.bookmark_at.unwrap_or(self.deadline);
        // All arms may be dropped and taken up again without losing anything.
        tokio::select! {
            biased;
            () = self.shutdown.wait() => Some(Wake::End),
            () = env::sleep_until(self.deadline) => Some(Wake::End),
            () = env::sleep_until(bookmark_at), if self.bookmark_at.is_some() => Some(Wake::Bookmark),
            events = changes.next() => Some(Wake::Changes(events)),
        }
    }

    fn bookmark(&mut self) {
        self.bookmark_at = Some(env::monotonic() + BOOKMARK_INTERVAL);
        if let Some(changes) = &mut self.changes {
            let frame = self.encoder.bookmark(changes.progress(), false);
            self.pending.push_back(frame);
        }
    }
}

/// What is told of the end of a watch, if anything is.
fn last_frame(end: WatchEnd, form: Representation) -> Option<Bytes> {
    let Failure(status) = Failure::of_watch(end)?;
    Some(framed("ERROR", &present::encode_status(&status, form), form))
}

fn framed(kind: &str, object: &[u8], form: Representation) -> Bytes {
    match form {
        form if form.is_protobuf() => proto::watch_frame(kind, object).into(),
        _ => [b"{\"type\":\"", kind.as_bytes(), b"\",\"object\":", object, b"}\n"].concat().into(),
    }
}

/// Makes frames of changes.
struct Encoder {
    form: Representation,
    filter: Filter,
    lens: Lens,
    /// Whether the client was told the columns of its table.
    has_columns: bool,
}

impl Encoder {
    /// The frame of a change; `None` when the client does not see it.
    fn change(&mut self, event: &Event) -> Option<Bytes> {
        let change = &event.change;
        let is_seen = !change.deleted && self.filter.matches(&change.object);
        let was_seen = change.previous.as_ref().is_some_and(|previous| self.filter.matches(previous));
        let kind = match (was_seen, is_seen) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        // An object that ceased to match is told as it was, at the revision of the change.
        let ceased = kind == "DELETED" && !change.deleted;
        if let Some(previous) = change.previous.as_ref().filter(|_| ceased) {
            return Some(self.object(kind, &at_revision(previous, change.revision)));
        }
        // What everybody sees the same way is encoded once.
        let common = kind == common_kind(event);
        if self.form == Representation::Plain && common && self.lens.is_plain() {
            return Some(
                event.frame.get_or_init(|| framed(kind, &change.object.bytes.to_bytes(), self.form)).clone(),
            );
        }
        Some(self.object(kind, &change.object.bytes.to_bytes()))
    }

    fn object(&mut self, kind: &str, stored: &Bytes) -> Bytes {
        let with_columns = !std::mem::replace(&mut self.has_columns, true);
        framed(kind, &present::encode(stored, &self.lens, self.form, with_columns), self.form)
    }

    fn bookmark(&self, revision: u64, initial_events_end: bool) -> Bytes {
        framed(
            "BOOKMARK",
            &present::bookmark(revision, initial_events_end, &self.lens.shown, self.form),
            self.form,
        )
    }
}

/// What a watch without selectors is told.
fn common_kind(event: &Event) -> &'static str {
    match (&event.change.previous, event.change.deleted) {
        (_, true) => "DELETED",
        (None, false) => "ADDED",
        (Some(_), false) => "MODIFIED",
    }
}

/// An object's bytes with another revision in place of its own.
fn at_revision(object: &Object, revision: u64) -> Bytes {
    let member = format!("\"resourceVersion\":\"{revision}\",");
    let mut pieces = object.body_pieces();
    pieces.insert(1, member.as_bytes());
    pieces.concat().into()
}
