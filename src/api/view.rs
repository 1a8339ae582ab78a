//! Stored bytes, read where they stand: members are found by scanning, and nothing is built.
//!
//! # Assumptions
//! The bytes are canonical JSON as this program stores it: no white space between tokens. Of anything else parts may
//! seem absent; nothing panics.

use std::borrow::Cow;

use serde_json::Value;

/// One JSON value within stored bytes. What is absent is a view as well, an empty one.
#[derive(Clone, Copy, Debug, Default)]
pub struct View<'b>(&'b [u8]);

impl<'b> View<'b> {
    /// What is not there.
    pub const ABSENT: Self = Self(&[]);

    /// Of the bytes of one value.
    pub fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn bytes(self) -> &'b [u8] {
        self.0
    }

    /// Whether there is a value.
    pub fn is_there(self) -> bool {
        !self.0.is_empty()
    }

    /// The member of this name.
    pub fn get(self, name: &str) -> Self {
        self.at(&[name])
    }

    /// The value at a path of member names. What stands behind it is not read.
    pub fn at(self, path: &[&str]) -> Self {
        if path.is_empty() {
            return self;
        }
        let mut scan = Scan::new(self);
        for name in path {
            loop {
                match scan.key() {
                    None => return Self::ABSENT,
                    Some(key) if key == name.as_bytes() => break,
                    Some(_) => _ = scan.value(),
                }
            }
        }
        scan.value()
    }

    /// The members of these names, found in one pass.
    pub fn pick<const N: usize>(self, names: [&str; N]) -> [Self; N] {
        let mut found = [Self::ABSENT; N];
        let mut missing = N;
        for (key, value) in self.raw() {
            if let Some(at) = names.iter().position(|name| name.as_bytes() == key) {
                found[at] = value;
                missing -= 1;
                if missing == 0 {
                    break;
                }
            }
        }
        found
    }

    /// The values at these paths of member names, of up to 32, found in one pass over whatever is above them.
    pub fn find<const N: usize>(self, paths: [&[&str]; N]) -> [Self; N] {
        let mut search = Search { bytes: self.0, paths: &paths, found: [Self::ABSENT; N] };
        search.below(0, 0, u32::MAX);
        search.found
    }

    /// The members of an object.
    pub fn members(self) -> impl Iterator<Item = (Cow<'b, str>, Self)> {
        self.raw().map(|(key, value)| (letters(key), value))
    }

    fn raw(self) -> Members<'b> {
        Members(Scan::new(self))
    }

    /// The items of a list.
    pub fn items(self) -> Items<'b> {
        Items(Scan::new(self))
    }

    /// How many members or items there are.
    pub fn count(self) -> usize {
        if self.is_list() { self.items().count() } else { self.raw().count() }
    }

    /// Whether it is text, be it empty.
    pub fn is_text(self) -> bool {
        self.0.first() == Some(&b'"')
    }

    /// The text that it is; empty when it is none.
    pub fn text(self) -> Cow<'b, str> {
        letters(self.inner())
    }

    /// The same as bytes, which nobody looked at.
    pub fn text_bytes(self) -> Cow<'b, [u8]> {
        unescaped(self.inner())
    }

    /// What is between the quotes of a text.
    fn inner(self) -> &'b [u8] {
        if self.is_text() { &self.0[1..self.0.len().max(2) - 1] } else { &[] }
    }

    /// Whether it is this text.
    pub fn is(self, text: &str) -> bool {
        self.is_text() && self.text() == text
    }

    /// The text that it is, or else the JSON that it is.
    pub fn shown(self) -> Cow<'b, str> {
        if self.is_text() { self.text() } else { String::from_utf8_lossy(self.0) }
    }

    /// The whole number that it is.
    pub fn number(self) -> Option<i64> {
        std::str::from_utf8(self.0).ok()?.parse().ok()
    }

    /// The same as text; `0` when it is none.
    pub fn number_text(self) -> String {
        self.number().unwrap_or_default().to_string()
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.0.first() == Some(&b'{')
    }

    /// Whether it is a list.
    pub fn is_list(self) -> bool {
        self.0.first() == Some(&b'[')
    }

    /// Whether it is a number.
    pub fn is_number(self) -> bool {
        self.0.first().is_some_and(|byte| matches!(byte, b'-' | b'0'..=b'9'))
    }

    /// Whether it is `true` or `false`.
    pub fn is_bool(self) -> bool {
        self.is_true() || self.0 == b"false"
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.0 == b"null"
    }

    /// Whether it is `true`.
    pub fn is_true(self) -> bool {
        self.0 == b"true"
    }

    /// Built as a tree; null when it is absent.
    pub fn to_value(self) -> Value {
        serde_json::from_slice(self.0).unwrap_or_default()
    }
}

/// The letters of text, of which `inner` is what is written between the quotes.
pub(crate) fn unescaped(inner: &[u8]) -> Cow<'_, [u8]> {
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let quoted = [b"\"", inner, b"\""].concat();
    Cow::Owned(serde_json::from_slice::<String>(&quoted).unwrap_or_default().into_bytes())
}

fn letters(inner: &[u8]) -> Cow<'_, str> {
    match unescaped(inner) {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).unwrap_or_default()),
    }
}

/// A place in canonical JSON. Whoever reads a value moves it behind that value; what is no JSON is never passed.
#[derive(Clone, Debug)]
pub(crate) struct Scan<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Scan<'b> {
    /// In front of a value.
    pub(crate) fn new(value: View<'b>) -> Self {
        Self { bytes: value.0, at: 0 }
    }

    /// The byte that comes next.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Within an object: the key of the next member as it is written, now in front of its value. `None`: behind the
    /// object.
    pub(crate) fn key(&mut self) -> Option<&'b [u8]> {
        match (self.peek()?, self.bytes.get(self.at + 1)) {
            (b'{' | b',', Some(b'"')) => {}
            (b'{', Some(b'}')) => {
                self.at += 2;
                return None;
            }
            (b'}', _) => {
                self.at += 1;
                return None;
            }
            _ => return None,
        }
        let key = self.at + 2;
        let key_end = end_of_text(self.bytes, key);
        if self.bytes.get(key_end) != Some(&b':') {
            return None;
        }
        self.at = key_end + 1;
        Some(&self.bytes[key..key_end - 1])
    }

    /// Within a list: whether there is another item, now in front of it. Otherwise behind the list.
    pub(crate) fn item(&mut self) -> bool {
        match (self.peek(), self.bytes.get(self.at + 1)) {
            (Some(b'['), Some(b']')) => {
                self.at += 2;
                false
            }
            (Some(b'[' | b','), Some(_)) => {
                self.at += 1;
                true
            }
            (Some(b']'), _) => {
                self.at += 1;
                false
            }
            _ => false,
        }
    }

    /// The value that comes next.
    pub(crate) fn value(&mut self) -> View<'b> {
        let from = self.at;
        self.at = end_of(self.bytes, from);
        View(&self.bytes[from..self.at])
    }
}

/// The members of an object, with their keys as they are written.
struct Members<'b>(Scan<'b>);

impl<'b> Iterator for Members<'b> {
    type Item = (&'b [u8], View<'b>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.0.key()?;
        Some((key, self.0.value()))
    }
}

/// A search for values at paths.
struct Search<'b, 's, const N: usize> {
    bytes: &'b [u8],
    paths: &'s [&'s [&'s str]; N],
    found: [View<'b>; N],
}

impl<const N: usize> Search<'_, '_, N> {
    /// Looks at the members of the object that begins at `start`. `active` has a bit for each path that leads into it,
    /// by `depth` names. Returns where the object ends.
    fn below(&mut self, start: usize, depth: usize, active: u32) -> usize {
        let mut scan = Scan { bytes: self.bytes, at: start };
        while let Some(key) = scan.key() {
            let (mut here, mut deeper) = (0_u32, 0_u32);
            for (at, path) in self.paths.iter().enumerate() {
                let is_led =
                    active & (1 << at) != 0 && path.get(depth).is_some_and(|name| name.as_bytes() == key);
                let bits = if path.len() == depth + 1 { &mut here } else { &mut deeper };
                *bits |= u32::from(is_led) << at;
            }
            let value = scan.at;
            scan.at = match deeper != 0 && scan.peek() == Some(b'{') {
                true => self.below(value, depth + 1, deeper),
                false => end_of(self.bytes, value),
            };
            for (at, found) in self.found.iter_mut().enumerate().filter(|(at, _)| here & (1 << at) != 0) {
                debug_assert!(at < N);
                *found = View(&self.bytes[value..scan.at]);
            }
        }
        scan.at
    }
}

/// The items of a list.
#[derive(Clone, Debug)]
pub struct Items<'b>(Scan<'b>);

impl<'b> Iterator for Items<'b> {
    type Item = View<'b>;

    fn next(&mut self) -> Option<View<'b>> {
        self.0.item().then(|| self.0.value())
    }
}

/// Where the value that begins at `at` ends.
fn end_of(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b'"') => end_of_text(bytes, at + 1),
        Some(b'{' | b'[') => end_of_nested(bytes, at),
        _ => {
            let rest = bytes.get(at..).unwrap_or_default();
            let length = rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']'));
            length.map_or(bytes.len(), |length| at + length)
        }
    }
}

fn end_of_nested(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = end_of_text(bytes, at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return at,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    bytes.len()
}

/// Where text ends, behind its closing quote; `at` is behind the opening one.
fn end_of_text(bytes: &[u8], mut at: usize) -> usize {
    loop {
        // Most bytes are text, most texts are short: eight bytes at a time beat a call for each.
        while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
            match first_end(u64::from_le_bytes(*eight)) {
                8 => at += 8,
                within => {
                    at += within;
                    break;
                }
            }
        }
        match bytes.get(at) {
            None => return bytes.len(),
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// Which of eight bytes is the first quote or backslash; 8 when none is.
fn first_end(eight: u64) -> usize {
    const ONES: u64 = u64::MAX / 255;
    // The high bit of a byte is set where it equals `byte`; above the first such byte it may be set wrongly.
    let equals = |byte: u8| {
        let differing = eight ^ (ONES * u64::from(byte));
        differing.wrapping_sub(ONES) & !differing & (ONES << 7)
    };
    (equals(b'"') | equals(b'\\')).trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &[u8] =
        br#"{"kind":"X","n":-12,"t":true,"e":"a\"}\\","l":[{"a":[1,2]},"]",[],{}],"o":{"x\"y":"\u00e4","z":null},"end":0}"#;

    #[test]
    fn what_stands_where() {
        let view = View::new(STORED);
        assert!(view.get("kind").is("X") && !view.get("kind").is("Y"));
        assert_eq!((view.get("n").number(), view.get("kind").number()), (Some(-12), None));
        assert!(view.get("t").is_true() && !view.get("n").is_true());
        assert_eq!(view.get("e").text(), "a\"}\\");
        let items: Vec<_> = view.get("l").items().map(|item| item.to_value().to_string()).collect();
        assert_eq!(items, [r#"{"a":[1,2]}"#, r#""]""#, "[]", "{}"]);
        let members: Vec<_> = view
            .get("o")
            .members()
            .map(|(key, value)| (key.into_owned(), value.shown().into_owned()))
            .collect();
        assert_eq!(members, [("x\"y".to_owned(), "\u{e4}".to_owned()), ("z".to_owned(), "null".to_owned())]);
        let [end, absent, kind] = view.pick(["end", "absent", "kind"]);
        assert_eq!((end.number(), absent.is_there(), kind.text()), (Some(0), false, "X".into()));
        assert_eq!((view.get("l").count(), view.get("o").count(), View::ABSENT.count()), (4, 2, 0));
        assert_eq!(view.at(&["l", "a"]).text(), "");
        let nested = View::new(br#"{"a":{"b":{"c":1},"x":2},"e":{},"d":{"b":[3],"c":"4"},"z":5}"#);
        let paths: [&[&str]; 8] = [
            &["z"],
            &["a", "b", "c"],
            &["a", "b"],
            &["d", "c"],
            &["d", "b", "c"],
            &["e", "f"],
            &["e"],
            &["a", "x"],
        ];
        let found = nested.find(paths).map(|view| view.shown().into_owned());
        assert_eq!(found, ["5", "1", r#"{"c":1}"#, "4", "", "", "{}", "2"]);
        for path in paths {
            assert_eq!(nested.find([path])[0].bytes(), nested.at(path).bytes(), "{path:?}");
        }
    }

    #[test]
    fn whatever_the_bytes_nothing_panics() {
        for end in 0..STORED.len() {
            for start in [0, 1, end / 2] {
                let view = View::new(&STORED[start..end.max(start)]);
                let _ = view.find([&["o", "z"], &["l"]]);
                let _ = (view.count(), view.text(), view.number(), view.shown());
                view.members().for_each(|(_, value)| assert!(value.items().count() < 9));
                view.items().for_each(|item| assert!(item.text().len() < 99));
            }
        }
    }
}
