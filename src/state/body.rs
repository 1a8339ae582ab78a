//! The bytes of an object. What many objects have in common is held once.
//!
//! Half of a pod are the sets of fields in its `metadata.managedFields`, and those are the same in all pods that came
//! from one template, but for the address by which the set of its status names it: what is before and behind that is
//! shared. All this is found in the bytes alone and changes nothing that anybody can see: hashes, the log and the durable
//! image know only whole bytes.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use api::view::View;
use bytes::Bytes;
use memchr::memmem::Finder;

use crate::shared;

/// Bytes of a set that is looked for among those of other objects; below, telling where it is takes as much.
const SHARED_BYTES_MIN: usize = 128;

/// The bytes of an object, in pieces.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// All that is not shared. Without room for more, which 100,000 objects would have, each.
    own: Box<[u8]>,
    /// What is shared, in order.
    cuts: Box<[Cut]>,
}

/// A piece that other objects may hold as well.
#[derive(Clone, Debug)]
struct Cut {
    /// How much of the object's own bytes comes before it.
    at: usize,
    shared: Arc<[u8]>,
}

impl Body {
    /// Of bytes in one piece. What is shared are sets of fields, as server-side apply keeps them, without the addresses
    /// in them; none that begins before `behind`.
    pub fn of(bytes: impl Into<Vec<u8>>, behind: usize) -> Self {
        let bytes: Vec<u8> = bytes.into();
        let found = sets(&bytes).filter(|(from, _)| *from > behind);
        let found: Vec<_> = found.flat_map(|set| around_addresses(&bytes, set)).collect();
        if found.is_empty() {
            return Self::whole(bytes);
        }
        let shared_bytes: usize = found.iter().map(|(from, to)| to - from).sum();
        let mut own = Vec::with_capacity(bytes.len() - shared_bytes);
        let mut cuts = Vec::with_capacity(found.len());
        let mut done = 0;
        for (from, to) in found {
            own.extend_from_slice(&bytes[done..from]);
            cuts.push(Cut { at: own.len(), shared: shared::bytes(&bytes[from..to]) });
            done = to;
        }
        own.extend_from_slice(&bytes[done..]);
        Self { own: own.into(), cuts: cuts.into() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.own.len() + self.cuts.iter().map(|cut| cut.shared.len()).sum::<usize>()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy of all of them in one piece.
    pub fn to_bytes(&self) -> Bytes {
        let mut whole = Vec::with_capacity(self.len());
        self.append_to(&mut whole);
        whole.into()
    }

    /// Appends all of them.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        self.pieces().for_each(|piece| out.extend_from_slice(piece));
    }

    /// The pieces, in order. The first is the object's own.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.cuts.iter().map(|cut| cut.at).chain([self.own.len()]);
        let shared = self.cuts.iter().map(|cut| &*cut.shared).chain([&[][..]]);
        let mut from = 0;
        ends.zip(shared).flat_map(move |(end, shared)| {
            let own = &self.own[from..end];
            from = end;
            [own, shared]
        })
    }

    /// Bytes in one piece of which nothing is shared.
    pub fn whole(bytes: impl Into<Vec<u8>>) -> Self {
        Self { own: bytes.into().into(), cuts: Box::default() }
    }

    /// The sets that are shared, in order, each whole.
    pub fn shared(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        let mut cuts = self.cuts.iter().peekable();
        std::iter::from_fn(move || {
            let first = cuts.next()?;
            let mut set = Cow::Borrowed(&*first.shared);
            let mut from = first.at;
            while set.ends_with(ADDRESS) {
                let Some(next) = cuts.next() else { break };
                set.to_mut().extend_from_slice(&self.own[from..next.at]);
                set.to_mut().extend_from_slice(&next.shared);
                from = next.at;
            }
            Some(set)
        })
    }

    /// Appends a part of [`Body::own`], and what is shared in it where it belongs; bytes from elsewhere as they are.
    pub fn append_part(&self, out: &mut Vec<u8>, part: &[u8]) {
        let mut rest = part;
        let begins = part.as_ptr().addr().checked_sub(self.own.as_ptr().addr());
        if let Some(begins) = begins.filter(|begins| begins + part.len() <= self.own.len()) {
            let ends = begins + part.len();
            for cut in self.cuts.iter().filter(|cut| (begins..ends).contains(&cut.at)) {
                let (before, behind) = rest.split_at(rest.len() - (ends - cut.at));
                out.extend_from_slice(before);
                out.extend_from_slice(&cut.shared);
                rest = behind;
            }
        }
        out.extend_from_slice(rest);
    }

    /// The object as JSON that lacks the values that are shared: enough for whoever looks for others.
    pub fn own(&self) -> &[u8] {
        &self.own
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.to_bytes() == other.to_bytes()
    }
}

impl Eq for Body {}

/// Where the sets of fields stand that are long enough to be shared: from, to.
fn sets(bytes: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let entries = match bytes.len() {
        0..SHARED_BYTES_MIN => View::ABSENT,
        _ => View::new(bytes).at(&["metadata", "managedFields"]),
    };
    let sets = entries.items().map(|entry| entry.get("fieldsV1").bytes());
    sets.filter(|set| set.len() >= SHARED_BYTES_MIN).map(|set| {
        let from = set.as_ptr().addr() - bytes.as_ptr().addr();
        (from, from + set.len())
    })
}

/// How a set names an item of a list by its address, up to the address: so ends what is shared of it before that.
const ADDRESS: &[u8] = br#"{\"ip\":\""#;

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(ADDRESS));

/// Addresses around which one set is cut: a pod has two at most.
const ADDRESSES_MAX: usize = 4;

/// The pieces of a set of fields before, between and behind the addresses in it. What is left of the set is text without
/// quotes, commas or brackets: whoever looks for other values need not know of it.
fn around_addresses(bytes: &[u8], (from, to): (usize, usize)) -> Vec<(usize, usize)> {
    let is_of_address = |byte: &&u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    let mut pieces = Vec::new();
    let mut begins = from;
    for at in FINDER.find_iter(&bytes[from..to]).take(ADDRESSES_MAX) {
        let address = from + at + ADDRESS.len();
        let length = bytes[address..to].iter().take_while(is_of_address).count();
        pieces.push((begins, address));
        begins = address + length;
    }
    pieces.push((begins, to));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, sets: &[&str]) -> String {
        let entries: Vec<_> = sets
            .iter()
            .map(|set| format!(r#"{{"manager":"m","fieldsV1":{set},"subresource":"s"}}"#))
            .collect();
        format!(
            r#"{{"metadata":{{"name":"{name}","managedFields":[{}]}},"spec":{{"fieldsV1":{{}}}}}}"#,
            entries.join(",")
        )
    }

    fn set(field: &str) -> String {
        format!(
            r#"{{"f:{field}":{{"f:{}":{{}},"k:{{\"name\":\"]}}\"}}":{{}}}}}}"#,
            "x".repeat(SHARED_BYTES_MIN)
        )
    }

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let (long, other) = (set("a"), set("b"));
        let sets: [&[&str]; 6] =
            [&[], &["{}"], &[&long], &[&long, "{}", &other], &[&long, &long], &["null", &other]];
        for sets in sets {
            let whole = object("a", sets);
            let body = Body::of(whole.clone(), 0);
            assert_eq!(body.to_bytes(), whole);
            assert_eq!((body.len(), body.is_empty()), (whole.len(), false));
            let kept: usize = sets.iter().filter(|set| set.len() > 9).map(|set| set.len()).sum();
            assert_eq!(body.own().len(), whole.len() - kept, "{whole}");
            assert_eq!(View::new(body.own()).at(&["metadata", "name"]).text(), "a");
            assert_eq!(View::new(body.own()).get("spec").bytes(), br#"{"fieldsV1":{}}"#);
            assert_eq!(Body::of(whole.clone(), whole.len()).own(), whole.as_bytes());
            let metadata = View::new(body.own()).get("metadata").bytes();
            let mut part = Vec::new();
            body.append_part(&mut part, b"part ");
            body.append_part(&mut part, metadata);
            let expect = View::new(whole.as_bytes()).get("metadata").bytes();
            assert_eq!(part, [b"part ", expect].concat(), "{whole}");
            let shared = body.shared().map(|set| String::from_utf8_lossy(&set).into_owned());
            let long_sets = sets.iter().filter(|set| set.len() > 9).map(ToString::to_string);
            assert_eq!(shared.collect::<Vec<_>>(), long_sets.collect::<Vec<_>>());
            let entries = View::new(body.own()).at(&["metadata", "managedFields"]);
            assert!(entries.items().all(|entry| entry.get("subresource").is("s")), "{entries:?}");
            assert_eq!(
                (Body::of(whole.clone(), 0), body.clone() == Body::of(object("b", sets), 0)),
                (body, false)
            );
        }
        for odd in ["", "{", r#"{"metadata":{"managedFields":[{"fieldsV1":"#, "\u{0}any"] {
            assert_eq!(Body::of(odd, 0).to_bytes(), odd);
        }
    }

    #[test]
    fn sets_that_differ_in_an_address_alone_have_the_rest_in_common() {
        let named = |addresses: &[&str]| {
            let keys = addresses.iter().map(|at| format!(r#""k:{{\"ip\":\"{at}\"}}":{{"f:ip":{{}}}}"#));
            let keys: Vec<_> = keys.collect();
            format!(r#"{{"f:status":{{"f:podIPs":{{{}}},"f:{}":{{}}}}}}"#, keys.join(","), "x".repeat(128))
        };
        let one = ["10.128.0.1", "fd00::1"];
        for addresses in [&one[..], &["10.128.254.254", "fd00:10::ffff"], &["10.128.0.3", ""]] {
            let whole = object("a", &[&named(addresses), &named(&[])]);
            let body = Body::of(whole.clone(), 0);
            assert_eq!(body.to_bytes(), whole);
            let (first, other) = (Body::of(object("b", &[&named(&one), &named(&[])]), 0), &body);
            let same = first.cuts.iter().zip(&other.cuts).all(|(a, b)| Arc::ptr_eq(&a.shared, &b.shared));
            assert_eq!((same, body.cuts.len()), (true, 4), "{addresses:?}");
            let entries = View::new(body.own()).at(&["metadata", "managedFields"]);
            let left: Vec<_> = entries.items().map(|entry| entry.get("fieldsV1").shown()).collect();
            assert_eq!(left, [&*addresses.concat(), ""]);
            assert!(entries.items().all(|entry| entry.get("subresource").is("s")), "{entries:?}");
            let shared: Vec<_> =
                body.shared().map(|set| String::from_utf8_lossy(&set).into_owned()).collect();
            assert_eq!(shared, [named(addresses), named(&[])]);
            let mut part = Vec::new();
            body.append_part(&mut part, View::new(body.own()).get("metadata").bytes());
            assert_eq!(part, View::new(whole.as_bytes()).get("metadata").bytes());
        }
    }

    #[test]
    fn what_is_the_same_is_held_once_and_goes_with_its_last_holder() {
        let set = set("held once");
        let bodies: Vec<_> = ["a", "b"].map(|name| Body::of(object(name, &[&set]), 0)).into();
        assert!(Arc::ptr_eq(&bodies[0].cuts[0].shared, &bodies[1].cuts[0].shared));
        let held = Arc::downgrade(&bodies[0].cuts[0].shared);
        drop(bodies);
        assert!(held.upgrade().is_none());
        let again = Body::of(object("c", &[&set]), 0);
        assert_eq!(again.to_bytes(), object("c", &[&set]));
    }
}
