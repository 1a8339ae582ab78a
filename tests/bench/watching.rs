//! Many watchers in one process: each reads its stream, and together they count what arrived, and how
//! long after its write was due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::env;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use memchr::memmem::Finder;
use parking_lot::Mutex;

use crate::keelson::http::Connection;
use crate::stats::Latencies;

/// Stands in every event of ours, before its stamp.
const STAMP_BEGINS: &[u8] = br#""at":""#;

/// The watchers, and what they saw.
#[derive(Clone)]
pub struct Audience {
    started: env::Instant,
    seen: Arc<Mutex<Seen>>,
    read_bytes: Arc<AtomicU64>,
    ended: Arc<AtomicU64>,
}

/// Of the round that is on.
#[derive(Default)]
struct Seen {
    round: u64,
    delivered: u64,
    latencies: Latencies,
    last_line_bytes: usize,
}

/// One round of writes, told apart from the stragglers of earlier ones.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// Its number.
    pub round: u64,
    started: env::Instant,
}

impl Delivery {
    /// What stands in the object of a write that is due at `due`.
    pub fn stamp(&self, due: env::Instant) -> String {
        format!("{}.{}", self.round, (due - self.started).as_micros())
    }
}

impl Audience {
    /// Nobody yet.
    pub fn new() -> Self {
        let (seen, read_bytes, ended) = Default::default();
        Self { started: env::monotonic(), seen, read_bytes, ended }
    }

    /// A watcher that only counts bytes.
    pub fn count_bytes(&self, mut body: Incoming) {
        let read_bytes = Arc::clone(&self.read_bytes);
        env::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                let size_bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                read_bytes.fetch_add(size_bytes, Ordering::Relaxed);
            }
        });
    }

    /// A watcher that counts events. Keeps `connection` open for as long as the stream lasts.
    pub fn follow(&self, mut body: Incoming, connection: Connection) {
        let audience = self.clone();
        env::spawn(async move {
            let mut lines = Lines::default();
            while let Some(Ok(frame)) = body.frame().await {
                let Ok(data) = frame.into_data() else { continue };
                let now = audience.started.elapsed();
                let mut seen = audience.seen.lock();
                lines.push(&data, |line| seen.event(line, now));
            }
            audience.ended.fetch_add(1, Ordering::Relaxed);
            drop(connection);
        });
    }

    /// A new round: what arrives of earlier ones counts no more.
    pub fn begin(&self) -> Delivery {
        let mut seen = self.seen.lock();
        let (round, last_line_bytes) = (seen.round + 1, seen.last_line_bytes);
        *seen = Seen { round, last_line_bytes, ..Seen::default() };
        Delivery { round, started: self.started }
    }

    /// Events of this round so far, over all watchers.
    pub fn delivered(&self) -> u64 {
        self.seen.lock().delivered
    }

    /// What the round gave: events, and their latencies.
    pub fn end(&self, delivery: &Delivery) -> (u64, Latencies) {
        let seen = self.seen.lock();
        assert_eq!(seen.round, delivery.round, "rounds do not overlap");
        (seen.delivered, seen.latencies.clone())
    }

    /// The length of the last event, with its line end.
    pub fn last_line_bytes(&self) -> usize {
        self.seen.lock().last_line_bytes
    }

    /// Bytes that the watchers of [`Audience::count_bytes`] have read.
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    /// Watches that the server has ended.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }
}

impl Seen {
    fn event(&mut self, line: &[u8], now: Duration) {
        let Some((round, due)) = stamp_of(line) else { return };
        if round == self.round {
            self.delivered += 1;
            self.latencies.record(now.saturating_sub(due));
            self.last_line_bytes = line.len() + 1;
        }
    }
}

/// The round, and when the write was due; `None` for an event that is not of ours.
fn stamp_of(line: &[u8]) -> Option<(u64, Duration)> {
    let begin = Finder::new(STAMP_BEGINS).find(line)? + STAMP_BEGINS.len();
    let end = begin + memchr::memchr(b'"', &line[begin..])?;
    let (round, micros) = std::str::from_utf8(&line[begin..end]).ok()?.split_once('.')?;
    Some((round.parse().ok()?, Duration::from_micros(micros.parse().ok()?)))
}

/// Cuts a stream into lines, wherever its pieces end.
#[derive(Default)]
pub struct Lines(Vec<u8>);

impl Lines {
    /// Takes in the next piece; `each` gets every line that ends in it.
    pub fn push(&mut self, mut piece: &[u8], mut each: impl FnMut(&[u8])) {
        while let Some(end) = memchr::memchr(b'\n', piece) {
            let (line, rest) = (&piece[..end], &piece[end + 1..]);
            if self.0.is_empty() {
                each(line);
            } else {
                self.0.extend_from_slice(line);
                each(&self.0);
                self.0.clear();
            }
            piece = rest;
        }
        self.0.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_wherever_the_pieces_end() {
        let check = |pieces: &[&str], expect: &[&str]| {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            let mut push = |piece: &str| {
                lines.push(piece.as_bytes(), |line| seen.push(String::from_utf8_lossy(line).into_owned()));
            };
            pieces.iter().for_each(|piece| push(piece));
            assert_eq!(seen, expect, "{pieces:?}");
        };
        check(&["one\ntwo\n"], &["one", "two"]);
        check(&["o", "ne\nt", "wo", "\n", "th"], &["one", "two"]);
        check(&["\n\n"], &["", ""]);
        check(&[], &[]);
    }

    #[test]
    fn only_events_of_the_round_count() {
        let audience = Audience::new();
        let delivery = {
            audience.begin();
            audience.begin()
        };
        let line =
            |stamp: &str| format!(r#"{{"type":"ADDED","object":{{"data":{{"at":"{stamp}","pad":"x"}}}}}}"#);
        let due = delivery.started + Duration::from_micros(500);
        for text in [line(&delivery.stamp(due)), line("1.5"), line(""), line("x.y"), "{}".to_owned()] {
            audience.seen.lock().event(text.as_bytes(), Duration::from_micros(1200));
        }
        let (delivered, latencies) = audience.end(&delivery);
        assert_eq!((delivered, latencies.p50()), (1, Duration::from_micros(700)));
        assert_eq!(audience.last_line_bytes(), line(&delivery.stamp(due)).len() + 1);
    }
}
