//! What the masters tell, brought to those that act on it.

use std::sync::Arc;

use anyhow::bail;
use client::{Client, Event, Selection};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kubelet::{Handle, PodKey};

use crate::pod_network::Network;
use crate::store::Store;

/// Tells the kubelet of the pods of its node.
///
/// # Errors
/// When there is nothing more to follow.
pub async fn pods(client: &Client, node: &str, kubelet: &Handle) -> anyhow::Result<()> {
    let mut watch = client.watch::<Pod>(Selection::fields(format!("spec.nodeName={node}")));
    let mut known = std::collections::BTreeMap::<String, PodKey>::new();
    while let Some(event) = watch.next().await {
        match event {
            Event::Restarted(all) => {
                let mut gone = std::mem::take(&mut known);
                for pod in &all {
                    if let Some(key) = desire(kubelet, pod).await {
                        gone.remove(&key.uid);
                        known.insert(key.uid.clone(), key);
                    }
                }
                for key in gone.into_values() {
                    kubelet.gone(key).await;
                }
                kubelet.synced().await;
            }
            Event::Applied(pod) => {
                if let Some(key) = desire(kubelet, &pod).await {
                    known.insert(key.uid.clone(), key);
                }
            }
            Event::Deleted(pod) => {
                if let Some(key) = key(&pod) {
                    known.remove(&key.uid);
                    kubelet.gone(key).await;
                }
            }
        }
    }
    bail!("the watch of pods ended")
}

async fn desire(kubelet: &Handle, pod: &Arc<Pod>) -> Option<PodKey> {
    if let Err(error) = kubelet.desired(Pod::clone(pod)).await {
        tracing::error!(%error, "a pod cannot be run");
        return None;
    }
    key(pod)
}

fn key(pod: &Pod) -> Option<PodKey> {
    let meta = &pod.metadata;
    Some(PodKey { namespace: meta.namespace.clone()?, name: meta.name.clone()?, uid: meta.uid.clone()? })
}

/// Keeps Services and their endpoints where the proxy, DNS and environments find them.
///
/// # Errors
/// When there is nothing more to follow.
pub async fn services(client: &Client, store: Arc<Store<Service>>, network: &Network) -> anyhow::Result<()> {
    let endpoints = Store::<EndpointSlice>::default();
    let mut services = client.watch::<Service>(Selection::default());
    let mut slices = client.watch::<EndpointSlice>(Selection::default());
    let mut is_synced = false;
    loop {
        // Both arms take one event, or none.
        tokio::select! {
            biased;
            event = services.next() => {
                let Some(event) = event else { bail!("the watch of Services ended") };
                for change in store.take(event) {
                    network.service(change).await;
                }
            }
            event = slices.next() => {
                let Some(event) = event else { bail!("the watch of EndpointSlices ended") };
                for change in endpoints.take(event) {
                    network.slice(change).await;
                }
            }
        }
        if !is_synced && store.is_synced() && endpoints.is_synced() {
            is_synced = true;
            network.synced().await;
        }
    }
}
