//! How pods are spread that do not say how: Kubernetes' system defaults, over what their Services and their controller
//! select.

use api::Key;
use api::selector::Selector;
use projection::World;
use projection::pods::Pod;

use crate::class::SpreadConstraint;
use crate::terms::{Scope, Want};

/// The label that tells hosts apart.
pub const HOSTNAME: &str = "kubernetes.io/hostname";

/// The label that tells zones apart.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// By what, and with which skew.
const DEFAULTS: [(&str, i64); 2] = [(HOSTNAME, 3), (ZONE, 5)];

/// Controllers whose selectors count: apiVersion, kind, group, resource.
const CONTROLLERS: [(&str, &str, &str, &str); 3] = [
    ("apps/v1", "ReplicaSet", "apps", "replicasets"),
    ("apps/v1", "StatefulSet", "apps", "statefulsets"),
    ("v1", "ReplicationController", "", "replicationcontrollers"),
];

/// The constraints of a pod that brings none.
pub fn constraints(world: &World, pod: &Pod) -> Vec<SpreadConstraint> {
    let selectors = selectors(world, pod);
    if selectors.is_empty() {
        return Vec::new();
    }
    let one = |(topology, skew_max): (&str, i64)| SpreadConstraint {
        skew_max,
        topology: topology.into(),
        want: Want { scope: Scope::one(pod.key().namespace()), selectors: Some(selectors.clone()) },
        domains_min: 1,
        honors_affinity: true,
        honors_taints: false,
    };
    DEFAULTS.into_iter().map(one).collect()
}

fn selectors(world: &World, pod: &Pod) -> Vec<Selector> {
    let (namespace, labels) = (pod.key().namespace(), pod.object.labels());
    let services = world.selectors.matching("core/services/", namespace, labels);
    let mut all: Vec<Selector> = services
        .filter_map(|key| world.selectors.of(key))
        .map(|selector| Selector::clone(selector))
        .collect();
    let owner = world.owners.controller_of(pod.key()).and_then(|owner| {
        let is_it = |(version, kind, ..): &&(&str, &str, &str, &str)| {
            *owner.api_version == **version && *owner.kind == **kind
        };
        let (.., group, resource) = CONTROLLERS.iter().find(is_it)?;
        world.selectors.of(&Key::object(group, resource, namespace, &owner.name))
    });
    all.extend(owner.map(|selector| Selector::clone(selector)));
    all
}
