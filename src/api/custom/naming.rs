//! Which names a definition gets, and whether that makes it one that is served.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{items, text, texts};
use crate::object::Object;

/// Whether a condition of a definition is true.
pub fn is_true(definition: &Object, kind: &str) -> bool {
    let conditions = items(definition.fields.get("status"), "conditions");
    conditions.iter().any(|one| text(one, "type") == kind && text(one, "status") == "True")
}

/// Sets a condition of a definition, as of `now`. The time changes only with the status.
pub fn set_condition(definition: &mut Object, kind: &str, is: bool, reason: &str, message: &str, now: &str) {
    let status = definition.fields.entry("status").or_insert_with(|| json!({}));
    let Some(status) = status.as_object_mut() else { return };
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    let Some(conditions) = conditions.as_array_mut() else { return };
    let word = if is { "True" } else { "False" };
    let mut condition = json!({
        "type": kind, "status": word, "lastTransitionTime": now, "reason": reason, "message": message,
    });
    match conditions.iter_mut().find(|one| text(one, "type") == kind) {
        Some(known) => {
            if text(known, "status") == word && !text(known, "lastTransitionTime").is_empty() {
                condition["lastTransitionTime"] = known["lastTransitionTime"].clone();
            }
            *known = condition;
        }
        None => conditions.push(condition),
    }
}

/// Gives a definition the names that no other of its group has, and says in its conditions what came of it.
pub fn settle(definition: &mut Object, others: &[Object], now: &str) {
    let wanted = names(definition, "spec", "names");
    let held = names(definition, "status", "acceptedNames");
    let group = |one: &Object| text(one.fields.get("spec").unwrap_or(&Value::Null), "group").to_owned();
    let own = group(definition);
    let is_other = |one: &&Object| one.meta.name != definition.meta.name && group(one) == own;
    let taken: Vec<Value> =
        others.iter().filter(is_other).map(|one| names(one, "status", "acceptedNames")).collect();
    let (accepted, conflict) = accept(&wanted, &held, &taken);
    let was_established = is_true(definition, "Established");
    if let Some(status) = definition.fields.entry("status").or_insert_with(|| json!({})).as_object_mut() {
        status.insert("acceptedNames".into(), accepted);
    }
    match conflict {
        None => set_condition(definition, "NamesAccepted", true, "NoConflicts", "no conflicts found", now),
        Some((reason, message)) => {
            set_condition(definition, "NamesAccepted", false, reason, &message, now);
            if !was_established {
                let why = "not all names are accepted";
                return set_condition(definition, "Established", false, "NotAccepted", why, now);
            }
        }
    }
    if !was_established {
        let why = "the initial names have been accepted";
        set_condition(definition, "Established", true, "InitialNamesAccepted", why, now);
    }
}

fn names(definition: &Object, field: &str, member: &str) -> Value {
    definition.fields.get(field).and_then(|field| field.get(member)).cloned().unwrap_or_else(|| json!({}))
}

/// The names that a definition holds from now on, and what the last of them conflicts with.
fn accept(wanted: &Value, held: &Value, taken: &[Value]) -> (Value, Option<(&'static str, String)>) {
    let of = |members: [&str; 2]| -> BTreeSet<String> {
        taken.iter().flat_map(|names| members.map(|member| text(names, member).to_owned())).collect()
    };
    let mut resources = of(["plural", "singular"]);
    resources.extend(taken.iter().flat_map(|names| texts(names, "shortNames")));
    let kinds = of(["kind", "listKind"]);
    let in_use = |name: &str| format!("{} is already in use", crate::field_error::quoted(name));
    let mut accepted = held.as_object().cloned().unwrap_or_else(Map::new);
    let mut conflict = None;
    let rows = [
        ("plural", &resources, "PluralConflict"),
        ("singular", &resources, "SingularConflict"),
        ("shortNames", &resources, "ShortNamesConflict"),
        ("kind", &kinds, "KindConflict"),
        ("listKind", &kinds, "ListKindConflict"),
    ];
    for (member, used, reason) in rows {
        let why = if member == "shortNames" {
            let own = texts(held, member);
            let clashes =
                texts(wanted, member).into_iter().filter(|name| !own.contains(name) && used.contains(name));
            aggregate(clashes.map(|name| in_use(&name)).collect())
        } else {
            let name = text(wanted, member);
            (name != text(held, member) && used.contains(name)).then(|| in_use(name))
        };
        match (why, wanted.get(member)) {
            (Some(why), _) => conflict = Some((reason, why)),
            (None, Some(value)) => drop(accepted.insert(member.into(), value.clone())),
            (None, None) => drop(accepted.shift_remove(member)),
        }
    }
    match wanted.get("categories") {
        Some(value) => accepted.insert("categories".into(), value.clone()),
        None => accepted.shift_remove("categories"),
    };
    (accepted.into(), conflict)
}

/// Several texts as one.
fn aggregate(mut texts: Vec<String>) -> Option<String> {
    texts.dedup();
    match texts.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}
