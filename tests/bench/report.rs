//! Rows, targets, verdicts, and how they are printed.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

/// A measured number and what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "unit", content = "value", rename_all = "snake_case")]
pub enum Value {
    /// Operations in a second.
    PerSecond(f64),
    /// A duration in milliseconds.
    Ms(f64),
    /// Memory in MiB (2^20 bytes).
    Mib(f64),
    /// Percent of one core.
    PercentOfCore(f64),
    /// So many times something.
    Times(f64),
    /// So many of something.
    Count(u64),
}

impl Value {
    /// A duration.
    pub fn ms(duration: Duration) -> Self {
        Self::Ms(duration.as_secs_f64() * 1000.0)
    }

    /// An amount of memory.
    pub fn mib(bytes: u64) -> Self {
        Self::Mib(bytes as f64 / f64::from(1 << 20))
    }

    fn number(self) -> f64 {
        match self {
            Self::PerSecond(number)
            | Self::Ms(number)
            | Self::Mib(number)
            | Self::PercentOfCore(number)
            | Self::Times(number) => number,
            Self::Count(count) => count as f64,
        }
    }

    fn text(self) -> String {
        match self {
            Self::PerSecond(number) => format!("{number:.0}/s"),
            Self::Ms(number) if number < 10.0 => format!("{number:.2} ms"),
            Self::Ms(number) => format!("{number:.0} ms"),
            Self::Mib(number) => format!("{number:.1} MiB"),
            Self::PercentOfCore(number) => format!("{number:.1} %"),
            Self::Times(number) => format!("{number:.2}x"),
            Self::Count(count) => count.to_string(),
        }
    }
}

/// What a row must reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Keelson's number is at least this many times the reference's.
    RatioAtLeast(f64),
    /// Keelson's number is at most this many times the reference's.
    RatioAtMost(f64),
    /// Keelson's number is at most this many times the reference's and this much.
    RatioAtMostPlus(f64, Value),
    /// Keelson's number itself is at least this, in its unit.
    AtLeast(Value),
    /// Keelson's number itself is at most this, in its unit.
    AtMost(Value),
    /// Keelson's number itself is exactly this, in its unit.
    Exactly(Value),
    /// None: printed to be known.
    Printed,
}

impl Target {
    fn text(self) -> String {
        match self {
            Self::RatioAtLeast(ratio) => format!(">= {ratio}x"),
            Self::RatioAtMost(ratio) => format!("<= {ratio}x"),
            Self::RatioAtMostPlus(ratio, value) => format!("<= {ratio}x + {}", value.text()),
            Self::AtLeast(value) => format!(">= {}", value.text()),
            Self::AtMost(value) => format!("<= {}", value.text()),
            Self::Exactly(value) => format!("= {}", value.text()),
            Self::Printed => "-".to_owned(),
        }
    }
}

/// What came of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The target was reached.
    Met,
    /// It was not.
    Missed,
    /// There is no target.
    Printed,
    /// A number is missing, so nothing can be said; the row's note says why.
    NotMeasured,
}

impl Verdict {
    fn text(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::Printed => "printed",
            Self::NotMeasured => "NOT MEASURED",
        }
    }
}

/// One measured thing and what it is held against.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured, in a few words.
    pub name: String,
    /// Keelson's number.
    pub keelson: Option<Value>,
    /// The number it is held against, of the same unit.
    pub reference: Option<Value>,
    /// What to reach.
    pub target: Target,
    /// What explains the numbers: CPU by process, samples, why something is missing.
    pub notes: Vec<String>,
}

impl Row {
    /// A row with both numbers.
    pub fn compared(name: impl Into<String>, keelson: Value, reference: Value, target: Target) -> Self {
        let (keelson, reference) = (Some(keelson), Some(reference));
        Self { name: name.into(), keelson, reference, target, notes: Vec::new() }
    }

    /// A row whose target needs no reference.
    pub fn alone(name: impl Into<String>, keelson: Value, target: Target) -> Self {
        Self { name: name.into(), keelson: Some(keelson), reference: None, target, notes: Vec::new() }
    }

    /// A row that only says what the reference itself does.
    pub fn reference(name: impl Into<String>, reference: Value) -> Self {
        let reference = Some(reference);
        Self { name: name.into(), keelson: None, reference, target: Target::Printed, notes: Vec::new() }
    }

    /// A row without Keelson's number.
    pub fn not_measured(name: impl Into<String>, target: Target, why: impl Into<String>) -> Self {
        Self { name: name.into(), keelson: None, reference: None, target, notes: vec![why.into()] }
    }

    /// Adds a note.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds the number it is held against, where it is known.
    pub fn against(mut self, reference: Option<Value>) -> Self {
        self.reference = reference;
        self
    }

    /// Keelson's number divided by the reference's.
    pub fn ratio(&self) -> Option<f64> {
        let reference = self.reference?.number();
        (reference > 0.0).then(|| self.keelson.map(|keelson| keelson.number() / reference)).flatten()
    }

    /// Whether the target was reached. A number that is missing or not finite reaches nothing.
    pub fn verdict(&self) -> Verdict {
        let finite = |number: Option<f64>| number.filter(|number| number.is_finite());
        let number = finite(self.keelson.map(Value::number));
        let reached = match self.target {
            Target::RatioAtLeast(least) => finite(self.ratio()).map(|ratio| ratio >= least),
            Target::RatioAtMost(most) => finite(self.ratio()).map(|ratio| ratio <= most),
            Target::RatioAtMostPlus(ratio, more) => {
                let most = finite(self.reference.map(|reference| reference.number() * ratio + more.number()));
                number.zip(most).map(|(number, most)| number <= most)
            }
            Target::AtLeast(least) => number.map(|number| number >= least.number()),
            Target::AtMost(most) => number.map(|number| number <= most.number()),
            Target::Exactly(exact) => number.map(|number| number == exact.number()),
            Target::Printed if self.keelson.or(self.reference).is_some() => return Verdict::Printed,
            Target::Printed => None,
        };
        match reached {
            Some(true) => Verdict::Met,
            Some(false) => Verdict::Missed,
            None => Verdict::NotMeasured,
        }
    }

    fn cells(&self) -> [String; 6] {
        let dash = || "-".to_owned();
        [
            self.name.clone(),
            self.keelson.map_or_else(dash, Value::text),
            self.reference.map_or_else(dash, Value::text),
            self.ratio().map_or_else(dash, |ratio| format!("{ratio:.2}")),
            self.target.text(),
            self.verdict().text().to_owned(),
        ]
    }
}

/// What one line of the table of measurements gave.
#[derive(Debug)]
pub struct Section {
    /// The line's name, as `--only` takes it.
    pub line: &'static str,
    /// Its rows.
    pub rows: Vec<Row>,
    /// How long it took, preparation included.
    pub took: Duration,
}

const HEADINGS: [&str; 6] = ["line", "Keelson", "reference", "ratio", "target", "verdict"];

/// The table, with each row's notes indented under it.
pub fn table(sections: &[Section]) -> String {
    let cells: Vec<Vec<[String; 6]>> =
        sections.iter().map(|section| section.rows.iter().map(Row::cells).collect()).collect();
    let widths: [usize; 6] = std::array::from_fn(|column| {
        let widest = cells.iter().flatten().map(|row| row[column].chars().count()).max().unwrap_or(0);
        widest.max(HEADINGS[column].len())
    });
    let mut text = rendered(&HEADINGS.map(str::to_owned), &widths);
    text.push_str(&rendered(&widths.map(|width| "-".repeat(width)), &widths));
    for (section, rows) in sections.iter().zip(&cells) {
        let _ = writeln!(text, "{} ({:.0} s)", section.line, section.took.as_secs_f64());
        for (row, cells) in section.rows.iter().zip(rows) {
            text.push_str(&rendered(cells, &widths));
            row.notes.iter().for_each(|note| text.push_str(&format!("    {note}\n")));
        }
    }
    text
}

/// One line of the table: the first column to the left, the others to the right.
fn rendered(cells: &[String; 6], widths: &[usize; 6]) -> String {
    let mut line = format!("{:<width$}", cells[0], width = widths[0]);
    for (cell, width) in cells.iter().zip(widths).skip(1) {
        let _ = write!(line, " | {cell:>width$}");
    }
    line.push('\n');
    line
}

/// How many rows met their targets, and the name of each that did not.
pub fn summary(sections: &[Section]) -> String {
    let named = |verdict: Verdict| -> Vec<String> {
        let rows =
            sections.iter().flat_map(|section| section.rows.iter().map(move |row| (section.line, row)));
        rows.filter(|(_, row)| row.verdict() == verdict)
            .map(|(line, row)| format!("{line}: {}", row.name))
            .collect()
    };
    let (met, missed, absent) =
        (named(Verdict::Met).len(), named(Verdict::Missed), named(Verdict::NotMeasured));
    let mut text = format!("{met} met, {} MISSED, {} not measured\n", missed.len(), absent.len());
    missed.iter().for_each(|row| text.push_str(&format!("  MISSED        {row}\n")));
    absent.iter().for_each(|row| text.push_str(&format!("  not measured  {row}\n")));
    text
}

/// Whether every row with a target reached it.
pub fn all_met(sections: &[Section]) -> bool {
    let mut rows = sections.iter().flat_map(|section| &section.rows);
    rows.all(|row| matches!(row.verdict(), Verdict::Met | Verdict::Printed))
}

/// The same as JSON, for machines.
pub fn json(sections: &[Section]) -> serde_json::Value {
    let row = |row: &Row| {
        serde_json::json!({
            "name": row.name, "keelson": row.keelson, "reference": row.reference, "ratio": row.ratio(),
            "target": row.target, "verdict": row.verdict(), "notes": row.notes,
        })
    };
    let section = |section: &Section| {
        let rows: Vec<_> = section.rows.iter().map(row).collect();
        serde_json::json!({ "line": section.line, "took_s": section.took.as_secs_f64(), "rows": rows })
    };
    serde_json::json!({ "lines": sections.iter().map(section).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(keelson: f64, reference: f64, target: Target) -> Verdict {
        Row::compared("x", Value::Ms(keelson), Value::Ms(reference), target).verdict()
    }

    #[test]
    fn verdicts_of_ratios() {
        assert_eq!(compared(500.0, 100.0, Target::RatioAtLeast(5.0)), Verdict::Met);
        assert_eq!(compared(499.0, 100.0, Target::RatioAtLeast(5.0)), Verdict::Missed);
        assert_eq!(compared(60.0, 100.0, Target::RatioAtMost(0.6)), Verdict::Met);
        assert_eq!(compared(61.0, 100.0, Target::RatioAtMost(0.6)), Verdict::Missed);
        assert_eq!(compared(1.0, 0.0, Target::RatioAtLeast(5.0)), Verdict::NotMeasured);
        assert_eq!(compared(f64::NAN, 1.0, Target::RatioAtMost(5.0)), Verdict::NotMeasured);
    }

    #[test]
    fn verdicts_of_ratios_with_something_more() {
        let target = Target::RatioAtMostPlus(1.5, Value::Ms(100.0));
        assert_eq!(compared(250.0, 100.0, target), Verdict::Met);
        assert_eq!(compared(251.0, 100.0, target), Verdict::Missed);
        assert_eq!(Row::alone("x", Value::Ms(1.0), target).verdict(), Verdict::NotMeasured);
        assert_eq!(target.text(), "<= 1.5x + 100 ms");
    }

    #[test]
    fn verdicts_of_numbers_alone() {
        let check = |value: Value, target: Target, expect: Verdict| {
            assert_eq!(Row::alone("x", value, target).verdict(), expect, "{value:?} {target:?}");
        };
        check(Value::Ms(50.0), Target::AtMost(Value::Ms(50.0)), Verdict::Met);
        check(Value::PerSecond(500.0), Target::AtLeast(Value::PerSecond(500.0)), Verdict::Met);
        check(Value::PerSecond(499.0), Target::AtLeast(Value::PerSecond(500.0)), Verdict::Missed);
        check(Value::Ms(50.1), Target::AtMost(Value::Ms(50.0)), Verdict::Missed);
        check(Value::Count(3), Target::Exactly(Value::Count(3)), Verdict::Met);
        check(Value::Count(2), Target::Exactly(Value::Count(3)), Verdict::Missed);
        check(Value::Count(2), Target::Printed, Verdict::Printed);
        check(Value::Count(2), Target::RatioAtMost(2.0), Verdict::NotMeasured);
    }

    fn sections() -> Vec<Section> {
        let ms = Value::Ms;
        vec![
            Section {
                line: "list",
                took: Duration::from_secs(3),
                rows: vec![
                    Row::compared("LIST 10k", ms(123.4), ms(50.0), Target::RatioAtMost(2.0)).note("h2"),
                    Row::alone("p99", ms(4.5), Target::AtMost(ms(50.0))),
                ],
            },
            Section {
                line: "raft",
                took: Duration::from_secs(0),
                rows: vec![Row::not_measured("proposals", Target::RatioAtLeast(5.0), "no entrance")],
            },
        ]
    }

    #[test]
    fn the_table_is_aligned_and_carries_notes() {
        let expect = "\
line      | Keelson | reference | ratio | target   |      verdict
--------- | ------- | --------- | ----- | -------- | ------------
list (3 s)
LIST 10k  |  123 ms |     50 ms |  2.47 |    <= 2x |       MISSED
    h2
p99       | 4.50 ms |         - |     - | <= 50 ms |          met
raft (0 s)
proposals |       - |         - |     - |    >= 5x | NOT MEASURED
    no entrance
";
        let table = table(&sections());
        // The headings are set like their columns: the first to the left, the others to the right.
        assert_eq!(table.lines().skip(1).collect::<Vec<_>>(), expect.lines().skip(1).collect::<Vec<_>>());
        assert_eq!(table.lines().next().map(str::len), expect.lines().next().map(str::len));
    }

    #[test]
    fn the_summary_names_what_was_missed() {
        let expect = "1 met, 1 MISSED, 1 not measured\n  MISSED        list: LIST 10k\n  not measured  raft: proposals\n";
        assert_eq!(summary(&sections()), expect);
        assert!(!all_met(&sections()));
        assert!(all_met(&[]));
    }

    #[test]
    fn json_has_every_row() {
        let json = json(&sections());
        assert_eq!(json["lines"][0]["rows"][0]["verdict"], "missed");
        assert_eq!(json["lines"][0]["rows"][0]["keelson"]["value"], 123.4);
        assert_eq!(json["lines"][1]["rows"][0]["verdict"], "not_measured");
    }
}
