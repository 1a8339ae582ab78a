//! What the server fills in for a new pod.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::drop;
use crate::object::Object;
use crate::quantity::Quantity;
use crate::validate::pod::resources::{is_huge_pages, may_overcommit, totals};

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Before a pod is created.
pub(super) fn create(pod: &mut Object) {
    drop::annotations(&mut pod.meta.annotations);
    // The spec changes beside them.
    let (labels, annotations) =
        (std::mem::take(&mut pod.meta.labels), std::mem::take(&mut pod.meta.annotations));
    let mut status = json!({"phase": "Pending"});
    if let Some(spec) = pod.spec_mut() {
        drop::drop_disabled(spec, None);
        if spec.get("schedulingGates").and_then(Value::as_array).is_some_and(|gates| !gates.is_empty()) {
            status["conditions"] = json!([{
                "type": "PodScheduled",
                "status": "False",
                "lastTransitionTime": null,
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }]);
        }
        label_keys(spec, &labels);
        if annotations.keys().any(|key| key.starts_with(APP_ARMOR)) {
            app_armor(spec, |container| {
                annotations.get(&format!("{APP_ARMOR}{container}")).map(String::as_str)
            });
        }
        pod_resources(spec);
        status["qosClass"] = quality(spec).into();
    }
    (pod.meta.labels, pod.meta.annotations) = (labels, annotations);
    if let Some(condition) = status.pointer_mut("/conditions/0/lastTransitionTime") {
        *condition = pod.meta.creation_timestamp.clone().into();
    }
    pod.fields.insert("status".into(), status);
}

/// Before a status is written: what older clients drop stays.
pub(super) fn status(new: &mut Object, old: &Object) {
    new.meta.deletion_timestamp.clone_from(&old.meta.deletion_timestamp);
    new.meta.owner_references.clone_from(&old.meta.owner_references);
    let old = old.fields.get("status").and_then(Value::as_object);
    let Some(status) = new.fields.get_mut("status").and_then(Value::as_object_mut) else { return };
    drop::drop_disabled_in_status(status, old);
    let Some(old) = old else { return };
    for field in [
        "qosClass",
        "resourceClaimStatuses",
        "extendedResourceClaimStatus",
        "nodeAllocatableResourceClaimStatuses",
        "observedGeneration",
    ] {
        let is_missing = status.get(field).is_none_or(|value| *value == "" || *value == 0 || value.is_null());
        if let (true, Some(value)) = (is_missing, old.get(field)) {
            status.insert(field.into(), value.clone());
        }
    }
    observed_generations(status, old);
}

/// Conditions of one type keep, in order, the generations that they had.
fn observed_generations(status: &mut Map<String, Value>, old: &Map<String, Value>) {
    let mut known: Vec<&Value> =
        old.get("conditions").and_then(Value::as_array).into_iter().flatten().collect();
    let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten().filter_map(Value::as_object_mut) {
        let Some(at) = known.iter().position(|old| old.get("type") == condition.get("type")) else {
            continue;
        };
        let generation =
            known.remove(at).get("observedGeneration").and_then(Value::as_i64).unwrap_or_default();
        if generation != 0
            && condition.get("observedGeneration").and_then(Value::as_i64).unwrap_or_default() == 0
        {
            condition.insert("observedGeneration".into(), generation.into());
        }
    }
}

/// Keys of labels that select become part of the selector, with the pod's values.
fn label_keys(spec: &mut Map<String, Value>, labels: &BTreeMap<String, String>) {
    let constraints = spec.get_mut("topologySpreadConstraints").and_then(Value::as_array_mut);
    constraints.into_iter().flatten().for_each(|constraint| select(constraint, labels));
    let Some(affinity) = spec.get_mut("affinity") else { return };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(terms) = affinity.get_mut(kind) else { continue };
        let list = |terms: &mut Value, field: &str, within: Option<&str>| {
            for term in terms.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
                match within {
                    Some(name) => term.get_mut(name).map(|term| select(term, labels)).unwrap_or_default(),
                    None => select(term, labels),
                }
            }
        };
        list(terms, "preferredDuringSchedulingIgnoredDuringExecution", Some("podAffinityTerm"));
        list(terms, "requiredDuringSchedulingIgnoredDuringExecution", None);
    }
}

fn select(term: &mut Value, labels: &BTreeMap<String, String>) {
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        let keys = term.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
        let Some(selector) = term.get_mut("labelSelector").and_then(Value::as_object_mut) else { return };
        for key in keys.iter().filter_map(Value::as_str) {
            let Some(value) = labels.get(key) else { continue };
            let expressions = selector.entry("matchExpressions").or_insert_with(|| json!([]));
            if let Some(expressions) = expressions.as_array_mut() {
                expressions.push(json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
}

/// A profile that only an annotation names gets its field, unless the pod has the same for all.
fn app_armor<'a>(spec: &mut Map<String, Value>, annotation: impl Fn(&str) -> Option<&'a str>) {
    if spec.get("os").and_then(|os| os.get("name")) == Some(&json!("windows")) {
        return;
    }
    let of_pod = spec.get("securityContext").and_then(|context| context.get("appArmorProfile")).cloned();
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
            let Some(profile) = annotation(name).and_then(profile) else { continue };
            let has_own =
                container.pointer("/securityContext/appArmorProfile").is_some_and(|own| !own.is_null());
            let Some(container) = container.as_object_mut() else { continue };
            if !has_own && of_pod.as_ref() != Some(&profile) {
                let context = container.entry("securityContext").or_insert_with(|| json!({}));
                context["appArmorProfile"] = profile;
            }
        }
    }
}

fn profile(annotation: &str) -> Option<Value> {
    match annotation {
        "unconfined" => Some(json!({"type": "Unconfined"})),
        "runtime/default" => Some(json!({"type": "RuntimeDefault"})),
        _ => {
            let path = annotation.strip_prefix("localhost/")?;
            let is_sound = !path.is_empty() && path.trim() == path && path.len() <= 4_095;
            is_sound.then(|| json!({"type": "Localhost", "localhostProfile": path}))
        }
    }
}

/// Fills in what a pod asks for as a whole from what its containers ask for.
pub(crate) fn pod_resources(spec: &mut Map<String, Value>) {
    let count = |field: &str| {
        spec.get("resources").and_then(|all| all.get(field)).and_then(Value::as_object).map_or(0, Map::len)
    };
    if count("requests") + count("limits") == 0 {
        return;
    }
    let tree = Value::Object(std::mem::take(spec));
    let (asked, allowed) = (totals(Some(&tree), "requests"), totals(Some(&tree), "limits"));
    let is_limited = |name: &str| {
        let limit = |container: &Value| container["resources"]["limits"].get(name).is_some();
        let all = |list: &str| tree[list].as_array().is_none_or(|containers| containers.iter().all(limit));
        all("containers") && all("initContainers") && all("ephemeralContainers")
    };
    let map = |field: &str| tree["resources"][field].as_object().cloned().unwrap_or_default();
    let (mut requests, mut limits) = (map("requests"), map("limits"));
    let of_pod = |name: &str| matches!(name, "cpu" | "memory") || is_huge_pages(name);
    for (name, total) in allowed.iter().filter(|(name, _)| is_huge_pages(name)) {
        if !requests.contains_key(name) && !limits.contains_key(name) {
            limits.insert(name.clone(), total.to_string().into());
        }
    }
    for (name, total) in asked.iter().filter(|(name, _)| of_pod(name) && may_overcommit(name)) {
        requests.entry(name.clone()).or_insert_with(|| total.to_string().into());
    }
    for (name, limit) in limits.iter().filter(|(name, _)| of_pod(name)) {
        requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
    for (name, request) in requests.iter().filter(|(name, _)| of_pod(name)) {
        let is_open = !limits.contains_key(name) && is_limited(name);
        if let (true, Some(total)) = (is_open, allowed.get(name)) {
            let asked = request.as_str().and_then(|text| Quantity::parse(text).ok());
            let limit = asked.map_or(*total, |asked| if asked > *total { asked } else { *total });
            limits.insert(name.clone(), limit.to_string().into());
        }
    }
    if let Value::Object(kept) = tree {
        *spec = kept;
    }
    for (field, map) in [("requests", requests), ("limits", limits)] {
        if !map.is_empty() {
            spec["resources"][field] = map.into();
        }
    }
}

/// How sure a pod can be of what it asks for.
pub(crate) fn quality(spec: &Map<String, Value>) -> &'static str {
    let of_pod = spec.get("resources").filter(|resources| {
        ["requests", "limits"].iter().any(|field| {
            let names = resources.get(field).and_then(Value::as_object);
            names.is_some_and(|names| {
                names.keys().any(|name| matches!(name.as_str(), "cpu" | "memory") || is_huge_pages(name))
            })
        })
    });
    if let Some(resources) = of_pod {
        return quality_of(Some(resources));
    }
    let lists = ["initContainers", "containers"].into_iter();
    let containers = lists.filter_map(|list| spec.get(list).and_then(Value::as_array)).flatten();
    all_or_burstable(containers.map(|container| quality_of(container.get("resources"))))
}

fn quality_of(resources: Option<&Value>) -> &'static str {
    let map = |field: &str| resources.and_then(|all| all.get(field)).and_then(Value::as_object);
    let amount = |field: &str, name: &str| {
        let text = map(field).and_then(|map| map.get(name)).and_then(Value::as_str);
        text.and_then(|text| Quantity::parse(text).ok()).unwrap_or(Quantity::ZERO)
    };
    if map("requests").map_or(0, Map::len) + map("limits").map_or(0, Map::len) == 0 {
        return "BestEffort";
    }
    all_or_burstable(["cpu", "memory"].into_iter().map(|name| {
        match (amount("requests", name), amount("limits", name)) {
            (request, limit) if request != limit => "Burstable",
            (request, _) if request == Quantity::ZERO => "BestEffort",
            _ => "Guaranteed",
        }
    }))
}

/// What all are; `Burstable` when they differ.
fn all_or_burstable(mut classes: impl Iterator<Item = &'static str>) -> &'static str {
    let first = classes.next().unwrap_or("BestEffort");
    if classes.all(|class| class == first) { first } else { "Burstable" }
}
