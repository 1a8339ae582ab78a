//! What containers and volumes are told about their own pod.

use crate::names;
use crate::quantity::Quantity;
use crate::validate::at::At;

/// Fields that a file may hold.
pub(super) const VOLUME_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// Fields that an environment variable may hold.
pub(super) const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields that exist, though not everywhere.
const OTHER_FIELDS: &[&str] = &["spec.restartPolicy", "spec.schedulerName", "status.phase"];

const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

const SIZES: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
const SIZES_RULE: &str =
    "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the";

/// A reference to a field of the pod.
pub(super) fn field(reference: At<'_>, known: &[&str]) {
    let (version, path) = (reference.field("apiVersion"), reference.field("fieldPath"));
    if !version.require_text() || !path.require_text() {
        return;
    }
    let refuse = |why: &str| path.invalid(&format!("error converting fieldPath: {why}"));
    if version.text() != "v1" {
        return refuse(&format!("unsupported pod version: {}", version.text()));
    }
    if let Some((map, key)) = subscript(path.text()) {
        let key = match map {
            "metadata.annotations" => key.to_lowercase(),
            "metadata.labels" => key.to_owned(),
            _ => return refuse(&format!("field label does not support subscript: {}", path.text())),
        };
        names::qualified(&key).iter().for_each(|wrong| reference.invalid_value(key.as_str(), wrong));
        return;
    }
    let name = if path.text() == "spec.host" { "spec.nodeName" } else { path.text() };
    if ![ENV_FIELDS, VOLUME_FIELDS, OTHER_FIELDS].iter().any(|fields| fields.contains(&name)) {
        return refuse(&format!("field label not supported: {name}"));
    }
    if !known.contains(&name) {
        path.with(None).report(|path| crate::FieldError::not_supported(path, name, known));
    }
}

/// `metadata.labels['key']`
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(map, _)| !map.is_empty())
}

/// A reference to a resource of a container.
pub(super) fn resource(reference: At<'_>, in_volume: bool) {
    let (name, container) = (reference.field("resource"), reference.field("containerName"));
    let is_huge =
        ["requests.hugepages-", "limits.hugepages-"].iter().any(|start| name.text().starts_with(start));
    if in_volume && container.text().is_empty() {
        container.required("");
    } else if name.require_text() && !is_huge {
        name.one_of(RESOURCES);
    }
    let divisor = reference.field("divisor");
    if divisor.quantity().is_none_or(|divisor| divisor == Quantity::ZERO) {
        return;
    }
    let rule = match name.text() {
        "limits.cpu" | "requests.cpu" if ["1m", "1"].contains(&divisor.text()) => return,
        "limits.cpu" | "requests.cpu" => {
            "only divisor's values 1m and 1 are supported with the cpu resource".to_owned()
        }
        _ if SIZES.contains(&divisor.text()) => return,
        "limits.memory" | "requests.memory" => format!("{SIZES_RULE} memory resource"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => {
            format!("{SIZES_RULE} local ephemeral storage resource")
        }
        _ if is_huge => format!("{SIZES_RULE} hugepages resource"),
        _ => return,
    };
    divisor.invalid_value(name.text(), &rule);
}
