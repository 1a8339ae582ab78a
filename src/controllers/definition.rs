//! CustomResourceDefinitions: names that become free are given to those that wait for them, and the objects of one
//! that is going go before it.

use api::custom::naming;
use api::kinds::custom_resource_definition::{CLEANUP_FINALIZER, RESOURCE};
use api::{Key, Object, Resource, time};
use projection::definitions::DEFINITIONS;
use projection::intent::Intent;
use projection::{Controller, LastOutcomes, Plan, Wakes, World};
use serde_json::json;
use state::{Change, Guard};

use crate::shared::stored;

/// Objects deleted by one plan at most.
const BATCH: usize = 500;

/// The row.
pub const DEFINITION: Controller = Controller {
    name: "custom-resource-definition",
    actor: "system:apiserver",
    component: "customresourcedefinition-controller",
    wakes,
    keys: |world, wakes| stored::keys(world, DEFINITIONS, wakes),
    plan,
};

fn wakes(world: &World, change: &Change, wakes: &mut Wakes) {
    let key = &change.object.key;
    if key.collection() == DEFINITIONS {
        // Any other may wait for a name of this one.
        return stored::keys(world, DEFINITIONS, wakes);
    }
    let rows = world.definitions.stored().filter(|_| change.deleted);
    for row in rows.filter(|row| row.prefix("") == key.collection()) {
        let definition = row.custom.as_ref().map(|custom| RESOURCE.key("", &custom.definition));
        definition.iter().for_each(|key| wakes.add(key));
    }
}

fn read(found: &state::Object) -> Option<Object> {
    Object::read(&found.bytes.to_bytes(), &RESOURCE).ok()
}

fn plan(world: &World, key: &Key, _: &LastOutcomes, now_ms: u64) -> Plan {
    let mut plan = Plan::default();
    let Some(found) = world.state.get(key.as_str()) else { return plan };
    let Some(definition) = read(found) else { return plan };
    if !found.meta.deleting {
        plan.intents.extend(settle(world, found, definition, now_ms));
    } else if definition.meta.finalizers.iter().any(|name| name == CLEANUP_FINALIZER) {
        let mut rows = world.definitions.stored();
        let row = rows.find(|row| row.custom.as_ref().is_some_and(|custom| custom.definition == key.name()));
        if !row.is_some_and(|row| empty(world, row, &mut plan)) {
            plan.intents.push(finish(found, definition, row.is_some(), now_ms));
        }
    }
    plan
}

/// Gives a definition the names that it waits for, if they are free by now.
fn settle(world: &World, found: &state::Object, definition: Object, now_ms: u64) -> Option<Intent> {
    let others: Vec<Object> = world.state.range(DEFINITIONS).filter_map(|other| read(other)).collect();
    let mut settled = definition.clone();
    naming::settle(&mut settled, &others, &time::rfc3339(now_ms));
    if settled == definition {
        return None;
    }
    let mut intent = Intent::patch(found, "status", json!({"status": settled.fields.get("status")}));
    intent.guards.push(Guard::Unwritten { prefix: DEFINITIONS.to_owned(), since: world.state.revision() });
    Some(intent)
}

/// Deletes the objects of a definition; tells whether there are any.
fn empty(world: &World, row: &Resource, plan: &mut Plan) -> bool {
    let prefix = row.prefix("");
    let staying = world.state.range(&prefix).filter(|object| !object.meta.deleting);
    plan.intents.extend(staying.take(BATCH).map(|object| Intent::delete(object)));
    world.state.count(&prefix) > 0
}

/// Nothing is left of a definition: it goes, unless finalizers of others keep it; then it says so first.
fn finish(found: &state::Object, definition: Object, was_established: bool, now_ms: u64) -> Intent {
    let is_kept = definition.meta.finalizers.len() > 1;
    let (reason, message) = if was_established {
        ("InstanceDeletionCompleted", "removed all instances")
    } else {
        ("NeverEstablished", "resource was never established")
    };
    let mut told = definition.clone();
    naming::set_condition(&mut told, "Terminating", false, reason, message, &time::rfc3339(now_ms));
    if is_kept && told != definition {
        return Intent::patch(found, "status", json!({"status": told.fields.get("status")}));
    }
    stored::without_finalizer(found, CLEANUP_FINALIZER)
}

#[cfg(test)]
mod tests {
    use projection::testing::{put, shown, world};
    use serde_json::Value;

    use super::*;
    use crate::testing::{change, nobody, settle, woken};

    fn definition(name: &str, kind: &str) -> Value {
        let names =
            json!({"plural": name, "singular": "thing", "kind": kind, "listKind": format!("{kind}List")});
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{name}.example.com"), "finalizers": [CLEANUP_FINALIZER]},
            "spec": {"group": "example.com", "scope": "Namespaced", "names": names,
                "versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
        })
    }

    fn key(name: &str) -> Key {
        RESOURCE.key("", &format!("{name}.example.com"))
    }

    fn is_accepted(world: &World, name: &str) -> bool {
        let found = world.state.get(key(name).as_str()).and_then(|found| read(found));
        found.is_some_and(|definition| naming::is_true(&definition, "NamesAccepted"))
    }

    fn mark(world: &mut World, name: &str) {
        change(world, &key(name), |one| one["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into());
    }

    #[test]
    fn a_name_that_becomes_free_is_given_to_who_waits_for_it() {
        let mut world = world([definition("things", "Thing")]);
        settle(&mut world, &[DEFINITION], nobody);
        assert!(is_accepted(&world, "things"));
        assert_eq!(woken(&DEFINITION, &mut world, definition("others", "Thing")).len(), 2, "all of them");
        settle(&mut world, &[DEFINITION], nobody);
        assert!(!is_accepted(&world, "others"));
        mark(&mut world, "things");
        settle(&mut world, &[DEFINITION], nobody);
        assert!(world.state.get(key("things").as_str()).is_none());
        assert!(is_accepted(&world, "others"));
    }

    #[test]
    fn one_that_others_keep_says_that_its_objects_are_gone() {
        let mut held = definition("things", "Thing");
        held["metadata"]["finalizers"] = json!([CLEANUP_FINALIZER, "example.com/mine"]);
        let mut world = world([held]);
        settle(&mut world, &[DEFINITION], nobody);
        mark(&mut world, "things");
        let told = shown(&plan(&world, &key("things"), &LastOutcomes::default(), 0));
        assert!(told.contains("InstanceDeletionCompleted"), "{told}");
        settle(&mut world, &[DEFINITION], nobody);
        let found = world.state.get(key("things").as_str()).expect("another finalizer keeps it");
        assert_eq!(stored::list(found, &["metadata", "finalizers"]), [json!("example.com/mine")]);
        put(&mut world, definition("things", "Thing"));
    }
}
