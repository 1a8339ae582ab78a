//! What no two clusters say alike, replaced by a word for it: the one place that decides what a golden
//! output does not compare.

#![allow(dead_code, reason = "each test file uses some of these")]

use std::sync::LazyLock;

use regex::Regex;

/// Patterns, and what stands for what they match; tried in this order.
const VOLATILE: &[(&str, &str)] = &[
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UID"),
    // In objects; in what `describe` prints; in what `diff` prints.
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [+-]\d{4}", "TIME"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC", "TIME"),
    // What programs log.
    (r"\b[EWI]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ ", "LOG "),
    (r"/tmp/(LIVE|MERGED)-\d+", "/tmp/$1"),
    (r"/tmp/\.?(kubectl-edit|tmp)[-.\w]+", "/tmp/FILE"),
    (r#"("?resourceVersion\\*"?: ?\\*")\d+"#, "${1}REVISION"),
    (r"(Resource Version: +)\d+", "${1}REVISION"),
    (r"(ResourceVersion in record \()\d+", "${1}REVISION"),
    (r"(resource version: \d+[,]? (current: |\())\d+", "${1}REVISION"),
    (r#"("continue": ?)"[^"]+""#, r#"$1"TOKEN""#),
    (r#"("serverAddress": ?)"[^"]+""#, r#"$1"SERVER""#),
    (r"https://(\d+\.\d+\.\d+\.\d+|localhost):\d+", "https://SERVER"),
    (r"(host |tcp )(\d+\.\d+\.\d+\.\d+):\d+", "${1}SERVER"),
    (r"\b(?:\d+[smhd]){1,2} \(x(\d+) over (?:\d+[smhd]){1,2}\)", "AGE (x$1 over AGE)"),
    (r"\bX509SHA256=[0-9a-f]{64}\b", "X509SHA256=HASH"),
    // Programs say which build they are: what counts is the version of the API.
    (r#"(GitCommit|GitTreeState|GoVersion|Compiler):"[^"]*""#, r#"$1:"BUILD""#),
    (r"((Client|Kustomize) Version: ).*", "${1}VERSION"),
    (r"\bv1\.37\.\d+[-+.\w]*", "v1.37"),
    // Out of the default ranges of addresses and ports of Services.
    (r"\b10\.(9[6-9]|10\d|11[01])\.\d+\.\d+\b", "ADDRESS"),
    (r#"\b(\d+:)3[0-2]\d{3}/"#, "${1}NODEPORT/"),
    (r#"("?nodePort"?: ?|NodePort: .* )3[0-2]\d{3}\b"#, "${1}NODEPORT"),
    (r"\b(generated-|Bad_)[a-z0-9]{5}\b", "${1}SUFFIX"),
];

/// Ages are columns of their own, or the last word of a line. Short ones are as wide as the word for them.
const AGE: &str = r"(^| {2,})(?:(\d[smhd]) |(\d\d[smhd])|((?:\d+[smhd]){1,2}))( {2,}|$)";

struct Patterns {
    volatile: Vec<(Regex, &'static str)>,
    age: Regex,
    gap: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let pattern = |text: &str| Regex::new(text).expect("the patterns are constants");
    Patterns {
        volatile: VOLATILE.iter().map(|(text, word)| (pattern(text), *word)).collect(),
        age: pattern(AGE),
        gap: pattern(" {2,}"),
    }
});

/// A text without what changes from cluster to cluster.
pub fn text(text: &str) -> String {
    let patterns = &*PATTERNS;
    patterns
        .volatile
        .iter()
        .fold(text.to_owned(), |text, (pattern, word)| pattern.replace_all(&text, *word).into_owned())
}

/// What a terminal shows, without that and without what an eye does not see: blanks at the ends of lines, and
/// empty lines at the end. Columns behind one that changes its width move, so gaps between columns are all of
/// one width then.
pub fn screen(said: &str) -> String {
    let patterns = &*PATTERNS;
    let mut is_moved = false;
    let mut lines = Vec::new();
    for line in said.lines() {
        let shown = text(&patterns.age.replace_all(line, "${1}AGE${5}"));
        is_moved |= before_last_gap(&shown).chars().count() != before_last_gap(line).chars().count();
        lines.push(shown.trim_end().to_owned());
    }
    if is_moved {
        lines.iter_mut().for_each(|line| *line = with_even_gaps(line));
    }
    lines.join("\n").trim_end().to_owned()
}

/// All but the last column of a line.
fn before_last_gap(line: &str) -> &str {
    line.trim_end().rsplit_once("  ").map_or("", |(columns, _)| columns)
}

/// A line with three blanks between its columns, as far in as it was.
fn with_even_gaps(line: &str) -> String {
    let rest = line.trim_start();
    let indent = &line[..line.len() - rest.len()];
    format!("{indent}{}", PATTERNS.gap.replace_all(rest, "   "))
}
