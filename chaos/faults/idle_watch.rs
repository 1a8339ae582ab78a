//! Clients that open a watch and never read it, while more happens than sockets and the master's window of
//! recent events hold. Nobody else may notice, and the master must not keep what they do not read. When
//! they read at last, they get everything in order from the beginning, up to where the master gave them up.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;

use super::Injury;
use crate::cluster::Cluster;
use crate::process;
use crate::watch::{EventKind, Watch};

/// Watches that nobody reads, on each master.
const WATCHES_PER_MASTER: usize = 20;

/// Events that they do not read. Together they are larger than what a master keeps in memory for watches
/// (32 MiB), and far larger than the buffers of a socket (4 MiB).
const EVENTS: usize = 60;

/// Bytes of each.
const EVENT_BYTES: usize = 600_000;

/// What a master may grow by meanwhile: half of what it would hold if it kept the events for each watch.
const GROWTH_BYTES_MAX: u64 = (WATCHES_PER_MASTER * EVENTS * EVENT_BYTES / 2) as u64;

/// How long masters may take to give memory back that they do not need any more: what the persister still holds,
/// and what the allocator keeps of what was freed.
const CALM_TIMEOUT: Duration = Duration::from_secs(30);

/// How often their memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long a watch that is read again may be silent before it counts as stuck.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Watches of each master, and the revisions of what happened since they were opened.
pub struct Unread {
    watches: Vec<(String, Vec<Watch>)>,
    revisions: Vec<u64>,
}

/// Opens the watches, and makes more happen than fits anywhere.
///
/// # Errors
/// When a master refuses a watch or a write, or keeps what is not read.
pub async fn inject(cluster: &Cluster) -> Result<Injury> {
    let mut watches = Vec::new();
    let mut before = Vec::new();
    for name in cluster.masters() {
        let client = cluster.client(&name)?;
        let (from, _) = client.list("?limit=1").await?;
        let mut opened = Vec::new();
        for _ in 0..WATCHES_PER_MASTER {
            opened.push(client.watch(from).await?);
        }
        before.push((cluster.pid(&name)?, process::resident_bytes(cluster.pid(&name)?)?));
        watches.push((name, opened));
    }
    let client = cluster.any_client()?;
    // Each differs from the one before it: an update to the same changes nothing.
    let value = |number: usize| format!("{number} {}", "x".repeat(EVENT_BYTES));
    let beside = "beside watches that nobody reads";
    let (now, _) = client.list("?limit=1").await?;
    let object = format!("large-{now}");
    let mut last = client.create(&object, &value(0)).await.context(beside)?;
    let mut revisions = vec![last];
    for number in 1..EVENTS {
        last = client.update(&object, &value(number), last).await.context(beside)?;
        revisions.push(last);
    }
    ensure!(revisions.is_sorted_by(|one, next| one < next), "not every update counts: {revisions:?}");
    for ((name, _), (pid, before)) in watches.iter().zip(before) {
        let grown = || process::resident_bytes(pid).map_or(u64::MAX, |now| now.saturating_sub(before));
        println!("{name} grew by {} MiB beside {WATCHES_PER_MASTER} unread watches", grown() >> 20);
        // What the writes themselves took goes back to the system after a while.
        let is_small = env::wait_until(CALM_TIMEOUT, LOOK_EVERY, || grown() < GROWTH_BYTES_MAX).await;
        ensure!(is_small, "{name} grew by {} bytes: it keeps what is not read", grown());
    }
    Ok(Injury::Unread(Unread { watches, revisions }))
}

impl Unread {
    /// Reads one watch of each master to its end; the others are closed as they are.
    ///
    /// # Errors
    /// When a watch shows anything but what happened, in order, or neither goes on nor ends.
    pub async fn read_to_the_end(self) -> Result<()> {
        for (name, watches) in self.watches {
            let mut watch = watches.into_iter().next().context("every master has unread watches")?;
            let mut seen = Vec::new();
            while seen.len() < self.revisions.len() {
                // A master may give up a client that does not read; what it sent before must be in order.
                let next = watch.next(SILENCE_MAX).await;
                if watch.is_over() {
                    break;
                }
                let event = next.with_context(|| format!("an unread watch on {name}"))?;
                let event =
                    event.with_context(|| format!("{name} stands still after {} events", seen.len()))?;
                if event.kind != EventKind::Bookmark {
                    seen.push(event.revision);
                }
            }
            let expected = &self.revisions;
            ensure!(
                !seen.is_empty() && expected.starts_with(&seen),
                "an unread watch on {name} showed {seen:?}, not {expected:?}"
            );
        }
        Ok(())
    }
}
