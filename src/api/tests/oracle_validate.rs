//! Valid objects with small changes, created and updated by Kubernetes' own registries and here: both accept and store
//! the same, or both refuse for the same causes.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use api::codec::Format;
use api::{Object, RESOURCES, Resource, Status, validate, write};
use common::Dice;
use common::mutate::mutated;
use common::oracle::{Oracle, stored};
use serde_json::{Value, json};

/// How often each sample is changed for each operation.
const ROUNDS: u64 = 150;

const UID: &str = "00000000-0000-4000-8000-000000000000";
const CREATED: &str = "2026-01-01T00:00:00Z";

/// What Kubernetes says differently: ends of fields, beginnings and ends of messages, between which they differ.
const LIMITS: &[(&str, &str, &str)] = &[
    // The difference of the two specs is drawn in lines of Go values; a client has both objects and can do better.
    ("spec", "Forbidden: pod updates may not change fields other than", ""),
    // Claims and templates for pods as Kubernetes holds it internally; here it is shown as the client sent it.
    ("spec.ephemeralContainers", "Forbidden: existing ephemeral containers", ""),
    ("spec.volumeClaimTemplates", "Invalid value: ", "field is immutable"),
    ("spec.template", "Invalid value: {", "field is immutable"),
    ("spec.template.spec", "Invalid value: {", "field is immutable"),
];

/// What became of an object: its stored form, or the causes of its refusal.
#[derive(Debug, PartialEq)]
enum Outcome {
    Stored(String),
    Refused(BTreeSet<(String, String, String)>),
}

#[test]
fn configuration_is_accepted_and_refused_as_by_kubernetes() {
    check("configuration");
}

#[test]
fn jobs_are_accepted_and_refused_as_by_kubernetes() {
    check("jobs");
}

#[test]
fn pods_are_accepted_and_refused_as_by_kubernetes() {
    check("pods");
}

#[test]
fn workloads_are_accepted_and_refused_as_by_kubernetes() {
    check("workloads");
}

#[test]
fn parts_are_accepted_and_refused_as_by_kubernetes() {
    let Some(mut oracle) = Oracle::start() else { return };
    let cases = samples("parts");
    let mut told = Told::default();
    for (at, case) in cases.iter().enumerate() {
        let (file, name) =
            case["sample"].as_str().and_then(|text| text.split_once(' ')).expect("a file and a name");
        let samples = samples(file);
        let sample = samples.iter().find(|sample| sample["metadata"]["name"] == name).expect("a sample");
        let row = row(sample);
        let part = api::parts::find(&row, case["part"].as_str().expect("a part")).expect("served");
        let mut old = as_stored(sample, &row);
        api::patch::merge(&mut old, &case["old"]);
        let mut wanted = old.clone();
        api::patch::merge(&mut wanted, &case["new"]);
        for seed in 0..=rounds() {
            let dice = &mut Dice::new(seed.wrapping_mul(31).wrapping_add(at as u64));
            let mut new =
                if seed == 0 { wanted.clone() } else { as_requested(mutated(&wanted, &cases, dice), &old) };
            for field in ["name", "resourceVersion"] {
                new["metadata"][field] = old["metadata"][field].clone();
            }
            let answer = oracle.ask(&json!({
                "operation": "part", "text": part.of[2], "current": old, "modified": new,
            }));
            let mine = read(&new, &row).zip(read(&old, &row)).map(|(mut new, old)| {
                write::update_part(&mut new, &old, &row, part);
                let errors = validate::update_part(&new, &old, &row, part);
                (new, errors)
            });
            told.compare(
                &format!("{} {}", row.kind, part.of[2]),
                seed,
                ours(mine, &row),
                theirs(&answer, &row),
                &new,
            );
        }
    }
    told.must_agree();
}

/// `KEELSON_ORACLE_ROUNDS` asks for more than usual.
fn rounds() -> u64 {
    std::env::var("KEELSON_ORACLE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

/// The samples of a file.
fn samples(file: &str) -> Vec<Value> {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
    let path = Path::new(&package).join(format!("tests/samples/{file}.json"));
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A sample as it is once it is created.
fn as_stored(sample: &Value, row: &Resource) -> Value {
    let text = match ours(created(sample, row), row) {
        Some(Outcome::Stored(text)) => text,
        other => panic!("{sample} is not valid: {other:?}"),
    };
    let mut stored: Value = serde_json::from_str(&text).expect("JSON");
    stored["metadata"]["resourceVersion"] = "1".into();
    stored
}

/// What was told on both sides, and where it differed.
#[derive(Default)]
struct Told {
    accepted: usize,
    refused: usize,
    /// By what differs: how often, and an example.
    differences: BTreeMap<String, (usize, String)>,
}

impl Told {
    fn compare(&mut self, what: &str, seed: u64, mine: Option<Outcome>, theirs: Option<Outcome>, of: &Value) {
        let (Some(mine), Some(theirs)) = (mine, theirs) else { return };
        match &theirs {
            Outcome::Stored(_) => self.accepted += 1,
            Outcome::Refused(_) => self.refused += 1,
        }
        if let Some((differs, how)) = difference(&mine, &theirs) {
            let example = format!("{what} {seed}\n{how}\nof {of}");
            self.differences.entry(format!("{what} {differs}")).or_insert((0, example)).0 += 1;
        }
    }

    fn must_agree(&self) {
        let Self { accepted, refused, differences } = self;
        assert!(*accepted > 0 && *refused > accepted / 20, "{accepted} accepted, {refused} refused");
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

/// Checks each sample of a file.
fn check(file: &str) {
    let Some(mut oracle) = Oracle::start() else { return };
    let samples = samples(file);
    let mut told = Told::default();
    for (at, sample) in samples.iter().enumerate() {
        let row = row(sample);
        let old = as_stored(sample, &row);
        let (create, update) = (format!("{} create", row.kind), format!("{} update", row.kind));
        for seed in 0..=rounds() {
            let dice = &mut Dice::new(seed.wrapping_mul(31).wrapping_add(at as u64));
            let new = match seed {
                0 => sample.clone(),
                _ => as_requested(mutated(sample, &samples, dice), sample),
            };
            let answer = oracle.ask(&json!({"operation": "create", "object": new}));
            told.compare(&create, seed, ours(created(&new, &row), &row), theirs(&answer, &row), &new);
            let mut new = as_requested(mutated(&old, &samples, dice), &old);
            for field in ["name", "resourceVersion"] {
                new["metadata"][field] = old["metadata"][field].clone();
            }
            let answer = oracle.ask(&json!({"operation": "update", "current": old, "modified": new}));
            told.compare(&update, seed, ours(updated(&new, &old, &row), &row), theirs(&answer, &row), &new);
        }
    }
    told.must_agree();
}

/// The path of the request says in which namespace the object is.
fn as_requested(mut object: Value, given: &Value) -> Value {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"]["namespace"] = given["metadata"]["namespace"].clone();
    object
}

fn row(object: &Value) -> std::sync::Arc<Resource> {
    let is_it = |row: &&std::sync::Arc<Resource>| {
        row.kind == object["kind"] && row.api_version() == object["apiVersion"]
    };
    RESOURCES.iter().find(is_it).cloned().unwrap_or_else(|| panic!("no resource for {}", object["kind"]))
}

fn read(object: &Value, row: &Resource) -> Option<Object> {
    let mut object = Object::from_tree(object.clone(), row).ok()?.0;
    object.default(row);
    Some(object)
}

fn created(object: &Value, row: &Resource) -> Option<(Object, Vec<api::FieldError>)> {
    let mut object = read(object, row)?;
    if object.meta.name.is_empty() {
        return None;
    }
    object.meta.uid = UID.to_owned();
    object.meta.creation_timestamp = CREATED.to_owned();
    write::create(&mut object, row);
    let errors = validate::create(&object, row);
    Some((object, errors))
}

fn updated(new: &Value, old: &Value, row: &Resource) -> Option<(Object, Vec<api::FieldError>)> {
    let (mut new, old) = (read(new, row)?, read(old, row)?);
    write::update(&mut new, &old, row);
    let errors = validate::update(&new, &old, row);
    Some((new, errors))
}

fn ours(result: Option<(Object, Vec<api::FieldError>)>, row: &Resource) -> Option<Outcome> {
    let (mut object, errors) = result?;
    if errors.is_empty() {
        object.meta.creation_timestamp = CREATED.to_owned();
        let text = String::from_utf8(object.prepare(row).body).expect("JSON is text");
        return Some(Outcome::Stored(without_times(&text)));
    }
    let status = Status::invalid(row.group_kind(), &object.meta.name, &errors);
    let status = serde_json::from_slice(&status.to_json()).expect("JSON");
    Some(Outcome::Refused(causes(&status)))
}

/// `None` when it could not even be read.
fn theirs(told: &Value, row: &Resource) -> Option<Outcome> {
    if let Some(status) = told.get("status") {
        return (status["reason"] == "Invalid").then(|| Outcome::Refused(causes(status)));
    }
    let object = told.get("object")?;
    let text =
        stored(object.to_string().as_bytes(), Format::Json, row).expect("what Kubernetes made can be read");
    Some(Outcome::Stored(without_times(&text)))
}

/// Times of now have nothing to do with the object.
fn without_times(text: &str) -> String {
    let mut tree: Value = serde_json::from_str(text).expect("JSON");
    let conditions = tree.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten().filter_map(Value::as_object_mut) {
        condition.shift_remove("lastTransitionTime");
    }
    tree.to_string()
}

fn causes(status: &Value) -> BTreeSet<(String, String, String)> {
    let text = |cause: &Value, field: &str| cause[field].as_str().unwrap_or_default().to_owned();
    let causes = status.pointer("/details/causes").and_then(Value::as_array).into_iter().flatten();
    let told = causes.map(|cause| (text(cause, "field"), text(cause, "reason"), text(cause, "message")));
    told.map(|(field, reason, message)| {
        let is_limit = |(of, start, end): &&(&str, &str, &str)| {
            field == *of && message.starts_with(start) && message.ends_with(end)
        };
        let limit = LIMITS.iter().find(is_limit).map(|(_, start, end)| format!("{start}...{end}"));
        (field, reason, limit.unwrap_or(message))
    })
    .collect()
}

/// What differs, in short and in full.
fn difference(ours: &Outcome, theirs: &Outcome) -> Option<(String, String)> {
    if ours == theirs {
        return None;
    }
    let causes = |outcome: &Outcome| match outcome {
        Outcome::Refused(causes) => causes.clone(),
        Outcome::Stored(_) => BTreeSet::new(),
    };
    if let (Outcome::Stored(ours), Outcome::Stored(theirs)) = (ours, theirs) {
        let at = ours.bytes().zip(theirs.bytes()).take_while(|(a, b)| a == b).count();
        let near = |text: &str| {
            let shown = &text.as_bytes()[at.saturating_sub(60)..(at + 60).min(text.len())];
            String::from_utf8_lossy(shown).into_owned()
        };
        let how = format!("ours {ours}\ntheirs {theirs}");
        return Some((format!("stores ours ...{}... theirs ...{}...", near(ours), near(theirs)), how));
    }
    let (mine, other) = (causes(ours), causes(theirs));
    let digits = |text: &str| text.replace(|letter: char| letter.is_ascii_digit(), "0");
    let short = |(field, reason, message): &(String, String, String)| {
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
