//! What `label` and `annotate` have in common: names with values in the metadata.

use http::Method;
use serde_json::{Map, Value, json};

use super::written::Report;
use crate::failure::{Failure, Tally};
use crate::flags::{DryRun, Files, Select, Writing};
use crate::output::columns::joined;
use crate::screen::Screen;
use crate::server::{Call, Server};
use crate::targets::{Given, Target, objects};

/// Which of the two.
#[derive(Debug)]
pub struct What {
    /// In the metadata.
    pub field: &'static str,
    /// One of them.
    pub singular: &'static str,
    /// When some were set.
    pub done: &'static str,
    /// When some were removed and none set.
    pub undone: &'static str,
    /// When nothing was to change.
    pub not_done: &'static str,
    /// Who writes.
    pub manager: &'static str,
}

/// What is given to them.
#[derive(clap::Args, Debug)]
pub struct Marks {
    /// TYPE NAME... or TYPE/NAME..., then KEY=VALUE to set and KEY- to remove.
    words: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    writing: Writing,
    /// All objects of the type.
    #[arg(long)]
    all: bool,
    /// Change what has another value already.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    overwrite: bool,
    /// Show those that there are.
    #[arg(long)]
    list: bool,
    /// Only if the object is of this version.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "VERSION")]
    resource_version: String,
    /// Who writes.
    #[arg(long, value_name = "NAME")]
    field_manager: Option<String>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Set(String, String),
    Remove(String),
}

/// Runs either verb.
pub async fn run(marks: &Marks, what: &What, server: &Server, screen: Screen) -> Result<(), Failure> {
    let (words, changes) = parted(&marks.words)?;
    if changes.is_empty() && !marks.list {
        return Err(Failure::Usage(format!(
            "at least one {} update is required: KEY=VALUE, or KEY-",
            what.singular
        )));
    }
    let given = Given { words, files: &marks.files, select: &marks.select, all: marks.all };
    let mut report = Report::new(&marks.writing, screen)?;
    let mut tally = Tally::default();
    for target in objects(given, server).await? {
        let outcome = if changes.is_empty() {
            list(&target, what, server, screen).await
        } else {
            change(&target, marks, what, &changes, server, &mut report).await
        };
        tally.take(outcome)?;
    }
    report.close()?;
    tally.close()
}

/// The words that name objects, and the changes behind them.
fn parted(words: &[String]) -> Result<(&[String], Vec<Change>), Failure> {
    let is_change = |word: &String| word.contains('=') || word.ends_with('-') && word.len() > 1;
    let from = words.iter().position(is_change).unwrap_or(words.len());
    let mut changes: Vec<Change> = Vec::new();
    for word in &words[from..] {
        let change = match (word.split_once('='), word.strip_suffix('-')) {
            (Some((key, value)), _) if !key.is_empty() => Change::Set(key.to_owned(), value.to_owned()),
            (None, Some(key)) => Change::Remove(key.to_owned()),
            _ => {
                return Err(Failure::Usage(format!(
                    "all resources must be specified before changes: {word}"
                )));
            }
        };
        changes.push(change);
    }
    let is_both = |change: &Change| matches!(change, Change::Remove(key) if changes.iter().any(|other| matches!(other, Change::Set(set, _) if set == key)));
    match changes.iter().find(|change| is_both(change)) {
        Some(Change::Remove(key)) => {
            Err(Failure::Usage(format!("can not both modify and remove {key} in the same command")))
        }
        _ => Ok((&words[..from], changes)),
    }
}

async fn list(target: &Target, what: &What, server: &Server, screen: Screen) -> Result<(), Failure> {
    let object = target.read(server).await?;
    let marks = &object["metadata"][what.field];
    let lines = if marks.is_object() { joined(marks).replace(',', "\n") + "\n" } else { String::new() };
    screen.print(&format!("Listing {} for {}:\n{lines}", what.field, target.printed()))
}

async fn change(
    target: &Target,
    marks: &Marks,
    what: &What,
    changes: &[Change],
    server: &Server,
    report: &mut Report,
) -> Result<(), Failure> {
    let object = target.read(server).await?;
    let there = object["metadata"][what.field].as_object().cloned().unwrap_or_default();
    let patch = patch(&there, changes, marks.overwrite, what)?;
    let is_set = patch.values().any(|value| !value.is_null());
    let done = match patch.is_empty() {
        true => what.not_done,
        false if is_set => what.done,
        false => what.undone,
    };
    if patch.is_empty() || marks.writing.dry_run == DryRun::Client {
        let mut object = object;
        api::patch::merge(&mut object, &json!({"metadata": {what.field: patch}}));
        return report.add(target, done, object);
    }
    let mut body = json!({"metadata": {what.field: patch}});
    if !marks.resource_version.is_empty() {
        body["metadata"]["resourceVersion"] = json!(marks.resource_version);
    }
    let call = Call::new(Method::PATCH, target.path())
        .with("fieldManager", marks.field_manager.as_deref().unwrap_or(what.manager))
        .with("dryRun", marks.writing.dry_run.query())
        .body("application/merge-patch+json", &body);
    let object = server.json(call).await?;
    report.add(target, done, object)
}

/// What changes: new values, null for what goes.
fn patch(
    there: &Map<String, Value>,
    changes: &[Change],
    overwrite: bool,
    what: &What,
) -> Result<Map<String, Value>, Failure> {
    let mut patch = Map::new();
    for change in changes {
        match change {
            Change::Set(key, value) => match there.get(key) {
                Some(old) if old == value => {}
                Some(old) if !overwrite => {
                    let old = old.as_str().unwrap_or_default();
                    return Err(Failure::Refused(format!(
                        "'{key}' already has a value ({old}), and --overwrite is false"
                    )));
                }
                _ => drop(patch.insert(key.clone(), json!(value))),
            },
            Change::Remove(key) if there.contains_key(key) => drop(patch.insert(key.clone(), Value::Null)),
            Change::Remove(key) => crate::screen::warn(&format!("{} \"{key}\" not found.", what.singular)),
        }
    }
    Ok(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: What =
        What { field: "labels", singular: "label", done: "", undone: "", not_done: "", manager: "" };

    #[test]
    fn changes_stand_behind_the_objects() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let given = words("pods web a=1 b=x=y c-");
        let (named, changes) = parted(&given).expect("changes");
        assert_eq!(named, words("pods web"));
        let set = |key: &str, value: &str| Change::Set(key.to_owned(), value.to_owned());
        assert_eq!(changes, [set("a", "1"), set("b", "x=y"), Change::Remove("c".to_owned())]);
        for wrong in ["pods web a=1 b", "pods web a=1 a-", "pods web =1"] {
            assert!(parted(&words(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_are_changed_only_when_that_is_meant() {
        let there = json!({"a": "1", "b": "2"});
        let there = there.as_object().expect("an object");
        let set = |value: &str| [Change::Set("a".to_owned(), value.to_owned())];
        let patched =
            |changes: &[Change], overwrite| patch(there, changes, overwrite, &LABELS).ok().map(Value::from);
        assert_eq!(patched(&set("1"), false), Some(json!({})));
        assert_eq!(patched(&set("2"), false), None);
        assert_eq!(patched(&set("2"), true), Some(json!({"a": "2"})));
        assert_eq!(
            patched(&[Change::Remove("b".to_owned()), Change::Remove("c".to_owned())], false),
            Some(json!({"b": null}))
        );
    }
}
