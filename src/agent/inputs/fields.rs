//! The downward API: what a pod may learn about itself.

use std::collections::BTreeMap;

use api::field_error::quoted;
use api::names;
use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, ObjectFieldSelector, Pod, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource;

use crate::error::Error;
use crate::pod::{PodContext, amount, list};

/// The value of a field for a variable.
pub(crate) fn of_variable(field: &ObjectFieldSelector, context: &PodContext<'_>) -> Result<String, Error> {
    let version = field.api_version.as_deref().unwrap_or("v1");
    if version != "v1" {
        return Err(Error::PodVersion(version.to_owned()));
    }
    let path = field.field_path.as_str();
    if let Some((of, _)) = subscript(path) {
        return match of {
            "metadata.annotations" | "metadata.labels" => of_volume(path, context.pod),
            _ => Err(Error::FieldSubscript(path.to_owned())),
        };
    }
    let spec = context.pod.spec.as_ref();
    let text = |value: Option<&String>| Ok(value.cloned().unwrap_or_default());
    match path {
        // What clients of old send.
        "spec.nodeName" | "spec.host" => text(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|spec| spec.service_account_name.as_ref())),
        "status.hostIP" => text(context.node.host_ips.first()),
        "status.hostIPs" => Ok(context.node.host_ips.join(",")),
        "status.podIP" => text(context.pod_ips.first()),
        "status.podIPs" => Ok(context.pod_ips.join(",")),
        "metadata.annotations"
        | "metadata.labels"
        | "metadata.name"
        | "metadata.namespace"
        | "metadata.uid"
        | "spec.restartPolicy"
        | "spec.schedulerName"
        | "status.phase" => of_volume(path, context.pod),
        _ => Err(Error::FieldLabel(path.to_owned())),
    }
}

/// The value of a field for a file of a volume: only what stands in the pod's metadata.
pub(crate) fn of_volume(path: &str, pod: &Pod) -> Result<String, Error> {
    let meta = &pod.metadata;
    let entry = |entries: Option<&BTreeMap<String, String>>, key: &str, checked: &str| {
        let wrong = names::qualified(checked);
        if !wrong.is_empty() {
            return Err(Error::FieldKey { path: path.to_owned(), why: wrong.join(";") });
        }
        Ok(entries.and_then(|entries| entries.get(key)).cloned().unwrap_or_default())
    };
    match subscript(path) {
        Some(("metadata.annotations", key)) => entry(meta.annotations.as_ref(), key, &key.to_lowercase()),
        Some(("metadata.labels", key)) => entry(meta.labels.as_ref(), key, key),
        Some(_) => Err(Error::FieldSubscript(path.to_owned())),
        None => match path {
            "metadata.annotations" => Ok(entries(meta.annotations.as_ref())),
            "metadata.labels" => Ok(entries(meta.labels.as_ref())),
            "metadata.name" => Ok(meta.name.clone().unwrap_or_default()),
            "metadata.namespace" => Ok(meta.namespace.clone().unwrap_or_default()),
            "metadata.uid" => Ok(meta.uid.clone().unwrap_or_default()),
            _ => Err(Error::FieldPath(path.to_owned())),
        },
    }
}

/// `metadata.labels['x']` as the field and the key.
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(of, _)| !of.is_empty())
}

/// A line for each entry, in order.
fn entries(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map.into_iter().flatten().map(|(key, value)| format!("{key}={}", quoted(value)));
    lines.collect::<Vec<_>>().join("\n")
}

/// The resources that a container without limits gets from what its node can give.
const DEFAULTED: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// A resource of a container for a variable. Limits that it does not set are the pod's, then the node's.
pub(crate) fn resource_of_variable(
    field: &ResourceFieldSelector,
    container: &Container,
    context: &PodContext<'_>,
) -> Result<String, Error> {
    let mut limits = context.node.allocatable.clone();
    let of_pod = context.pod.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.limits.as_ref());
    for (name, limit) in of_pod.into_iter().flatten() {
        if let Some(slot) = limits.get_mut(name).filter(|_| DEFAULTED.contains(&name.as_str())) {
            slot.clone_from(limit);
        }
    }
    match field.container_name.as_deref().filter(|name| !name.is_empty()) {
        None => resource_value(field, container, &limits),
        Some(name) => resource_value(field, container_named(context.pod, name)?, &limits),
    }
}

/// A resource of a container for a file of a volume. Limits that it does not set are the node's.
pub(crate) fn resource_of_volume(
    field: &ResourceFieldSelector,
    context: &PodContext<'_>,
) -> Result<String, Error> {
    let name = field.container_name.as_deref().unwrap_or_default();
    resource_value(field, container_named(context.pod, name)?, &context.node.allocatable)
}

fn container_named<'a>(pod: &'a Pod, name: &str) -> Result<&'a Container, Error> {
    let spec = pod.spec.as_ref();
    let all = spec.map(|spec| spec.containers.iter().chain(list(spec.init_containers.as_ref())));
    let found = all.into_iter().flatten().find(|container| container.name == name);
    found.ok_or_else(|| Error::NoSuchContainer(name.to_owned()))
}

/// How many of the divisor the resource is, rounded up.
fn resource_value(
    field: &ResourceFieldSelector,
    container: &Container,
    defaults: &BTreeMap<String, resource::Quantity>,
) -> Result<String, Error> {
    let unsupported = || Error::Resource(field.resource.clone());
    let (list, name) = field.resource.split_once('.').ok_or_else(unsupported)?;
    let is_defaulted = DEFAULTED.contains(&name);
    if !is_defaulted && !name.starts_with("hugepages-") {
        return Err(unsupported());
    }
    let resources = container.resources.as_ref();
    let own = match list {
        "limits" => resources.and_then(|resources| resources.limits.as_ref()),
        "requests" => resources.and_then(|resources| resources.requests.as_ref()),
        _ => return Err(unsupported()),
    };
    let mut value = own.and_then(|own| own.get(name)).map_or(Ok(Quantity::ZERO), amount)?;
    if list == "limits" && is_defaulted && value == Quantity::ZERO {
        value = defaults.get(name).map_or(Ok(Quantity::ZERO), amount)?;
    }
    // Parts of a core count in thousandths, everything else in whole units.
    let scale = if name == "cpu" { -3 } else { 0 };
    let one = Quantity::parse("1").map_err(|error| Error::Quantity { amount: "1".into(), why: error.0 })?;
    let divisor = field.divisor.as_ref().map_or(Ok(Quantity::ZERO), amount)?;
    let divisor = if divisor == Quantity::ZERO { one } else { divisor };
    let (value, divisor) = (value.in_units(scale), divisor.in_units(scale).max(1));
    Ok((value / divisor + i128::from(value % divisor > 0)).to_string())
}
