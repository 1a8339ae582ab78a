//! What every backend must do, as one suite that each of them runs.
//!
//! A random history goes through the backend, of creates, updates, deletes and transactions of several
//! writes, and a trivial model remembers it. Whatever the backend shows must be what the model says, also
//! once more has happened than is kept in memory. Meant for virtual time ([`base::env::simulate`]).

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use api::Key;
use base::env;
use replica::limits::REVISION_TIMEOUT;
use replica::{AtLeastError, ViewError, WatchEnd};
use state::{Guard, Meta, Outcome, Write};

use super::Backend;
use crate::verbs::write::transaction;

/// What the suite found wrong.
pub type Verdict = Result<(), String>;

/// An implementation under test.
#[async_trait::async_trait]
pub trait Subject {
    /// The backend: an empty one at first, and the only one that writes.
    fn backend(&self) -> Arc<dyn Backend>;

    /// Makes it forget what was before now, as far as it ever does; it may be started anew for that.
    async fn forget(&mut self);
}

/// Transactions of the random history.
const TRANSACTIONS: usize = 60;

/// The most writes of one of them.
const WRITES_MAX: u64 = 4;

/// Writes of a transaction that only fills memory.
const FILLING_WRITES: u64 = 80;

/// Where the history takes place; what fills lies beside the first.
const PREFIXES: [(&str, &str); 3] = [("configmaps", "a"), ("configmaps", "b"), ("secrets", "a")];

/// Objects in each.
const NAMES: u64 = 4;

/// One change: its revision, its key, whether it removed the object, and whether there was one before.
type Change = (u64, String, bool, bool);

/// What must be there.
#[derive(Default)]
struct Model {
    changes: Vec<Change>,
    /// Each object's revision.
    live: BTreeMap<String, u64>,
    /// What was live at each transaction's end.
    ends: Vec<(u64, BTreeMap<String, u64>)>,
    revision: u64,
}

/// Runs the suite. After the random history `fillings` more transactions are made before it is looked at.
///
/// # Errors
/// Says what differs.
pub async fn suite(subject: &mut dyn Subject, fillings: usize) -> Verdict {
    let backend = subject.backend();
    let mut model = Model { revision: backend.moment().revision(), ..Model::default() };
    for _ in 0..TRANSACTIONS {
        let writes = model.writes();
        model.make(&*backend, writes).await?;
    }
    refusals(&*backend, &model).await?;
    revisions_to_come(&*backend, &mut model).await?;
    for number in 0..fillings {
        let key = |at| Key::object("", "configmaps", "filling", &format!("{}", number as u64 * 1000 + at));
        model.make(&*backend, (0..FILLING_WRITES).map(|at| put(key(at))).collect()).await?;
    }
    watches(&*backend, &mut model).await?;
    views(&*backend, &model).await?;
    subject.forget().await;
    forgotten(&*subject.backend(), &model).await
}

fn put(key: Key) -> Write {
    Write::Put { key, body: br#"{"data":{}}"#.to_vec().into(), splice: None, meta: Meta::default() }
}

fn prefix_of((plural, namespace): (&str, &str)) -> String {
    format!("core/{plural}/{namespace}/")
}

impl Model {
    /// Some writes to different objects: of two that are there one goes, on average.
    fn writes(&self) -> Vec<Write> {
        let mut writes = BTreeMap::new();
        for _ in 0..=env::random_u64() % WRITES_MAX {
            let (plural, namespace) = PREFIXES[(env::random_u64() % PREFIXES.len() as u64) as usize];
            let key = Key::object("", plural, namespace, &format!("n{}", env::random_u64() % NAMES));
            let goes = self.live.contains_key(key.as_str()) && env::random_u64().is_multiple_of(2);
            let write = if goes { Write::Delete { key: key.clone() } } else { put(key.clone()) };
            writes.insert(key.as_str().to_owned(), write);
        }
        writes.into_values().collect()
    }

    /// Makes one transaction, and remembers it.
    async fn make(&mut self, backend: &dyn Backend, writes: Vec<Write>) -> Verdict {
        for write in &writes {
            self.revision += 1;
            let (key, goes) = match write {
                Write::Delete { key } => (key.as_str().to_owned(), true),
                Write::Put { key, .. } => (key.as_str().to_owned(), false),
                other => return Err(format!("the suite makes no {other:?}")),
            };
            let before =
                if goes { self.live.remove(&key) } else { self.live.insert(key.clone(), self.revision) };
            self.changes.push((self.revision, key, goes, before.is_some()));
        }
        self.ends.push((self.revision, self.live.clone()));
        let committed = done("propose", backend.propose(transaction("suite", Vec::new(), writes)).await)?;
        let expected = Outcome::Committed { revision: self.revision };
        same("the outcome of a transaction", &committed.outcome, &expected)?;
        for (what, revision) in [
            ("the moment of an outcome", committed.moment.revision()),
            ("the newest moment", backend.moment().revision()),
            ("a fresh read", done("linearizable", backend.linearizable().await)?.revision()),
        ] {
            same(what, &revision, &self.revision)?;
        }
        Ok(())
    }

    /// The changes under `prefix` after `revision`.
    fn after(&self, revision: u64, prefix: &str) -> Vec<Change> {
        let changes = self.changes.iter();
        changes.filter(|(at, key, ..)| *at > revision && key.starts_with(prefix)).cloned().collect()
    }
}

/// A guard that fails is an outcome, whose moment shows what stands in the way; nothing changes.
async fn refusals(backend: &dyn Backend, model: &Model) -> Verdict {
    let (key, revision) = model.live.first_key_value().ok_or("the history left nothing")?;
    let found = backend.moment().state.get(key).map(|object| object.key.clone());
    let key = found.ok_or_else(|| format!("{key} is missing"))?;
    let refused = transaction("suite", vec![Guard::Absent { key: key.clone() }], vec![put(key.clone())]);
    let committed = done("propose", backend.propose(refused).await)?;
    let refusal = Outcome::Refused(state::Refusal { guard: 0, revision: *revision });
    same("the outcome of a failed guard", &committed.outcome, &refusal)?;
    let seen = committed.moment.state.get(key.as_str()).map(|object| object.revision);
    same("what stands in the way", &seen, &Some(*revision))?;
    same("the revision after a refusal", &backend.moment().revision(), &model.revision)
}

/// A revision that is not there yet is waited for, and not for ever.
async fn revisions_to_come(backend: &dyn Backend, model: &mut Model) -> Verdict {
    let next = model.revision + 1;
    let asked = env::monotonic();
    let answer = backend.at_least(next).await.map(|moment| moment.revision());
    same(
        "a revision that does not come",
        &answer,
        &Err(AtLeastError::TooLarge { revision: next, current: model.revision }),
    )?;
    same("how long it is waited for", &asked.elapsed().as_millis(), &REVISION_TIMEOUT.as_millis())?;
    let writes = vec![put(Key::object("", "configmaps", "a", "awaited"))];
    let (waited, made) = tokio::join!(backend.at_least(next), model.make(backend, writes));
    made?;
    same("a revision that comes", &done("at_least", waited)?.revision(), &next)
}

/// A watch from any revision gives the suffix of the history under its prefix, and goes on with what is new.
async fn watches(backend: &dyn Backend, model: &mut Model) -> Verdict {
    let history: Vec<u64> = (0..=TRANSACTIONS).map_while(|at| model.ends.get(at)).map(|end| end.0).collect();
    let starts = model.changes.first().map_or(0, |first| first.0)..=history.last().copied().unwrap_or(0);
    let one_object = format!("{}n1", prefix_of(PREFIXES[0]));
    let mut prefixes: Vec<String> = PREFIXES.map(prefix_of).into();
    prefixes.extend(["core/secrets/".to_owned(), one_object]);
    let mut open = Vec::new();
    for prefix in prefixes {
        for start in starts.clone().map(|first| first - 1) {
            let mut watch = done("watch", backend.watch(&prefix, start))?;
            let expected = model.after(start, &prefix);
            let mut seen = Vec::new();
            while seen.len() < expected.len() {
                for event in done("next", watch.next().await)? {
                    let change = &event.change;
                    let key = change.object.key.as_str().to_owned();
                    seen.push((change.revision, key, change.deleted, change.previous.is_some()));
                }
            }
            same(&format!("a watch of {prefix} from {start}"), &seen, &expected)?;
            open.push((prefix.clone(), start, watch));
        }
    }
    let before = model.revision;
    let writes = PREFIXES.map(|(plural, namespace)| put(Key::object("", plural, namespace, "n1")));
    model.make(backend, writes.into()).await?;
    for (prefix, start, mut watch) in open {
        let mut seen = Vec::new();
        let expected: Vec<u64> = model.after(before, &prefix).into_iter().map(|change| change.0).collect();
        while seen.len() < expected.len() {
            let events = done("next", watch.next().await)?;
            seen.extend(events.iter().map(|event| event.change.revision));
        }
        same(&format!("what is new in a watch of {prefix} from {start}"), &seen, &expected)?;
        same(&format!("the progress of a watch of {prefix}"), &watch.progress(), &model.revision)?;
    }
    Ok(())
}

/// Any revision can be read again; inside a transaction that is the transaction's end.
async fn views(backend: &dyn Backend, model: &Model) -> Verdict {
    let mut from = model.changes.first().map_or(0, |first| first.0);
    for (end, live) in &model.ends[..=TRANSACTIONS] {
        for revision in from..=*end {
            for prefix in PREFIXES.map(prefix_of) {
                let what = format!("{prefix} at {revision}");
                let view = done(&what, backend.exact(&prefix, revision).await)?;
                same(&format!("the revision of {what}"), &view.revision(), end)?;
                let page = done(&what, view.page(&prefix, "", usize::MAX).await)?;
                let found: Vec<(String, u64)> =
                    page.iter().map(|object| (object.key.as_str().to_owned(), object.revision)).collect();
                let expected = live.iter().filter(|(key, _)| key.starts_with(&prefix));
                let expected: Vec<(String, u64)> = expected.map(|(key, at)| (key.clone(), *at)).collect();
                same(&what, &found, &expected)?;
            }
        }
        from = end + 1;
    }
    Ok(())
}

/// What is no longer kept is told with the oldest revision that is, from which one may go on.
async fn forgotten(backend: &dyn Backend, model: &Model) -> Verdict {
    let prefix = prefix_of(PREFIXES[0]);
    let old = model.changes.first().map_or(0, |first| first.0);
    let floor = match backend.watch(&prefix, old).err() {
        Some(WatchEnd::Gone(gone)) if gone.revision == old && gone.floor > old => gone.floor,
        other => return Err(format!("a watch from before the floor: {other:?}")),
    };
    match backend.exact(&prefix, old).await.err() {
        Some(ViewError::Gone(gone)) if gone.revision == old && gone.floor > old => {}
        other => return Err(format!("a read from before the floor: {other:?}")),
    }
    done("watch from the floor", backend.watch(&prefix, floor)).map(drop)
}

fn done<T, E: Debug>(what: &str, result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error:?}"))
}

fn same<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Verdict {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: found {found:?}, expected {expected:?}"))
}
