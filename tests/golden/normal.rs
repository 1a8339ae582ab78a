//! What no two clusters say alike, replaced by a word for it: the one place that decides what a golden
//! output does not compare.

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

/// What stands above ages, and for them.
const AGE_HEAD: &str = "AGE";

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
/// one width then; columns of ages become as wide as the word for them.
pub fn screen(said: &str) -> String {
    let patterns = &*PATTERNS;
    let mut is_moved = false;
    let mut lines = Vec::new();
    for line in with_narrow_ages(said.lines().map(str::to_owned).collect()) {
        let line = line.as_str();
        let shown = text(&patterns.age.replace_all(line, "${1}AGE${5}"));
        is_moved |= before_last_gap(&shown).chars().count() != before_last_gap(line).chars().count();
        lines.push(shown.trim_end().to_owned());
    }
    if is_moved {
        lines.iter_mut().for_each(|line| *line = with_even_gaps(line));
    }
    lines.join("\n").trim_end().to_owned()
}

/// A table with its columns of ages as wide as their heads, however old its rows are: what stands behind them moves
/// to where it stands behind young ones.
fn with_narrow_ages(mut lines: Vec<String>) -> Vec<String> {
    let head = AGE_HEAD.len();
    for at in 0..lines.len() {
        // A column that was made narrow has no wide ages any more.
        while let Some((start, end)) = wide_age(&lines[at]) {
            let is_row = |line: &&String| !line.is_empty();
            let above = lines[..at].iter().rev().take_while(is_row).count();
            let below = lines[at..].iter().take_while(is_row).count();
            let table = &mut lines[at - above..at + below];
            let ends = table.iter().filter_map(|line| wide_age(line)).filter(|age| age.0 == start);
            let end = ends.map(|age| age.1).max().unwrap_or(end);
            let narrow: Option<Vec<String>> =
                table.iter().map(|line| narrowed(line, start, start + head, end)).collect();
            // Longer words than ages stand in the column: they decide how wide it is.
            let Some(narrow) = narrow else { return lines };
            table.clone_from_slice(&narrow);
        }
    }
    lines
}

/// Where an age that is wider than the word for one stands, with other columns behind it.
fn wide_age(line: &str) -> Option<(usize, usize)> {
    let ages = PATTERNS.age.captures_iter(line).filter(|found| !found[5].is_empty());
    let mut wide = ages.filter_map(|found| found.get(4)).filter(|age| age.len() > AGE_HEAD.len());
    wide.next().map(|age| (age.start(), age.end()))
}

/// A line without what it has between `from` and `to`: blanks, or the end of an age that begins at `start`. None where
/// something else stands there.
fn narrowed(line: &str, start: usize, from: usize, to: usize) -> Option<String> {
    let Some(column) = line.get(start..to) else { return Some(line.to_owned()) };
    let told = column.trim_end();
    let is_age = PATTERNS.age.find(told).is_some_and(|age| age.range() == (0..told.len()));
    let head = if is_age { AGE_HEAD } else { line.get(start..from)? };
    (is_age || line.get(from..to)?.trim().is_empty())
        .then(|| format!("{}{head}{}", &line[..start], &line[to..]))
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

#[test]
fn old_rows_of_a_table_stand_as_young_ones_do() {
    let young = "NAME   AGE   OF\nold    45s   all\nyoung  5s    some\n";
    let old = "NAME   AGE     OF\nold    4m25s   all\nyoung  5s      some\n\nNAME   OF\nother  all\n";
    let shown = "NAME   AGE   OF\nold    AGE   all\nyoung  AGE   some";
    assert_eq!(screen(young), shown);
    assert_eq!(screen(old), format!("{shown}\n\nNAME   OF\nother  all"));
    // What is wider than the word for an age moves what stands behind it.
    let moved = screen("Type   Default Request   Limit\nPod    500m              2\n");
    assert_eq!(moved, "Type   Default Request   Limit\nPod   AGE   2");
}
