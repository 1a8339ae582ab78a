//! The suite for [`VersionStore`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{Effort, NewSubject, Subject, Verdict, done, expect_eq, refused};
use crate::StorageError;
use crate::versions::{ANSWER_BYTES_MAX, Image, Retention, Version, VersionBatch, VersionStore};

/// Prefixes of the keys used; one is a prefix of the other's keys.
const PREFIXES: [&str; 3] = ["a/", "b/", "b/x/"];

/// Keys per prefix.
const KEYS: u64 = 6;

/// Everything a version store shows about now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    image: Option<Image>,
    newest: Vec<Version>,
    sides: BTreeMap<Vec<u8>, Bytes>,
    all: Vec<Version>,
    size_bytes: u64,
}

impl View {
    /// Reads everything a store shows.
    pub(super) fn of(store: &dyn VersionStore) -> Result<Self, String> {
        let mut view = Self { image: done("image", store.image())?, ..Self::default() };
        done("newest", store.newest(&mut |version| view.newest.push(version)))?;
        done("sides", store.sides(&mut |key, value| drop(view.sides.insert(key.to_vec(), value))))?;
        view.all = everything(store)?;
        view.size_bytes = store.size_bytes();
        Ok(view)
    }
}

/// All versions kept, through the histories of all keys.
fn everything(store: &dyn VersionStore) -> Result<Vec<Version>, String> {
    let mut all = Vec::new();
    for key in keys() {
        let history = done("history", store.history(&key, usize::MAX))?;
        if !history.is_sorted_by(|newer, older| newer.revision > older.revision) {
            return Err(format!("the history of {key} is not newest first: {history:?}"));
        }
        all.extend(history);
    }
    all.sort_by_key(|version| version.revision);
    Ok(all)
}

fn keys() -> Vec<String> {
    let keys = PREFIXES.iter().flat_map(|prefix| (0..KEYS).map(move |number| format!("{prefix}{number}")));
    keys.collect()
}

/// The trivial version store.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    all: Vec<Version>,
    sides: BTreeMap<Vec<u8>, Bytes>,
    image: Option<Image>,
    floors: BTreeMap<String, u64>,
}

impl Model {
    pub(super) fn write(&mut self, batch: &VersionBatch) {
        self.all.extend(batch.versions.iter().cloned());
        for (key, value) in &batch.sides {
            match value {
                Some(value) => drop(self.sides.insert(key.clone(), value.clone())),
                None => drop(self.sides.remove(key)),
            }
        }
        self.image = batch.image.clone().or(self.image.take());
    }

    fn compact(&mut self, prefix: &str, floor: u64) {
        let kept_floor = self.floors.entry(prefix.to_owned()).or_default();
        *kept_floor = floor.max(*kept_floor);
        let floor = *kept_floor;
        let before = self.all.clone();
        self.all.retain(|version| {
            let below = before.iter().filter(|other| other.key == version.key && other.revision <= floor);
            let newest_below = below.map(|other| other.revision).max();
            let is_kept_newest = newest_below == Some(version.revision) && !version.deleted;
            !version.key.starts_with(prefix) || version.revision > floor || is_kept_newest
        });
    }

    fn revision(&self) -> u64 {
        self.image.as_ref().map_or(0, |image| image.revision)
    }

    fn at(&self, key: &str, revision: u64) -> Option<Version> {
        let of_key = self.all.iter().filter(|version| version.key == key && version.revision <= revision);
        of_key.max_by_key(|version| version.revision).filter(|version| !version.deleted).cloned()
    }

    fn range_at(&self, from: &str, to: &str, revision: u64) -> Vec<Version> {
        let mut keys = keys();
        keys.retain(|key| (from..to).contains(&key.as_str()));
        keys.sort();
        keys.iter().filter_map(|key| self.at(key, revision)).collect()
    }

    fn floor(&self, touches: impl Fn(&str) -> bool) -> u64 {
        self.floors.iter().filter(|(rule, _)| touches(rule)).map(|(_, floor)| *floor).max().unwrap_or(0)
    }

    pub(super) fn view_image(&self) -> Option<Image> {
        self.image.clone()
    }

    pub(super) fn view(&self) -> View {
        let mut newest: Vec<Version> = keys().iter().filter_map(|key| self.at(key, u64::MAX)).collect();
        newest.sort_by_key(|version| version.revision);
        View {
            image: self.image.clone(),
            newest,
            sides: self.sides.clone(),
            all: self.all.clone(),
            size_bytes: self.all.iter().map(|version| version.value.len() as u64).sum(),
        }
    }

    /// A batch as State would write it: rising revisions, some deletes, a few side records, an image.
    pub(super) fn random_batch(&self, random: &mut SmallRng) -> VersionBatch {
        let mut batch = VersionBatch::default();
        let mut revision = self.revision();
        let mut scratch = self.clone();
        for _ in 0..random.random_range(0..5) {
            revision += random.random_range(1..4);
            let keys = keys();
            let key = keys[random.random_range(0..keys.len())].clone();
            let before = scratch.at(&key, u64::MAX);
            let deleted = before.is_some() && random.random_bool(0.3);
            let value = Bytes::from(vec![revision as u8; random.random_range(0..200)]);
            let previous = before.map_or(0, |version| version.revision);
            let version = Version { key, revision, previous, deleted, value };
            scratch.all.push(version.clone());
            batch.versions.push(version);
        }
        for _ in 0..random.random_range(0..3) {
            let value = random.random_bool(0.7).then(|| Bytes::from(revision.to_string()));
            batch.sides.push((vec![random.random_range(0..4)], value));
        }
        let index = self.image.as_ref().map_or(1, |image| image.index + 1);
        batch.image = Some(Image { index, revision, head: Bytes::from(format!("head {index}")) });
        batch
    }
}

/// Runs everything against one implementation.
///
/// # Errors
/// The first thing that is not as it must be.
pub fn versions_suite(new: NewSubject<'_>, effort: Effort) -> Verdict {
    refusals(new().as_mut())?;
    markers_outlive_what_they_hide(new().as_mut())?;
    answers_are_cut_by_bytes(new().as_mut())?;
    a_range_goes_on_behind_a_key(new().as_mut())?;
    each_operation_survives(new().as_mut())?;
    for seed in 0..effort.sequences {
        random_sequence(new().as_mut(), seed, effort.operations)
            .map_err(|problem| format!("seed {seed}: {problem}"))?;
    }
    Ok(())
}

fn version(key: &str, revision: u64, previous: u64, deleted: bool) -> Version {
    Version {
        key: key.to_owned(),
        revision,
        previous,
        deleted,
        value: Bytes::from(format!("{key} {revision}")),
    }
}

fn batch(versions: Vec<Version>) -> VersionBatch {
    let revision = versions.last().map_or(0, |version| version.revision);
    let image = Some(Image { index: revision, revision, head: Bytes::new() });
    VersionBatch { versions, sides: Vec::new(), image }
}

/// What breaks the contract is refused and changes nothing.
fn refusals(subject: &mut dyn Subject) -> Verdict {
    let store = done("open", subject.restart())?.versions();
    expect_eq("an empty store", View::of(&*store)?, View::default())?;
    expect_eq("an empty store's durable image", done("durable_image", store.durable_image())?, None)?;
    done("an empty batch", store.write(&VersionBatch::default()))?;
    done("write", store.write(&batch(vec![version("a/1", 5, 0, false)])))?;
    let before = View::of(&*store)?;
    refused("a revision twice", store.write(&batch(vec![version("a/2", 5, 0, false)])))?;
    refused(
        "a falling revision",
        store.write(&batch(vec![version("a/2", 7, 0, false), version("a/3", 6, 0, false)])),
    )?;
    refused("a NUL in a key", store.write(&batch(vec![version("a/\0", 8, 0, false)])))?;
    let mut behind = batch(vec![version("a/2", 9, 0, false)]);
    behind.image = Some(Image { index: 9, revision: 8, head: Bytes::new() });
    refused("an image behind its versions", store.write(&behind))?;
    expect_eq("after refusals", View::of(&*store)?, before)
}

/// A delete marker below the floor goes last, whatever the size of the steps and wherever they are cut.
fn markers_outlive_what_they_hide(subject: &mut dyn Subject) -> Verdict {
    let mut stores = done("open", subject.restart())?;
    let mut versions: Vec<Version> = (1..10).map(|at| version("a/1", at, at - 1, false)).collect();
    versions.push(version("a/1", 10, 9, true));
    versions.push(version("a/2", 11, 0, false));
    done("write", stores.versions().write(&batch(versions)))?;
    done("flush", stores.versions().flush())?;
    let rule = Retention { prefix: "a/".to_owned(), floor: 11 };
    for _ in 0..30 {
        let step = done("compact", stores.versions().compact(&rule, 3))?;
        let revived = done("at", stores.versions().at("a/1", 11))?;
        expect_eq("a deleted key while its versions go", revived, None)?;
        done("flush", stores.versions().flush())?;
        drop(stores);
        stores = done("restart", subject.restart())?;
        let revived = done("at", stores.versions().at("a/1", 11))?;
        expect_eq("a deleted key after a restart between two steps", revived, None)?;
        if step.scanned == 0 {
            break;
        }
    }
    run_compaction(&*stores.versions(), &rule)?;
    expect_eq("what is left", everything(&*stores.versions())?, vec![version("a/2", 11, 0, false)])
}

/// Large values end an answer early, and whoever asks on from there gets all of them.
fn answers_are_cut_by_bytes(subject: &mut dyn Subject) -> Verdict {
    let store = done("open", subject.restart())?.versions();
    let large = Bytes::from(vec![7; ANSWER_BYTES_MAX / 2]);
    let all: Vec<Version> = (1..6)
        .map(|at| Version { value: large.clone(), ..version(&format!("a/{at}"), at, 0, false) })
        .collect();
    done("write", store.write(&batch(all.clone())))?;
    expect_eq("a range", done("range_at", store.range_at("a/", "a0", 5, 10))?, all[..2].to_vec())?;
    expect_eq("the rest of it", done("range_at", store.range_at("a/5", "a0", 5, 10))?, all[4..].to_vec())?;
    expect_eq("what follows", done("following", store.following(1, 10))?, all[1..3].to_vec())?;
    expect_eq("since", done("since", store.since("a/", 2, 10))?, (all[2..4].to_vec(), 4))?;
    expect_eq("since, page by page", done("since", since(&*store, "a/", 0, 10, 5))?, all)
}

/// A key and NUL is where the next page begins, however many versions the key has.
fn a_range_goes_on_behind_a_key(subject: &mut dyn Subject) -> Verdict {
    let store = done("open", subject.restart())?.versions();
    let mut versions: Vec<Version> = (1..40).map(|at| version("a/1", at, at - 1, false)).collect();
    versions.push(version("a/10", 40, 0, false));
    versions.push(version("a/2", 41, 0, false));
    done("write", store.write(&batch(versions.clone())))?;
    let range = |from: &str, to: &str| done("range_at", store.range_at(from, to, 41, 10));
    expect_eq("behind a key", range("a/1\0", "a0")?, versions[39..].to_vec())?;
    expect_eq("up to behind it", range("a/", "a/1\0")?, versions[38..39].to_vec())?;
    expect_eq("between two", range("a/1\0", "a/10\0")?, versions[39..40].to_vec())
}

/// Calls until nothing is left to look at, in small steps.
fn run_compaction(store: &dyn VersionStore, rule: &Retention) -> Verdict {
    for _ in 0..10_000 {
        if done("compact", store.compact(rule, 3))?.scanned == 0 {
            return Ok(());
        }
    }
    Err("a compaction does not end".to_owned())
}

/// One operation on a version store.
#[derive(Debug)]
enum Operation {
    Write(VersionBatch),
    /// To the end, with this floor under this prefix.
    Compact(&'static str, u64),
}

impl Operation {
    fn run(&self, store: &dyn VersionStore, model: &mut Model) -> Verdict {
        match self {
            Self::Write(batch) => {
                done("write", store.write(batch))?;
                model.write(batch);
            }
            Self::Compact(prefix, floor) => {
                run_compaction(store, &Retention { prefix: (*prefix).to_owned(), floor: *floor })?;
                model.compact(prefix, *floor);
            }
        }
        Ok(())
    }
}

/// Every kind of operation, in an order in which each finds what those before left.
fn script() -> Vec<Operation> {
    let side = |key: u8, value: Option<&'static str>| (vec![key], value.map(Bytes::from));
    let image = |index, revision| Some(Image { index, revision, head: Bytes::from(format!("head {index}")) });
    let with_sides = |versions, sides| VersionBatch { sides, ..batch(versions) };
    let only = |sides, image| VersionBatch { versions: Vec::new(), sides, image };
    vec![
        Operation::Write(with_sides(
            vec![version("a/1", 1, 0, false), version("a/2", 2, 0, false)],
            vec![side(0, Some("zero")), side(1, Some("one"))],
        )),
        Operation::Write(batch(vec![version("a/1", 3, 1, false), version("a/2", 5, 2, true)])),
        Operation::Write(only(vec![side(0, None), side(1, Some("two"))], image(6, 5))),
        Operation::Write(only(Vec::new(), image(7, 5))),
        Operation::Write(batch(vec![version("b/x/1", 8, 0, false), version("b/1", 9, 0, false)])),
        Operation::Compact("a/", 4),
        Operation::Write(batch(vec![version("a/1", 11, 3, false)])),
        Operation::Compact("a/", 10),
        Operation::Write(batch(vec![version("a/2", 12, 0, false), version("b/x/1", 13, 8, true)])),
        Operation::Compact("b/", 13),
        Operation::Write(batch(vec![version("b/x/1", 14, 0, false)])),
    ]
}

/// Restarts after each kind of operation, flushed.
fn each_operation_survives(subject: &mut dyn Subject) -> Verdict {
    let mut random = SmallRng::seed_from_u64(4);
    let mut model = Model::default();
    let mut stores = done("open", subject.restart())?;
    for operation in script() {
        let store = stores.versions();
        operation.run(&*store, &mut model)?;
        expect_eq("before the restart", View::of(&*store)?, model.view())?;
        done("flush", store.flush())?;
        drop(store);
        drop(stores);
        stores = done("restart", subject.restart())?;
        let store = stores.versions();
        let what = format!("after {operation:?} and a restart");
        expect_eq(&what, View::of(&*store)?, model.view())?;
        expect_eq(&what, done("durable_image", store.durable_image())?, model.image.clone())?;
        for _ in 0..20 {
            questions(&*store, &model, &mut random).map_err(|problem| format!("{what}: {problem}"))?;
        }
    }
    Ok(())
}

fn random_sequence(subject: &mut dyn Subject, seed: u64, operations: usize) -> Verdict {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut stores = done("open", subject.restart())?;
    let mut store: Arc<dyn VersionStore> = stores.versions();
    let mut model = Model::default();
    let mut survivors = vec![model.clone()];
    for step in 0..operations {
        match random.random_range(0..10) {
            0..=5 => {
                let batch = model.random_batch(&mut random);
                done(&format!("step {step}: write {batch:?}"), store.write(&batch))?;
                model.write(&batch);
                survivors.push(model.clone());
            }
            6..=7 => {
                let durable = done("flush", store.flush())?;
                expect_eq("the image a flush returns", durable.clone(), model.image.clone())?;
                expect_eq("the durable image", done("durable_image", store.durable_image())?, durable)?;
                survivors = vec![model.clone()];
            }
            8 => {
                let prefix = PREFIXES[random.random_range(0..PREFIXES.len())].to_owned();
                let floor = random.random_range(0..=model.revision());
                let rule = Retention { prefix: prefix.clone(), floor };
                // Writes go on between the steps.
                for _ in 0..random.random_range(0..4) {
                    done("compact", store.compact(&rule, 3))?;
                    let batch = model.random_batch(&mut random);
                    done(&format!("step {step}: write {batch:?}"), store.write(&batch))?;
                    model.write(&batch);
                }
                run_compaction(&*store, &rule)?;
                model.compact(&prefix, floor);
                done("flush", store.flush())?;
                survivors = vec![model.clone()];
            }
            _ => {
                drop(store);
                drop(stores);
                stores = done(&format!("restart after step {step}"), subject.restart())?;
                store = stores.versions();
                model = survivor(&survivors, &View::of(&*store)?)?;
                survivors = vec![model.clone()];
                let durable = done("durable_image", store.durable_image())?;
                expect_eq("everything found is durable", durable, model.image.clone())?;
            }
        }
        expect_eq(&format!("after step {step}"), View::of(&*store)?, model.view())?;
        questions(&*store, &model, &mut random).map_err(|problem| format!("step {step}: {problem}"))?;
    }
    Ok(())
}

fn survivor(survivors: &[Model], found: &View) -> Result<Model, String> {
    let survivor = survivors.iter().find(|survivor| survivor.view() == *found);
    survivor
        .cloned()
        .ok_or_else(|| format!("after a restart: found {found:?}, expected one of {survivors:?}"))
}

/// Asks about random moments, exact where they are kept, refused where they are not.
fn questions(store: &dyn VersionStore, model: &Model, random: &mut SmallRng) -> Verdict {
    let revision = random.random_range(0..=model.revision() + 1);
    let keys = keys();
    let key = &keys[random.random_range(0..keys.len())];
    let floor = model.floor(|rule| key.starts_with(rule));
    exact(
        &format!("{key} at {revision}"),
        store.at(key, revision),
        model.at(key, revision),
        floor,
        revision,
    )?;

    let other = &keys[random.random_range(0..keys.len())];
    let (from, to) = (key.min(other).as_str(), key.max(other).as_str());
    let floor = model.floor(|rule| rule < to && (rule >= from || from.starts_with(rule)));
    let limit = random.random_range(0..10);
    let mut expected = model.range_at(from, to, revision);
    expected.truncate(limit);
    let found = store.range_at(from, to, revision, limit);
    exact(&format!("{from}..{to} at {revision}, {limit}"), found, expected, floor, revision)?;

    let held = model.all.iter().filter(|version| version.revision > revision);
    let expected: Vec<Version> = held.take(limit).cloned().collect();
    let found = done("following", store.following(revision, limit))?;
    expect_eq(&format!("{limit} following {revision}"), found, expected)?;

    let prefix = PREFIXES[random.random_range(0..PREFIXES.len())];
    let floor = model.floor(|rule| rule.starts_with(prefix) || prefix.starts_with(rule));
    expect_eq("the floor", done("floor", store.floor(prefix))?, floor)?;
    let after = model.all.iter().filter(|version| version.revision > revision);
    let expected: Vec<Version> = after.filter(|version| version.key.starts_with(prefix)).cloned().collect();
    let found = since(store, prefix, revision, random.random_range(1..5), model.revision());
    exact(&format!("{prefix} since {revision}"), found, expected, floor, revision)
}

/// Follows [`VersionStore::since`] page by page up to `to`.
fn since(
    store: &dyn VersionStore,
    prefix: &str,
    revision: u64,
    limit: usize,
    to: u64,
) -> crate::Result<Vec<Version>> {
    let mut all = Vec::new();
    let mut from = revision;
    loop {
        let (page, complete) = store.since(prefix, from, limit)?;
        if page.len() > limit || (complete == from && complete < to) {
            return Err(StorageError::Misuse(format!("a page of {} ends at {complete}", page.len())));
        }
        all.extend(page);
        if complete >= to {
            return Ok(all);
        }
        from = complete;
    }
}

fn exact<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: crate::Result<T>,
    expected: T,
    floor: u64,
    revision: u64,
) -> Verdict {
    match found {
        Err(StorageError::Compacted { floor: named }) if revision < floor => {
            expect_eq(&format!("{what}: the floor of the refusal"), named, floor)
        }
        _ if revision < floor => Err(format!("{what}: below the floor {floor}, got {found:?}")),
        found => expect_eq(what, done(what, found)?, expected),
    }
}
