//! Keeps the log within its bounds: snapshots and purges, decided by bytes.

use std::sync::Weak;

use base::env;

use super::{Handle, Inner};
use crate::limits::{PURGE_STEP_SHARE, TRIM_EVERY};

/// How large the log is, and how far a snapshot covers it.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// Bytes held.
    size_bytes: u64,
    /// The first index held.
    begin: u64,
    /// Entries held.
    count: u64,
    /// The last index that the machine's snapshot covers.
    covered: Option<u64>,
}

/// The index up to which the log may go, if that is worth a step. Entries are taken to be of one size:
/// what matters is that roughly `kept_bytes` stay, and that nothing uncovered goes.
fn purge_upto(extent: Extent, kept_bytes: u64) -> Option<u64> {
    let surplus_bytes = extent.size_bytes.checked_sub(kept_bytes)?;
    if surplus_bytes < kept_bytes / PURGE_STEP_SHARE || extent.count == 0 {
        return None;
    }
    let entry_bytes = (extent.size_bytes / extent.count).max(1);
    let surplus = (surplus_bytes / entry_bytes).min(extent.count);
    let last = (extent.begin + surplus).checked_sub(1)?;
    let upto = last.min(extent.covered?);
    (upto >= extent.begin).then_some(upto)
}

/// Runs until Raft's runtime or the handle's last clone is gone.
pub(super) async fn keep_bounds(weak: Weak<Inner>) {
    let mut snapshot_at_bytes = 0;
    let mut purged_upto = None;
    loop {
        env::sleep(TRIM_EVERY).await;
        let Some(inner) = weak.upgrade() else { return };
        let handle = Handle(inner);
        handle.trigger_snapshot(&mut snapshot_at_bytes).await;
        handle.purge(&mut purged_upto).await;
    }
}

impl Handle {
    async fn trigger_snapshot(&self, taken_at_bytes: &mut u64) {
        let appended_bytes = self.0.log.appended_bytes();
        if appended_bytes - *taken_at_bytes < self.0.options.snapshot_after_bytes {
            return;
        }
        *taken_at_bytes = appended_bytes;
        // An error means that Raft ended, which its observer reports.
        let _ = self.0.raft.trigger().snapshot().await;
    }

    async fn purge(&self, done: &mut Option<u64>) {
        let (begin, count) = self.0.log.extent();
        let covered = self.look(|metrics| metrics.snapshot.map(|log_id| log_id.index));
        let extent = Extent { size_bytes: self.0.log.size_bytes(), begin, count, covered };
        let upto = purge_upto(extent, self.0.options.log_kept_bytes);
        // openraft purges a little later: do not ask for the same again meanwhile.
        if let Some(upto) = upto.filter(|upto| Some(*upto) > *done) {
            *done = Some(upto);
            let _ = self.0.raft.trigger().purge_log(upto).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_keeps_the_tail_and_what_no_snapshot_covers() {
        let check = |size_bytes, count, covered, expect| {
            let extent = Extent { size_bytes, begin: 100, count, covered };
            assert_eq!(purge_upto(extent, 800), expect, "{extent:?}");
        };
        check(700, 70, Some(169), None);
        check(800, 80, Some(179), None);
        check(890, 89, Some(188), None);
        check(1_000, 100, Some(199), Some(119));
        check(1_000, 100, Some(105), Some(105));
        check(1_000, 100, Some(99), None);
        check(1_000, 100, None, None);
        check(5_000, 1, Some(100), None);
    }
}
