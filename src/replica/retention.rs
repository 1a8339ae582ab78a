//! How long history is kept: per collection by age, over all by bytes. In the background, in small
//! steps, never in the way of writes.

use std::collections::BTreeMap;
use std::sync::Arc;
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

/// The floor that each prefix was compacted to. The store's own [`VersionStore::floor`] would not do: it is
/// the highest of all rules that touch a prefix. Lost at a restart, which only repeats a pass.
type Reached = BTreeMap<String, u64>;

/// Compacts until the process ends.
pub(crate) async fn run(shared: Arc<Shared>, rules: Vec<Rule>, bytes_max: u64) {
    let mut reached = Reached::new();
    loop {
        env::sleep(RETENTION_INTERVAL).await;
        let now_ms = shared.moments.newest().state.time_ms();
        let versions = shared.versions();
        if let Err(error) = sweep(&versions, &rules, bytes_max, now_ms, &mut reached).await {
            // Not fatal: a full or failing disk stops the master through the log, which cannot wait.
            warn!(%error, "history could not be compacted; trying again later");
        }
    }
}

/// One pass over all rules.
async fn sweep(
    versions: &Arc<dyn VersionStore>,
    rules: &[Rule],
    bytes_max: u64,
    now_ms: u64,
    reached: &mut Reached,
) -> Result<(), StorageError> {
    for rule in rules {
        let floor_ms = now_ms.saturating_sub(rule.age.as_millis() as u64);
        compact(versions, &rule.prefix, floor_ms, reached).await?;
    }
    if versions.size_bytes() <= bytes_max {
        return Ok(());
    }
    // Over the cap, ages halve until it fits or only the watch window is left, and then that goes too.
    let mut age = rules.iter().map(|rule| rule.age).max().unwrap_or(WATCH_WINDOW);
    while versions.size_bytes() > bytes_max && age > Duration::from_secs(1) {
        age /= 2;
        if age < WATCH_WINDOW {
            let window_s = WATCH_WINDOW.as_secs();
            warn!(
                age_s = age.as_secs(),
                window_s, "history exceeds its bytes: cutting into the watch window"
            );
        }
        compact(versions, "", now_ms.saturating_sub(age.as_millis() as u64), reached).await?;
    }
    Ok(())
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
    if reached.get(prefix).is_some_and(|reached| floor <= *reached) {
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
    reached.insert(prefix.to_owned(), floor);
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
            let mut reached = Reached::new();
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
