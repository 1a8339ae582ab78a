//! What differs between two texts, line by line, as `diff -u` shows it: with the lines that Python's difflib would
//! choose, because Kubernetes uses a translation of that.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

/// How many lines are shown before and behind what differs.
const CONTEXT: usize = 3;

/// From this many lines on, those that appear often are no place to begin.
const POPULAR_FROM: usize = 200;

/// What differs between two values.
pub(super) fn of_json(old: &Value, new: &Value) -> String {
    let (old, new) = (pretty(old), pretty(new));
    of_lines(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>())
}

/// JSON with one blank for each level.
fn pretty(value: &Value) -> String {
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, format);
    serde::Serialize::serialize(value, &mut serializer).expect("writing to memory cannot fail");
    String::from_utf8(text).expect("JSON is text")
}

/// Lines that both have: from here in the old ones, from here in the new ones, so many.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    old: usize,
    new: usize,
    size: usize,
}

/// Places in both texts: from and up to.
#[derive(Clone, Copy, Debug)]
struct Span {
    old: (usize, usize),
    new: (usize, usize),
}

fn of_lines(old: &[&str], new: &[&str]) -> String {
    let matcher = Matcher { old, new, places: places(new) };
    let mut blocks = Vec::new();
    matcher.blocks(Span { old: (0, old.len()), new: (0, new.len()) }, &mut blocks);
    let mut text = String::new();
    for hunk in hunks(&changes(&blocks, old.len(), new.len())) {
        write_hunk(&mut text, &hunk, old, new);
    }
    text
}

/// Where each line of the new text is; lines that are everywhere are nowhere.
fn places<'t>(new: &[&'t str]) -> BTreeMap<&'t str, Vec<usize>> {
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, line) in new.iter().enumerate() {
        places.entry(line).or_default().push(at);
    }
    if new.len() >= POPULAR_FROM {
        places.retain(|_, at| at.len() <= new.len() / 100 + 1);
    }
    places
}

struct Matcher<'t> {
    old: &'t [&'t str],
    new: &'t [&'t str],
    places: BTreeMap<&'t str, Vec<usize>>,
}

impl Matcher<'_> {
    /// The longest run of lines that both have within a span, then those before and behind it.
    fn blocks(&self, span: Span, found: &mut Vec<Block>) {
        let block = self.longest(span);
        if block.size == 0 {
            return;
        }
        self.blocks(Span { old: (span.old.0, block.old), new: (span.new.0, block.new) }, found);
        found.push(block);
        let (old, new) = (block.old + block.size, block.new + block.size);
        self.blocks(Span { old: (old, span.old.1), new: (new, span.new.1) }, found);
    }

    fn longest(&self, span: Span) -> Block {
        let mut best = Block { old: span.old.0, new: span.new.0, size: 0 };
        // How long the runs are that end at each new line.
        let mut runs: BTreeMap<usize, usize> = BTreeMap::new();
        for at in span.old.0..span.old.1 {
            let mut next = BTreeMap::new();
            for place in self.places.get(self.old[at]).into_iter().flatten() {
                if (span.new.0..span.new.1).contains(place) {
                    let before = place.checked_sub(1).and_then(|before| runs.get(&before));
                    let size = before.copied().unwrap_or(0) + 1;
                    next.insert(*place, size);
                    if size > best.size {
                        best = Block { old: at + 1 - size, new: place + 1 - size, size };
                    }
                }
            }
            runs = next;
        }
        self.extended(best, span)
    }

    /// With the lines around it, which may be everywhere.
    fn extended(&self, mut block: Block, span: Span) -> Block {
        while block.old > span.old.0
            && block.new > span.new.0
            && self.old[block.old - 1] == self.new[block.new - 1]
        {
            block = Block { old: block.old - 1, new: block.new - 1, size: block.size + 1 };
        }
        let end = |block: Block| (block.old + block.size, block.new + block.size);
        while end(block).0 < span.old.1
            && end(block).1 < span.new.1
            && self.old[end(block).0] == self.new[end(block).1]
        {
            block.size += 1;
        }
        block
    }
}

/// What is between the blocks.
fn changes(blocks: &[Block], old: usize, new: usize) -> Vec<Span> {
    let mut at = (0, 0);
    let mut changes = Vec::new();
    for block in blocks.iter().copied().chain([Block { old, new, size: 0 }]) {
        if at != (block.old, block.new) {
            changes.push(Span { old: (at.0, block.old), new: (at.1, block.new) });
        }
        at = (block.old + block.size, block.new + block.size);
    }
    changes
}

/// Changes that are near each other are shown together.
fn hunks(changes: &[Span]) -> Vec<Vec<Span>> {
    let mut hunks: Vec<Vec<Span>> = Vec::new();
    for change in changes {
        match hunks.last_mut() {
            Some(hunk) if hunk.last().is_some_and(|last| change.old.0 - last.old.1 <= 2 * CONTEXT) => {
                hunk.push(*change);
            }
            _ => hunks.push(vec![*change]),
        }
    }
    hunks
}

fn write_hunk(text: &mut String, hunk: &[Span], old: &[&str], new: &[&str]) {
    let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { return };
    let before = first.old.0.min(CONTEXT);
    let behind = (old.len() - last.old.1).min(CONTEXT);
    let range = |from: usize, to: usize| match to - from {
        0 => format!("{from},0"),
        1 => (from + 1).to_string(),
        count => format!("{},{count}", from + 1),
    };
    let old_range = range(first.old.0 - before, last.old.1 + behind);
    let new_range = range(first.new.0 - before, last.new.1 + behind);
    let mut line = |sign: &str, line: &str| {
        writeln!(text, "{sign}{line}").expect("text grows in memory");
    };
    line("@@ ", &format!("-{old_range} +{new_range} @@"));
    let mut at = first.old.0 - before;
    for change in hunk {
        old[at..change.old.0].iter().for_each(|same| line(" ", same));
        old[change.old.0..change.old.1].iter().for_each(|gone| line("-", gone));
        new[change.new.0..change.new.1].iter().for_each(|come| line("+", come));
        at = change.old.1;
    }
    old[at..at + behind].iter().for_each(|same| line(" ", same));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: &str, new: &str, expect: &str) {
        let lines = |text: &'_ str| text.chars().map(|line| line.to_string()).collect::<Vec<_>>();
        let (old, new) = (lines(old), lines(new));
        let texts = |lines: &[String]| lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
        let (old, new) = (texts(&old), texts(&new));
        let found = of_lines(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>());
        assert_eq!(found.replace('\n', "|"), expect);
    }

    #[test]
    fn as_difflib_shows_it() {
        check("abc", "abc", "");
        check("abcdefgh", "abcdXfgh", "@@ -2,7 +2,7 @@| b| c| d|-e|+X| f| g| h|");
        check("a", "ab", "@@ -1 +1,2 @@| a|+b|");
        check("", "a", "@@ -0,0 +1 @@|+a|");
        check("a12345678b", "x12345678y", "@@ -1,4 +1,4 @@|-a|+x| 1| 2| 3|@@ -7,4 +7,4 @@| 6| 7| 8|-b|+y|");
        check("a123456b", "x123456y", "@@ -1,8 +1,8 @@|-a|+x| 1| 2| 3| 4| 5| 6|-b|+y|");
    }
}
