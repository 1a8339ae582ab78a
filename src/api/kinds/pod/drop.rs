//! Fields that exist in the types but are not in use yet: dropped, unless the old object has them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Paths in groups: one that is in use keeps its group. `*` is every item, `containers` every list of containers.
type Paths = &'static [&'static [&'static str]];

/// In a pod's status.
static DISABLED_IN_STATUS: Paths = &[
    &["nodeAllocatableResourceClaimStatuses"],
    &["volumeHealth"],
    &[
        "containerStatuses/*/volumeMounts/*/volumeStatus",
        "initContainerStatuses/*/volumeMounts/*/volumeStatus",
        "ephemeralContainerStatuses/*/volumeMounts/*/volumeStatus",
    ],
];

/// In a pod's spec.
static DISABLED: Paths = &[
    &["schedulingGroup"],
    &["evictionResponders"],
    &["volumes/*/emptyDir/mode"],
    &["containers/*/volumeMounts/*/bindMountOptions"],
    &["containers/*/lifecycle/stopSignal"],
    &[
        "containers/*/livenessProbe/httpGet/protocol",
        "containers/*/readinessProbe/httpGet/protocol",
        "containers/*/startupProbe/httpGet/protocol",
        "containers/*/lifecycle/postStart/httpGet/protocol",
        "containers/*/lifecycle/preStop/httpGet/protocol",
    ],
    &[
        "containers/*/livenessProbe/grpc/mode",
        "containers/*/readinessProbe/grpc/mode",
        "containers/*/startupProbe/grpc/mode",
    ],
    &[
        "volumes/*/secret/defaultUser",
        "volumes/*/secret/items/*/user",
        "volumes/*/configMap/defaultUser",
        "volumes/*/configMap/items/*/user",
        "volumes/*/downwardAPI/defaultUser",
        "volumes/*/downwardAPI/items/*/user",
        "volumes/*/projected/defaultUser",
        "volumes/*/projected/sources/*/secret/items/*/user",
        "volumes/*/projected/sources/*/configMap/items/*/user",
        "volumes/*/projected/sources/*/downwardAPI/items/*/user",
        "volumes/*/projected/sources/*/serviceAccountToken/user",
        "volumes/*/projected/sources/*/clusterTrustBundle/user",
        "volumes/*/projected/sources/*/podCertificate/user",
    ],
];

const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Annotations of a time before init containers had fields.
const OLD_ANNOTATIONS: [&str; 4] = [
    "pod.beta.kubernetes.io/init-containers",
    "pod.alpha.kubernetes.io/init-containers",
    "pod.beta.kubernetes.io/init-container-statuses",
    "pod.alpha.kubernetes.io/init-container-statuses",
];

/// Drops from a pod's spec what is not in use yet.
pub fn drop_disabled(spec: &mut Map<String, Value>, old: Option<&Map<String, Value>>) {
    drop_unused(spec, old, DISABLED);
}

/// Drops from a pod's status what is not in use yet.
pub(super) fn drop_disabled_in_status(status: &mut Map<String, Value>, old: Option<&Map<String, Value>>) {
    drop_unused(status, old, DISABLED_IN_STATUS);
}

fn drop_unused(map: &mut Map<String, Value>, old: Option<&Map<String, Value>>, paths: Paths) {
    for group in paths {
        let is_used = |path: &'static str| {
            old.is_some_and(|old| roots(path).any(|(root, rest)| has(old.get(root), rest)))
        };
        if group.iter().any(|path| is_used(path)) {
            continue;
        }
        for (root, rest) in group.iter().flat_map(|path| roots(path)) {
            match rest {
                "" => drop(map.shift_remove(root)),
                _ => remove(map.get_mut(root), rest),
            }
        }
    }
}

/// Drops from a template for pods what is not in use yet: from its spec and its annotations.
pub fn drop_disabled_in_template(template: Option<&mut Value>, old: Option<&Value>) {
    let Some(template) = template.and_then(Value::as_object_mut) else { return };
    let old = old.and_then(|old| old.get("spec")).and_then(Value::as_object);
    if let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) {
        drop_disabled(spec, old);
    }
    let annotations = template.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"));
    if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
        annotations.retain(|key, _| !OLD_ANNOTATIONS.contains(&key.as_str()));
    }
}

/// Drops annotations that mean nothing any more.
pub(super) fn annotations(annotations: &mut BTreeMap<String, String>) {
    OLD_ANNOTATIONS.iter().for_each(|key| drop(annotations.remove(*key)));
}

/// The first member of a path, each that it stands for, and the rest.
fn roots(path: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let (root, rest) = path.split_once('/').unwrap_or((path, ""));
    let lists: &[&str] = if root == "containers" { &CONTAINERS } else { &[] };
    lists.iter().copied().chain(Some(root).filter(|root| *root != "containers")).map(move |root| (root, rest))
}

fn has(value: Option<&Value>, path: &str) -> bool {
    let Some(value) = value else { return false };
    match path.split_once('/').unwrap_or((path, "")) {
        ("", _) => !value.is_null(),
        ("*", rest) => value.as_array().is_some_and(|items| items.iter().any(|item| has(Some(item), rest))),
        (name, rest) => has(value.get(name), rest),
    }
}

fn remove(value: Option<&mut Value>, path: &str) {
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    match value {
        Some(Value::Array(items)) => items.iter_mut().for_each(|item| remove(Some(item), rest)),
        Some(Value::Object(map)) if rest.is_empty() => drop(map.shift_remove(name)),
        Some(Value::Object(map)) => {
            let had =
                map.get(name).is_some_and(|inner| inner.as_object().is_some_and(|inner| !inner.is_empty()));
            remove(map.get_mut(name), rest);
            // A lifecycle with nothing left in it goes, too.
            if had && name == "lifecycle" && map[name].as_object().is_some_and(Map::is_empty) {
                map.shift_remove(name);
            }
        }
        _ => {}
    }
}
