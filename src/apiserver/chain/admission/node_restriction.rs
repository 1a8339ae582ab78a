//! What the agent of a node may write: its own Node but for what steers pods to it, what its own pods are about, and
//! nothing else. Names, rules and words are those of Kubernetes' NodeRestriction.

use std::collections::{BTreeMap, BTreeSet};

use api::kinds::certificate_signing_request as requests;
use api::{Key, Object, Status};
use serde_json::Value;

use super::{Attempt, Operation};
use crate::chain::authorize::pods::{self, MIRROR};
use crate::user::{BOOTSTRAPPERS, MASTERS, NODE_PREFIX};

/// Signs what agents authenticate with.
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// Signs what agents serve with.
const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";

/// Signs for any other client.
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

/// Labels of itself that a node may set although they are Kubernetes' own.
const KUBELET_LABELS: &[&str] = &[
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

/// The same of whole prefixes, and what lies below them.
const KUBELET_PREFIXES: &[&str] = &["kubelet.kubernetes.io", "node.kubernetes.io"];

/// Labels below this prefix are for keeping nodes apart that do not trust each other: none sets its own.
const RESTRICTED_PREFIX: &str = "node-restriction.kubernetes.io";

const LEASES: &str = "kube-node-lease";

/// Refuses what an agent may not write.
pub(super) fn check(attempt: &Attempt<'_>, new: Option<&Object>) -> Result<(), Status> {
    let Some(node) = attempt.user.node() else { return Ok(()) };
    let refuse = |why: String| Err(attempt.forbidden(&why));
    match (&*attempt.resource.group, &*attempt.resource.plural, attempt.subresource) {
        ("", "pods", "") => pod(attempt, node, new),
        ("", "pods", "status") => pod_status(attempt, node, new),
        ("", "pods", below) => {
            refuse(format!("unexpected pod subresource {below:?}, only 'status' and 'eviction' are allowed"))
        }
        ("", "nodes", _) => own_node(attempt, node, new),
        ("coordination.k8s.io", "leases", _) if attempt.namespace != LEASES => {
            refuse(format!("can only access leases in the {LEASES:?} system namespace"))
        }
        ("coordination.k8s.io", "leases", _) if attempt.name != node => {
            refuse("can only access node lease with the same name as the requesting node".to_owned())
        }
        _ => Ok(()),
    }
}

/// Refuses requests for certificates that nobody like who asks may make.
pub(super) fn check_request(attempt: &Attempt<'_>, new: Option<&Object>) -> Result<(), Status> {
    let is_new = attempt.operation == Operation::Create
        && attempt.is_whole("certificates.k8s.io", "CertificateSigningRequest");
    let Some(request) = new.filter(|_| is_new) else { return Ok(()) };
    let refuse = |why: &str| Err(attempt.forbidden(why));
    let signer = request.text(&["spec", "signerName"]);
    let is_for_agents = matches!(signer, KUBELET_CLIENT | KUBELET_SERVING);
    let subject = || requests::subject(request.text(&["spec", "request"]));
    if let Some(node) = attempt.user.node() {
        if !is_for_agents {
            return refuse(&format!(
                "a node can only ask signers {KUBELET_CLIENT:?} and {KUBELET_SERVING:?}"
            ));
        }
        // What is no request at all is told by validation.
        if subject().is_some_and(|subject| subject.common_name != format!("{NODE_PREFIX}{node}")) {
            return refuse(&format!("can only create a node CSR with CN={NODE_PREFIX}{node}"));
        }
    } else if attempt.user.is_in(BOOTSTRAPPERS) && signer != KUBELET_CLIENT {
        return refuse(&format!("a bootstrap token can only ask signer {KUBELET_CLIENT:?}"));
    }
    if signer == CLIENT
        && subject().is_some_and(|subject| subject.organizations.iter().any(|group| group == MASTERS))
    {
        return refuse(&format!("use of {CLIENT} signer with {MASTERS} group is not allowed"));
    }
    Ok(())
}

/// Refuses what an agent may not do to an object without writing it: `object` is what it sent.
///
/// # Errors
/// 403 with the reason; 404 for a pod that is not there.
pub(crate) fn check_act(attempt: &Attempt<'_>, object: &Object) -> Result<(), Status> {
    let Some(node) = attempt.user.node() else { return Ok(()) };
    let refuse = |why: String| Err(attempt.forbidden(&why));
    match (&*attempt.resource.group, &*attempt.resource.plural, attempt.subresource) {
        ("", "serviceaccounts", "token") => token(attempt, node, object),
        ("", "pods", "eviction") => match runs_on(&existing(attempt, attempt.name)?, node) {
            true => Ok(()),
            false => refuse(format!("node {node} can only evict pods with spec.nodeName set to itself")),
        },
        ("", "pods", below) => {
            refuse(format!("unexpected pod subresource {below:?}, only 'status' and 'eviction' are allowed"))
        }
        _ => Ok(()),
    }
}

fn existing(attempt: &Attempt<'_>, name: &str) -> Result<Object, Status> {
    let row = api::Resource::builtin("", "v1", "pods");
    let found = attempt.state.get(row.key(attempt.namespace, name).as_str());
    let pod = found.and_then(|found| Object::read(&found.bytes.to_bytes(), &row).ok());
    pod.ok_or_else(|| Status::not_found(row.group_resource(), name))
}

fn runs_on(pod: &Object, node: &str) -> bool {
    pod.text(&["spec", "nodeName"]) == node
}

fn pod(attempt: &Attempt<'_>, node: &str, new: Option<&Object>) -> Result<(), Status> {
    let refuse = |why: String| Err(attempt.forbidden(&why));
    match (attempt.operation, new) {
        (Operation::Create, Some(pod)) => mirror(attempt, node, pod),
        (Operation::Delete, _) if runs_on(&existing(attempt, attempt.name)?, node) => Ok(()),
        (Operation::Delete, _) => {
            refuse(format!("node {node:?} can only delete pods with spec.nodeName set to itself"))
        }
        _ => refuse(format!(
            "unexpected operation \"UPDATE\", node {node:?} can only create and delete mirror pods"
        )),
    }
}

/// A pod that a node runs on its own may be shown, as long as it opens nothing else.
fn mirror(attempt: &Attempt<'_>, node: &str, pod: &Object) -> Result<(), Status> {
    let refuse = |why: String| Err(attempt.forbidden(&why));
    if !pod.meta.annotations.contains_key(MIRROR) {
        return refuse(format!(
            "pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"
        ));
    }
    if !runs_on(pod, node) {
        return refuse(format!("node {node:?} can only create pods with spec.nodeName set to itself"));
    }
    let owner = match &*pod.meta.owner_references {
        [owner] => owner,
        [] => {
            return refuse(format!(
                "node {node:?} can only create pods with an owner reference set to itself"
            ));
        }
        _ => {
            return refuse(format!(
                "node {node:?} can only create pods with a single owner reference set to itself"
            ));
        }
    };
    if (&owner["apiVersion"], &owner["kind"], &owner["name"]) != (&"v1".into(), &"Node".into(), &node.into())
    {
        return refuse(format!("node {node:?} can only create pods with an owner reference set to itself"));
    }
    if owner["controller"] != true {
        let why = "can only create pods with a controller owner reference set to itself";
        return refuse(format!("node {node:?} {why}"));
    }
    if owner["blockOwnerDeletion"] == true {
        return refuse(format!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
    }
    let found = attempt.state.get(Key::object("", "nodes", "", node).as_str());
    let nodes = api::GroupResource { group: "", resource: "nodes" };
    let uid = &found.ok_or_else(|| Status::not_found(nodes, node))?.meta.uid;
    if owner["uid"] != **uid {
        let claimed = owner["uid"].as_str().unwrap_or_default();
        return refuse(format!("node {node} UID mismatch: expected {claimed} got {uid}"));
    }
    match references(pod) {
        Some(what) => refuse(format!("node {node:?} can not create pods that reference {what}")),
        None => Ok(()),
    }
}

/// What of the API a pod refers to.
fn references(pod: &Object) -> Option<&'static str> {
    let list = |of: &Value, field: &str| of[field].as_array().cloned().unwrap_or_default();
    let spec = pod.fields.get("spec").cloned().unwrap_or_default();
    if !pod.text(&["spec", "serviceAccountName"]).is_empty() {
        return Some("serviceaccounts");
    }
    if !pods::secrets(pod).is_empty() {
        return Some("secrets");
    }
    if !pods::config_maps(pod).is_empty() {
        return Some("configmaps");
    }
    if !list(&spec, "resourceClaims").is_empty() {
        return Some("resourceclaims");
    }
    const VOLUMES: &[(&str, &str)] = &[
        ("csi", "csidrivers (via CSI volumes)"),
        ("glusterfs", "endpoints (via glusterFS volumes)"),
        ("persistentVolumeClaim", "persistentvolumeclaims"),
        ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
        ("azureFile", "secrets (via azureFile volumes)"),
    ];
    const PROJECTED: &[(&str, &str)] = &[
        ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
        ("clusterTrustBundle", "clustertrustbundles"),
        ("podCertificate", "podcertificates"),
    ];
    let within = |table: &[(&str, &'static str)], of: &Value| {
        table.iter().find(|(field, _)| of[*field].is_object()).map(|(_, what)| *what)
    };
    list(&spec, "volumes").iter().find_map(|volume| {
        let sources = list(&volume["projected"], "sources");
        within(VOLUMES, volume).or_else(|| sources.iter().find_map(|source| within(PROJECTED, source)))
    })
}

fn pod_status(attempt: &Attempt<'_>, node: &str, new: Option<&Object>) -> Result<(), Status> {
    let refuse = |why: String| Err(attempt.forbidden(&why));
    let (Some(old), Some(new)) = (attempt.old, new) else { return Ok(()) };
    if !runs_on(old, node) {
        return refuse(format!(
            "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
        ));
    }
    if old.meta.labels != new.meta.labels {
        return refuse(format!("node {node:?} cannot update labels through pod status"));
    }
    let of = |pod: &Object, field: &str| pod.fields.get("status").map(|status| status[field].clone());
    let kept = [
        ("resourceClaimStatuses", "resource claim statues"),
        ("extendedResourceClaimStatus", "extended resource claim status"),
        ("nodeAllocatableResourceClaimStatuses", "node allocatable resource claim statuses"),
    ];
    match kept
        .iter()
        .find(|(field, _)| of(old, field).unwrap_or_default() != of(new, field).unwrap_or_default())
    {
        Some((_, what)) => refuse(format!("node {node:?} cannot update {what}")),
        None => Ok(()),
    }
}

fn own_node(attempt: &Attempt<'_>, node: &str, new: Option<&Object>) -> Result<(), Status> {
    let refuse = |why: String| Err(attempt.forbidden(&why));
    if attempt.name != node {
        return refuse(format!("node {node:?} is not allowed to modify node {:?}", attempt.name));
    }
    let Some(new) = new else { return Ok(()) };
    let of = |object: &Object, field: &str| object.spec().and_then(|spec| spec.get(field)).cloned();
    let source = of(new, "configSource");
    let Some(old) = attempt.old else {
        if source.is_some() {
            return refuse(format!(
                "node {node:?} is not allowed to create pods with a non-nil configSource"
            ));
        }
        let forbidden = forbidden_labels(&new.meta.labels, &BTreeMap::new());
        return match forbidden.is_empty() {
            true => Ok(()),
            false => refuse(format!("node {node:?} is not allowed to set the following labels: {forbidden}")),
        };
    };
    if source.is_some() && source != of(old, "configSource") {
        return refuse(format!(
            "node {node:?} is not allowed to update configSource to a new non-nil configSource"
        ));
    }
    let taints = |object: &Object| of(object, "taints").filter(|taints| *taints != serde_json::json!([]));
    if taints(new) != taints(old) {
        return refuse(format!("node {node:?} is not allowed to modify taints"));
    }
    if new.meta.owner_references != old.meta.owner_references {
        return refuse(format!("node {node:?} is not allowed to modify ownerReferences"));
    }
    let forbidden = forbidden_labels(&new.meta.labels, &old.meta.labels);
    if forbidden.is_empty() {
        Ok(())
    } else {
        refuse(format!("is not allowed to modify labels: {forbidden}"))
    }
}

/// The labels that differ and that a node may not set, as texts list them.
fn forbidden_labels(new: &BTreeMap<String, String>, old: &BTreeMap<String, String>) -> String {
    let both: BTreeSet<&str> = new.keys().chain(old.keys()).map(String::as_str).collect();
    let changed = both.into_iter().filter(|label| new.get(*label) != old.get(*label));
    changed.filter(|label| is_forbidden(label)).collect::<Vec<_>>().join(", ")
}

fn is_forbidden(label: &str) -> bool {
    let prefix = label.split_once('/').map_or("", |(prefix, _)| prefix);
    let is_in = |of: &str| prefix == of || prefix.strip_suffix(of).is_some_and(|rest| rest.ends_with('.'));
    let is_kubernetes = is_in("kubernetes.io") || is_in("k8s.io");
    let is_kubelets = KUBELET_LABELS.contains(&label) || KUBELET_PREFIXES.iter().any(|of| is_in(of));
    is_in(RESTRICTED_PREFIX) || is_kubernetes && !is_kubelets
}

/// A token is for a pod that runs there, and for whom the pod says.
fn token(attempt: &Attempt<'_>, node: &str, request: &Object) -> Result<(), Status> {
    let refuse = |why: &str| Err(attempt.forbidden(why));
    let text = |field: &str| request.text(&["spec", "boundObjectRef", field]);
    if (text("apiVersion"), text("kind")) != ("v1", "Pod") || text("name").is_empty() {
        return refuse("node requested token not bound to a pod");
    }
    if text("uid").is_empty() {
        return refuse("node requested token with a pod binding without a uid");
    }
    let pod = existing(attempt, text("name"))?;
    if pod.meta.uid != text("uid") {
        return refuse(&format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been \
             deleted and then recreated",
            text("uid")
        ));
    }
    if !runs_on(&pod, node) {
        return refuse("node requested token bound to a pod scheduled on a different node");
    }
    let audiences: Vec<&str> = request
        .spec()
        .and_then(|spec| spec.get("audiences"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let audience = match &*audiences {
        [] => "",
        [one] => one,
        _ => return refuse("node may only request 0 or 1 audiences"),
    };
    if names_audience(&pod, audience) {
        return Ok(());
    }
    let who = &attempt.user.name;
    refuse(&format!("{who} is not authorized to request tokens for audience {audience:?}"))
}

/// Whether a volume of the pod wants a token for this audience.
fn names_audience(pod: &Object, audience: &str) -> bool {
    let spec = pod.fields.get("spec").unwrap_or(&Value::Null);
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    let sources = volumes.flat_map(|volume| volume["projected"]["sources"].as_array().into_iter().flatten());
    let mut tokens = sources.filter_map(|source| source.get("serviceAccountToken"));
    tokens.any(|token| token["audience"].as_str().unwrap_or_default() == audience)
}

#[cfg(test)]
mod tests {
    use super::is_forbidden;

    #[test]
    fn labels_that_a_node_may_not_set() {
        let cases = [
            ("app", false),
            ("example.com/app", false),
            ("kubernetes.io/hostname", false),
            ("topology.kubernetes.io/zone", false),
            ("node.kubernetes.io/anything", false),
            ("x.kubelet.kubernetes.io/anything", false),
            ("kubernetes.io/other", true),
            ("node-role.kubernetes.io/control-plane", true),
            ("a.k8s.io/b", true),
            ("notk8s.io/b", false),
            ("node-restriction.kubernetes.io/a", true),
            ("a.node-restriction.kubernetes.io/b", true),
        ];
        for (label, expect) in cases {
            assert_eq!(is_forbidden(label), expect, "{label}");
        }
    }
}
