//! `RuntimeClass`: what a pod's runtime needs beside its containers, and the nodes that have it.

use std::sync::{Arc, LazyLock};

use api::object::member;
use api::{Object, Resource, Status, same};
use serde_json::{Map, Value};

use super::{Attempt, Operation};

static CLASSES: LazyLock<Arc<Resource>> =
    LazyLock::new(|| Resource::builtin("node.k8s.io", "v1", "runtimeclasses"));

const OTHER_OVERHEAD: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
const NO_OVERHEAD: &str =
    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";

fn class(attempt: &Attempt<'_>, pod: &Object) -> Result<Option<Object>, Status> {
    let Some(name) = pod.spec().and_then(|spec| spec.get("runtimeClassName")).and_then(Value::as_str) else {
        return Ok(None);
    };
    let why = || attempt.forbidden(&format!("pod rejected: RuntimeClass {name:?} not found"));
    attempt.read(&CLASSES, name).map(Some).ok_or_else(why)
}

fn concerns(attempt: &Attempt<'_>) -> bool {
    attempt.operation == Operation::Create && attempt.is_whole("", "Pod")
}

fn overhead(class: Option<&Object>) -> Option<&Value> {
    class.and_then(|class| class.fields.get("overhead")).and_then(|overhead| overhead.get("podFixed"))
}

fn is_same(one: Option<&Value>, other: Option<&Value>) -> bool {
    same::field_of("node.v1.Overhead", "podFixed", one, other)
}

/// Fills in what the class says.
pub(super) fn fill(attempt: &Attempt<'_>, pod: &mut Object) -> Result<(), Status> {
    if !concerns(attempt) {
        return Ok(());
    }
    let Some(class) = class(attempt, pod)? else { return Ok(()) };
    let spec = member(&mut pod.fields, "spec");
    if let Some(wanted) = overhead(Some(&class)) {
        let given = spec.get("overhead").filter(|given| given.as_object().is_some_and(|map| !map.is_empty()));
        if given.is_some_and(|given| !is_same(Some(given), Some(wanted))) {
            return Err(attempt.forbidden(OTHER_OVERHEAD));
        }
        spec.insert("overhead".to_owned(), wanted.clone());
    }
    if let Some(scheduling) = class.fields.get("scheduling") {
        select(attempt, spec, scheduling)?;
        let own = spec.get("tolerations").and_then(Value::as_array).cloned().unwrap_or_default();
        let more = scheduling.get("tolerations").and_then(Value::as_array).cloned().unwrap_or_default();
        let merged = merged([own, more].concat());
        if !merged.is_empty() {
            spec.insert("tolerations".to_owned(), merged.into());
        }
    }
    Ok(())
}

/// The pod runs on nodes that both name.
fn select(attempt: &Attempt<'_>, spec: &mut Map<String, Value>, scheduling: &Value) -> Result<(), Status> {
    let Some(wanted) = scheduling.get("nodeSelector").and_then(Value::as_object) else { return Ok(()) };
    let selector = member(spec, "nodeSelector");
    for (key, value) in wanted {
        if let Some(given) = selector.get(key).filter(|given| *given != value) {
            let [value, given] = [value, given].map(|text| text.as_str().unwrap_or_default());
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {given}"
            );
            return Err(attempt.forbidden(&why));
        }
        selector.insert(key.clone(), value.clone());
    }
    Ok(())
}

/// Tolerations without those that another one covers; of equal ones the first stays.
fn merged(all: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for (at, one) in all.iter().enumerate() {
        let is_redundant = kept.iter().any(|other| covers(other, one))
            || all[at + 1..].iter().any(|other| other != one && covers(other, one));
        if !is_redundant {
            kept.push(one.clone());
        }
    }
    kept
}

/// Whether whatever `one` tolerates, `wide` tolerates too.
fn covers(wide: &Value, one: &Value) -> bool {
    let text = |of: &Value, field: &str| of[field].as_str().unwrap_or_default().to_owned();
    let [key, operator, effect] = ["key", "operator", "effect"].map(|field| text(wide, field));
    let seconds = |of: &Value| of["tolerationSeconds"].as_i64();
    let lasts = || seconds(wide).is_none_or(|most| seconds(one).is_some_and(|seconds| seconds <= most));
    let fits = (key == text(one, "key") || key.is_empty() && operator == "Exists")
        && (effect.is_empty() || effect == text(one, "effect"))
        && (effect != "NoExecute" || lasts());
    let means = match operator.as_str() {
        "" | "Equal" => text(one, "operator") == "Equal" && text(wide, "value") == text(one, "value"),
        "Exists" => true,
        _ => false,
    };
    wide == one || fits && means
}

/// A pod needs what its class says that it needs, and nothing without a class.
pub(super) fn check(attempt: &Attempt<'_>, pod: Option<&Object>) -> Result<(), Status> {
    let Some(pod) = pod.filter(|_| concerns(attempt)) else { return Ok(()) };
    let class = class(attempt, pod)?;
    let given = pod.spec().and_then(|spec| spec.get("overhead"));
    match overhead(class.as_ref()) {
        None if given.is_some() => Err(attempt.forbidden(NO_OVERHEAD)),
        Some(wanted) if !is_same(Some(wanted), given) => Err(attempt.forbidden(OTHER_OVERHEAD)),
        _ => Ok(()),
    }
}
