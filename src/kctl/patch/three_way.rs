//! The three-way merge of `apply`: what is wanted now, what was wanted before, and what is there.
//!
//! # Guarantees
//! Applied to `current`, the patch makes every field that `modified` names have its value, removes what `original`
//! named and `modified` does not, and leaves everything else as it is. Where nothing is to change it is empty.

use api::schema::{Field, Shape, Type};
use serde_json::{Map, Value, json};

/// What is known of the place that is looked at.
#[derive(Clone, Copy)]
pub(super) struct Place<'t> {
    of: Option<&'t Type>,
    /// Whether the server knows more than merging members: only then may the patch hold directives.
    strategic: bool,
}

impl<'t> Place<'t> {
    /// The whole object. Without a type it is merged member by member, lists as one value.
    pub(super) fn of(of: Option<&'t Type>) -> Self {
        Self { of, strategic: of.is_some() }
    }

    fn field(self, name: &str) -> Option<&'t Field> {
        self.of.and_then(|of| of.field(name))
    }

    fn below(self, field: Option<&'t Field>) -> Self {
        Self { of: field.and_then(|field| structure(&field.shape)), strategic: self.strategic }
    }
}

fn structure(shape: &Shape) -> Option<&Type> {
    match shape {
        Shape::Struct(of) => Some(of),
        Shape::List(item) | Shape::Map(item) => structure(item),
        _ => None,
    }
}

/// The patch for an object.
pub(super) fn object(
    original: &Map<String, Value>,
    modified: &Map<String, Value>,
    current: &Map<String, Value>,
    place: Place<'_>,
) -> Map<String, Value> {
    let mut patch = Map::new();
    for (name, wanted) in modified {
        let there = current.get(name);
        if wanted.is_null() {
            // Whoever writes null wants it gone.
            patch.extend(there.map(|_| (name.clone(), Value::Null)));
            continue;
        }
        if there == Some(wanted) {
            continue;
        }
        let before = original.get(name);
        member(&mut patch, name, before, wanted, there, place);
    }
    for name in original.keys().filter(|name| !modified.contains_key(*name) && current.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    patch
}

fn member(
    patch: &mut Map<String, Value>,
    name: &str,
    before: Option<&Value>,
    wanted: &Value,
    there: Option<&Value>,
    place: Place<'_>,
) {
    let field = place.field(name);
    let empty = Map::new();
    match (wanted, there) {
        (Value::Object(wanted), Some(Value::Object(there)))
            if !field.is_some_and(|field| field.patch.replace) =>
        {
            let before = before.and_then(Value::as_object).unwrap_or(&empty);
            let mut inner = object(before, wanted, there, place.below(field));
            if inner.is_empty() {
                return;
            }
            if field.is_some_and(|field| field.patch.retain_keys) {
                inner.insert("$retainKeys".to_owned(), retained(wanted));
            }
            patch.insert(name.to_owned(), inner.into());
        }
        (Value::Array(wanted), Some(Value::Array(there))) => {
            let before = before.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            match field.filter(|_| place.strategic).and_then(|field| field.patch.merge_by.as_deref()) {
                Some("") => scalars(patch, name, before, wanted, there),
                Some(key) => items(patch, name, [before, wanted, there], key, field, place),
                None => drop(patch.insert(name.to_owned(), json!(wanted))),
            }
        }
        _ => drop(patch.insert(name.to_owned(), wanted.clone())),
    }
}

/// The names that stay.
fn retained(wanted: &Map<String, Value>) -> Value {
    let mut names: Vec<&String> = wanted.keys().collect();
    names.sort_unstable();
    json!(names)
}

/// A list of scalars that is a set.
fn scalars(patch: &mut Map<String, Value>, name: &str, before: &[Value], wanted: &[Value], there: &[Value]) {
    let added: Vec<&Value> = wanted.iter().filter(|item| !there.contains(item)).collect();
    let removed: Vec<&Value> =
        before.iter().filter(|item| !wanted.contains(item) && there.contains(item)).collect();
    let in_order: Vec<&Value> = there.iter().filter(|item| wanted.contains(item)).collect();
    let is_reordered = !added.is_empty() || in_order != wanted.iter().collect::<Vec<_>>();
    if !removed.is_empty() {
        patch.insert(format!("$deleteFromPrimitiveList/{name}"), json!(removed));
    }
    if !removed.is_empty() || is_reordered {
        patch.insert(format!("$setElementOrder/{name}"), json!(wanted));
    }
    if !added.is_empty() {
        patch.insert(name.to_owned(), json!(added));
    }
}

/// A list of objects that have a key.
fn items(
    patch: &mut Map<String, Value>,
    name: &str,
    [before, wanted, there]: [&[Value]; 3],
    key: &str,
    field: Option<&Field>,
    place: Place<'_>,
) {
    let find = |list: &[Value], id: &Value| list.iter().find(|item| item.get(key) == Some(id)).cloned();
    let ids = |list: &[Value]| list.iter().filter_map(|item| item.get(key)).cloned().collect::<Vec<Value>>();
    let (wanted_ids, there_ids) = (ids(wanted), ids(there));
    let mut changes = Vec::new();
    for item in wanted {
        let Some(id) = item.get(key) else {
            // Without its key the server has to say what is wrong.
            changes.push(item.clone());
            continue;
        };
        match (item, find(there, id)) {
            (Value::Object(item), Some(Value::Object(found))) => {
                let before =
                    find(before, id).and_then(|before| before.as_object().cloned()).unwrap_or_default();
                let mut change = object(&before, item, &found, place.below(field));
                if change.is_empty() {
                    continue;
                }
                if field.is_some_and(|field| field.patch.retain_keys) {
                    change.insert("$retainKeys".to_owned(), retained(item));
                }
                change.insert(key.to_owned(), id.clone());
                changes.push(change.into());
            }
            _ => changes.push(item.clone()),
        }
    }
    for id in ids(before).iter().filter(|id| !wanted_ids.contains(id) && there_ids.contains(id)) {
        changes.push(json!({"$patch": "delete", key: id}));
    }
    let in_order: Vec<&Value> = there_ids.iter().filter(|id| wanted_ids.contains(id)).collect();
    if changes.is_empty() && in_order == wanted_ids.iter().collect::<Vec<_>>() {
        return;
    }
    let order = wanted_ids.iter().map(|id| json!({key: id})).collect::<Vec<_>>();
    patch.insert(format!("$setElementOrder/{name}"), json!(order));
    if !changes.is_empty() {
        patch.insert(name.to_owned(), changes.into());
    }
}

#[cfg(test)]
mod tests {
    use api::schema::builtin;
    use proptest::prelude::*;

    use super::*;

    const POD_SPEC: &str = "io.k8s.api.core.v1.PodSpec";
    const DEPLOYMENT_SPEC: &str = "io.k8s.api.apps.v1.DeploymentSpec";

    fn members(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    fn patch_of(model: &str, [original, modified, current]: [&Value; 3]) -> Map<String, Value> {
        let of = builtin(model);
        object(&members(original), &members(modified), &members(current), Place::of(Some(&of)))
    }

    #[test]
    fn patches_of_builtin_kinds() {
        let list = |names: &[&str]| json!({"containers": names.iter().map(|name| json!({"name": name, "image": "i"})).collect::<Vec<_>>()});
        let one = json!({"containers": [{"name": "a", "image": "j"}]});
        let cases = [
            (POD_SPEC, [list(&["a"]), list(&["a"]), list(&["a"])], json!({})),
            (
                POD_SPEC,
                [list(&["a"]), one, list(&["a", "injected"])],
                json!({"$setElementOrder/containers": [{"name": "a"}], "containers": [{"image": "j", "name": "a"}]}),
            ),
            (
                POD_SPEC,
                [list(&["a", "b"]), list(&["a"]), list(&["a", "b", "c"])],
                json!({"$setElementOrder/containers": [{"name": "a"}], "containers": [{"$patch": "delete", "name": "b"}]}),
            ),
            (
                POD_SPEC,
                [json!({"nodeName": "n", "hostname": "h"}), json!({}), json!({"nodeName": "m"})],
                json!({"nodeName": null}),
            ),
            (
                POD_SPEC,
                [json!({}), json!({"nodeName": null, "hostname": null}), json!({"nodeName": "m"})],
                json!({"nodeName": null}),
            ),
            (
                POD_SPEC,
                [
                    json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
                    json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
                    json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
                ],
                json!({"$setElementOrder/volumes": [{"name": "v"}], "volumes": [{"hostPath": {"path": "/"}, "emptyDir": null, "$retainKeys": ["hostPath", "name"], "name": "v"}]}),
            ),
            (
                DEPLOYMENT_SPEC,
                [
                    json!({}),
                    json!({"strategy": {"type": "Recreate"}}),
                    json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}),
                ],
                json!({"strategy": {"type": "Recreate", "$retainKeys": ["type"]}}),
            ),
        ];
        for (model, [original, modified, current], expected) in cases {
            assert_eq!(Value::from(patch_of(model, [&original, &modified, &current])), expected);
        }
    }

    #[test]
    fn patches_of_custom_kinds_replace_lists() {
        let (original, modified, current) = (
            json!({"a": 1, "b": {"c": 1}}),
            json!({"b": {"d": [1]}}),
            json!({"a": 1, "b": {"c": 1, "d": [2], "e": 3}}),
        );
        let patch = object(&members(&original), &members(&modified), &members(&current), Place::of(None));
        assert_eq!(Value::from(patch), json!({"b": {"d": [1], "c": null}, "a": null}));
    }

    /// Pod specs with few names, so that they meet.
    fn spec() -> impl Strategy<Value = Value> {
        let name = || prop::sample::select(vec!["a", "b", "c"]);
        let container = (name(), prop::option::of(name()), prop::collection::btree_map(name(), name(), 0..3));
        let container = container.prop_map(|(name, image, env)| {
            let env: Vec<Value> =
                env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
            json!({"name": name, "image": image, "env": env})
        });
        let distinct = |items: Vec<Value>| {
            let mut kept: Vec<Value> = Vec::new();
            for item in items {
                if !kept.iter().any(|other| other["name"] == item["name"]) {
                    kept.push(item);
                }
            }
            kept
        };
        let selector = prop::collection::btree_map(name(), name(), 0..3);
        (prop::collection::vec(container, 0..4), selector, prop::option::of(name())).prop_map(
            move |(containers, selector, node)| {
                let mut spec =
                    json!({"containers": distinct(containers), "nodeSelector": selector, "nodeName": node});
                drop_nulls(&mut spec);
                spec
            },
        )
    }

    fn drop_nulls(value: &mut Value) {
        if let Value::Object(members) = value {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(drop_nulls);
        } else if let Value::Array(items) = value {
            items.iter_mut().for_each(drop_nulls);
        }
    }

    /// Whether `have` holds all that `wanted` says; lists of named things by their names.
    fn holds(have: &Value, wanted: &Value) -> bool {
        match (have, wanted) {
            (Value::Object(have), Value::Object(wanted)) => {
                wanted.iter().all(|(name, wanted)| have.get(name).is_some_and(|have| holds(have, wanted)))
            }
            (Value::Array(have), Value::Array(wanted)) => {
                wanted.iter().all(|wanted| have.iter().any(|have| holds(have, wanted)))
            }
            (have, wanted) => have == wanted,
        }
    }

    proptest! {
        #[test]
        fn applied_it_leads_to_what_is_wanted(original in spec(), modified in spec(), current in spec()) {
            let of = builtin(POD_SPEC);
            let patch = patch_of(POD_SPEC, [&original, &modified, &current]);
            let mut result = members(&current);
            api::patch::strategic(&mut result, patch, &of).expect("it is a patch");
            let result = Value::from(result);
            prop_assert!(holds(&result, &modified), "{result}");
            let again = patch_of(POD_SPEC, [&modified, &modified, &result]);
            prop_assert!(again.is_empty(), "{result} still wants {again:?}");
            let names = |value: &Value| value["containers"].as_array().into_iter().flatten().map(|item| item["name"].clone()).collect::<Vec<_>>();
            for name in names(&original).iter().filter(|name| !names(&modified).contains(name)) {
                prop_assert!(!names(&result).contains(name), "{result}");
            }
            for name in names(&current).iter().filter(|name| !names(&original).contains(name)) {
                prop_assert!(names(&result).contains(name), "{result}");
            }
        }
    }
}
