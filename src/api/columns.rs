//! The columns of tables: their definitions are data (`schema/columns.json`), their cells are code, a file a group.
//!
//! Cells are read from the stored bytes where they stand: a table of many objects costs little more than their list.

mod access;
mod autoscaling;
mod batch;
mod certificates;
mod core;
mod definitions;
mod event;
mod labels;
mod networking;
mod node;
mod pod;
mod policies;
mod resource;
mod storage;
mod workloads;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::encode;
use crate::time;
use crate::view::View;

/// A column, as clients see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Its title.
    pub name: String,
    /// `string`, `integer`...
    #[serde(rename = "type")]
    pub kind: String,
    /// `name` for the column that names the object.
    #[serde(default)]
    pub format: String,
    /// What it shows.
    #[serde(default)]
    pub description: String,
    /// 0: always shown; more: only when a client shows much.
    #[serde(default)]
    pub priority: i32,
}

/// Writes the cells of a row.
type Print = Box<dyn Fn(Row<'_>, &mut Cells<'_>) + Send + Sync>;

/// Finds the one of several objects that a list marks; empty: none.
type Mark = fn(&mut dyn Iterator<Item = View<'_>>) -> String;

/// The columns of a resource: custom ones bring definitions and cells of their own.
pub struct Columns {
    /// One for each cell.
    pub definitions: Vec<Definition>,
    print: Print,
    mark: Option<Mark>,
}

impl fmt::Debug for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Columns").field("definitions", &self.definitions).finish_non_exhaustive()
    }
}

impl Columns {
    /// Columns whose cells `print` writes, in the order of their definitions.
    pub fn new(
        definitions: Vec<Definition>,
        print: impl Fn(Row<'_>, &mut Cells<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self { definitions, print: Box::new(print), mark: None }
    }

    /// The name of the object that a list of these marks.
    pub fn marked<'b>(&self, mut objects: impl Iterator<Item = &'b [u8]>) -> String {
        let views = &mut objects.by_ref().map(View::new);
        self.mark.map_or_else(String::new, |mark| mark(views))
    }

    /// Appends the cells of a row, `[...]`, and behind them the conditions of the row, if it has any.
    pub fn append(&self, out: &mut Vec<u8>, row: Row<'_>, now_ms: u64) {
        let now_us = i64::try_from(now_ms).unwrap_or_default().saturating_mul(1000);
        out.push(b'[');
        let mut cells = Cells { out, now_us, is_first: true, conditions: "" };
        (self.print)(row, &mut cells);
        let conditions = cells.conditions;
        out.push(b']');
        if !conditions.is_empty() {
            out.extend_from_slice(b",\"conditions\":");
            out.extend_from_slice(conditions.as_bytes());
        }
    }
}

/// What a row is of.
#[derive(Clone, Copy, Debug)]
pub struct Row<'b> {
    /// The object.
    pub object: View<'b>,
    /// Its metadata.
    pub metadata: View<'b>,
    /// The name of the object that the list marks.
    pub marked: &'b str,
}

impl<'b> Row<'b> {
    /// Of stored bytes.
    pub fn new(stored: &'b [u8], marked: &'b str) -> Self {
        let object = View::new(stored);
        Self { object, metadata: object.get("metadata"), marked }
    }

    /// Whether the object is going.
    fn is_deleting(self) -> bool {
        self.metadata.get("deletionTimestamp").is_there()
    }

    /// An annotation.
    fn annotation(self, name: &str) -> View<'b> {
        self.metadata.get("annotations").get(name)
    }
}

/// Where cells are written.
#[derive(Debug)]
pub struct Cells<'o> {
    out: &'o mut Vec<u8>,
    /// What ages count to.
    now_us: i64,
    is_first: bool,
    conditions: &'static str,
}

impl Cells<'_> {
    /// What ages count to.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.now_us / 1000).unwrap_or_default()
    }

    fn next(&mut self) -> &mut Vec<u8> {
        if !std::mem::replace(&mut self.is_first, false) {
            self.out.push(b',');
        }
        self.out
    }

    /// Text.
    pub fn text(&mut self, text: &str) {
        encode::text(self.next(), text);
    }

    /// Text of the object, as it stands there; empty where it has none.
    pub fn same(&mut self, text: View<'_>) {
        let bytes = if text.is_text() { text.bytes() } else { b"\"\"" };
        self.next().extend_from_slice(bytes);
    }

    /// Text of the object, or a word where there is none or it is empty.
    fn same_or(&mut self, text: View<'_>, word: &str) {
        if text.bytes().len() > 2 { self.same(text) } else { self.text(word) }
    }

    /// A whole number.
    pub fn number(&mut self, number: i64) {
        self.next().extend_from_slice(number.to_string().as_bytes());
    }

    /// A truth.
    pub fn flag(&mut self, is_true: bool) {
        self.next().extend_from_slice(if is_true { b"true" } else { b"false" });
    }

    /// Any JSON.
    pub fn json(&mut self, bytes: &[u8]) {
        self.next().extend_from_slice(bytes);
    }

    /// How long ago a time is.
    pub fn age(&mut self, then: View<'_>) {
        let text = self.since(then);
        self.text(&text);
    }

    /// The same as text, for what stands among other text.
    fn since(&self, then: View<'_>) -> String {
        let then = time::parse(&then.text());
        then.map_or_else(|| "<unknown>".to_owned(), |then| time::span(self.now_us - then))
    }

    /// Conditions of the row, as JSON.
    fn set_conditions(&mut self, json: &'static str) {
        self.conditions = json;
    }
}

/// Names of members, from the object inwards.
type Path = &'static [&'static str];

/// A cell, or several in a row: most are of one of few forms.
enum Cell {
    /// How long ago the object was created.
    Age,
    /// Names and images of the containers of a pod's spec: two cells.
    Containers(Path),
    /// How many members or items there are at these paths together.
    Count(&'static [Path]),
    /// Whatever a function writes.
    Code(fn(Row<'_>, &mut Cells<'_>)),
    /// Whether it is true.
    Flag(Path),
    /// Texts of a list, with commas.
    Joined(Path),
    /// Labels, or what is like them.
    Labels(Path),
    /// The object's name.
    Name,
    /// A whole number; 0 where there is none.
    Number(Path),
    /// Two whole numbers: `1/2`.
    Of(Path, Path),
    /// A label selector.
    Selector(Path),
    /// How long ago a time is; a word where there is none.
    Since(Path, &'static str),
    /// Text.
    Text(Path),
    /// Text; a word where there is none.
    TextOr(Path, &'static str),
}

impl Cell {
    fn append(&self, row: Row<'_>, cells: &mut Cells<'_>) {
        let number = |path: Path| row.object.at(path).number().unwrap_or_default();
        match *self {
            Self::Age => cells.age(row.metadata.get("creationTimestamp")),
            Self::Containers(path) => containers(row.object.at(path).get("containers"), cells),
            Self::Count(paths) => {
                let count: usize = paths.iter().map(|path| row.object.at(path).count()).sum();
                cells.number(i64::try_from(count).unwrap_or(i64::MAX));
            }
            Self::Code(print) => print(row, cells),
            Self::Flag(path) => cells.flag(row.object.at(path).is_true()),
            Self::Joined(path) => cells.text(&joined(row.object.at(path).items().map(View::text), ",")),
            Self::Labels(path) => cells.text(&labels::shown(row.object.at(path))),
            Self::Name => cells.same(row.metadata.get("name")),
            Self::Number(path) => cells.number(number(path)),
            Self::Of(some, all) => cells.text(&format!("{}/{}", number(some), number(all))),
            Self::Selector(path) => cells.text(&labels::selector_shown(row.object.at(path))),
            Self::Since(path, word) => match row.object.at(path) {
                then if then.is_there() => cells.age(then),
                _ => cells.text(word),
            },
            Self::Text(path) => cells.same(row.object.at(path)),
            Self::TextOr(path, word) => match row.object.at(path) {
                text if text.is_there() => cells.same(text),
                _ => cells.text(word),
            },
        }
    }
}

fn containers(of: View<'_>, cells: &mut Cells<'_>) {
    for member in ["name", "image"] {
        cells.text(&joined(of.items().map(|container| container.get(member).text()), ","));
    }
}

/// Texts with `separator` between them.
fn joined<T: AsRef<str>>(texts: impl Iterator<Item = T>, separator: &str) -> String {
    let mut all = String::new();
    for (at, text) in texts.enumerate() {
        if at > 0 {
            all.push_str(separator);
        }
        all.push_str(text.as_ref());
    }
    all
}

/// The first few of many texts: `a,b,c + 2 more...`.
fn few<T: AsRef<str>>(texts: impl Iterator<Item = T>, most: usize, separator: &str) -> String {
    let texts: Vec<T> = texts.collect();
    let shown = joined(texts.iter().take(most), separator);
    match texts.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

/// Whether the list of conditions has one of this type that is true: the first of the type decides.
fn is_condition(conditions: View<'_>, kind: &str) -> bool {
    conditions.items().find(|one| one.get("type").is(kind)).is_some_and(|one| one.get("status").is("True"))
}

/// The kinds with columns of their own.
type Kinds = &'static [(&'static str, &'static str, &'static [Cell])];

static KINDS: &[Kinds] = &[
    access::KINDS,
    autoscaling::KINDS,
    batch::KINDS,
    certificates::KINDS,
    core::KINDS,
    definitions::KINDS,
    event::KINDS,
    networking::KINDS,
    node::KINDS,
    pod::KINDS,
    policies::KINDS,
    resource::KINDS,
    storage::KINDS,
    workloads::KINDS,
];

/// What every kind has that brings no columns.
static PLAIN: &[Cell] = &[Cell::Name, CREATED];

/// When the object was created: times are stored as they are shown.
const CREATED: Cell = Cell::Code(|row, cells| {
    cells.same_or(row.metadata.get("creationTimestamp"), "0001-01-01T00:00:00Z");
});

static ALL: LazyLock<BTreeMap<(String, String), Arc<Columns>>> = LazyLock::new(|| {
    let rows: Vec<KindRow> = serde_json::from_str(include_str!("schema/columns.json"))
        .expect("the data is what the generator wrote");
    // Sorted: the row of every kind, which has no name, is the first.
    let plain = rows[0].definitions(&[]);
    let columns = |row: &KindRow| {
        let found =
            KINDS.iter().copied().flatten().find(|(group, kind, _)| (*group, *kind) == (row.group, row.kind));
        let cells = found.map_or(PLAIN, |(_, _, cells)| cells);
        let mark = (row.kind == "StorageClass").then_some(storage::default_class as Mark);
        let print: Print = Box::new(move |row, into| cells.iter().for_each(|cell| cell.append(row, into)));
        Arc::new(Columns { definitions: row.definitions(&plain), print, mark })
    };
    rows.iter().map(|row| ((row.group.to_owned(), row.kind.to_owned()), columns(row))).collect()
});

/// The columns of a built-in kind.
pub fn of(group: &str, kind: &str) -> Arc<Columns> {
    let key = |group: &str, kind: &str| (group.to_owned(), kind.to_owned());
    Arc::clone(ALL.get(&key(group, kind)).unwrap_or_else(|| &ALL[&key("", "")]))
}

#[derive(Deserialize)]
struct KindRow {
    group: &'static str,
    kind: &'static str,
    columns: Vec<ColumnRow>,
}

#[derive(Deserialize)]
struct ColumnRow {
    #[serde(flatten)]
    definition: Definition,
    /// The column in the first row that says the same of itself.
    #[serde(default)]
    like: String,
}

impl KindRow {
    fn definitions(&self, plain: &[Definition]) -> Vec<Definition> {
        let definition = |row: &ColumnRow| {
            let like = plain.iter().find(|one| one.name == row.like);
            let description = like.map_or(&row.definition.description, |like| &like.description);
            Definition { description: description.clone(), ..row.definition.clone() }
        };
        self.columns.iter().map(definition).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_with_cells_has_definitions_and_a_cell_for_each() {
        for (group, kind, _) in KINDS.iter().copied().flatten() {
            let columns = ALL.get(&((*group).to_owned(), (*kind).to_owned()));
            let columns = columns.unwrap_or_else(|| panic!("{group}/{kind} is not in the data"));
            let mut out = Vec::new();
            columns.append(&mut out, Row::new(b"{}", ""), 0);
            // Behind the cells of a pod may follow its conditions, but not of an empty one.
            let cells: Vec<serde_json::Value> = serde_json::from_slice(&out).expect("cells are JSON");
            // Kubernetes itself tells one column less of these than it fills.
            let untold = usize::from(*kind == "IPAddress");
            assert_eq!(cells.len(), columns.definitions.len() + untold, "{group}/{kind}");
        }
        let own = KINDS.iter().map(|kinds| kinds.len()).sum::<usize>();
        assert_eq!(own + 1, ALL.len(), "all but the row of every kind have cells");
    }

    #[test]
    fn lists_are_cut() {
        let cases: [(&[&str], &str); 4] = [
            (&[], ""),
            (&["a"], "a"),
            (&["a", "b", "c"], "a,b,c"),
            (&["a", "b", "c", "d", "e"], "a,b,c + 2 more..."),
        ];
        for (texts, expect) in cases {
            assert_eq!(few(texts.iter(), 3, ","), expect);
        }
    }
}
