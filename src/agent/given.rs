//! What containers are given: the crate `inputs`, with objects and tokens from the masters.
//!
//! Objects are fetched when a pod starts, and again from time to time for as long as it runs, so that its files follow
//! them: Kubernetes promises no more than that either.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::time;
use async_trait::async_trait;
use base::env;
use client::Client;
use inputs::{Environment, NodeFacts, Objects, PodContext, Token, TokenRequest, TokenSource, Volumes};
use k8s_openapi::api::core::v1::{Container, Service};
use kubelet::engine::Mount;
use kubelet::outside::{Addresses, ContainerInputs, ControlError, ControlPlane, Inputs, InputsError};
use kubelet::{DesiredPod, PodKey};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// How often the files of volumes are brought up to date.
const UPDATE_INTERVAL: Duration = Duration::from_secs(20);

/// Gives containers what they are to have.
pub struct Given {
    volumes: Volumes,
    control: Arc<dyn ControlPlane>,
    node: NodeFacts,
    /// Pods whose volumes stand, by uid: their files follow what changes.
    standing: Mutex<BTreeMap<String, DesiredPod>>,
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
        let volumes = Volumes::open(root, Arc::new(Tokens(client)))?;
        Ok(Arc::new(Self { volumes, control, node, standing: Mutex::default() }))
    }

    /// Brings files up to date for as long as the program runs.
    pub async fn follow(&self) {
        loop {
            env::sleep(UPDATE_INTERVAL).await;
            let pods: Vec<DesiredPod> = self.standing.lock().values().cloned().collect();
            for pod in pods {
                let Ok(objects) = self.objects(&pod).await else { continue };
                let context = self.context(&pod, &objects, &[], &[]);
                if let Err(errors) = self.volumes.update(&context).await {
                    tracing::debug!(pod = %pod.key, ?errors, "files of volumes stay as they are");
                }
            }
        }
    }

    /// Everything that the pod references, as far as it is there.
    async fn objects(&self, pod: &DesiredPod) -> Result<Objects, InputsError> {
        let references = inputs::references(&pod.pod);
        let namespace = &pod.key.namespace;
        let mut objects = Objects::default();
        for name in references.config_maps.into_keys() {
            if let Some(found) = there(self.control.config_map(namespace, &name).await)? {
                objects.config_maps.insert(name, found);
            }
        }
        for name in references.secrets.into_keys() {
            if let Some(found) = there(self.control.secret(namespace, &name).await)? {
                objects.secrets.insert(name, found);
            }
        }
        Ok(objects)
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

/// What is missing is not there; anything else is tried again.
fn there<T>(read: Result<T, ControlError>) -> Result<Option<T>, InputsError> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(ControlError::NotFound(_)) => Ok(None),
        Err(ControlError::Failed(why)) => Err(InputsError(why)),
    }
}

#[async_trait]
impl Inputs for Given {
    async fn prepare(&self, pod: &DesiredPod) -> Result<(), InputsError> {
        let objects = self.objects(pod).await?;
        let context = self.context(pod, &objects, &[], &[]);
        let set_up = self.volumes.set_up(&context).await;
        set_up.map_err(|errors| InputsError(in_words(&errors)))?;
        self.standing.lock().insert(pod.key.uid.clone(), pod.clone());
        Ok(())
    }

    async fn resolve(
        &self,
        pod: &DesiredPod,
        container: &str,
        addresses: &Addresses,
    ) -> Result<ContainerInputs, InputsError> {
        let failed = |error: inputs::Error| InputsError(error.to_string());
        let objects = self.objects(pod).await?;
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
        self.standing.lock().remove(&pod.uid);
        self.volumes.tear_down(&pod.uid).await.map_err(|error| InputsError(error.to_string()))
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
