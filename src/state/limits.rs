//! How large a transaction may be.
//!
//! `apply` answers `Invalid` above these limits, so they are part of what the log means: a changed
//! limit is a new feature level (see [`crate::level`]).

use crate::object::Meta;
use crate::txn::{Batch, Guard, Txn, Write};

/// The largest object, without its revision. 1.5 MiB: the request limit that Kubernetes inherits from
/// etcd (`--max-request-bytes`).
pub const OBJECT_BYTES_MAX: usize = 3 << 19;
/// The largest transaction: the sum of its bodies, keys and names. Room for a gang of a thousand pods.
pub const TXN_BYTES_MAX: usize = 8 << 20;
/// The most writes in one transaction.
pub const WRITES_MAX: usize = 4096;
/// The most guards in one transaction: two for each write.
pub const GUARDS_MAX: usize = 2 * WRITES_MAX;
/// The most counters one object may use.
pub const CHARGES_MAX: usize = 64;
/// The longest name of a counter: a namespace, a quota's name and a resource fit.
pub const COUNTER_BYTES_MAX: usize = 1024;
/// The longest user name kept with a write.
pub const ACTOR_BYTES_MAX: usize = 1024;
/// The longest uid. Kubernetes' own have 36 bytes.
pub const UID_BYTES_MAX: usize = 128;
/// The most transactions in one log entry.
pub const BATCH_TXNS_MAX: usize = 4096;
/// The largest log entry: two transactions of the largest size.
pub const BATCH_BYTES_MAX: usize = 2 * TXN_BYTES_MAX;

/// A transaction above a limit of this module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {size}, but at most {limit} is accepted; make the change smaller or split it")]
pub struct Oversize {
    /// What was measured, with its unit.
    pub what: &'static str,
    /// How much there is.
    pub size: usize,
    /// How much is accepted.
    pub limit: usize,
}

/// Checks a transaction against every limit of this module. The leader does so before it proposes.
///
/// # Errors
/// Names the first limit that is exceeded.
pub fn check(txn: &Txn) -> Result<(), Oversize> {
    at_most("guards", txn.guards.len(), GUARDS_MAX)?;
    at_most("writes", txn.writes.len(), WRITES_MAX)?;
    at_most("bytes of the user's name", txn.stamp.actor.len(), ACTOR_BYTES_MAX)?;
    let mut total = 0;
    for guard in &txn.guards {
        total += guard_bytes(guard)?;
    }
    for write in &txn.writes {
        total += write_bytes(write)?;
    }
    at_most("bytes of the transaction", total, TXN_BYTES_MAX)
}

/// Checks a batch and each of its transactions.
pub(crate) fn check_batch(batch: &Batch) -> Result<(), Oversize> {
    at_most("transactions in one entry", batch.txns.len(), BATCH_TXNS_MAX)?;
    batch.txns.iter().try_for_each(check)
}

pub(crate) fn at_most(what: &'static str, size: usize, limit: usize) -> Result<(), Oversize> {
    if size > limit { Err(Oversize { what, size, limit }) } else { Ok(()) }
}

fn guard_bytes(guard: &Guard) -> Result<usize, Oversize> {
    Ok(match guard {
        Guard::AtRevision { key, .. } | Guard::Absent { key } | Guard::AtGeneration { key, .. } => {
            key.as_str().len()
        }
        Guard::Live { key, uid } => {
            at_most("bytes of a uid", uid.len(), UID_BYTES_MAX)?;
            key.as_str().len() + uid.len()
        }
        Guard::Unwritten { prefix, .. } => {
            at_most("bytes of a prefix", prefix.len(), api::key::KEY_BYTES_MAX)?;
            prefix.len()
        }
        Guard::WithinLimit { counter } => counter_bytes(counter)?,
        Guard::LeaderTerm { .. } => 0,
    })
}

fn write_bytes(write: &Write) -> Result<usize, Oversize> {
    Ok(match write {
        Write::Put { key, body, meta, .. } => {
            at_most("bytes of the object", body.len(), OBJECT_BYTES_MAX)?;
            key.as_str().len() + body.len() + meta_bytes(meta)?
        }
        Write::Delete { key } => key.as_str().len(),
        Write::Limit { counter, .. } => counter_bytes(counter)?,
        Write::FeatureLevel { .. } => 0,
    })
}

fn meta_bytes(meta: &Meta) -> Result<usize, Oversize> {
    at_most("bytes of a uid", meta.uid.len(), UID_BYTES_MAX)?;
    at_most("counters charged by one object", meta.charges.len(), CHARGES_MAX)?;
    let mut total = meta.uid.len();
    for (counter, _) in &meta.charges {
        total += counter_bytes(counter)?;
    }
    Ok(total)
}

fn counter_bytes(counter: &str) -> Result<usize, Oversize> {
    at_most("bytes of a counter's name", counter.len(), COUNTER_BYTES_MAX)?;
    Ok(counter.len())
}
