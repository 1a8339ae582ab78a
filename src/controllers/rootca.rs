//! Every namespace has a ConfigMap with the certificates by which pods know the API servers.

use std::sync::{Arc, LazyLock};

use api::{Key, Resource};
use projection::intent::Intent;
use projection::{Controller, LastOutcomes, Plan, Wakes, World};
use serde_json::{Value, json};
use state::Change;

use crate::shared::stored;

const NAMESPACES: &str = "core/namespaces/";
const NAME: &str = "kube-root-ca.crt";

/// Where the certificates come from.
const SOURCE: &str = "core/configmaps/kube-system/extension-apiserver-authentication";

/// Kubernetes' words.
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
    endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
    distributions of Kubernetes clusters.";

static ROW: LazyLock<Arc<Resource>> = LazyLock::new(|| Resource::builtin("", "v1", "configmaps"));

/// The row.
pub const ROOT_CA: Controller = Controller {
    name: "root-ca-certificate-publisher",
    actor: "system:serviceaccount:kube-system:root-ca-cert-publisher",
    component: "root-ca-cert-publisher",
    wakes,
    keys: |world, wakes| stored::keys(world, NAMESPACES, wakes),
    plan,
};

fn wakes(world: &World, change: &Change, wakes: &mut Wakes) {
    let key = &change.object.key;
    if key.collection() == NAMESPACES {
        wakes.add(key);
    } else if key.as_str() == SOURCE {
        stored::keys(world, NAMESPACES, wakes);
    } else if key.collection() == "core/configmaps/" && key.name() == NAME {
        wakes.add(&Key::object("", "namespaces", "", key.namespace()));
    }
}

fn plan(world: &World, key: &Key, _: &LastOutcomes, _: u64) -> Plan {
    let mut plan = Plan::default();
    let source = world.state.get(SOURCE);
    let bundle = source.map_or(Value::Null, |source| stored::at(source, &["data", "client-ca-file"]));
    if bundle.is_null() || stored::is_closed(world, key.name()) {
        return plan;
    }
    let data = json!({"ca.crt": bundle});
    let annotations = json!({"kubernetes.io/description": DESCRIPTION});
    let map = Key::object("", "configmaps", key.name(), NAME);
    let Some(found) = world.state.get(map.as_str()) else {
        let metadata = json!({"name": NAME, "annotations": annotations});
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
        plan.intents.push(Intent::create(&ROW, key.name(), object));
        return plan;
    };
    let (before, after) = (stored::map(found, &["data"]), data.as_object().cloned().unwrap_or_default());
    if before != after || stored::annotation(found, "kubernetes.io/description").is_none() {
        let data = stored::map_patch(&before, &after);
        let patch = json!({"metadata": {"annotations": annotations}, "data": data});
        plan.intents.push(Intent::patch(found, "", patch));
    }
    plan
}

#[cfg(test)]
mod tests {
    use projection::testing::{put, world};

    use super::*;
    use crate::testing::{change, namespace, nobody, settle, woken};

    fn source(bundle: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
            "data": {"client-ca-file": bundle}})
    }

    #[test]
    fn the_certificates_are_everywhere_and_stay_right() {
        let mut world = world([namespace("default"), namespace("kube-system")]);
        settle(&mut world, &[ROOT_CA], nobody);
        assert_eq!(world.state.count("core/configmaps/"), 0, "nobody said which");
        assert_eq!(woken(&ROOT_CA, &mut world, source("PEM")).len(), 2, "all namespaces");
        settle(&mut world, &[ROOT_CA], nobody);
        let key = Key::object("", "configmaps", "default", NAME);
        let data =
            |world: &World| stored::map(world.state.get(key.as_str()).expect("it is there"), &["data"]);
        assert_eq!(Value::from(data(&world)), json!({"ca.crt": "PEM"}));
        change(&mut world, &key, |map| map["data"] = json!({"ca.crt": "forged", "more": "x"}));
        settle(&mut world, &[ROOT_CA], nobody);
        assert_eq!(Value::from(data(&world)), json!({"ca.crt": "PEM"}));
        put(&mut world, source("NEXT"));
        settle(&mut world, &[ROOT_CA], nobody);
        assert_eq!(Value::from(data(&world)), json!({"ca.crt": "NEXT"}));
    }
}
