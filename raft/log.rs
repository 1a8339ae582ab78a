//! The Raft log over a [`LogStore`]: openraft's view of it, with a cache of its tail and group commit.
//!
//! # Flow
//! `append` writes the records (not synced), puts the entries into the cache and hands the callback to
//! the flusher; from then on they can be read, replicated, and their proposers are told. The flusher
//! syncs once for all that came meanwhile and completes the callbacks in order.

mod cache;
mod flusher;

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::env;
use futures::{Stream, StreamExt, stream};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend, RaftLogReader};
use parking_lot::Mutex;
use storage::{LogRecord, LogStore, StorageError};
use tokio::sync::watch;

use self::cache::{Found, TailCache};
use self::flusher::{Append, Flusher, Flushing, Synced};
use crate::codec::record::{
    decode_entry, decode_log_id, decode_marker, decode_vote, encode_entry, encode_marker, encode_vote,
    raft_index, stored_index,
};
use crate::failure::{Failure, chain};
use crate::limits::{APPEND_BYTES_MAX, CACHE_BYTES_MAX, READ_BYTES_MAX};
use crate::types::{LogId, RaftEntry, TypeConfig, Vote};

/// The log of this master. Clones are the same log.
#[derive(Clone)]
pub(crate) struct Log(Arc<Shared>);

struct Shared {
    store: Arc<dyn LogStore>,
    cache: Mutex<TailCache>,
    synced: Arc<Synced>,
    flushing: Flushing,
    failure: Failure,
    /// Bytes of records held at start and appended since.
    appended_bytes: AtomicU64,
}

impl Log {
    /// Opens the log and starts its flusher. What is found is synced first: after a crash of the process
    /// alone, records may have been read back that never reached the disk.
    ///
    /// # Errors
    /// When the store cannot be read or synced, holds what this version cannot read, or no thread starts.
    pub(crate) fn open(store: Arc<dyn LogStore>, failure: Failure) -> io::Result<Self> {
        let state = store.state().map_err(to_io)?;
        store.sync().map_err(to_io)?;
        let begin = state.purged.map_or(0, |marker| raft_index(marker.index) + 1);
        let next = state.last.map_or(begin, |record| raft_index(record.index) + 1);
        let synced = Arc::new(Synced::new(next.saturating_sub(1)));
        let flusher =
            Flusher { store: Arc::clone(&store), synced: Arc::clone(&synced), failure: failure.clone() };
        let shared = Shared {
            cache: Mutex::new(TailCache::new(begin, next, CACHE_BYTES_MAX)),
            synced,
            flushing: flusher.start()?,
            appended_bytes: AtomicU64::new(store.size_bytes()),
            failure,
            store,
        };
        Ok(Self(Arc::new(shared)))
    }

    /// The highest index known to be on disk. 0 also before the first entry: that one is the
    /// membership a cluster begins with, and is only ever applied once it is durable.
    pub(crate) fn synced(&self) -> watch::Receiver<u64> {
        self.0.synced.subscribe()
    }

    /// Bytes of records that the store holds.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.0.store.size_bytes()
    }

    /// Bytes held at start and appended since: what a snapshot is triggered by.
    pub(crate) fn appended_bytes(&self) -> u64 {
        self.0.appended_bytes.load(Ordering::Relaxed)
    }

    /// The first index held, and how many entries follow.
    pub(crate) fn extent(&self) -> (u64, u64) {
        let cache = self.0.cache.lock();
        (cache.begin(), cache.count())
    }

    /// Makes everything appended durable, at the very end.
    pub(crate) async fn sync(&self) -> io::Result<()> {
        let store = Arc::clone(&self.0.store);
        env::blocking(move || store.sync()).await.map_err(|error| self.failed("syncing the Raft log", &error))
    }

    /// Reports a failed operation; openraft ends on the returned error.
    fn failed(&self, operation: &str, error: &StorageError) -> io::Error {
        let reason = format!("{operation} failed: {}", chain(error));
        self.0.failure.report(&*reason);
        io::Error::other(reason)
    }

    /// Entries of `from..to` that stand in the log, cut at `bytes_max` but at least one.
    async fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<RaftEntry>> {
        let found = self.0.cache.lock().find(from, to, bytes_max);
        let (from, to) = match found {
            Found::Cached(entries) => return Ok(entries),
            Found::Stored { from, to } => (stored_index(from), stored_index(to)),
        };
        let store = Arc::clone(&self.0.store);
        let records = env::blocking(move || store.read(from, to, bytes_max)).await;
        let records = records.map_err(|error| self.failed("reading the Raft log", &error))?;
        records.into_iter().map(|record| decode_entry(record).map_err(io::Error::other)).collect()
    }

    fn append_now(&self, mut entries: Vec<RaftEntry>) -> io::Result<Option<(u64, u64)>> {
        let records: Vec<LogRecord> = entries.iter().map(encode_entry).collect();
        self.0.store.append(&records).map_err(|error| self.failed("appending to the Raft log", &error))?;
        let bytes: usize = records.iter().map(|record| record.bytes.len()).sum();
        self.0.appended_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        for entry in &mut entries {
            if let EntryPayload::Normal(command) = &mut entry.payload {
                command.confirm_appended();
            }
        }
        let last = entries.last().map(|entry| (entry.log_id.index, self.0.synced.generation()));
        let mut cache = self.0.cache.lock();
        entries.into_iter().for_each(|entry| cache.push(entry));
        Ok(last)
    }
}

fn to_io(error: StorageError) -> io::Error {
    io::Error::other(chain(&error))
}

/// `from..to` of any range.
fn ends<RB: RangeBounds<u64>>(range: &RB) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(to) => *to,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

impl RaftLogReader<TypeConfig> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<RaftEntry>> {
        let (mut from, to) = ends(&range);
        let mut all = Vec::new();
        loop {
            let some = self.read(from, to, READ_BYTES_MAX).await?;
            match some.last() {
                Some(last) => from = last.log_id.index + 1,
                None => return Ok(all),
            }
            all.extend(some);
        }
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        let vote = self.0.store.vote().map_err(|error| self.failed("reading the vote", &error))?;
        vote.map(decode_vote).transpose().map_err(io::Error::other)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<RaftEntry>> {
        self.read(start, end, APPEND_BYTES_MAX).await
    }

    /// Apply reads through this: never more than a bounded part of the log in memory at once.
    async fn entries_stream<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<RaftEntry>> + OptionalSend {
        let (from, to) = ends(&range);
        let chunks = stream::try_unfold((self.clone(), from), move |(log, from)| async move {
            let some = log.read(from, to, READ_BYTES_MAX).await?;
            let next = some.last().map(|last| last.log_id.index + 1);
            io::Result::Ok(next.map(|next| (some, (log, next))))
        });
        Box::pin(chunks.flat_map(|chunk| {
            let (entries, error) = match chunk {
                Ok(entries) => (entries, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            stream::iter(entries.into_iter().map(Ok).chain(error.map(Err)))
        }))
    }
}

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let state =
            self.0.store.state().map_err(|error| self.failed("reading the ends of the Raft log", &error))?;
        let purged =
            state.purged.map(|marker| decode_marker(marker.bytes)).transpose().map_err(io::Error::other)?;
        let last = state.last.as_ref().map(decode_log_id).transpose().map_err(io::Error::other)?;
        Ok(LogState { last_purged_log_id: purged, last_log_id: last.or(purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (store, bytes) = (Arc::clone(&self.0.store), encode_vote(vote));
        let saved = env::blocking(move || store.save_vote(&bytes)).await;
        saved.map_err(|error| self.failed("saving the vote", &error))
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let bytes = committed.as_ref().map(encode_marker);
        let saved = self.0.store.save_committed(bytes.as_deref());
        saved.map_err(|error| self.failed("saving the committed position", &error))
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        let committed = self.0.store.committed();
        let committed = committed.map_err(|error| self.failed("reading the committed position", &error))?;
        committed.map(decode_marker).transpose().map_err(io::Error::other)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let last = self.append_now(entries.into_iter().collect())?;
        if let Err(refused) = self.0.flushing.push(Append { callback, last }) {
            self.0.failure.report("the flusher of the Raft log ended");
            refused.callback.io_completed(Err(io::Error::other("the flusher of the Raft log ended")));
        }
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let next = last_log_id.map_or(0, |last| last.index + 1);
        // Stores count from 1, so the last index kept there is the next one here.
        let truncated = self.0.store.truncate_after(next);
        truncated.map_err(|error| self.failed("truncating the Raft log", &error))?;
        self.0.cache.lock().truncate(next);
        self.0.synced.truncate(next);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        let marker = LogRecord { index: stored_index(log_id.index), bytes: encode_marker(&log_id) };
        // First what readers look at: they must not be sent to records that are on their way out.
        self.0.cache.lock().purge(log_id.index + 1);
        let store = Arc::clone(&self.0.store);
        let purged = env::blocking(move || store.purge(&marker)).await;
        purged.map_err(|error| self.failed("purging the Raft log", &error))?;
        // Only what a durable snapshot covers is ever purged.
        self.0.synced.raise(log_id.index);
        tracing::debug!(upto = log_id.index, "purged the log");
        Ok(())
    }
}
