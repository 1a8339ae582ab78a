//! A graceful end.

use base::env;

use super::Handle;
use crate::limits::{SHUTDOWN_CORE, SHUTDOWN_SYNC, SHUTDOWN_TRANSFER};

impl Handle {
    /// Hands leadership over, waits (bounded) until somebody else leads, ends Raft and makes the log
    /// durable. Afterwards every operation fails. Idempotent.
    pub async fn shutdown(&self) {
        match env::timeout(SHUTDOWN_TRANSFER, self.transfer(None)).await {
            Ok(Ok(leader)) => tracing::info!(leader, "handed leadership over"),
            Ok(Err(error)) => tracing::debug!(%error, "leadership was not handed over"),
            Err(_elapsed) => tracing::warn!("nobody took over in time; an election will decide"),
        }
        self.0.in_flight.close();
        if env::timeout(SHUTDOWN_CORE, self.0.raft.shutdown()).await.is_err() {
            tracing::warn!("the Raft core did not end in time");
        }
        // A failure is reported there already, and nothing unsynced was ever acknowledged.
        if env::timeout(SHUTDOWN_SYNC, self.0.log.sync()).await.is_err() {
            tracing::warn!("the last sync of the log did not end in time");
        }
        self.0.runtime.end();
    }
}
