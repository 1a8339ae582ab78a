//! What the agent of a node may do: what every node needs, and of the rest what its own pods refer to.
//!
//! The reasons are those of Kubernetes' node authorizer. Unlike there every node may read all Nodes and all
//! EndpointSlices: one agent is kubelet and service proxy, and routes to the other nodes' pods. What it may write of
//! what it may reach is up to `src/apiserver/chain/admission/node_restriction.rs`.

use api::Key;
use state::State;

use super::pods::{self, Referred};
use super::{CERTIFICATES, Denied, Rule, Scope};
use crate::request::{ResourcePath, Target};

/// What all nodes may do alike.
static RULES: &[Rule] = &[
    Rule {
        subjects: &[],
        verbs: &["create"],
        on: Scope::Resources(&["authentication.k8s.io"], &["tokenreviews"]),
    },
    Rule {
        subjects: &[],
        verbs: &["create"],
        on: Scope::Resources(
            &["authorization.k8s.io"],
            &["subjectaccessreviews", "localsubjectaccessreviews"],
        ),
    },
    Rule { subjects: &[], verbs: READ, on: Scope::Resources(&[""], &["nodes", "services"]) },
    Rule { subjects: &[], verbs: READ, on: Scope::Resources(&["discovery.k8s.io"], &["endpointslices"]) },
    Rule { subjects: &[], verbs: READ, on: Scope::Resources(&["node.k8s.io"], &["runtimeclasses"]) },
    Rule { subjects: &[], verbs: &["create", "update", "patch"], on: Scope::Resources(&[""], &["nodes"]) },
    Rule { subjects: &[], verbs: &["update", "patch"], on: Scope::Resources(&[""], &["nodes/status"]) },
    Rule {
        subjects: &[],
        verbs: &["create", "update", "patch"],
        on: Scope::Resources(&["", "events.k8s.io"], &["events"]),
    },
    Rule {
        subjects: &[],
        verbs: &["create"],
        on: Scope::Resources(&[CERTIFICATES], &["certificatesigningrequests"]),
    },
];

const READ: &[&str] = &["get", "list", "watch"];

/// A question about one resource.
struct Question<'q> {
    node: &'q str,
    verb: &'q str,
    path: &'q ResourcePath,
    target: &'q Target,
    state: &'q State,
}

/// Decides whether the agent of `node` may do this.
pub(super) fn decide(node: &str, target: &Target, state: &State) -> Result<(), Denied> {
    let by_rule = || match RULES.iter().any(|rule| rule.allows(target)) {
        true => Ok(()),
        false => Err(Denied::default()),
    };
    let Some(path) = &target.resource else { return by_rule() };
    let asked = Question { node, verb: &target.verb, path, target, state };
    match (&*path.group, &*path.resource) {
        ("", "secrets") => asked.read(Referred::Secret),
        ("", "configmaps") => asked.read(Referred::ConfigMap),
        ("", "persistentvolumeclaims") => asked.get(Referred::Claim),
        ("", "persistentvolumes") => asked.get(Referred::Volume),
        ("", "serviceaccounts") => asked.service_account(),
        ("", "pods") => asked.pod(),
        ("coordination.k8s.io", "leases") => asked.lease(),
        _ => by_rule(),
    }
}

impl Question<'_> {
    /// Reads of an object that a pod of the node refers to.
    fn read(&self, kind: Referred) -> Result<(), Denied> {
        let why = match () {
            () if !READ.contains(&self.verb) => "can only read resources of this type",
            () if !self.path.subresource.is_empty() => "cannot read subresource",
            () if self.path.namespace.is_empty() => "can only read namespaced object of this type",
            () => return self.referred(kind),
        };
        Err(Denied::settled(why))
    }

    /// The same of one at a time alone.
    fn get(&self, kind: Referred) -> Result<(), Denied> {
        let why = match () {
            () if self.verb != "get" => "can only get individual resources of this type",
            () if !self.path.subresource.is_empty() => "cannot get subresource",
            () => return self.referred(kind),
        };
        Err(Denied::settled(why))
    }

    fn referred(&self, kind: Referred) -> Result<(), Denied> {
        let name = self.target.name();
        if name.is_empty() {
            return Err(Denied::settled("No Object name found"));
        }
        if pods::refer(self.state, self.node, kind, &self.path.namespace, name) {
            return Ok(());
        }
        Err(self.unrelated())
    }

    fn unrelated(&self) -> Denied {
        Denied::missing(format!("no relationship found between node '{}' and this object", self.node))
    }

    /// Accounts are read, and tokens made, for pods that run there.
    fn service_account(&self) -> Result<(), Denied> {
        let why = match (self.verb, &*self.path.subresource) {
            ("get", "") => return self.read(Referred::ServiceAccount),
            ("create", _) if self.path.name.is_empty() => {
                "can only create tokens for individual service accounts"
            }
            ("create", "token") => return self.referred(Referred::ServiceAccount),
            ("create", _) => "can only create token subresource of serviceaccount",
            _ => "can only create tokens for individual service accounts",
        };
        Err(Denied::settled(why))
    }

    fn pod(&self) -> Result<(), Denied> {
        let is_own = || {
            let key = Key::object("", "pods", &self.path.namespace, self.target.name());
            let found = self.state.get(key.as_str());
            let runs_here = found.is_some_and(|pod| pod.view().at(&["spec", "nodeName"]).is(self.node));
            if runs_here { Ok(()) } else { Err(self.unrelated()) }
        };
        match (&*self.path.subresource, self.verb) {
            ("", "get") => is_own(),
            ("", "list" | "watch") if self.target.field("spec.nodeName") == Some(self.node) => Ok(()),
            ("", "list" | "watch") if !self.target.name().is_empty() => is_own(),
            ("", "list" | "watch") => {
                Err(Denied::settled("can only list/watch pods with spec.nodeName field selector"))
            }
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => Err(Denied::default()),
        }
    }

    fn lease(&self) -> Result<(), Denied> {
        const NAMESPACE: &str = "kube-node-lease";
        if !matches!(self.verb, "get" | "create" | "update" | "patch" | "delete") {
            return Err(Denied::settled("can only get, create, update, patch, or delete a node lease"));
        }
        if self.path.namespace != NAMESPACE {
            return Err(Denied::settled(format!(
                "can only access leases in the {NAMESPACE:?} system namespace"
            )));
        }
        if self.verb != "create" && self.path.name != self.node {
            let why = "can only access node lease with the same name as the requesting node";
            return Err(Denied::settled(why));
        }
        Ok(())
    }
}
