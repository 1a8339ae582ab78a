//! Volumes, and claims of them, stay for as long as they are used: a finalizer keeps each from its beginning, and is
//! taken away when the object is going and nobody uses it.

use std::collections::BTreeSet;

use api::Key;
use api::view::View;
use projection::pods::PODS;
use projection::{Controller, Plan, Wakes, World};
use state::{Change, Guard, Object};

use crate::shared::stored;

const CLAIMS: &str = "core/persistentvolumeclaims/";
const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUMES: &str = "core/persistentvolumes/";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

/// The row of claims.
pub const CLAIM_PROTECTION: Controller = Controller {
    name: "pvc-protection",
    actor: "system:serviceaccount:kube-system:pvc-protection-controller",
    component: "pvc-protection-controller",
    wakes: wake_claims,
    keys: |world, wakes| going(world, CLAIMS, wakes),
    plan: |world, key, _, _| release_claim(world, key),
};

/// The row of volumes.
pub const VOLUME_PROTECTION: Controller = Controller {
    name: "pv-protection",
    actor: "system:serviceaccount:kube-system:pv-protection-controller",
    component: "pv-protection-controller",
    wakes: |_, change, wakes| {
        let object = &change.object;
        if object.key.collection() == VOLUMES && object.meta.deleting {
            wakes.add(&object.key);
        }
    },
    keys: |world, wakes| going(world, VOLUMES, wakes),
    plan: |world, key, _, _| release_volume(world, key),
};

fn going(world: &World, collection: &str, wakes: &mut Wakes) {
    let going = world.state.range(collection).filter(|object| object.meta.deleting);
    going.for_each(|object| wakes.add(&object.key));
}

/// A claim that is going, and those of a pod that went.
fn wake_claims(world: &World, change: &Change, wakes: &mut Wakes) {
    let object = &change.object;
    match object.key.collection() {
        CLAIMS if object.meta.deleting => wakes.add(&object.key),
        PODS if change.deleted => {
            for claim in claims(object) {
                let key = Key::object("", "persistentvolumeclaims", object.key.namespace(), &claim);
                if world.state.get(key.as_str()).is_some_and(|found| found.meta.deleting) {
                    wakes.add(&key);
                }
            }
        }
        _ => {}
    }
}

/// The claims that a pod names, those that are made for it included.
fn claims(pod: &Object) -> BTreeSet<String> {
    let volumes = pod.view().at(&["spec", "volumes"]);
    let claim = |volume: View<'_>| {
        let [name, claim, ephemeral] = volume.pick(["name", "persistentVolumeClaim", "ephemeral"]);
        if ephemeral.is_there() {
            return Some(format!("{}-{}", pod.key.name(), name.text()));
        }
        claim.is_there().then(|| claim.get("claimName").text().into_owned())
    };
    volumes.items().filter_map(claim).collect()
}

fn is_kept(object: &Object, finalizer: &str) -> bool {
    object.meta.deleting
        && stored::list(object, &["metadata", "finalizers"]).iter().any(|name| name == finalizer)
}

fn release_claim(world: &World, key: &Key) -> Plan {
    let mut plan = Plan::default();
    let Some(claim) = world.state.get(key.as_str()).filter(|found| is_kept(found, CLAIM_FINALIZER)) else {
        return plan;
    };
    let mut pods = world.pods.within(key.namespace()).filter(|pod| !pod.node.is_empty());
    if !pods.any(|pod| claims(&pod.object).contains(key.name())) {
        let mut intent = stored::without_finalizer(claim, CLAIM_FINALIZER);
        let prefix = format!("{PODS}{}/", key.namespace());
        intent.guards.push(Guard::Unwritten { prefix, since: world.state.revision() });
        plan.intents.push(intent);
    }
    plan
}

fn release_volume(world: &World, key: &Key) -> Plan {
    let mut plan = Plan::default();
    let found = world.state.get(key.as_str()).filter(|found| is_kept(found, VOLUME_FINALIZER));
    if let Some(volume) = found.filter(|volume| stored::at(volume, &["status", "phase"]) != "Bound") {
        plan.intents.push(stored::without_finalizer(volume, VOLUME_FINALIZER));
    }
    plan
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use projection::testing::{plan, shown, world};
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{change, namespace, nobody, settle, woken_by_removal};

    fn claim() -> Value {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "default",
            "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [CLAIM_FINALIZER]},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
    }

    fn user(node: &str) -> Value {
        let mut pod = crate::testing::pod("a", json!({}), node);
        pod["spec"]["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
        pod
    }

    #[test]
    fn a_claim_goes_when_no_pod_with_a_node_names_it() {
        let key = Key::object("", "persistentvolumeclaims", "default", "data");
        let mut world = world([namespace("default"), claim(), user("n")]);
        settle(&mut world, &[CLAIM_PROTECTION], nobody);
        assert!(world.state.get(key.as_str()).is_some(), "it is used");
        let pod = Key::object("", "pods", "default", "a");
        assert_eq!(woken_by_removal(&CLAIM_PROTECTION, &mut world, &pod), [key.to_string()]);
        expect![[r#"
            patch core/persistentvolumeclaims/default/data {"metadata":{"finalizers":null}} if Unwritten { prefix: "core/pods/default/", since: 4 }
        "#]].assert_eq(&shown(&plan(&world, &key, CLAIM_PROTECTION.plan)));
        projection::testing::put(&mut world, user(""));
        settle(&mut world, &[CLAIM_PROTECTION], nobody);
        assert!(world.state.get(key.as_str()).is_none());
    }

    #[test]
    fn a_volume_goes_when_it_is_not_bound() {
        let key = Key::object("", "persistentvolumes", "", "v");
        let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v",
            "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [VOLUME_FINALIZER]},
            "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}},
            "status": {"phase": "Bound"}});
        let mut world = world([volume]);
        settle(&mut world, &[VOLUME_PROTECTION], nobody);
        assert!(world.state.get(key.as_str()).is_some());
        change(&mut world, &key, |volume| volume["status"]["phase"] = "Released".into());
        settle(&mut world, &[VOLUME_PROTECTION], nobody);
        assert!(world.state.get(key.as_str()).is_none());
    }
}
