//! What the kubelet asks of the control plane, through the public API.

use std::sync::Arc;

use async_trait::async_trait;
use base::env;
use client::{Client, Patch, Repeat};
use k8s_openapi::api::core::v1::{PodStatus, Secret, Service};
use kubelet::PodKey;
use kubelet::outside::{ControlError, ControlPlane, Event};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::events;
use crate::store::Store;

/// Events that wait to be written; further ones are dropped.
const EVENTS_AHEAD_MAX: usize = 1_000;

/// The masters as one node's kubelet sees them.
pub struct Masters {
    client: Client,
    node: String,
    services: Arc<Store<Service>>,
    events: mpsc::Sender<(PodKey, Event)>,
}

impl Masters {
    /// Starts to write events.
    pub fn new(client: Client, node: &str, services: Arc<Store<Service>>) -> Self {
        let (events, waiting) = mpsc::channel(EVENTS_AHEAD_MAX);
        env::spawn(events::write(client.clone(), node.to_owned(), waiting));
        Self { client, node: node.to_owned(), services, events }
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ControlError> {
        let read = self.client.get(path).await.map_err(refused)?;
        serde_json::from_slice(&read)
            .map_err(|error| ControlError::Failed(format!("reading {path}: {error}")))
    }
}

fn refused(error: client::Error) -> ControlError {
    // An object that is another one by now is not there.
    if error.is_not_found() || error.is_conflict() {
        ControlError::NotFound(error.to_string())
    } else if matches!(error.code(), Some(400 | 403 | 422)) {
        ControlError::Refused(error.to_string())
    } else {
        ControlError::Failed(error.to_string())
    }
}

fn path(pod: &PodKey) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name)
}

/// Lists that masters would merge with what they have, by address. A pod that got another address has one all the same.
const REPLACED: [&str; 2] = ["hostIPs", "podIPs"];

/// What a condition says only while there is something to say.
const SAID: [&str; 2] = ["reason", "message"];

/// What makes a pod show this status. Conditions are merged by type, because others write some of their own: what one
/// said before has to be taken back.
fn status_patch(pod: &PodKey, status: &PodStatus) -> Value {
    let mut status = json!(status);
    for name in REPLACED {
        if let Some(list) = status.get_mut(name).and_then(Value::as_array_mut) {
            list.insert(0, json!({"$patch": "replace"}));
        }
    }
    let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten().filter_map(Value::as_object_mut) {
        for name in SAID {
            condition.entry(name).or_insert(Value::Null);
        }
    }
    json!({"metadata": {"uid": pod.uid}, "status": status})
}

#[async_trait]
impl ControlPlane for Masters {
    async fn patch_status(&self, pod: &PodKey, status: &PodStatus) -> Result<(), ControlError> {
        let path = format!("{}/status", path(pod));
        let patch = status_patch(pod, status).to_string();
        let patched = self.client.patch(&path, Patch::Strategic, patch, Repeat::Unknown).await;
        patched.map(drop).map_err(refused)
    }

    async fn confirm_deletion(&self, pod: &PodKey) -> Result<(), ControlError> {
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": pod.uid},
        });
        let deleted = self.client.delete(&path(pod), options.to_string(), Repeat::Unknown).await;
        match deleted.map_err(refused) {
            Err(ControlError::NotFound(_)) => Ok(()),
            other => other.map(drop),
        }
    }

    fn record_event(&self, pod: &PodKey, event: Event) {
        if self.events.try_send((pod.clone(), event)).is_err() {
            tracing::debug!(%pod, node = self.node, "an event was dropped: too many wait");
        }
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Secret, ControlError> {
        self.read(&format!("/api/v1/namespaces/{namespace}/secrets/{name}")).await
    }

    async fn services(&self, namespace: &str) -> Result<Vec<Service>, ControlError> {
        let is_seen = |service: &&Arc<Service>| {
            let within = service.metadata.namespace.as_deref();
            within == Some(namespace) || within == Some("default")
        };
        Ok(self.services.all().iter().filter(is_seen).map(|service| Service::clone(service)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_got_another_address_has_one() {
        let key = PodKey { namespace: "n".to_owned(), name: "p".to_owned(), uid: "u".to_owned() };
        let status = json!({
            "podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.2"}], "conditions": [{"type": "Ready", "status": "True"}],
        });
        let status: PodStatus = serde_json::from_value(status).expect("a status");
        let patch = status_patch(&key, &status);
        assert_eq!(patch["metadata"]["uid"], "u");
        assert_eq!(patch["status"]["podIPs"], json!([{"$patch": "replace"}, {"ip": "10.0.0.2"}]));
        assert_eq!(patch["status"]["conditions"][0]["type"], "Ready", "others write conditions too");
        assert!(patch["status"].get("hostIPs").is_none(), "nothing is known of it: {patch}");
    }

    #[test]
    fn what_a_condition_said_before_is_taken_back() {
        let key = PodKey { namespace: "n".to_owned(), name: "p".to_owned(), uid: "u".to_owned() };
        let status = json!({"conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "Initialized", "status": "False", "reason": "ContainersNotInitialized"},
        ]});
        let patch = status_patch(&key, &serde_json::from_value(status).expect("a status"));
        let expected = json!([
            {"type": "Ready", "status": "True", "reason": null, "message": null},
            {"type": "Initialized", "status": "False", "reason": "ContainersNotInitialized", "message": null},
        ]);
        assert_eq!(patch["status"]["conditions"], expected);
    }
}
