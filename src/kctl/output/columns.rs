//! Tables as servers make them: which columns to show, and what to add to them.

use serde_json::Value;

use crate::catalog::Kind;
use crate::manifest;
use crate::table::Layout;

/// What to show of a table.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// With the columns that are usually left out.
    pub wide: bool,
    /// With the namespaces in front.
    pub namespaces: bool,
    /// With the kind before each name.
    pub kinds: bool,
    /// With all labels behind.
    pub labels: bool,
    /// With a column for each of these labels.
    pub label_columns: Vec<String>,
    /// With what happened in front.
    pub events: bool,
    /// Without heads.
    pub headless: bool,
    /// In colour.
    pub colored: bool,
}

/// Prints tables, one below the other as if they were one as long as their columns are the same.
#[derive(Debug)]
pub struct Printer {
    style: Style,
    layout: Layout,
    columns: Vec<Value>,
    heads: Vec<String>,
}

impl Printer {
    /// A printer that has printed nothing.
    pub fn new(style: Style) -> Self {
        Self { style, layout: Layout::default(), columns: Vec::new(), heads: Vec::new() }
    }

    /// What comes next on the screen. An event is what happened to the objects of the table.
    pub fn print(&mut self, table: &Value, kind: &Kind, event: &str) -> String {
        // Only the first event of a watch says which columns there are.
        if list(&table["columnDefinitions"]).next().is_some() {
            self.columns = list(&table["columnDefinitions"]).cloned().collect();
        }
        let rows: Vec<Vec<String>> = list(&table["rows"]).map(|row| self.row(row, kind, event)).collect();
        if rows.is_empty() {
            return String::new();
        }
        let mut out = String::new();
        let heads = self.heads();
        let is_new = self.heads != heads;
        if is_new {
            self.layout = Layout::default();
            self.heads = heads;
        }
        let shown: &[Vec<String>] = if self.style.headless { &[] } else { std::slice::from_ref(&self.heads) };
        self.layout.fit(shown.iter().chain(&rows));
        if is_new {
            shown.iter().for_each(|heads| out.push_str(&self.painted(heads, |_, text| paint(text, BOLD))));
        }
        for row in &rows {
            out.push_str(&self.painted(row, |column, text| {
                let heads = self.heads.get(column).map_or("", String::as_str);
                meaning(heads, text).map_or_else(|| text.to_owned(), |color| paint(text, color))
            }));
        }
        out
    }

    fn painted(&self, row: &[String], paint: impl Fn(usize, &str) -> String) -> String {
        if self.style.colored { self.layout.line_with(row, paint) } else { self.layout.line(row) }
    }

    /// Whether a column is shown.
    fn is_shown(&self, column: &Value) -> bool {
        self.style.wide || column["priority"].as_i64().unwrap_or(0) == 0
    }

    fn heads(&self) -> Vec<String> {
        let style = &self.style;
        let flag = |given: bool, head: &str| given.then(|| head.to_owned());
        let columns = self.columns.iter().filter(|column| self.is_shown(column));
        let names = columns.map(|column| column["name"].as_str().unwrap_or_default().to_uppercase());
        let labels = style
            .label_columns
            .iter()
            .map(|label| label.rsplit('/').next().unwrap_or_default().to_uppercase());
        let before = flag(style.events, "EVENT").into_iter().chain(flag(style.namespaces, "NAMESPACE"));
        before.chain(names).chain(labels).chain(flag(style.labels, "LABELS")).collect()
    }

    fn row(&self, row: &Value, kind: &Kind, event: &str) -> Vec<String> {
        let style = &self.style;
        let object = &row["object"];
        let mut cells = Vec::new();
        cells.extend(style.events.then(|| event.to_owned()));
        cells.extend(style.namespaces.then(|| manifest::namespace(object).to_owned()));
        for (at, value) in list(&row["cells"]).enumerate() {
            let Some(column) = self.columns.get(at).filter(|column| self.is_shown(column)) else { continue };
            let is_name = style.kinds && (column["format"] == "name" || column["name"] == "Name");
            let text = cell(value);
            cells.push(if is_name { kind.printed(&text) } else { text });
        }
        let labels = &object["metadata"]["labels"];
        cells.extend(
            style
                .label_columns
                .iter()
                .map(|label| labels[label.as_str()].as_str().unwrap_or("<none>").to_owned()),
        );
        cells.extend(style.labels.then(|| joined(labels)));
        cells
    }
}

/// The items of a list, of which there are none where there is no list.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The first line of a text, and whether there are more.
fn cell(value: &Value) -> String {
    let text = crate::jsonpath::plain(value);
    match text.split_once('\n') {
        Some((first, _)) => format!("{first}..."),
        None => text,
    }
}

/// `a=b,c=d`
pub fn joined(labels: &Value) -> String {
    let labels = labels.as_object().filter(|labels| !labels.is_empty());
    let Some(labels) = labels else { return "<none>".to_owned() };
    let mut pairs: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
    pairs.sort_unstable();
    pairs.join(",")
}

const BOLD: &str = "1";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";

fn paint(text: &str, color: &str) -> String {
    format!("\x1b[{color}m{text}\x1b[0m")
}

/// In which columns colour says something.
const STATES: &[&str] = &["STATUS", "PHASE", "READY", "EVENT"];
const GOOD: &[&str] = &[
    "Active",
    "Approved,Issued",
    "Available",
    "Bound",
    "Complete",
    "Completed",
    "Ready",
    "Running",
    "Succeeded",
    "True",
    "ADDED",
];
const PASSING: &[&str] =
    &["ContainerCreating", "MODIFIED", "Pending", "PodInitializing", "Released", "Terminating", "Unknown"];
const BAD: &[&str] = &[
    "CrashLoopBackOff",
    "DELETED",
    "Error",
    "Evicted",
    "Failed",
    "False",
    "ImagePullBackOff",
    "Lost",
    "NotReady",
    "OOMKilled",
];

/// The colour of a state.
fn meaning(head: &str, text: &str) -> Option<&'static str> {
    if !STATES.contains(&head) {
        return None;
    }
    let colors = [(GOOD, GREEN), (PASSING, YELLOW), (BAD, RED)];
    colors.iter().find(|(words, _)| words.contains(&text)).map(|(_, color)| *color)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;
    use crate::catalog::tests::row;

    fn table() -> Value {
        json!({
            "columnDefinitions": [
                {"name": "Name", "format": "name", "priority": 0}, {"name": "Status", "priority": 0},
                {"name": "Age", "priority": 0}, {"name": "Node", "priority": 1},
            ],
            "rows": [
                {"cells": ["web", "Running", 7, "n1"], "object": {"metadata": {"namespace": "shop", "labels": {"app.io/b": "2", "a": "1"}}}},
                {"cells": ["a-long-name", "Failed\nbadly", null, "n2"], "object": {"metadata": {"namespace": "x"}}},
            ],
        })
    }

    fn check(style: Style, expected: &Expect) {
        expected.assert_eq(&Printer::new(style).print(&table(), &row("", "v1", "Pod", ""), "ADDED"));
    }

    #[test]
    fn what_is_shown_of_a_table() {
        check(
            Style::default(),
            &expect![[r"
            NAME          STATUS      AGE
            web           Running     7
            a-long-name   Failed...
        "]],
        );
        check(
            Style { wide: true, namespaces: true, kinds: true, ..Style::default() },
            &expect![[r"
            NAMESPACE   NAME              STATUS      AGE   NODE
            shop        pod/web           Running     7     n1
            x           pod/a-long-name   Failed...         n2
        "]],
        );
        let label_columns = vec!["app.io/b".to_owned()];
        check(
            Style { labels: true, label_columns, events: true, ..Style::default() },
            &expect![[r"
            EVENT   NAME          STATUS      AGE   B        LABELS
            ADDED   web           Running     7     2        a=1,app.io/b=2
            ADDED   a-long-name   Failed...         <none>   <none>
        "]],
        );
        check(
            Style { headless: true, ..Style::default() },
            &expect![[r"
            web           Running     7
            a-long-name   Failed...
        "]],
        );
    }

    #[test]
    fn colours_do_not_move_columns() {
        let mut printer = Printer::new(Style { colored: true, ..Style::default() });
        let shown = printer.print(&table(), &row("", "v1", "Pod", ""), "");
        assert!(shown.contains("\x1b[32mRunning\x1b[0m     7\n"), "{shown:?}");
        assert!(shown.starts_with("\x1b[1mNAME\x1b[0m          \x1b[1mSTATUS"), "{shown:?}");
    }

    #[test]
    fn events_of_a_watch_follow_below_the_same_heads() {
        let mut printer = Printer::new(Style::default());
        let kind = row("", "v1", "Pod", "");
        printer.print(&table(), &kind, "");
        let event = json!({"columnDefinitions": null, "rows": [{"cells": ["b", "Pending", "1s"]}]});
        assert_eq!(printer.print(&event, &kind, ""), "b             Pending     1s\n");
    }
}
