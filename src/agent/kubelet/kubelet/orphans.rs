//! Containers whose pods nobody wants: their labels say enough to end them well.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container as ContainerSpec, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::engine::Container;
use crate::names::label;
use crate::pod::{DesiredPod, PodKey};

/// The pods among `listed` that have no worker, as pods that are gone.
pub(super) fn of(listed: &[Container], has_worker: impl Fn(&str) -> bool) -> Vec<DesiredPod> {
    let mut orphans: BTreeMap<String, Vec<&Container>> = BTreeMap::new();
    for container in listed {
        if let Some(key) = container.pod_key()
            && !has_worker(&key.uid)
        {
            orphans.entry(key.uid).or_default().push(container);
        }
    }
    orphans.into_values().filter_map(|containers| gone(&containers)).collect()
}

/// A pod of which nothing is known but its uid.
pub(super) fn remains(uid: String) -> DesiredPod {
    let key = PodKey { namespace: String::new(), name: String::new(), uid };
    let pod = Pod { spec: Some(PodSpec::default()), ..Pod::default() };
    DesiredPod { key, pod, members: Vec::new(), is_gone: true }
}

/// A pod made from what the labels of its containers say.
fn gone(containers: &[&Container]) -> Option<DesiredPod> {
    let key = containers.first()?.pod_key()?;
    let grace = containers.iter().find_map(|container| container.label(label::GRACE)?.parse().ok());
    let mut names: Vec<&str> = containers
        .iter()
        .filter(|container| !container.is_sandbox())
        .map(|container| container.container_name())
        .collect();
    names.sort_unstable();
    names.dedup();
    let spec = |name: &str| ContainerSpec { name: name.to_owned(), ..ContainerSpec::default() };
    let pod = Pod {
        metadata: ObjectMeta {
            name: Some(key.name),
            namespace: Some(key.namespace),
            uid: Some(key.uid),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: names.into_iter().map(spec).collect(),
            termination_grace_period_seconds: grace,
            ..PodSpec::default()
        }),
        status: None,
    };
    let desired = DesiredPod::new(pod).ok()?;
    Some(DesiredPod { is_gone: true, ..desired })
}
