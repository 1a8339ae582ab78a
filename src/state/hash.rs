//! Digests of State's parts.
//!
//! The hash of a collection is the wrapping sum of its members' XXH3-128: it depends on neither order
//! nor history, and apply keeps it by adding the new and subtracting the old. It finds mistakes and
//! damage, not forgery: the log comes from masters that have proven their identity.

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::body::Body;
use crate::object::Object;
use crate::txn::Outcome;

/// Fields in a fixed order, each with its length or of fixed width, so that no two lists collide.
pub(crate) struct Fields(Vec<u8>);

impl Fields {
    /// Digests of different things never collide: each begins with a tag of its own.
    pub(crate) fn of(tag: u8) -> Self {
        let mut fields = Vec::with_capacity(256);
        fields.push(tag);
        Self(fields)
    }

    pub(crate) fn number(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn wide(mut self, value: u128) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn signed(self, value: i64) -> Self {
        self.number(value.cast_unsigned())
    }

    pub(crate) fn text(self, value: &str) -> Self {
        let mut fields = self.number(value.len() as u64);
        fields.0.extend_from_slice(value.as_bytes());
        fields
    }

    pub(crate) fn digest(self) -> u128 {
        xxh3_128(&self.0)
    }
}

/// Of bytes in pieces, the same as of all in one.
fn digest(body: &Body) -> u128 {
    let mut hasher = Xxh3::new();
    body.pieces().for_each(|piece| hasher.update(piece));
    hasher.digest128()
}

/// Everything of an object that is State.
pub(crate) fn object(object: &Object) -> u128 {
    let Object { key, bytes, meta, revision, created, previous, time_ms, actor, request, splice, labels: _ } =
        object;
    let mut fields = Fields::of(b'v')
        .text(key.as_str())
        .wide(digest(bytes))
        .number(splice.map_or(0, |at| u64::from(at) + 1))
        .text(&meta.uid)
        .signed(meta.generation)
        .number(u64::from(meta.deleting) << 1 | u64::from(meta.finalizers))
        .number(meta.charges.len() as u64);
    for (counter, amount) in &meta.charges {
        fields = fields.text(counter).signed(*amount);
    }
    fields
        .number(*revision)
        .number(*created)
        .number(*previous)
        .number(*time_ms)
        .text(actor)
        .wide(*request)
        .digest()
}

/// A counter's limit.
pub(crate) fn limit(counter: &str, limit: i64) -> u128 {
    Fields::of(b'l').text(counter).signed(limit).digest()
}

/// When a prefix was written last.
pub(crate) fn prefix(prefix: &str, last_written: u64) -> u128 {
    Fields::of(b'p').text(prefix).number(last_written).digest()
}

/// A remembered outcome.
pub(crate) fn outcome(sequence: u64, request: u128, outcome: &Outcome) -> u128 {
    let fields = Fields::of(b'o').number(sequence).wide(request);
    match outcome {
        Outcome::Committed { revision } => fields.number(0).number(*revision),
        Outcome::Refused(refusal) => {
            fields.number(1).number(u64::from(refusal.guard)).number(refusal.revision)
        }
        Outcome::Invalid { reason } => fields.number(2).text(reason),
    }
    .digest()
}
