//! The suite for [`LogStore`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{Effort, NewSubject, Subject, Verdict, done, expect_eq, refused};
use crate::log::{LogRecord, LogState, LogStore};

/// Everything a log shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct View {
    records: Vec<LogRecord>,
    purged: Option<LogRecord>,
    vote: Option<Bytes>,
    committed: Option<Bytes>,
    size_bytes: u64,
}

impl View {
    fn of(log: &dyn LogStore) -> Result<Self, String> {
        let state = done("state", log.state())?;
        let records = done("read", log.read(0, u64::MAX, usize::MAX))?;
        expect_eq("the last record", state.last.as_ref(), records.last())?;
        let (vote, committed) = (done("vote", log.vote())?, done("committed", log.committed())?);
        Ok(Self { records, purged: state.purged, vote, committed, size_bytes: log.size_bytes() })
    }
}

/// One operation on a log.
#[derive(Clone, Debug)]
enum Operation {
    Append(Vec<LogRecord>),
    TruncateAfter(u64),
    Purge(LogRecord),
    SaveVote(Bytes),
    SaveCommitted(Option<Bytes>),
    Sync,
}

impl Operation {
    /// Whether everything up to here is durable afterwards.
    fn syncs(&self) -> bool {
        matches!(self, Self::SaveVote(_) | Self::Sync)
    }

    fn run(&self, log: &dyn LogStore) -> crate::Result<()> {
        match self {
            Self::Append(records) => log.append(records),
            Self::TruncateAfter(index) => log.truncate_after(*index),
            Self::Purge(marker) => log.purge(marker),
            Self::SaveVote(vote) => log.save_vote(vote),
            Self::SaveCommitted(committed) => log.save_committed(committed.as_deref()),
            Self::Sync => log.sync(),
        }
    }
}

/// The trivial log.
#[derive(Clone, Debug, Default)]
struct Model {
    records: BTreeMap<u64, Bytes>,
    purged: Option<LogRecord>,
    vote: Option<Bytes>,
    committed: Option<Bytes>,
}

impl Model {
    fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Append(records) => {
                self.records.extend(records.iter().map(|record| (record.index, record.bytes.clone())));
            }
            Operation::TruncateAfter(index) => self.records.retain(|at, _| at <= index),
            Operation::Purge(marker) => {
                self.records.retain(|at, _| *at > marker.index);
                self.purged = Some(marker.clone());
            }
            Operation::SaveVote(vote) => self.vote = Some(vote.clone()),
            Operation::SaveCommitted(committed) => self.committed = committed.clone(),
            Operation::Sync => {}
        }
    }

    fn view(&self) -> View {
        let record = |(index, bytes): (&u64, &Bytes)| LogRecord { index: *index, bytes: bytes.clone() };
        View {
            records: self.records.iter().map(record).collect(),
            purged: self.purged.clone(),
            vote: self.vote.clone(),
            committed: self.committed.clone(),
            size_bytes: self.records.values().map(|bytes| bytes.len() as u64).sum(),
        }
    }

    fn next_index(&self) -> u64 {
        let last = self.records.last_key_value().map(|(index, _)| *index);
        last.or(self.purged.as_ref().map(|marker| marker.index)).unwrap_or(0) + 1
    }
}

/// Runs everything against one implementation.
///
/// # Errors
/// The first thing that is not as it must be.
pub fn log_suite(new: NewSubject<'_>, effort: Effort) -> Verdict {
    refusals(new().as_mut())?;
    bounded_reads(new().as_mut())?;
    each_operation_survives(new().as_mut())?;
    for seed in 0..effort.sequences {
        random_sequence(new().as_mut(), seed, effort.operations)
            .map_err(|problem| format!("seed {seed}: {problem}"))?;
    }
    Ok(())
}

fn record(index: u64, size_bytes: usize) -> LogRecord {
    LogRecord { index, bytes: Bytes::from(vec![index as u8; size_bytes]) }
}

fn records(from: u64, to: u64, size_bytes: usize) -> Vec<LogRecord> {
    (from..to).map(|index| record(index, size_bytes)).collect()
}

/// What breaks the contract is refused and changes nothing.
fn refusals(subject: &mut dyn Subject) -> Verdict {
    let log = done("open", subject.restart())?.log();
    expect_eq("an empty log", View::of(&*log)?, View::default())?;
    expect_eq("an empty log's ends", done("state", log.state())?, LogState::default())?;
    done("an empty append", log.append(&[]))?;
    done("append", log.append(&records(1, 4, 5)))?;
    let before = View::of(&*log)?;
    refused("a hole after the last record", log.append(&[record(5, 5)]))?;
    refused("a record twice", log.append(&[record(3, 5)]))?;
    refused("a hole inside a batch", log.append(&[record(4, 5), record(6, 5)]))?;
    expect_eq("after refusals", View::of(&*log)?, before)?;
    done("purge beyond the end", log.purge(&record(10, 2)))?;
    expect_eq("records purged", done("read", log.read(0, 20, 100))?, Vec::new())?;
    refused("a hole after the purge marker", log.append(&[record(12, 5)]))?;
    done("purge backwards", log.purge(&record(2, 2)))?;
    expect_eq("a marker never sinks", done("state", log.state())?.purged, Some(record(10, 2)))?;
    done("append after the marker", log.append(&[record(11, 5)]))
}

/// Reads stop for bytes only, never before the first record, and stay inside the log.
fn bounded_reads(subject: &mut dyn Subject) -> Verdict {
    let log = done("open", subject.restart())?.log();
    done("append", log.append(&records(1, 11, 100)))?;
    done("purge", log.purge(&record(2, 0)))?;
    let check = |from, to, bytes_max, expected: std::ops::Range<u64>| -> Verdict {
        let found = done("read", log.read(from, to, bytes_max))?;
        let indexes: Vec<u64> = found.iter().map(|record| record.index).collect();
        expect_eq(&format!("read {from}..{to} of {bytes_max} bytes"), indexes, expected.collect())
    };
    check(3, 11, usize::MAX, 3..11)?;
    check(3, 11, 0, 3..4)?;
    check(3, 11, 199, 3..4)?;
    check(3, 11, 200, 3..5)?;
    check(5, 7, usize::MAX, 5..7)?;
    check(0, u64::MAX, usize::MAX, 3..11)?;
    check(11, 20, usize::MAX, 0..0)?;
    check(7, 7, usize::MAX, 0..0)?;
    check(9, 7, usize::MAX, 0..0)
}

/// Restarts after each kind of operation, synced.
fn each_operation_survives(subject: &mut dyn Subject) -> Verdict {
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    let script = [
        Operation::SaveVote(text("term 1")),
        Operation::Append(records(1, 30, 10)),
        Operation::SaveCommitted(Some(text("10"))),
        Operation::TruncateAfter(20),
        Operation::Append(records(21, 25, 3)),
        Operation::Purge(record(12, 4)),
        Operation::SaveVote(text("term 2")),
        Operation::SaveCommitted(None),
        Operation::TruncateAfter(0),
        Operation::Append(records(13, 14, 0)),
        Operation::Purge(record(100, 4)),
        Operation::Append(records(101, 140, 1000)),
        Operation::TruncateAfter(100),
        Operation::Append(records(101, 102, 7)),
    ];
    let mut model = Model::default();
    let mut stores = done("open", subject.restart())?;
    for operation in &script {
        done("operation", operation.run(&*stores.log()))?;
        model.run(operation);
        expect_eq("before the restart", View::of(&*stores.log())?, model.view())?;
        if !operation.syncs() {
            done("sync", stores.log().sync())?;
        }
        drop(stores);
        stores = done("restart", subject.restart())?;
        let found = View::of(&*stores.log())?;
        expect_eq(&format!("after {operation:?} and a restart"), found, model.view())?;
    }
    Ok(())
}

fn random_operation(random: &mut SmallRng, model: &Model) -> Operation {
    let next = model.next_index();
    let first = model.records.first_key_value().map_or(next, |(index, _)| *index);
    match random.random_range(0..10) {
        0..=3 => {
            let count = random.random_range(1..8);
            Operation::Append(
                (next..next + count).map(|at| record(at, random.random_range(0..300))).collect(),
            )
        }
        4 => Operation::TruncateAfter(random.random_range(first.saturating_sub(2)..=next)),
        5 => {
            let floor = model.purged.as_ref().map_or(0, |marker| marker.index);
            Operation::Purge(record(random.random_range(floor..=next + 1).max(1), 6))
        }
        6 => Operation::SaveVote(Bytes::from(random.random_range(0..1000_u32).to_string())),
        7 if random.random_bool(0.2) => Operation::SaveCommitted(None),
        7 => Operation::SaveCommitted(Some(Bytes::from(next.to_string()))),
        _ => Operation::Sync,
    }
}

fn random_sequence(subject: &mut dyn Subject, seed: u64, operations: usize) -> Verdict {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut stores = done("open", subject.restart())?;
    let mut log: Arc<dyn LogStore> = stores.log();
    let mut model = Model::default();
    // What a crash may leave: the model at the last sync and after each operation since.
    let mut survivors = vec![model.clone()];
    for step in 0..operations {
        let operation = random_operation(&mut random, &model);
        done(&format!("step {step}, {operation:?}"), operation.run(&*log))?;
        model.run(&operation);
        expect_eq(&format!("after step {step}, {operation:?}"), View::of(&*log)?, model.view())?;
        if operation.syncs() {
            survivors.clear();
        }
        survivors.push(model.clone());
        if random.random_bool(0.3) {
            drop(log);
            drop(stores);
            stores = done(&format!("restart after step {step}"), subject.restart())?;
            log = stores.log();
            let found = View::of(&*log)?;
            let survivor = survivors.iter().find(|survivor| survivor.view() == found);
            let Some(survivor) = survivor else {
                return Err(format!(
                    "restart after step {step}: found {found:?}, expected one of {survivors:?}"
                ));
            };
            model = survivor.clone();
            survivors = vec![model.clone()];
        }
    }
    Ok(())
}
