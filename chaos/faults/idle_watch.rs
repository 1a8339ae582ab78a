//! Clients that open a watch and never read it. Nobody else may notice; when they read at last, they get
//! everything in order from the beginning, up to where the master gave them up.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::Injury;
use crate::cluster::Cluster;
use crate::watch::{EventKind, Watch};

/// Watches that nobody reads, on each master.
const WATCHES_PER_MASTER: usize = 10;

/// How long a watch that is read again may be silent before it counts as read.
const SILENCE_MAX: Duration = Duration::from_millis(500);

/// Traffic goes on while an unread watch is read, so it never falls silent; this many events are proof.
const EVENTS_READ_MAX: usize = 200;

/// Opens the watches.
///
/// # Errors
/// When a master refuses one.
pub async fn inject(cluster: &Cluster) -> Result<Injury> {
    let mut watches = Vec::new();
    for name in cluster.masters() {
        let client = cluster.client(&name)?;
        let (from, _) = client.list("?limit=1").await?;
        for _ in 0..WATCHES_PER_MASTER {
            watches.push(client.watch(from).await?);
        }
    }
    Ok(Injury::Unread(watches))
}

/// Reads every watch to its end.
///
/// # Errors
/// When what it holds is out of order.
pub async fn read_to_the_end(watches: Vec<Watch>) -> Result<()> {
    for mut watch in watches {
        let (mut last, mut read) = (0, 0);
        // A master may give up a client that does not read; what it sent before must be in order.
        while let Ok(Some(event)) = watch.next(SILENCE_MAX).await {
            let is_in_order = event.revision > last || event.kind == EventKind::Bookmark;
            ensure!(is_in_order, "an unread watch showed {} after {last}", event.revision);
            last = event.revision;
            read += 1;
            if read == EVENTS_READ_MAX {
                break;
            }
        }
    }
    Ok(())
}
