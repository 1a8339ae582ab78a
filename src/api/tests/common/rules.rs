//! Objects that are written: what Kubernetes' registries make of them, what we make of them, and where that differs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::lens::Lens;
use api::parts::Part;
use api::{FieldError, Object, Resource, validate, write};
use serde_json::{Value, json};

use super::oracle::Oracle;

/// What stands for the time of day: both sides put in when something changed, each when it does.
const NOW: &str = "2099-01-01T00:00:00Z";

const UID: &str = "00000000-0000-4000-8000-000000000000";

/// How often each sample is changed.
const ROUNDS: u64 = 150;

/// `KEELSON_ORACLE_ROUNDS` asks for more than usual.
pub fn rounds() -> u64 {
    std::env::var("KEELSON_ORACLE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

/// Field, reason and message.
type Cause = (String, String, String);

/// What became of an object: its stored form, or the causes of its refusal.
type Outcome = Result<String, BTreeSet<Cause>>;

/// What both sides make of one write; `None` when it could not even be read, or when that is not reproduced.
#[derive(Debug)]
pub struct Both {
    ours: Option<Outcome>,
    theirs: Option<Outcome>,
}

impl Both {
    /// What both store.
    pub fn stored(&self) -> Value {
        match (&self.ours, &self.theirs) {
            (Some(Ok(ours)), Some(Ok(theirs))) if ours == theirs => {
                let mut tree: Value = serde_json::from_str(ours).expect("JSON");
                tree["metadata"]["resourceVersion"] = "1".into();
                tree
            }
            _ => panic!("it is not valid: {self:#?}"),
        }
    }
}

/// A create.
pub fn create(oracle: &mut Oracle, object: &Value, row: &Resource) -> Both {
    let told = oracle.ask(&json!({"operation": "create", "object": object}));
    let ours = read(object, row).filter(|object| !object.meta.name.is_empty()).map(|mut object| {
        object.meta.uid = UID.to_owned();
        object.meta.creation_timestamp = NOW.to_owned();
        write::create(&mut object, row);
        let errors = validate::create(&object, row);
        ours(&object, &told_by_kubernetes(errors, row), row)
    });
    Both { ours, theirs: theirs(&told, row) }
}

/// An update of an object, or of a part of it.
pub fn update(oracle: &mut Oracle, new: &Value, old: &Value, row: &Resource, part: Option<&Part>) -> Both {
    let path = part.map_or("", |part| part.of[2]);
    let told = oracle.ask(&json!({"operation": "update", "text": path, "modified": new, "current": old}));
    let ours = read(new, row).zip(read(old, row)).map(|(mut new, old)| {
        let errors = match part {
            None => changed(&mut new, &old, row),
            Some(part) => {
                write::update_part(&mut new, &old, row, part);
                (row.strategy().stamp)(&mut new, &old, NOW);
                validate::update_part(&new, &old, row, part)
            }
        };
        ours(&new, &errors, row)
    });
    Both { ours, theirs: theirs(&told, row) }
}

fn changed(new: &mut Object, old: &Object, row: &Resource) -> Vec<FieldError> {
    write::update(new, old, row);
    (row.strategy().stamp)(new, old, NOW);
    validate::update(new, old, row)
}

/// An update of an object's scale.
pub fn rescale(oracle: &mut Oracle, scale: &Value, old: &Value, row: &Arc<Resource>) -> Both {
    let told = oracle.ask(&json!({"operation": "rescale", "modified": scale, "current": old}));
    let lens = Lens::of(row, "scale");
    let given = Object::from_tree(scale.clone(), &lens.shown).ok().map(|read| read.0);
    let ours = given.zip(read(old, row)).map(|(scale, old)| match lens.store(scale, Some(&old)) {
        Ok(mut new) => {
            let errors = changed(&mut new, &old, row);
            ours(&new, &errors, row)
        }
        Err(errors) => ours(&old, &errors, row),
    });
    Both { ours, theirs: theirs(&told, row) }
}

/// The name is in the path of the request. What it was generated from is looked at again for some kinds, and changed by
/// nobody.
pub fn keep_name(new: &mut Value, old: &Value) {
    for field in ["name", "generateName"] {
        match old["metadata"].get(field) {
            Some(name) => new["metadata"][field] = name.clone(),
            None => drop(new["metadata"].as_object_mut().map(|meta| meta.shift_remove(field))),
        }
    }
}

fn read(tree: &Value, row: &Resource) -> Option<Object> {
    let mut object = Object::from_tree(tree.clone(), row).ok()?.0;
    object.default(row);
    Some(object)
}

fn stored(object: &Object, row: &Resource) -> String {
    let tree = serde_json::from_slice(&object.prepare(row).body).expect("JSON");
    timeless(tree).to_string()
}

/// Texts that are a time of today or later become [`NOW`]: those of samples are of the past.
fn timeless(tree: Value) -> Value {
    match tree {
        Value::Object(map) => map.into_iter().map(|(name, value)| (name, timeless(value))).collect(),
        Value::Array(items) => items.into_iter().map(timeless).collect(),
        Value::String(text) if text.len() == NOW.len() && text.ends_with('Z') && *text > *"2026-01-02" => {
            NOW.into()
        }
        scalar => scalar,
    }
}

/// Kinds without rules of their own for metadata, or for names: Kubernetes looks at those when all else is well.
const LOOKED_AT_LAST: &[(&str, &[&str])] = &[
    ("CertificateSigningRequest", &["metadata.generateName", "metadata.name"]),
    ("Event", &["metadata."]),
    ("ReplicationController", &["metadata.generateName"]),
];

fn told_by_kubernetes(mut errors: Vec<FieldError>, row: &Resource) -> Vec<FieldError> {
    let last = LOOKED_AT_LAST.iter().find(|(kind, _)| row.kind == *kind && row.group != "events.k8s.io");
    if let Some((_, places)) = last {
        let is_last = |error: &FieldError| places.iter().any(|place| error.cause().field.starts_with(place));
        if !errors.iter().all(is_last) {
            errors.retain(|error| !is_last(error));
        }
    }
    errors
}

fn ours(object: &Object, errors: &[FieldError], row: &Resource) -> Outcome {
    if errors.is_empty() {
        return Ok(stored(object, row));
    }
    let causes = errors.iter().map(FieldError::cause);
    Err(causes.map(|cause| (cause.field, cause.reason.to_owned(), cause.message)).collect())
}

/// `None` when it could not even be read, or is refused for nothing but what is not looked at here.
fn theirs(told: &Value, row: &Resource) -> Option<Outcome> {
    if let Some(status) = told.get("status") {
        let causes = status.pointer("/details/causes").and_then(Value::as_array).into_iter().flatten();
        let text = |cause: &Value, field: &str| cause[field].as_str().unwrap_or_default().to_owned();
        let causes = causes
            .map(|cause| (text(cause, "field"), text(cause, "reason"), text(cause, "message")))
            .filter(|(field, _, message)| {
                !(field.ends_with(NOT_COMPILED.0) && message.starts_with(NOT_COMPILED.1))
            });
        let causes: BTreeSet<_> = causes.collect();
        let is_unclear = causes.iter().any(|(.., message)| message.ends_with(UNCLEAR));
        let is_told = status["reason"] == "Invalid" && !causes.is_empty() && !is_unclear;
        return is_told.then_some(Err(causes));
    }
    // Whatever Kubernetes reads back it fills in.
    let object = read(told.get("object")?, row).expect("what Kubernetes made can be read");
    Some(Ok(stored(&object, row)))
}

/// What is not looked at here: whether expressions can be compiled.
const NOT_COMPILED: (&str, &str) = (".expression", "Invalid value");

/// Of such a volume, Kubernetes drops what is not in use yet from the first of its sources only.
const UNCLEAR: &str = "may not specify more than 1 volume type";

/// What was told on both sides, and where it differed.
#[derive(Debug, Default)]
pub struct Told {
    accepted: usize,
    refused: usize,
    /// By what differs: how often, and an example.
    differences: BTreeMap<String, (usize, String)>,
}

impl Told {
    /// Notes one write.
    pub fn note(&mut self, what: &str, seed: u64, both: &Both, new: &Value, old: &Value) {
        let (Some(ours), Some(theirs)) = (&both.ours, &both.theirs) else { return };
        match theirs {
            Ok(_) => self.accepted += 1,
            Err(_) => self.refused += 1,
        }
        if let Some((differs, how)) = difference(ours, theirs) {
            let example = format!("{what} {seed}\n{how}\nnew {new}\nold {old}");
            self.differences.entry(format!("{what} {differs}")).or_insert((0, example)).0 += 1;
        }
    }

    /// Fails when something differed, or when hardly anything was accepted or refused.
    pub fn must_agree(&self) {
        let Self { accepted, refused, differences } = self;
        assert!(*accepted > 20 && *refused > accepted / 20, "{accepted} accepted, {refused} refused");
        let mut listed: Vec<_> = differences.iter().collect();
        listed.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        let summary: String = listed.iter().map(|(what, (count, _))| format!("{count} x {what}\n")).collect();
        let examples: String =
            listed.iter().take(6).map(|(_, (_, example))| format!("{example}\n\n")).collect();
        assert!(
            differences.is_empty(),
            "{accepted} accepted, {refused} refused, but:\n{summary}\n{examples}"
        );
    }
}

/// What differs, in short and in full.
fn difference(ours: &Outcome, theirs: &Outcome) -> Option<(String, String)> {
    if ours == theirs {
        return None;
    }
    if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
        let at = ours.bytes().zip(theirs.bytes()).take_while(|(a, b)| a == b).count();
        let near = |text: &str| {
            let shown = &text.as_bytes()[at.saturating_sub(60)..(at + 60).min(text.len())];
            String::from_utf8_lossy(shown).into_owned()
        };
        let how = format!("ours {ours}\ntheirs {theirs}");
        return Some((format!("stores ours ...{}... theirs ...{}...", near(ours), near(theirs)), how));
    }
    let causes = |outcome: &Outcome| outcome.as_ref().err().cloned().unwrap_or_default();
    let (mine, other) = (causes(ours), causes(theirs));
    let digits = |text: &str| text.replace(|letter: char| letter.is_ascii_digit(), "0");
    let short = |(field, reason, message): &Cause| {
        let message: String = message.chars().take(160).collect();
        digits(&format!("{field} {reason} {message}"))
    };
    let what = match (other.difference(&mine).next(), mine.difference(&other).next()) {
        (Some(missing), _) => format!("MISSING {}", short(missing)),
        (_, Some(extra)) => format!("EXTRA {}", short(extra)),
        (None, None) => "one accepts".to_owned(),
    };
    Some((what, format!("ours {mine:#?}\ntheirs {other:#?}")))
}
