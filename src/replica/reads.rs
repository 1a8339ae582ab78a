//! Reads: linearizable, at least as new as a revision, or simply what is here.

use std::sync::Arc;

use base::env::{self, Instant};
use raft::ReadError;

use crate::limits::{LEADER_RETRY, READ_TIMEOUT, READ_TIMEOUT_WITHOUT_SPACE, REVISION_TIMEOUT};
use crate::moment::Moment;
use crate::replica::Replica;

/// Why there is no read that reflects every acknowledged write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// No quorum could be asked, it did not answer in time, or this master is behind it.
    #[error("{reason}")]
    Unconfirmed {
        /// For people: what was missing.
        reason: String,
    },
    /// More reads wait on this master than may: it was not even tried.
    #[error("{reason}")]
    Busy {
        /// For people: how many.
        reason: String,
    },
}

/// Why a revision cannot be waited for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AtLeastError {
    /// It lies in the future, also after [`REVISION_TIMEOUT`].
    #[error("Too large resource version: {revision}, current: {current}")]
    TooLarge {
        /// What was asked for.
        revision: u64,
        /// What is applied here.
        current: u64,
    },
}

/// What a master lacks that has not caught up since it started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Behind {
    /// It does not know it yet.
    #[error("no quorum has told yet what was committed when this master started")]
    Untold,
    /// It knows, and has not applied all of it.
    #[error("log index {applied} is applied here, but {floor} was committed when this master started")]
    Floor {
        /// What is applied here.
        applied: u64,
        /// What has to be.
        floor: u64,
    },
}

impl Replica {
    /// Whether everything is applied here that was committed, anywhere, when this master started. Once so,
    /// it stays so: what comes later is a matter of each read.
    ///
    /// # Errors
    /// What is lacking.
    pub fn caught_up(&self) -> Result<(), Behind> {
        let Some(floor) = self.shared().floor.get().copied() else { return Err(Behind::Untold) };
        let applied = self.moment().index;
        if applied >= floor { Ok(()) } else { Err(Behind::Floor { applied, floor }) }
    }

    /// Asks, until somebody tells, what is committed.
    pub(crate) async fn learn_floor(self) {
        loop {
            match self.raft().read_index().await {
                Ok(index) => {
                    // Nobody else sets it.
                    let _ = self.shared().floor.set(index);
                    return;
                }
                Err(ReadError::Stopped) => return,
                Err(_) => env::sleep(LEADER_RETRY).await,
            }
        }
    }

    /// What is applied here, perhaps behind the others.
    pub fn moment(&self) -> Arc<Moment> {
        self.shared().moments.newest()
    }

    /// A State that reflects every write acknowledged, by any master, before this call.
    ///
    /// # Errors
    /// [`Unavailable::Unconfirmed`] within [`READ_TIMEOUT`] when no quorum confirms who leads,
    /// [`Unavailable::Busy`] at once when too many wait for that already.
    pub async fn linearizable(&self) -> Result<Arc<Moment>, Unavailable> {
        let deadline = env::monotonic() + READ_TIMEOUT;
        let index = self.confirmed_index(deadline).await?;
        let newest = self.moment();
        if newest.index >= index {
            return Ok(newest);
        }
        let left = deadline.saturating_duration_since(env::monotonic());
        let (limit, why) = if self.raft().space_is_low() {
            let why = "; its disk is nearly full: free space there, or ask another master";
            (left.min(READ_TIMEOUT_WITHOUT_SPACE), why)
        } else {
            (left, "")
        };
        let applied = self.shared().moments.wait_for(limit, |moment| moment.index >= index).await;
        applied.ok_or_else(|| Unavailable::Unconfirmed {
            reason: format!("this master is behind: log index {index} was not applied here in time{why}"),
        })
    }

    /// A read index, asked for again while an election is under way.
    async fn confirmed_index(&self, deadline: Instant) -> Result<u64, Unavailable> {
        let mut reason = "no quorum of masters answered in time".to_owned();
        loop {
            match env::timeout_at(deadline, self.raft().read_index()).await {
                Ok(Ok(index)) => return Ok(index),
                // Trying again would only be another queue.
                Ok(Err(error @ ReadError::Busy)) => {
                    return Err(Unavailable::Busy { reason: error.to_string() });
                }
                Ok(Err(error)) => reason = error.to_string(),
                Err(_elapsed) => return Err(Unavailable::Unconfirmed { reason }),
            }
            if env::monotonic() + LEADER_RETRY >= deadline {
                return Err(Unavailable::Unconfirmed { reason });
            }
            env::sleep(LEADER_RETRY).await;
        }
    }

    /// A State at `revision` or newer.
    ///
    /// # Errors
    /// [`AtLeastError::TooLarge`] after [`REVISION_TIMEOUT`].
    pub async fn at_least(&self, revision: u64) -> Result<Arc<Moment>, AtLeastError> {
        let newest = self.moment();
        if newest.revision() >= revision {
            return Ok(newest);
        }
        let reached = |moment: &Moment| moment.revision() >= revision;
        let found = self.shared().moments.wait_for(REVISION_TIMEOUT, reached).await;
        found.ok_or_else(|| AtLeastError::TooLarge { revision, current: self.moment().revision() })
    }

    /// State's hash after the entry at `index`; `None` when it is not remembered here, or was not
    /// applied within [`REVISION_TIMEOUT`].
    pub async fn hash_at(&self, index: u64) -> Option<u128> {
        self.shared().moments.wait_for_hash(index).await
    }
}
