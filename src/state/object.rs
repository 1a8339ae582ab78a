//! One stored object: its final bytes, and what was decided about it.

use std::sync::OnceLock;

use crate::body::Body;
use crate::labels::Labels;
use api::Key;
use api::view::View;

/// The little of an object that apply decides on. Built together with the bytes by one constructor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.generation`; 0 when the kind has none.
    pub generation: i64,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Whether `metadata.finalizers` is not empty.
    pub finalizers: bool,
    /// What the object uses of each counter, in fixed integer units. Names are unique.
    pub charges: Vec<(String, i64)>,
}

/// One version of one object, as it is served.
#[derive(Debug)]
pub struct Object {
    /// Where it lives.
    pub key: Key,
    /// Canonical JSON with `metadata.resourceVersion` in place.
    pub bytes: Body,
    /// What apply decides on.
    pub meta: Meta,
    /// The write that made this version.
    pub revision: u64,
    /// The write that created the object.
    pub created: u64,
    /// The version before this one; 0 for none.
    pub previous: u64,
    /// When, by the log's clock. Milliseconds since the epoch.
    pub time_ms: u64,
    /// Who.
    pub actor: std::sync::Arc<str>,
    /// The attempt that wrote it.
    pub request: u128,
    /// Where in `bytes` the revision stands; `None` in internal records, which have none.
    pub(crate) splice: Option<u32>,
    /// Read from the bytes outside apply when first asked for. Not part of state.
    pub(crate) labels: OnceLock<Labels>,
}

impl Object {
    /// The bytes without the revision, in pieces: what a write's `body` was. The first ends where the revision stood.
    pub fn body_pieces(&self) -> Vec<&[u8]> {
        let mut pieces: Vec<_> = self.bytes.pieces().collect();
        if let (Some(at), [first, ..]) = (self.splice, &mut *pieces) {
            // What is shared stands behind it.
            let (head, tail) = first.split_at_checked(at as usize).unwrap_or((*first, &[]));
            *first = head;
            pieces.insert(1, tail.get(revision_bytes(self.revision)..).unwrap_or(&[]));
        }
        pieces
    }

    /// The bytes without the revision.
    pub fn body(&self) -> Vec<u8> {
        self.body_pieces().concat()
    }

    /// Whether `body` is what [`Object::body`] would return: whether an update changes nothing.
    pub fn has_body(&self, body: &[u8]) -> bool {
        let rest = self.body_pieces().iter().try_fold(body, |rest, piece| rest.strip_prefix(*piece));
        rest.is_some_and(<[u8]>::is_empty)
    }

    /// What it says, read where it stands; where long sets of fields are in `metadata.managedFields`, nothing is.
    pub fn view(&self) -> View<'_> {
        View::new(self.bytes.own())
    }

    /// `metadata.labels`; parsed once, when first asked for.
    pub fn labels(&self) -> &Labels {
        self.labels.get_or_init(|| Labels::of_json(self.bytes.own()))
    }

    /// Memory the object uses, about: for bounds on what is kept.
    pub fn size_bytes(&self) -> usize {
        let charges: usize = self.meta.charges.iter().map(|(counter, _)| counter.len() + 32).sum();
        size_of::<Self>() + self.key.as_str().len() + self.bytes.len() + self.meta.uid.len() + charges
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        let decided = |o: &Self| (o.revision, o.created, o.previous, o.time_ms, o.request, o.splice);
        decided(self) == decided(other)
            && self.key == other.key
            && self.bytes == other.bytes
            && self.meta == other.meta
            && self.actor == other.actor
    }
}

impl Eq for Object {}

/// Whether the revision can stand at `at`: in front of a member, so that the comma after it is right.
/// A cheap look at two bytes; that the rest is JSON is the builder's business.
pub(crate) fn can_splice(body: &[u8], at: u32) -> bool {
    let at = at as usize;
    let before = at.checked_sub(1).and_then(|before| body.get(before));
    matches!(before, Some(b'{' | b',')) && body.get(at) == Some(&b'"')
}

/// A body with the revision in its place.
pub(crate) fn body_of(body: &[u8], at: Option<u32>, revision: u64) -> Body {
    Body::of(splice(body, at, revision), at.unwrap_or_default() as usize)
}

fn splice(body: &[u8], at: Option<u32>, revision: u64) -> Vec<u8> {
    let Some(at) = at else { return body.to_vec() };
    let (head, tail) = body.split_at(at as usize);
    [head, BEFORE, itoa::Buffer::new().format(revision).as_bytes(), AFTER, tail].concat()
}

const BEFORE: &[u8] = b"\"resourceVersion\":\"";
const AFTER: &[u8] = b"\",";

/// The length of the spliced member.
fn revision_bytes(revision: u64) -> usize {
    let digits = revision.checked_ilog10().map_or(1, |log| log as usize + 1);
    BEFORE.len() + digits + AFTER.len()
}

/// Whether `revision` stands spliced at `at`.
pub(crate) fn is_spliced(bytes: &[u8], at: u32, revision: u64) -> bool {
    let rest = bytes.get(at as usize..).unwrap_or(&[]);
    let after = rest
        .strip_prefix(BEFORE)
        .and_then(|rest| rest.strip_prefix(itoa::Buffer::new().format(revision).as_bytes()));
    after.is_some_and(|rest| rest.starts_with(AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_revision_can_stand() {
        let body = br#"{"metadata":{"name":"a","uid":"b"}}"#;
        let can: Vec<u32> = (0..40).filter(|at| can_splice(body, *at)).collect();
        assert_eq!(can, [1, 13, 24]);
        assert!(!can_splice(body, u32::MAX));
        assert!(!can_splice(b"{}", 1));
    }

    #[test]
    fn the_revision_goes_in_and_comes_out() {
        let body = br#"{"metadata":{"name":"a"}}"#;
        for revision in [0, 1, 9, 10, 99, 100, u64::MAX] {
            let bytes = splice(body, Some(13), revision);
            assert_eq!(
                String::from_utf8_lossy(&bytes),
                format!(r#"{{"metadata":{{"resourceVersion":"{revision}","name":"a"}}}}"#)
            );
            assert_eq!(bytes.len() - body.len(), revision_bytes(revision));
            assert!(is_spliced(&bytes, 13, revision));
            assert!(!is_spliced(&bytes, 12, revision));
            assert!(!is_spliced(&bytes, 13, revision ^ 1));
        }
        assert_eq!(splice(body, None, 7), body);
    }
}
