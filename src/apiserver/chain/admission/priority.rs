//! `Priority`: a pod gets the number of the PriorityClass that it names, or of the one for pods that name none.

use std::sync::{Arc, LazyLock};

use api::object::member;
use api::{Object, Resource, Status};
use serde_json::{Value, json};
use state::State;

use super::{Attempt, Operation};

static CLASSES: LazyLock<Arc<Resource>> =
    LazyLock::new(|| Resource::builtin("scheduling.k8s.io", "v1", "priorityclasses"));

const PREEMPTS: &str = "PreemptLowerPriority";

/// Fills in what the class says; of a pod that is there, it stays.
pub(super) fn fill(attempt: &Attempt<'_>, pod: &mut Object) -> Result<(), Status> {
    if !attempt.is_whole("", "Pod") {
        return Ok(());
    }
    let spec = member(&mut pod.fields, "spec");
    if let Some(old) = attempt.old {
        for field in ["priority", "preemptionPolicy"] {
            if let Some(kept) =
                old.spec().and_then(|old| old.get(field)).filter(|_| !spec.contains_key(field))
            {
                spec.insert(field.to_owned(), kept.clone());
            }
        }
        return Ok(());
    }
    let named = spec.get("priorityClassName").and_then(Value::as_str).unwrap_or_default();
    let class = if named.is_empty() {
        default_class(attempt.state)
    } else {
        let found = attempt.read(&CLASSES, named);
        let why = || attempt.forbidden(&format!("no PriorityClass with name {named} was found"));
        Some(found.ok_or_else(why)?)
    };
    let of_class = |field: &str| class.as_ref().and_then(|class| class.fields.get(field)).cloned();
    let priority = of_class("value").unwrap_or_else(|| json!(0));
    let policy = if class.is_some() { of_class("preemptionPolicy") } else { Some(PREEMPTS.into()) };
    let differs = |field: &str, wanted: &Value| spec.get(field).filter(|given| *given != wanted).cloned();
    if let Some(given) = differs("priority", &priority) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
        );
        return Err(attempt.forbidden(&why));
    }
    if let Some(wanted) = &policy
        && let Some(given) = differs("preemptionPolicy", wanted)
    {
        let [given, wanted] = [&given, wanted].map(|policy| policy.as_str().unwrap_or_default());
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {wanted} from the given PriorityClass name"
        );
        return Err(attempt.forbidden(&why));
    }
    spec.insert("priority".to_owned(), priority);
    policy.and_then(|policy| spec.insert("preemptionPolicy".to_owned(), policy));
    if let Some(class) = class {
        spec.insert("priorityClassName".to_owned(), class.meta.name.into());
    }
    Ok(())
}

/// The class for pods that name none; the lowest, should there be several.
fn default_class(state: &State) -> Option<Object> {
    let prefix = CLASSES.prefix("");
    let is_marked = |class: &&Arc<state::Object>| class.view().get("globalDefault").is_true();
    let marked = state.range(&prefix).filter(is_marked);
    let classes = marked.filter_map(|class| Object::read(&class.bytes.to_bytes(), &CLASSES).ok());
    classes.min_by_key(|class| class.fields.get("value").and_then(Value::as_i64))
}

fn is_default(class: &Object) -> bool {
    class.fields.get("globalDefault") == Some(&true.into())
}

/// Only one class is for pods that name none.
pub(super) fn check(attempt: &Attempt<'_>, class: Option<&Object>) -> Result<(), Status> {
    if !attempt.is_whole("scheduling.k8s.io", "PriorityClass") || !class.is_some_and(is_default) {
        return Ok(());
    }
    match default_class(attempt.state).map(|other| other.meta.name) {
        Some(other) if attempt.operation == Operation::Create || other != attempt.name => {
            let why =
                format!("PriorityClass {other} is already marked as default. Only one default can exist");
            Err(attempt.forbidden(&why))
        }
        _ => Ok(()),
    }
}
