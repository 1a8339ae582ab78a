//! One master's replica of the cluster: State behind the log, proposals in, Changes out.
//!
//! Sits between raft (opaque bytes) and the API server (verbs): implements [`raft::Machine`] over
//! [`state::apply()`] and the version store, batches and forwards proposals, keeps recent States, and
//! feeds watches.

/*  CONTRACT

pub struct Replica (cheap clone: Arc)
  pub fn moment(&self) -> Arc<Moment>             // { state: State, index, term } as applied here, now
  pub async fn linearizable(&self) -> Result<Arc<Moment>, Unavailable>       // ReadIndex, then wait until applied
  pub async fn at_least(&self, revision: u64) -> Result<Arc<Moment>, AtLeastError>   // waits <= 3 s: TooLarge{revision, current}
  pub async fn propose(&self, txn: Txn) -> Result<Committed, ProposeError>   // waits until applied HERE.
        Committed { outcome: Outcome, moment: Arc<Moment> }
        ProposeError::{ Unavailable(reason) /* certainly not applied: 503 */, Unknown /* 504 */, OutOfSpace /* 507 */, TooLarge /* 413 */ }
  pub async fn exact(&self, revision: u64) -> Result<View, Gone{floor}>      // State kept in memory, or MVCC range reads
  pub fn watch(&self, prefix: &str, from: u64) -> Result<Watch, Gone{floor}>
        Watch::next(&mut self) -> Result<Events, WatchEnd>     // async, cancel-safe; a batch of Arc<Event> after the cursor, in order;
                                                               // Event{ change: Change, + OnceLock'd encoded frame slots }
        Watch::progress(&self) -> u64                           // revision up to which everything was delivered (bookmarks)
  pub fn raft(&self) -> &raft::Handle
  pub fn hash_at(&self, index: u64) -> ...                      // for `kctl cluster verify`
*/
