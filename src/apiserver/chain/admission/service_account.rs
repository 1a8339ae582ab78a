//! `ServiceAccount`: a pod acts as some account, and finds that account's token in a volume unless it wants none.

use std::sync::{Arc, LazyLock};

use api::object::member;
use api::{Object, Resource, Status};
use serde_json::{Map, Value, json};

use super::{Attempt, Operation};
use crate::verbs::create::generate;

static ACCOUNTS: LazyLock<Arc<Resource>> = LazyLock::new(|| Resource::builtin("", "v1", "serviceaccounts"));

/// What acts as nobody in particular acts as this.
const DEFAULT: &str = "default";

/// Where a container finds the token.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How the volume's name begins.
const VOLUME: &str = "kube-api-access-";

/// How long the token is to live, in seconds: Kubernetes' hour and a bit, by which it tells those apart that it made.
const TOKEN_SECONDS: u64 = 3607;

/// Marks what a node made of a file of its own.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Gives a new pod its account, and the account's token.
pub(super) fn fill(attempt: &Attempt<'_>, pod: &mut Object) -> Result<(), Status> {
    if attempt.operation != Operation::Create || !attempt.is_whole("", "Pod") {
        return Ok(());
    }
    if pod.meta.annotations.contains_key(MIRROR) {
        return Ok(());
    }
    if pod.text(&["spec", "serviceAccountName"]).is_empty() {
        let spec = member(&mut pod.fields, "spec");
        spec.insert("serviceAccountName".to_owned(), DEFAULT.into());
        spec.insert("serviceAccount".to_owned(), DEFAULT.into());
    }
    let name = pod.text(&["spec", "serviceAccountName"]).to_owned();
    let account = account(attempt, &name)?;
    let spec = member(&mut pod.fields, "spec");
    if mounts(spec, &account) {
        mount(spec);
    }
    let own = spec.get("imagePullSecrets").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    if let Some(secrets) = account.fields.get("imagePullSecrets").filter(|_| !own) {
        spec.insert("imagePullSecrets".to_owned(), secrets.clone());
    }
    Ok(())
}

fn account(attempt: &Attempt<'_>, name: &str) -> Result<Object, Status> {
    let found = attempt.state.get(ACCOUNTS.key(attempt.namespace, name).as_str());
    let read = found.and_then(|found| Object::read(&found.bytes.to_bytes(), &ACCOUNTS).ok());
    read.ok_or_else(|| {
        let namespace = attempt.namespace;
        attempt.forbidden(&format!(
            "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
        ))
    })
}

/// Whether the pod wants a token: as it says, or as its account says, or yes.
fn mounts(spec: &Map<String, Value>, account: &Object) -> bool {
    let said = |value: Option<&Value>| value.and_then(Value::as_bool);
    let of_pod = said(spec.get("automountServiceAccountToken"));
    of_pod.or_else(|| said(account.fields.get("automountServiceAccountToken"))).unwrap_or(true)
}

fn mount(spec: &mut Map<String, Value>) {
    let volumes = spec.get("volumes").and_then(Value::as_array).into_iter().flatten();
    let names: Vec<String> =
        volumes.filter_map(|volume| volume["name"].as_str().map(str::to_owned)).collect();
    let known = names.iter().find(|name| name.starts_with(VOLUME)).cloned();
    let volume = known.clone().unwrap_or_else(|| generate(VOLUME));
    let mut is_needed = false;
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for container in containers.filter_map(Value::as_object_mut) {
            let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
            let Some(mounts) = mounts.as_array_mut() else { continue };
            if !mounts.iter().any(|mount| mount["mountPath"] == MOUNT_PATH) {
                mounts.push(json!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH}));
                is_needed = true;
            }
        }
    }
    if is_needed && known.is_none() {
        let volumes = spec.entry("volumes").or_insert_with(|| json!([]));
        if let Some(volumes) = volumes.as_array_mut() {
            volumes.push(json!({"name": volume, "projected": sources()}));
        }
    }
}

/// The token, whom to believe, and the namespace.
fn sources() -> Value {
    json!({
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
            ]}},
        ],
        "defaultMode": 420,
    })
}
