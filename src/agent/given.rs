//! What containers are given: the crate `inputs`, with objects and tokens from the masters.
//!
//! What pods refer to is watched (`src/agent/referenced.rs`) for as long as their volumes stand, and files follow it, and
//! the pod itself, within moments. Tokens are renewed at a slower pace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::time;
use async_trait::async_trait;
use base::env;
use client::Client;
use futures::StreamExt;
use inputs::{Environment, NodeFacts, Objects, PodContext, Token, TokenRequest, TokenSource, Volumes};
use k8s_openapi::api::core::v1::{ConfigMap, Container, Secret, Service};
use kubelet::engine::Mount;
use kubelet::outside::{Addresses, ContainerInputs, ControlPlane, Inputs, InputsError};
use kubelet::{DesiredPod, PodKey};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::referenced::{Due, PATIENCE, Referenced};

#[cfg(test)]
mod tests;

/// How often the files of all volumes are looked at: tokens get old, and what failed is tried again.
const LOOK_INTERVAL: Duration = Duration::from_secs(20);

/// Pods whose files are brought up to date at a time.
const UPDATES_AT_ONCE_MAX: usize = 4;

/// Gives containers what they are to have.
pub struct Given {
    volumes: Volumes,
    control: Arc<dyn ControlPlane>,
    node: NodeFacts,
    config_maps: Referenced<ConfigMap>,
    secrets: Referenced<Secret>,
    due: Arc<Due>,
    /// Pods whose volumes stand, by uid: their files follow what changes.
    standing: Mutex<BTreeMap<String, Arc<Standing>>>,
}

/// A pod with volumes.
#[derive(Default)]
struct Standing {
    /// Volumes of a pod are set up, brought up to date and torn down one after the other.
    turn: tokio::sync::Mutex<()>,
    /// How it is now; nothing before its volumes stand, and from when they are torn down.
    pod: Mutex<Option<Arc<DesiredPod>>>,
}

impl Given {
    /// With volumes below a folder.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(
        root: &Path,
        client: Client,
        control: Arc<dyn ControlPlane>,
        node: NodeFacts,
    ) -> anyhow::Result<Arc<Self>> {
        let due = Arc::new(Due::default());
        Ok(Arc::new(Self {
            volumes: Volumes::open(root, Arc::new(Tokens(client.clone())))?,
            control,
            node,
            config_maps: Referenced::new(client.clone(), "configmap", Arc::clone(&due)),
            secrets: Referenced::new(client, "secret", Arc::clone(&due)),
            due,
            standing: Mutex::default(),
        }))
    }

    /// Brings files up to date for as long as the program runs.
    pub async fn run(&self) {
        let changed = async {
            loop {
                let uids = futures::stream::iter(self.due.take().await);
                uids.for_each_concurrent(UPDATES_AT_ONCE_MAX, |uid| self.update(uid)).await;
            }
        };
        let looked = async {
            loop {
                env::sleep(LOOK_INTERVAL).await;
                let uids: Vec<String> = self.standing.lock().keys().cloned().collect();
                self.due.add(uids);
            }
        };
        tokio::join!(changed, looked);
    }

    /// Brings the files of one pod up to date, unless it is gone.
    async fn update(&self, uid: String) {
        let Some(standing) = self.standing.lock().get(&uid).cloned() else { return };
        let _turn = standing.turn.lock().await;
        let Some(pod) = standing.pod.lock().clone() else { return };
        // What is not known yet comes later, and makes the pod due again.
        let Ok(objects) = self.objects(&pod, Duration::ZERO).await else { return };
        if let Err(errors) = self.volumes.update(&self.context(&pod, &objects, &[], &[])).await {
            tracing::debug!(pod = %pod.key, ?errors, "files of volumes stay as they are");
        }
    }

    fn standing(&self, uid: &str) -> Arc<Standing> {
        Arc::clone(self.standing.lock().entry(uid.to_owned()).or_default())
    }

    /// Everything that the pod refers to, as far as it is there.
    async fn objects(&self, pod: &DesiredPod, patience: Duration) -> Result<Objects, InputsError> {
        let references = inputs::references(&pod.pod);
        let config_maps = self.config_maps.of(&pod.key, references.config_maps.into_keys(), patience);
        let secrets = self.secrets.of(&pod.key, references.secrets.into_keys(), patience);
        let (config_maps, secrets) = tokio::join!(config_maps, secrets);
        Ok(Objects {
            config_maps: owned(config_maps.map_err(InputsError)?),
            secrets: owned(secrets.map_err(InputsError)?),
        })
    }

    fn context<'a>(
        &'a self,
        pod: &'a DesiredPod,
        objects: &'a Objects,
        pod_ips: &'a [String],
        services: &'a [Service],
    ) -> PodContext<'a> {
        PodContext { pod: &pod.pod, pod_ips, objects, node: &self.node, services }
    }
}

fn owned<K: Clone>(objects: BTreeMap<String, Arc<K>>) -> BTreeMap<String, K> {
    objects.into_iter().map(|(name, object)| (name, K::clone(&object))).collect()
}

/// Whether what volumes show of two states of one pod is the same: status is not among it.
fn shows_the_same(one: &DesiredPod, other: &DesiredPod) -> bool {
    let shown = |pod: &DesiredPod| {
        let meta = &pod.pod.metadata;
        (meta.labels.clone(), meta.annotations.clone(), pod.pod.spec.clone())
    };
    shown(one) == shown(other)
}

#[async_trait]
impl Inputs for Given {
    async fn prepare(&self, pod: &DesiredPod) -> Result<(), InputsError> {
        let standing = self.standing(&pod.key.uid);
        let _turn = standing.turn.lock().await;
        let objects = self.objects(pod, PATIENCE).await?;
        let context = self.context(pod, &objects, &[], &[]);
        let set_up = self.volumes.set_up(&context).await;
        set_up.map_err(|errors| InputsError(in_words(&errors)))?;
        *standing.pod.lock() = Some(Arc::new(pod.clone()));
        Ok(())
    }

    fn follow(&self, pod: &Arc<DesiredPod>) {
        let standing = self.standing(&pod.key.uid);
        let before = standing.pod.lock().replace(Arc::clone(pod));
        if before.is_none_or(|before| !shows_the_same(&before, pod)) {
            self.due.add([pod.key.uid.clone()]);
        }
    }

    async fn resolve(
        &self,
        pod: &DesiredPod,
        container: &str,
        addresses: &Addresses,
    ) -> Result<ContainerInputs, InputsError> {
        let failed = |error: inputs::Error| InputsError(error.to_string());
        let standing = self.standing(&pod.key.uid);
        let _turn = standing.turn.lock().await;
        let objects = self.objects(pod, PATIENCE).await?;
        let services = self.control.services(&pod.key.namespace).await;
        let services = services.map_err(|error| InputsError(error.to_string()))?;
        let context = self.context(pod, &objects, &addresses.pod_ips, &services);
        let spec = described(pod, container)?;
        let environment: Environment = inputs::environment(&context, spec).map_err(failed)?;
        let mounts = self.volumes.set_up(&context).await.map_err(|errors| InputsError(in_words(&errors)))?;
        let mounts = mounts.of_container(spec, &environment).await.map_err(failed)?;
        let (command, args) = inputs::command(spec, &environment);
        Ok(ContainerInputs {
            command: (!command.is_empty()).then_some(command),
            args: (!args.is_empty()).then_some(args),
            env: environment.variables,
            mounts: mounts.into_iter().map(mounted).collect(),
            working_dir: spec.working_dir.clone().filter(|path| !path.is_empty()),
        })
    }

    async fn release(&self, pod: &PodKey) -> Result<(), InputsError> {
        let standing = self.standing(&pod.uid);
        // An update that waits for its turn finds nothing to do.
        standing.pod.lock().take();
        let _turn = standing.turn.lock().await;
        self.config_maps.forget(&pod.uid);
        self.secrets.forget(&pod.uid);
        self.volumes.tear_down(&pod.uid).await.map_err(|error| InputsError(error.to_string()))?;
        self.standing.lock().remove(&pod.uid);
        Ok(())
    }

    async fn pods(&self) -> BTreeSet<String> {
        // A folder that cannot be read is looked at again.
        self.volumes.uids().await.unwrap_or_default().into_iter().collect()
    }
}

fn in_words(errors: &[inputs::VolumeError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn described<'p>(pod: &'p DesiredPod, container: &str) -> Result<&'p Container, InputsError> {
    let found = pod.members.iter().find(|member| member.name() == container);
    found.map(|member| &member.container).ok_or_else(|| InputsError(format!("no container {container}")))
}

fn mounted(mount: inputs::ContainerMount) -> Mount {
    Mount {
        host_path: mount.host_path.to_string_lossy().into_owned(),
        container_path: mount.container_path,
        is_read_only: mount.is_read_only,
        propagation: match mount.propagation {
            inputs::Propagation::Private => None,
            inputs::Propagation::HostToContainer => Some("rslave".to_owned()),
            inputs::Propagation::Bidirectional => Some("rshared".to_owned()),
        },
    }
}

/// Tokens from the masters.
struct Tokens(Client);

#[async_trait]
impl TokenSource for Tokens {
    async fn request(&self, request: &TokenRequest) -> Result<Token, String> {
        let path = format!(
            "/api/v1/namespaces/{}/serviceaccounts/{}/token",
            request.namespace, request.service_account
        );
        let audiences: Vec<&String> = request.audience.iter().collect();
        let asked = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": audiences,
                "expirationSeconds": request.expiration_seconds,
                "boundObjectRef": {
                    "apiVersion": "v1", "kind": "Pod", "name": request.pod_name, "uid": request.pod_uid,
                },
            },
        });
        let answer = self.0.create(&path, asked.to_string()).await.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        let status = &answer["status"];
        let expires_ms = status["expirationTimestamp"].as_str().and_then(time::parse_rfc3339);
        match (status["token"].as_str(), expires_ms) {
            (Some(token), Some(expires_ms)) => {
                let lifetime = answer["spec"]["expirationSeconds"].as_u64();
                let lifetime_seconds = lifetime.unwrap_or(request.expiration_seconds.unsigned_abs());
                Ok(Token { token: token.to_owned(), expires_ms, lifetime_seconds })
            }
            _ => Err("the masters' answer holds no token".to_owned()),
        }
    }
}
