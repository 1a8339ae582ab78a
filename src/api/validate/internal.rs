//! Objects as errors show them where Kubernetes prints its internal types: all fields, with their names in Go.

use serde_json::{Map, Value, json};

use crate::encode;
use crate::schema::builtin;
use crate::validate::at::At;

/// A field of an internal type.
struct Field {
    go: &'static str,
    json: &'static str,
    /// What it is when nobody says.
    zero: fn() -> Value,
    /// The fields of what it holds, if it is an object.
    inner: &'static [Field],
}

const fn pointer(go: &'static str, json: &'static str) -> Field {
    Field { go, json, zero: || Value::Null, inner: &[] }
}

const fn text(go: &'static str, json: &'static str) -> Field {
    Field { go, json, zero: || json!(""), inner: &[] }
}

const fn number(go: &'static str, json: &'static str) -> Field {
    Field { go, json, zero: || json!(0), inner: &[] }
}

const fn object(go: &'static str, json: &'static str, inner: &'static [Field]) -> Field {
    Field { go, json, zero: || Value::Null, inner }
}

const PROFILE: &[Field] = &[text("Type", "type"), pointer("LocalhostProfile", "localhostProfile")];

const SECURITY_CONTEXT: &[Field] = &[
    object("Capabilities", "capabilities", &[pointer("Add", "add"), pointer("Drop", "drop")]),
    pointer("Privileged", "privileged"),
    object(
        "SELinuxOptions",
        "seLinuxOptions",
        &[text("User", "user"), text("Role", "role"), text("Type", "type"), text("Level", "level")],
    ),
    object(
        "WindowsOptions",
        "windowsOptions",
        &[
            pointer("GMSACredentialSpecName", "gmsaCredentialSpecName"),
            pointer("GMSACredentialSpec", "gmsaCredentialSpec"),
            pointer("RunAsUserName", "runAsUserName"),
            pointer("HostProcess", "hostProcess"),
        ],
    ),
    pointer("RunAsUser", "runAsUser"),
    pointer("RunAsGroup", "runAsGroup"),
    pointer("RunAsNonRoot", "runAsNonRoot"),
    pointer("ReadOnlyRootFilesystem", "readOnlyRootFilesystem"),
    pointer("AllowPrivilegeEscalation", "allowPrivilegeEscalation"),
    pointer("ProcMount", "procMount"),
    object("SeccompProfile", "seccompProfile", PROFILE),
    object("AppArmorProfile", "appArmorProfile", PROFILE),
];

const CLAIM: &[Field] = &[
    text("Name", "name"),
    pointer("ResourceClaimName", "resourceClaimName"),
    pointer("ResourceClaimTemplateName", "resourceClaimTemplateName"),
];

const TRUST_BUNDLE: &[Field] = &[
    pointer("Name", "name"),
    pointer("SignerName", "signerName"),
    pointer("LabelSelector", "labelSelector"),
    pointer("Optional", "optional"),
    text("Path", "path"),
    pointer("User", "user"),
];

fn shown(at: Option<&Value>, fields: &[Field]) -> Value {
    let show = |field: &Field| {
        let given = at.and_then(|at| at.get(field.json)).filter(|given| !given.is_null());
        let value = match given {
            Some(Value::Array(items)) if !field.inner.is_empty() => {
                items.iter().map(|item| shown(Some(item), field.inner)).collect()
            }
            Some(given) if !field.inner.is_empty() => shown(Some(given), field.inner),
            Some(given) => given.clone(),
            None => (field.zero)(),
        };
        (field.go.to_owned(), value)
    };
    fields.iter().map(show).collect::<Map<_, _>>().into()
}

const ROLLING: &[Field] = &[number("MaxUnavailable", "maxUnavailable"), number("MaxSurge", "maxSurge")];
const STRATEGY: &[Field] = &[text("Type", "type"), object("RollingUpdate", "rollingUpdate", ROLLING)];

const ROLLING_STATEFUL: &[Field] =
    &[number("Partition", "partition"), pointer("MaxUnavailable", "maxUnavailable")];
const STATEFUL_STRATEGY: &[Field] =
    &[text("Type", "type"), object("RollingUpdate", "rollingUpdate", ROLLING_STATEFUL)];

const BUDGET: &[Field] = &[
    pointer("MinAvailable", "minAvailable"),
    pointer("Selector", "selector"),
    pointer("MaxUnavailable", "maxUnavailable"),
    pointer("UnhealthyPodEvictionPolicy", "unhealthyPodEvictionPolicy"),
];

const FAILURE_POLICY: &[Field] = &[object(
    "Rules",
    "rules",
    &[
        text("Action", "action"),
        object(
            "OnExitCodes",
            "onExitCodes",
            &[
                pointer("ContainerName", "containerName"),
                text("Operator", "operator"),
                pointer("Values", "values"),
            ],
        ),
        object("OnPodConditions", "onPodConditions", &[text("Type", "type"), text("Status", "status")]),
    ],
)];

const SUCCESS_POLICY: &[Field] = &[object(
    "Rules",
    "rules",
    &[pointer("SucceededIndexes", "succeededIndexes"), pointer("SucceededCount", "succeededCount")],
)];

/// Nothing, or the object with all fields.
fn optional(at: At<'_>, fields: &[Field]) -> Value {
    at.value().filter(|value| !value.is_null()).map_or(Value::Null, |value| shown(Some(value), fields))
}

/// How a Deployment or a DaemonSet replaces its pods.
pub(crate) fn strategy(at: At<'_>) -> Value {
    shown(at.value(), STRATEGY)
}

/// How a StatefulSet replaces its pods.
pub(crate) fn stateful_strategy(at: At<'_>) -> Value {
    shown(at.value(), STATEFUL_STRATEGY)
}

/// The same while it rolls.
pub(crate) fn stateful_rolling(at: At<'_>) -> Value {
    optional(at, ROLLING_STATEFUL)
}

/// A budget of disruptions.
pub(crate) fn budget(at: At<'_>) -> Value {
    shown(at.value(), BUDGET)
}

/// What a Job makes of failed pods.
pub(crate) fn failure_policy(at: At<'_>) -> Value {
    optional(at, FAILURE_POLICY)
}

/// Pods that a Job has not counted yet.
pub(crate) fn uncounted(at: At<'_>) -> Value {
    optional(at, &[pointer("Succeeded", "succeeded"), pointer("Failed", "failed")])
}

/// When a Job has succeeded.
pub(crate) fn success_policy(at: At<'_>) -> Value {
    optional(at, SUCCESS_POLICY)
}

/// An object of a type of the API (behind `io.k8s.`) as Go prints it.
pub(crate) fn versioned(at: At<'_>, model: &str) -> Value {
    let Some(map) = at.map() else { return Value::Null };
    let mut text = Vec::new();
    let mut members = encode::Members::open(&mut text);
    encode::fields(&mut members, map, &builtin(&format!("io.k8s.{model}")), "");
    members.close();
    serde_json::from_slice(&text).unwrap_or(Value::Null)
}

/// A selector of labels.
pub(crate) fn selector(at: At<'_>) -> Value {
    versioned(at, "apimachinery.pkg.apis.meta.v1.LabelSelector")
}

/// A map of labels; null when there is none.
pub(crate) fn labels(at: At<'_>) -> Value {
    at.value().filter(|value| !value.is_null()).map_or(Value::Null, sorted)
}

/// A container's security context.
pub(crate) fn security_context(at: At<'_>) -> Value {
    shown(at.value(), SECURITY_CONTEXT)
}

/// A seccomp profile.
pub(crate) fn profile(at: At<'_>) -> Value {
    shown(at.value(), PROFILE)
}

/// A pod's claim of resources.
pub(crate) fn claim(at: At<'_>) -> Value {
    shown(at.value(), CLAIM)
}

/// A source of trust anchors.
pub(crate) fn trust_bundle(at: At<'_>) -> Value {
    shown(at.value(), TRUST_BUNDLE)
}

/// A map as Go prints it: by its keys.
pub(crate) fn sorted(map: &Value) -> Value {
    let mut members: Vec<_> = map.as_object().into_iter().flatten().collect();
    members.sort_by_key(|(key, _)| *key);
    members.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>().into()
}

/// A term of a node selector.
pub(crate) fn node_term(term: At<'_>) -> Value {
    const REQUIREMENT: &[Field] =
        &[text("Key", "key"), text("Operator", "operator"), pointer("Values", "values")];
    let list = |field: &'static str| match term.field(field).value().and_then(Value::as_array) {
        None => Value::Null,
        Some(items) => items.iter().map(|item| shown(Some(item), REQUIREMENT)).collect(),
    };
    json!({"MatchExpressions": list("matchExpressions"), "MatchFields": list("matchFields")})
}

/// The terms of a node selector.
pub(crate) fn node_terms(terms: At<'_>) -> Value {
    if terms.is_set() { terms.items().map(node_term).collect() } else { Value::Null }
}
