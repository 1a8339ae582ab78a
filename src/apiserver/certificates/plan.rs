//! What comes next for a request: Kubernetes' rules, and one more for what agents serve with.

use std::net::IpAddr;
use std::time::Duration;

use api::kinds::certificate_signing_request::{Subject, subject};
use api::{Key, Object, Resource};
use raft::transport::tls::PEER_ORGANIZATION;
use serde_json::Value;
use state::State;

use super::order::{Order, Usage};
use super::row;
use crate::chain::authorize;
use crate::request::{ResourcePath, Target};
use crate::user::{MASTERS, NODE_PREFIX, NODES, User};

/// What is done about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is approved, for this reason.
    Approve {
        /// What the condition says.
        message: String,
    },
    /// It can never be signed.
    Fail {
        /// What is wrong with it.
        message: String,
    },
    /// It is signed.
    Sign(Order),
}

/// What the certificates of a signer are like.
struct Profile {
    signer: &'static str,
    /// Whether a subject fits, with the usages that are asked for.
    check: fn(&Subject, &[&str]) -> Result<(), String>,
}

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";

/// The signers whose certificates the cluster's authority signs.
static PROFILES: &[Profile] = &[
    Profile { signer: CLIENT, check: check_client },
    Profile { signer: KUBELET_CLIENT, check: check_kubelet_client },
    Profile { signer: KUBELET_SERVING, check: check_kubelet_serving },
];

/// Decides what comes next for the request of this name; `None`: nothing, or nothing here.
pub fn plan(state: &State, name: &str) -> Option<Decision> {
    let row = row();
    let found = state.get(row.key("", name).as_str())?;
    // Most are done, and not worth more than a glance.
    if found.view().at(&["status", "certificate"]).is_there() {
        return None;
    }
    let request = Object::read(&found.bytes.to_bytes(), &row).ok()?;
    if found.meta.deleting || has_condition(&request, "Denied") || has_condition(&request, "Failed") {
        return None;
    }
    let signer = request.text(&["spec", "signerName"]);
    let profile = PROFILES.iter().find(|profile| profile.signer == signer)?;
    let usages = texts(&request, "usages");
    let subject = subject(request.text(&["spec", "request"]));
    let checked = match &subject {
        None => Err("the request holds no readable subject".to_owned()),
        Some(subject) => (profile.check)(subject, &usages).and_then(|()| check_ours(subject)),
    };
    match (has_condition(&request, "Approved"), checked, subject) {
        (true, Err(message), _) => Some(Decision::Fail { message }),
        (true, Ok(()), Some(subject)) => Some(Decision::Sign(order(&request, &usages, subject))),
        (false, Ok(()), Some(subject)) => approve(state, &request, &subject),
        _ => None,
    }
}

fn has_condition(request: &Object, kind: &str) -> bool {
    let conditions = request.fields.get("status").and_then(|status| status.get("conditions"));
    let mut conditions = conditions.and_then(Value::as_array).into_iter().flatten();
    conditions.any(|condition| condition["type"] == kind && condition["status"] == "True")
}

fn texts<'o>(request: &'o Object, field: &str) -> Vec<&'o str> {
    let list = request.spec().and_then(|spec| spec.get(field)).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn order(request: &Object, usages: &[&str], subject: Subject) -> Order {
    let seconds = request.spec().and_then(|spec| spec.get("expirationSeconds")).and_then(Value::as_u64);
    Order {
        request: subject.der,
        usages: usages.iter().filter_map(|usage| Usage::parse(usage)).collect(),
        lifetime: seconds.map(Duration::from_secs),
    }
}

/// Approves what agents may ask for themselves.
fn approve(state: &State, request: &Object, subject: &Subject) -> Option<Decision> {
    let who = User {
        name: request.text(&["spec", "username"]).to_owned(),
        groups: texts(request, "groups").into_iter().map(str::to_owned).collect(),
        ..User::default()
    };
    let may = |below: &str| authorize::is_allowed(&who, &permission(below), state);
    let is_own = who.name == subject.common_name;
    let what = match request.text(&["spec", "signerName"]) {
        KUBELET_CLIENT if is_own && may("selfnodeclient") => {
            "Auto approving self kubelet client certificate after SubjectAccessReview."
        }
        KUBELET_CLIENT if may("nodeclient") => {
            "Auto approving kubelet client certificate after SubjectAccessReview."
        }
        KUBELET_SERVING if is_own && who.node().is_some_and(|node| is_reached(state, node, subject)) => {
            "Auto approving kubelet serving certificate for the node's own addresses."
        }
        _ => return None,
    };
    Some(Decision::Approve { message: what.to_owned() })
}

/// The right that makes a request approve itself.
fn permission(below: &str) -> Target {
    let path = ResourcePath {
        group: "certificates.k8s.io".to_owned(),
        version: "*".to_owned(),
        resource: "certificatesigningrequests".to_owned(),
        subresource: below.to_owned(),
        ..ResourcePath::default()
    };
    Target { verb: "create".into(), path: String::new(), resource: Some(path), fields: Vec::new() }
}

/// Whether a node is reached by all the names that it asks a certificate for.
fn is_reached(state: &State, node: &str, subject: &Subject) -> bool {
    let row = Resource::builtin("", "v1", "nodes");
    let found = state.get(Key::object("", "nodes", "", node).as_str());
    let Some(object) = found.and_then(|found| Object::read(&found.bytes.to_bytes(), &row).ok()) else {
        return false;
    };
    let addresses = object.fields.get("status").and_then(|status| status.get("addresses"));
    let addresses = addresses.and_then(Value::as_array).into_iter().flatten();
    let known: Vec<&str> = addresses.filter_map(|one| one["address"].as_str()).collect();
    let has_address = |address: &IpAddr| known.iter().any(|one| one.parse() == Ok(*address));
    let has_host = |host: &String| host == node || known.contains(&host.as_str());
    subject.addresses.iter().all(has_address) && subject.hosts.iter().all(has_host)
}

/// Certificates for any client: what they are for is all that is asked.
fn check_client(_: &Subject, usages: &[&str]) -> Result<(), String> {
    let odd =
        usages.iter().find(|usage| !["client auth", "digital signature", "key encipherment"].contains(usage));
    match odd {
        Some(odd) => Err(format!("invalid usage for client certificate: {odd}")),
        None if usages.contains(&"client auth") => Ok(()),
        None => Err("missing required usage for client certificate: client auth".to_owned()),
    }
}

fn check_kubelet_client(subject: &Subject, usages: &[&str]) -> Result<(), String> {
    check_nodes(subject)?;
    let why = match () {
        () if !subject.hosts.is_empty() => "DNS subjectAltNames are not allowed",
        () if subject.emails > 0 => "Email subjectAltNames are not allowed",
        () if !subject.addresses.is_empty() => "IP subjectAltNames are not allowed",
        () if subject.uris > 0 => "URI subjectAltNames are not allowed",
        () => return check_name(subject).and_then(|()| check_usages(usages, "client auth")),
    };
    Err(why.to_owned())
}

fn check_kubelet_serving(subject: &Subject, usages: &[&str]) -> Result<(), String> {
    check_nodes(subject)?;
    let why = match () {
        () if subject.hosts.is_empty() && subject.addresses.is_empty() => {
            "DNS or IP subjectAltName is required"
        }
        () if subject.emails > 0 => "Email subjectAltNames are not allowed",
        () if subject.uris > 0 => "URI subjectAltNames are not allowed",
        () => return check_usages(usages, "server auth").and_then(|()| check_name(subject)),
    };
    Err(why.to_owned())
}

fn check_nodes(subject: &Subject) -> Result<(), String> {
    match subject.organizations.as_slice() {
        [one] if one == NODES => Ok(()),
        _ => Err(format!("subject organization is not {NODES}")),
    }
}

fn check_name(subject: &Subject) -> Result<(), String> {
    match subject.common_name.starts_with(NODE_PREFIX) {
        true => Ok(()),
        false => Err(format!("subject common name does not begin with {NODE_PREFIX}")),
    }
}

/// Key encipherment is for RSA keys alone, and may be left out.
fn check_usages(usages: &[&str], purpose: &str) -> Result<(), String> {
    let required = [purpose, "digital signature", "key encipherment"];
    let has = |usage: &str| usages.contains(&usage);
    if usages.iter().all(|usage| required.contains(usage)) && has(purpose) && has("digital signature") {
        return Ok(());
    }
    let mut listed = required;
    listed.sort_unstable();
    Err(format!("usages did not match [{}]", listed.join(" ")))
}

/// The cluster has one authority: what it signs for clients must not let them in among the masters, whose peers
/// trust it too; and a subject that says something twice would be read in two ways.
fn check_ours(subject: &Subject) -> Result<(), String> {
    if let Some(group) =
        subject.organizations.iter().find(|one| [MASTERS, PEER_ORGANIZATION].contains(&one.as_str()))
    {
        return Err(format!("certificates for organization {group} are not signed on request"));
    }
    if subject.is_odd {
        return Err(
            "a subject that names something twice, or names of unknown sorts, are not signed".to_owned()
        );
    }
    Ok(())
}
