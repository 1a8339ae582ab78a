//! How long history is kept: per collection by age, over all by bytes. In the background, in small
//! steps, never in the way of writes.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use base::env;
use storage::versions::Retention;
use storage::{StorageError, Version, VersionStore};
use tracing::{info, warn};

use crate::exact::object_of;
use crate::limits::{COMPACT_STEP_VERSIONS, RETENTION_INTERVAL, WATCH_WINDOW};
use crate::replica::Shared;

/// How long versions under a prefix are kept after they were replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Keys that begin with this. Of the rules that match a key, the shortest age decides.
    pub prefix: String,
    /// Age from which a replaced version may go.
    pub age: Duration,
}

/// The floor that each prefix of a store was compacted to. The store's own [`VersionStore::floor`] would not
/// do: it is the highest of all rules that touch a prefix. Lost at a restart, which only repeats a pass.
#[derive(Default)]
struct Reached {
    store: Option<Weak<dyn VersionStore>>,
    floors: BTreeMap<String, u64>,
}

impl Reached {
    /// Forgets the floors of another store: one that came with a snapshot may lie lower.
    fn enter(&mut self, versions: &Arc<dyn VersionStore>) {
        let store = Arc::downgrade(versions);
        if !self.store.as_ref().is_some_and(|known| known.ptr_eq(&store)) {
            *self = Self { store: Some(store), floors: BTreeMap::new() };
        }
    }
}

/// Compacts until the process ends, or until this master must.
pub(crate) async fn run(shared: Arc<Shared>, rules: Vec<Rule>, bytes_max: u64) -> Result<(), String> {
    let mut reached = Reached::default();
    loop {
        env::sleep(RETENTION_INTERVAL).await;
        let now_ms = shared.moments.newest().state.time_ms();
        let versions = shared.versions();
        match sweep(&versions, &rules, bytes_max, now_ms, &mut reached).await {
            Ok(Some(age)) if age < WATCH_WINDOW => {
                let (age_s, window_s) = (age.as_secs(), WATCH_WINDOW.as_secs());
                warn!(age_s, window_s, "history exceeds its bytes: cutting into the watch window");
            }
            Ok(_) => {}
            Err(error) if error.is_corrupt() => return Err(format!("history cannot be compacted: {error}")),
            // Not fatal: a full or failing disk stops the master through the log, which cannot wait.
            Err(error) => warn!(%error, "history could not be compacted; trying again later"),
        }
    }
}

/// One pass over all rules. Returns the age that history was cut to when it exceeded `bytes_max`.
async fn sweep(
    versions: &Arc<dyn VersionStore>,
    rules: &[Rule],
    bytes_max: u64,
    now_ms: u64,
    reached: &mut Reached,
) -> Result<Option<Duration>, StorageError> {
    reached.enter(versions);
    for rule in rules {
        let floor_ms = now_ms.saturating_sub(rule.age.as_millis() as u64);
        compact(versions, &rule.prefix, floor_ms, reached).await?;
    }
    if versions.size_bytes() <= bytes_max {
        return Ok(None);
    }
    // Over the cap, ages halve until it fits or only the watch window is left, and then that goes too.
    let mut age = rules.iter().map(|rule| rule.age).max().unwrap_or(WATCH_WINDOW);
    while versions.size_bytes() > bytes_max && age > Duration::from_secs(1) {
        age /= 2;
        compact(versions, "", now_ms.saturating_sub(age.as_millis() as u64), reached).await?;
    }
    Ok(Some(age))
}

/// Drops what was replaced under `prefix` before `floor_ms`, a step at a time.
async fn compact(
    versions: &Arc<dyn VersionStore>,
    prefix: &str,
    floor_ms: u64,
    reached: &mut Reached,
) -> Result<(), StorageError> {
    let reader = Arc::clone(versions);
    let Some(floor) = env::blocking(move || revision_at(&*reader, floor_ms)).await? else { return Ok(()) };
    if reached.floors.get(prefix).is_some_and(|reached| floor <= *reached) {
        return Ok(());
    }
    let mut dropped = 0;
    loop {
        let (store, prefix) = (Arc::clone(versions), prefix.to_owned());
        let step = move || store.compact(&Retention { prefix, floor }, COMPACT_STEP_VERSIONS);
        let compacted = env::blocking(step).await?;
        dropped += compacted.dropped;
        if compacted.scanned == 0 {
            break;
        }
    }
    reached.floors.insert(prefix.to_owned(), floor);
    if dropped > 0 {
        info!(prefix, floor, dropped, "compacted history");
    }
    Ok(())
}

fn written_at(version: &Version) -> Result<u64, StorageError> {
    Ok(object_of(version.clone())?.time_ms)
}

/// The last revision held that was written at or before `time_ms`; `None` when there is none. Versions
/// carry the log's clock, which never runs backwards, so a binary search over revisions finds it, whatever
/// earlier compactions left out.
fn revision_at(versions: &dyn VersionStore, time_ms: u64) -> Result<Option<u64>, StorageError> {
    let Some(image) = versions.image()? else { return Ok(None) };
    let (mut low, mut high) = (0, image.revision);
    while low < high {
        let middle = low + (high - low) / 2;
        match versions.following(middle, 1)?.first() {
            Some(version) if written_at(version)? <= time_ms => low = version.revision,
            _ => high = middle,
        }
    }
    Ok((low > 0).then_some(low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::History;

    const CONFIG_MAPS: &str = "core/configmaps/";
    const SECRETS: &str = "core/secrets/";

    #[test]
    fn every_rule_advances_its_own_floor_at_every_pass() {
        env::simulate(1, async {
            let rule = |prefix: &str, age_s| Rule { prefix: prefix.into(), age: Duration::from_secs(age_s) };
            let rules = [rule("", 60), rule(CONFIG_MAPS, 10)];
            let mut history = History::new();
            // One revision of each in every second: 2 * s - 1 and 2 * s.
            for second in 1..=200 {
                history.write(second * 1000, &[("configmaps", "x"), ("secrets", "y")]);
            }
            let versions = Arc::clone(&history.versions);
            let mut reached = Reached::default();
            for now_s in [100, 150, 200] {
                sweep(&versions, &rules, u64::MAX, now_s * 1000, &mut reached).await.expect("swept");
                let floors = [CONFIG_MAPS, SECRETS].map(|prefix| versions.floor(prefix).expect("a floor"));
                assert_eq!(floors, [2 * (now_s - 10), 2 * (now_s - 60)], "after {now_s} s");
            }
            // At their floors and after them.
            let kept = ["configmaps/default/x", "secrets/default/y"]
                .map(|key| versions.history(&format!("core/{key}"), usize::MAX).expect("held").len());
            assert_eq!(kept, [11, 61]);
        });
    }

    #[test]
    fn history_beyond_its_bytes_is_cut_from_the_oldest() {
        const SECONDS: u64 = 4_000;
        env::simulate(1, async {
            let rules = [Rule { prefix: String::new(), age: Duration::from_secs(SECONDS) }];
            let mut history = History::new();
            for second in 1..=SECONDS {
                history.write(second * 1000, &[("configmaps", "x")]);
            }
            let versions = Arc::clone(&history.versions);
            let whole = versions.size_bytes();
            let mut reached = Reached::default();
            let cases = [
                (whole, None, SECONDS),
                (whole / 3, Some(1_000.0), 1_001),
                // Into the watch window, which is told.
                (whole / 40, Some(62.5), 64),
                // What lives does not go, nor what the last second replaced, however little room there is.
                (0, Some(4_000.0 / 4_096.0), 2),
            ];
            for (bytes_max, age_s, kept) in cases {
                let swept = sweep(&versions, &rules, bytes_max, SECONDS * 1000, &mut reached).await;
                assert_eq!(swept.expect("swept"), age_s.map(Duration::from_secs_f64), "{bytes_max}");
                let held = versions.history("core/configmaps/default/x", usize::MAX).expect("held");
                assert_eq!(held.len() as u64, kept, "within {bytes_max} bytes");
                assert_eq!(held[0].revision, SECONDS);
            }
        });
    }

    #[test]
    fn a_store_that_came_with_a_snapshot_is_compacted_from_its_own_floors() {
        env::simulate(1, async {
            let rules = [Rule { prefix: String::new(), age: Duration::from_secs(10) }];
            let mut reached = Reached::default();
            for store in ["the first", "the received"] {
                let mut history = History::new();
                for second in 1..=100 {
                    history.write(second * 1000, &[("configmaps", "x")]);
                }
                let versions = Arc::clone(&history.versions);
                sweep(&versions, &rules, u64::MAX, 100_000, &mut reached).await.expect("swept");
                assert_eq!(versions.floor("").expect("a floor"), 90, "of {store} store");
            }
        });
    }

    #[test]
    fn a_time_is_found_among_gaps() {
        let mut history = History::new();
        for second in 1..=20 {
            history.write(second * 1000, &[("configmaps", "x")]);
        }
        let versions = &*history.versions;
        while versions
            .compact(&Retention { prefix: String::new(), floor: 10 }, 100)
            .expect("compacted")
            .scanned
            > 0
        {}
        let found = |time_ms| revision_at(versions, time_ms).expect("readable");
        for (time_ms, expected) in [(9_999, None), (10_000, Some(10)), (15_500, Some(15)), (99_000, Some(20))]
        {
            assert_eq!(found(time_ms), expected, "{time_ms} ms");
        }
    }
}
