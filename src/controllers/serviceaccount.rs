//! Every namespace has a ServiceAccount `default`.

use std::sync::{Arc, LazyLock};

use api::{Key, Resource};
use projection::intent::Intent;
use projection::{Controller, LastOutcomes, Plan, Wakes, World};
use serde_json::json;
use state::Change;

use crate::shared::stored;

const NAMESPACES: &str = "core/namespaces/";
const ACCOUNTS: &str = "core/serviceaccounts/";

static ROW: LazyLock<Arc<Resource>> = LazyLock::new(|| Resource::builtin("", "v1", "serviceaccounts"));

/// The row.
pub const SERVICE_ACCOUNT: Controller = Controller {
    name: "serviceaccount",
    actor: "system:serviceaccount:kube-system:service-account-controller",
    component: "serviceaccount-controller",
    wakes,
    keys: |world, wakes| stored::keys(world, NAMESPACES, wakes),
    plan,
};

fn wakes(_: &World, change: &Change, wakes: &mut Wakes) {
    let key = &change.object.key;
    match key.collection() {
        NAMESPACES => wakes.add(key),
        ACCOUNTS if change.deleted && key.name() == "default" => {
            wakes.add(&Key::object("", "namespaces", "", key.namespace()));
        }
        _ => {}
    }
}

fn plan(world: &World, key: &Key, _: &LastOutcomes, _: u64) -> Plan {
    let mut plan = Plan::default();
    let account = Key::object("", "serviceaccounts", key.name(), "default");
    if !stored::is_closed(world, key.name()) && world.state.get(account.as_str()).is_none() {
        let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        plan.intents.push(Intent::create(&ROW, key.name(), object));
    }
    plan
}

#[cfg(test)]
mod tests {
    use projection::testing::{plan, shown, world};

    use super::*;
    use crate::testing::{namespace, nobody, settle, woken, woken_by_removal};

    #[test]
    fn every_namespace_has_one_and_gets_it_back() {
        let mut world = world([namespace("default"), namespace("other")]);
        assert_eq!(woken(&SERVICE_ACCOUNT, &mut world, namespace("third")), ["core/namespaces/third"]);
        settle(&mut world, &[SERVICE_ACCOUNT], nobody);
        assert_eq!(world.state.count(ACCOUNTS), 3);
        let key = Key::object("", "serviceaccounts", "other", "default");
        assert_eq!(woken_by_removal(&SERVICE_ACCOUNT, &mut world, &key), ["core/namespaces/other"]);
        let other = Key::object("", "namespaces", "", "other");
        let text = shown(&plan(&world, &other, SERVICE_ACCOUNT.plan));
        assert!(text.starts_with("create serviceaccounts/other "), "{text}");
    }

    #[test]
    fn one_that_is_going_gets_none() {
        let mut going = namespace("old");
        going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let mut world = world([going]);
        settle(&mut world, &[SERVICE_ACCOUNT], nobody);
        assert_eq!(world.state.count(ACCOUNTS), 0);
    }
}
