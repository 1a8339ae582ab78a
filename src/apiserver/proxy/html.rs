//! Pages: the links in the tags of HTML are rewritten while it passes. What is no tag, and every byte of a tag that is no
//! link, stays what it was.

use bytes::{Bytes, BytesMut};

use super::links::Links;
use crate::limits::PROXY_TAG_BYTES_MAX;

/// Which attributes of which tags are links, by HTML 4 and 5; alphabetical.
const LINKS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements whose text holds no tags.
const RAW: &[&str] = &[
    "iframe",
    "noembed",
    "noframes",
    "noscript",
    "plaintext",
    "script",
    "style",
    "textarea",
    "title",
    "xmp",
];

/// Where a page is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Inside {
    Text,
    Comment,
    /// Text without tags, until what ends it.
    Raw(String),
}

/// A page on its way.
pub(super) struct Page {
    links: Links,
    inside: Inside,
    /// What was not told on yet: the beginning of a tag, or of what may end a comment.
    held: BytesMut,
}

impl Page {
    pub(super) fn new(links: Links) -> Self {
        Self { links, inside: Inside::Text, held: BytesMut::new() }
    }

    /// The next piece; returns what can be told on.
    pub(super) fn push(&mut self, piece: &[u8]) -> Bytes {
        self.held.extend_from_slice(piece);
        let mut told = BytesMut::new();
        while let Some(step) = self.step() {
            let taken = self.held.split_to(step.length);
            match step.instead {
                Some(text) => told.extend_from_slice(&text),
                None => told.unsplit(taken),
            }
            self.inside = step.then;
        }
        told.freeze()
    }

    /// The end: whatever was held.
    pub(super) fn finish(self) -> Bytes {
        self.held.freeze()
    }

    /// What can be taken from the front; `None` while it is not known what it is.
    fn step(&self) -> Option<Step> {
        match &self.inside {
            Inside::Text => self.text(),
            Inside::Comment => self.until(b"-->"),
            Inside::Raw(name) => self.until(format!("</{name}").as_bytes()),
        }
    }

    fn text(&self) -> Option<Step> {
        let held = &self.held[..];
        if held.first() != Some(&b'<') {
            let length = held.iter().position(|byte| *byte == b'<').unwrap_or(held.len());
            return (length > 0).then(|| Step::pass(length, Inside::Text));
        }
        match held.get(1)? {
            b'!' if held.starts_with(b"<!--") => Some(Step::pass(4, Inside::Comment)),
            b'!' if b"<!--".starts_with(held) => None,
            byte if byte.is_ascii_alphabetic() => match end_of_tag(held) {
                Some(end) => Some(self.tag(&held[..end])),
                None if held.len() > PROXY_TAG_BYTES_MAX => Some(Step::pass(1, Inside::Text)),
                None => None,
            },
            _ => Some(Step::pass(1, Inside::Text)),
        }
    }

    /// All up to and with what ends this; of what may be its beginning nothing.
    fn until(&self, end: &[u8]) -> Option<Step> {
        let found = self.held.windows(end.len()).position(|window| window.eq_ignore_ascii_case(end));
        if let Some(at) = found {
            return Some(Step::pass(at + end.len(), Inside::Text));
        }
        let length = (self.held.len() + 1).saturating_sub(end.len());
        (length > 0).then(|| Step::pass(length, self.inside.clone()))
    }

    fn tag(&self, tag: &[u8]) -> Step {
        let name_end = tag.iter().position(|byte| byte.is_ascii_whitespace() || b"/>".contains(byte));
        let name = String::from_utf8_lossy(&tag[1..name_end.unwrap_or(tag.len())]).to_ascii_lowercase();
        let then = if RAW.contains(&&*name) { Inside::Raw(name.clone()) } else { Inside::Text };
        let links = LINKS.iter().find(|(of, _)| *of == name).map_or(&[][..], |(_, links)| links);
        let mut text = Vec::with_capacity(tag.len());
        let mut told = 0;
        for attribute in attributes(tag, name_end.unwrap_or(tag.len())) {
            let is_link = links.iter().any(|link| attribute.name.eq_ignore_ascii_case(link.as_bytes()));
            let Ok(link) = std::str::from_utf8(&tag[attribute.from..attribute.to]) else { continue };
            if is_link {
                text.extend_from_slice(&tag[told..attribute.from]);
                text.extend_from_slice(self.links.rewrite(link.trim()).as_bytes());
                told = attribute.to;
            }
        }
        text.extend_from_slice(&tag[told..]);
        Step { length: tag.len(), instead: Some(text), then }
    }
}

/// What to do with the front of a page.
struct Step {
    length: usize,
    /// Told instead of it.
    instead: Option<Vec<u8>>,
    then: Inside,
}

impl Step {
    fn pass(length: usize, then: Inside) -> Self {
        Self { length, instead: None, then }
    }
}

/// One past the `>` that ends the tag at the front.
fn end_of_tag(text: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in text.iter().enumerate() {
        match (quote, *byte) {
            (None, b'>') => return Some(at + 1),
            // A quote elsewhere than before a value is part of a name.
            (None, b'"' | b'\'') if is_before_value(&text[..at]) => quote = Some(*byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

fn is_before_value(text: &[u8]) -> bool {
    text.iter().rev().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'=')
}

/// The value of an attribute, without quotes.
struct Attribute<'a> {
    name: &'a [u8],
    from: usize,
    to: usize,
}

/// Those attributes of a tag that have values.
fn attributes(tag: &[u8], mut at: usize) -> Vec<Attribute<'_>> {
    let mut found = Vec::new();
    let skip = |at: usize, while_: &dyn Fn(u8) -> bool| {
        at + tag[at..].iter().take_while(|byte| while_(**byte)).count()
    };
    let is_space = |byte: u8| byte.is_ascii_whitespace();
    while at < tag.len() {
        at = skip(at, &|byte| is_space(byte) || byte == b'/');
        let begin = at;
        at = skip(at, &|byte| !is_space(byte) && !b"/>=".contains(&byte));
        let name = &tag[begin..at];
        at = skip(at, &is_space);
        if tag.get(at) != Some(&b'=') {
            // An end, or a name without a value.
            at = at.max(begin + 1);
            continue;
        }
        at = skip(at + 1, &is_space);
        let (from, to) = match tag.get(at) {
            Some(quote @ (b'"' | b'\'')) => (at + 1, skip(at + 1, &|byte| byte != *quote)),
            _ => (at, skip(at, &|byte| !is_space(byte) && byte != b'>')),
        };
        found.push(Attribute { name, from, to });
        at = to + 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        Page::new(Links {
            prefix: "/p".to_owned(),
            backend: "10.0.0.1:80".to_owned(),
            host: "api".to_owned(),
        })
    }

    /// However the page is split, the same comes out.
    fn check(page_text: &str, expected: &str) {
        for at in 0..=page_text.len() {
            let (first, second) = page_text.as_bytes().split_at(at);
            let mut page = page();
            let mut told = page.push(first).to_vec();
            told.extend_from_slice(&page.push(second));
            told.extend_from_slice(&page.finish());
            assert_eq!(String::from_utf8_lossy(&told), expected, "split at {at}");
        }
    }

    #[test]
    fn links_in_tags_are_rewritten_and_nothing_else() {
        check(r#"<a href="/rewriteme">test</a>"#, r#"<a href="/p/rewriteme">test</a>"#);
        check("<A class=x HREF = '/x' id=\"/y\">/z</A>", "<A class=x HREF = '/p/x' id=\"/y\">/z</A>");
        check("<img src=/i.png><p title='a>b' cite=/n>", "<img src=/p/i.png><p title='a>b' cite=/n>");
        check("<form action=/f><input disabled src=/s>", "<form action=/p/f><input disabled src=/p/s>");
        check("<!-- <a href=/x> --><br/><a href=/y>", "<!-- <a href=/x> --><br/><a href=/p/y>");
        check(
            "<script src=/s>if (a<b) '<a href=/x>'</script><a href=/y>",
            "<script src=/p/s>if (a<b) '<a href=/x>'</script><a href=/p/y>",
        );
        check("<!DOCTYPE html>1 < 2 <3 </ <a href=x/y><a>", "<!DOCTYPE html>1 < 2 <3 </ <a href=x/y><a>");
        check("<a href=/never closed", "<a href=/never closed");
        check("<a =/x =y / href=/z>\u{e4}", "<a =/x =y / href=/p/z>\u{e4}");
    }

    #[test]
    fn a_tag_without_an_end_is_not_held_for_ever() {
        let mut page = page();
        let begun = [b"<a title=\"".as_slice(), &vec![b'x'; PROXY_TAG_BYTES_MAX]].concat();
        assert_eq!(page.push(&begun).len(), begun.len());
        assert_eq!(&page.push(b"<a href=/y>")[..], b"<a href=/p/y>");
    }
}
