//! Volumes, and claims of them, stay for as long as they are used: a finalizer keeps each from its beginning, and the
//! leader takes it away when the object is going and nobody uses it.

use std::sync::{Arc, LazyLock};

use api::{Object, Resource, Status};
use serde_json::Value;
use state::{Guard, State, Write};

use crate::chain::admission::{Attempt, Operation};
use crate::namespaces::Step;
use crate::verbs::write::put;

/// A kind that is kept.
pub(crate) struct Protected {
    pub(crate) row: LazyLock<Arc<Resource>>,
    pub(crate) actor: &'static str,
    finalizer: &'static str,
    /// Whether the object is used; what says that it is not.
    used: fn(&State, &Object) -> Use,
}

enum Use {
    Used,
    Unused(Vec<Guard>),
}

pub(crate) static CLAIMS: Protected = Protected {
    row: LazyLock::new(|| Resource::builtin("", "v1", "persistentvolumeclaims")),
    actor: "system:serviceaccount:kube-system:pvc-protection-controller",
    finalizer: "kubernetes.io/pvc-protection",
    used: is_claimed,
};

pub(crate) static VOLUMES: Protected = Protected {
    row: LazyLock::new(|| Resource::builtin("", "v1", "persistentvolumes")),
    actor: "system:serviceaccount:kube-system:pv-protection-controller",
    finalizer: "kubernetes.io/pv-protection",
    used: |_, volume| match volume.text(&["status", "phase"]) {
        "Bound" => Use::Used,
        _ => Use::Unused(Vec::new()),
    },
};

static PODS: LazyLock<Arc<Resource>> = LazyLock::new(|| Resource::builtin("", "v1", "pods"));

/// Keeps a new volume or claim.
pub(crate) fn keep(attempt: &Attempt<'_>, object: &mut Object) -> Result<(), Status> {
    let kept = [&CLAIMS, &VOLUMES].into_iter().find(|kept| kept.is_of(attempt.resource));
    let Some(kept) = kept.filter(|_| attempt.operation == Operation::Create) else { return Ok(()) };
    if !object.meta.finalizers.iter().any(|name| name == kept.finalizer) {
        object.meta.finalizers.push(kept.finalizer.to_owned());
    }
    Ok(())
}

impl Protected {
    fn is_of(&self, row: &Resource) -> bool {
        (&row.group, &row.kind) == (&self.row.group, &self.row.kind)
    }

    /// The keys of those that are going.
    pub(crate) fn waiting(&self, state: &State) -> Vec<String> {
        let all = state.range(&self.row.prefix(""));
        all.filter(|found| found.meta.deleting).map(|found| found.key.as_str().to_owned()).collect()
    }

    /// Lets go of the one with this key, if nobody uses it.
    pub(crate) fn plan(&self, state: &State, key: &str) -> Option<Step> {
        let found = state.get(key)?;
        let mut object = Object::read(&found.bytes.to_bytes(), &self.row).ok()?;
        let before = object.meta.finalizers.len();
        object.meta.finalizers.retain(|name| name != self.finalizer);
        if object.meta.finalizers.len() == before {
            return None;
        }
        let Use::Unused(mut guards) = (self.used)(state, &object) else { return None };
        let key = found.key.clone();
        guards.push(Guard::AtRevision { key: key.clone(), revision: found.revision });
        let is_held = !object.meta.finalizers.is_empty();
        let write = if is_held { put(key, &object.prepare(&self.row)) } else { Write::Delete { key } };
        Some(Step { guards, writes: vec![write] })
    }
}

/// Whether a pod that has a node names the claim.
fn is_claimed(state: &State, claim: &Object) -> Use {
    let prefix = PODS.prefix(&claim.meta.namespace);
    let mut pods = state.range(&prefix).filter_map(|found| Object::read(&found.bytes.to_bytes(), &PODS).ok());
    if pods.any(|pod| !pod.text(&["spec", "nodeName"]).is_empty() && claims(&pod, &claim.meta.name)) {
        return Use::Used;
    }
    Use::Unused(vec![Guard::Unwritten { prefix, since: state.revision() }])
}

fn claims(pod: &Object, claim: &str) -> bool {
    let volumes = pod.spec().and_then(|spec| spec.get("volumes")).and_then(Value::as_array);
    volumes.into_iter().flatten().any(|volume| {
        let own = || volume["name"].as_str().map(|name| format!("{}-{name}", pod.meta.name));
        volume["persistentVolumeClaim"]["claimName"] == claim
            || volume.get("ephemeral").is_some() && own().is_some_and(|name| name == claim)
    })
}
