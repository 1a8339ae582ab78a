//! What the pods of a node refer to: so much of the rest of the cluster its agent needs.

use api::{Key, Object, Resource};
use serde_json::Value;
use state::State;

/// Marks pods that only show what a node runs on its own. They refer to nothing: a node must not be able to open the
/// cluster to itself by making one.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";

/// Lists of containers in the spec of a pod.
const CONTAINERS: &[&str] = &["containers", "ephemeralContainers", "initContainers"];

/// Fields of a CSI volume that name Secrets which its node needs.
const NODE_SECRETS: &[&str] = &["nodeExpandSecretRef", "nodePublishSecretRef", "nodeStageSecretRef"];

/// What kind of object is referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Referred {
    /// A PersistentVolumeClaim.
    Claim,
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
    /// A ServiceAccount.
    ServiceAccount,
    /// A PersistentVolume, which has no namespace.
    Volume,
}

/// Whether a pod of `node` refers to the object of this name, directly or through its claims.
pub(crate) fn refer(state: &State, node: &str, kind: Referred, namespace: &str, name: &str) -> bool {
    if kind == Referred::Volume {
        let claim = volume(state, name).and_then(|volume| {
            let of = |field: &str| volume.text(&["spec", "claimRef", field]).to_owned();
            Some((of("namespace"), of("name"))).filter(|(_, name)| !name.is_empty())
        });
        return claim.is_some_and(|(within, claim)| refer(state, node, Referred::Claim, &within, &claim));
    }
    of_node(state, node, namespace).any(|pod| match kind {
        Referred::Claim => claims(&pod).any(|claim| claim == name),
        Referred::ConfigMap => config_maps(&pod).contains(&name),
        Referred::Secret => {
            secrets(&pod).contains(&name)
                || claims(&pod).any(|claim| volume_needs_secret(state, namespace, &claim, name))
        }
        Referred::ServiceAccount => pod.text(&["spec", "serviceAccountName"]) == name,
        Referred::Volume => false,
    })
}

/// The pods of a namespace that a node runs, but for mirrors. Looks at each pod of the namespace as long as nobody
/// keeps an index of them.
fn of_node<'s>(state: &'s State, node: &'s str, namespace: &str) -> impl Iterator<Item = Object> + use<'s> {
    let row = Resource::builtin("", "v1", "pods");
    let prefix = row.prefix(namespace);
    let found: Vec<_> =
        state.range(&prefix).filter(|found| found.view().at(&["spec", "nodeName"]).is(node)).collect();
    let pods = found.into_iter().filter_map(move |found| Object::read(&found.bytes.to_bytes(), &row).ok());
    pods.filter(|pod| !pod.meta.annotations.contains_key(MIRROR))
}

fn items<'v>(of: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    of[field].as_array().into_iter().flatten()
}

fn spec(pod: &Object) -> &Value {
    pod.fields.get("spec").unwrap_or(&Value::Null)
}

/// The variables of all containers, each alone and in sets: names in `valueFrom.FIELD` and `SET`.
fn in_variables<'p>(
    pod: &'p Object,
    field: &'static str,
    set: &'static str,
) -> impl Iterator<Item = &'p str> {
    let containers = CONTAINERS.iter().flat_map(|list| items(spec(pod), list));
    let named = containers.flat_map(move |container| {
        let single = items(container, "env").map(move |one| &one["valueFrom"][field]["name"]);
        single.chain(items(container, "envFrom").map(move |one| &one[set]["name"]))
    });
    named.filter_map(Value::as_str)
}

/// Names of Secrets that a pod refers to.
pub(crate) fn secrets(pod: &Object) -> Vec<&str> {
    let pulls = items(spec(pod), "imagePullSecrets").filter_map(|one| one["name"].as_str());
    let variables = in_variables(pod, "secretKeyRef", "secretRef");
    pulls.chain(variables).chain(items(spec(pod), "volumes").flat_map(volume_secrets)).collect()
}

/// Of whatever sort the volume is, a Secret is named in one of these ways.
fn volume_secrets(volume: &Value) -> impl Iterator<Item = &str> {
    let sources = volume.as_object().into_iter().flatten().map(|(_, source)| source);
    let direct = sources.flat_map(|source| {
        [&source["secretName"], &source["secretRef"]["name"], &source["nodePublishSecretRef"]["name"]]
    });
    let projected = items(&volume["projected"], "sources").map(|source| &source["secret"]["name"]);
    direct.chain(projected).filter_map(Value::as_str)
}

/// Names of ConfigMaps that a pod refers to.
pub(crate) fn config_maps(pod: &Object) -> Vec<&str> {
    let volumes = items(spec(pod), "volumes").flat_map(|volume| {
        let projected = items(&volume["projected"], "sources").map(|source| &source["configMap"]["name"]);
        projected.chain([&volume["configMap"]["name"]])
    });
    in_variables(pod, "configMapKeyRef", "configMapRef").chain(volumes.filter_map(Value::as_str)).collect()
}

/// Names of the claims of a pod: those it names, and those made for it alone.
fn claims(pod: &Object) -> impl Iterator<Item = String> {
    items(spec(pod), "volumes").filter_map(|volume| {
        let named = volume["persistentVolumeClaim"]["claimName"].as_str().map(str::to_owned);
        let own = || format!("{}-{}", pod.meta.name, volume["name"].as_str().unwrap_or_default());
        named.or_else(|| volume["ephemeral"].is_object().then(own))
    })
}

fn volume(state: &State, name: &str) -> Option<Object> {
    let found = state.get(Key::object("", "persistentvolumes", "", name).as_str())?;
    Object::read(&found.bytes.to_bytes(), &Resource::builtin("", "v1", "persistentvolumes")).ok()
}

/// Whether the volume behind a claim is reached with a Secret of the claim's namespace.
fn volume_needs_secret(state: &State, namespace: &str, claim: &str, secret: &str) -> bool {
    let key = Key::object("", "persistentvolumeclaims", namespace, claim);
    let Some(claim) = state.get(key.as_str()) else { return false };
    let bound = claim.view().at(&["spec", "volumeName"]).text().into_owned();
    let Some(volume) = volume(state, &bound) else { return false };
    let sources = spec(&volume).as_object().into_iter().flatten().map(|(_, source)| source);
    let references =
        sources.flat_map(|source| NODE_SECRETS.iter().chain(&["secretRef"]).map(|field| &source[*field]));
    // One without a namespace is in the claim's.
    references.into_iter().any(|reference| {
        reference["name"] == secret && reference["namespace"].as_str().unwrap_or(namespace) == namespace
    })
}
