//! A control plane, a network and inputs in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use async_trait::async_trait;
use base::env;
use k8s_openapi::api::core::v1::{PodStatus, Secret, Service};
use parking_lot::Mutex;

use super::{
    Addresses, ContainerInputs, ControlError, ControlPlane, Event, HostPort, Inputs, InputsError,
    NetworkError, PodNetwork,
};
use crate::engine::fake::Cut;
use crate::pod::{DesiredPod, PodKey};

/// Keeps what it is told.
#[derive(Default)]
pub struct FakeControlPlane {
    cut: Arc<Cut>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    statuses: BTreeMap<String, Vec<PodStatus>>,
    confirmed: Vec<String>,
    events: Vec<(PodKey, Event)>,
    is_down: bool,
    secrets: BTreeMap<(String, String), Secret>,
    refuses: Option<String>,
    refused: Vec<u64>,
}

impl FakeControlPlane {
    /// One whose effects `cut` counts.
    pub fn new(cut: Arc<Cut>) -> Self {
        Self { cut, told: Mutex::default() }
    }

    /// Whether calls fail from now on.
    pub fn set_down(&self, is_down: bool) {
        self.told.lock().is_down = is_down;
    }

    /// A Secret that is there.
    pub fn has_secret(&self, namespace: &str, name: &str, secret: Secret) {
        self.told.lock().secrets.insert((namespace.to_owned(), name.to_owned()), secret);
    }

    /// From now on no status is taken, for this reason; `None` ends that.
    pub fn refuse(&self, why: Option<&str>) {
        self.told.lock().refuses = why.map(str::to_owned);
    }

    /// When statuses were refused.
    pub fn refused(&self) -> Vec<u64> {
        self.told.lock().refused.clone()
    }

    /// The newest status of a pod.
    pub fn status(&self, uid: &str) -> Option<PodStatus> {
        self.told.lock().statuses.get(uid)?.last().cloned()
    }

    /// All statuses of a pod, in order.
    pub fn statuses(&self, uid: &str) -> Vec<PodStatus> {
        self.told.lock().statuses.get(uid).cloned().unwrap_or_default()
    }

    /// The uids of pods whose deletion was confirmed.
    pub fn confirmed(&self) -> Vec<String> {
        self.told.lock().confirmed.clone()
    }

    /// Every event, as `Reason: message`.
    pub fn events(&self) -> Vec<String> {
        let told = self.told.lock();
        told.events.iter().map(|(_, event)| format!("{}: {}", event.reason, event.message)).collect()
    }

    fn enter(&self) -> Result<parking_lot::MutexGuard<'_, Told>, ControlError> {
        let told = self.told.lock();
        if told.is_down { Err(ControlError::Failed("connection refused".to_owned())) } else { Ok(told) }
    }
}

#[async_trait]
impl ControlPlane for FakeControlPlane {
    async fn patch_status(&self, pod: &PodKey, status: &PodStatus) -> Result<(), ControlError> {
        {
            let mut told = self.enter()?;
            if let Some(why) = told.refuses.clone() {
                told.refused.push(env::wall_ms());
                return Err(ControlError::Refused(why));
            }
            if told.confirmed.contains(&pod.uid) {
                return Err(ControlError::NotFound(format!("pods {:?} not found", pod.name)));
            }
            told.statuses.entry(pod.uid.clone()).or_default().push(status.clone());
        }
        self.cut.passed().await;
        Ok(())
    }

    async fn confirm_deletion(&self, pod: &PodKey) -> Result<(), ControlError> {
        self.enter()?.confirmed.push(pod.uid.clone());
        self.cut.passed().await;
        Ok(())
    }

    fn record_event(&self, pod: &PodKey, event: Event) {
        self.told.lock().events.push((pod.clone(), event));
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Secret, ControlError> {
        let found = self.enter()?.secrets.get(&(namespace.to_owned(), name.to_owned())).cloned();
        found.ok_or_else(|| ControlError::NotFound(format!("secrets {namespace}/{name} not found")))
    }

    async fn services(&self, _namespace: &str) -> Result<Vec<Service>, ControlError> {
        Ok(Vec::new())
    }
}

/// Counts addresses up from 10.0.0.1.
#[derive(Default)]
pub struct FakeNetwork {
    cut: Arc<Cut>,
    given: Mutex<BTreeMap<String, (u8, Vec<HostPort>)>>,
    last: Mutex<u8>,
}

impl FakeNetwork {
    /// One whose effects `cut` counts.
    pub fn new(cut: Arc<Cut>) -> Self {
        Self { cut, ..Self::default() }
    }

    /// Who is connected, by uid, with the ports of the node.
    pub fn connected(&self) -> BTreeMap<String, Vec<HostPort>> {
        self.given.lock().iter().map(|(uid, (_, ports))| (uid.clone(), ports.clone())).collect()
    }
}

#[async_trait]
impl PodNetwork for FakeNetwork {
    async fn attach(&self, pod: &PodKey, _pid: u32, ports: &[HostPort]) -> Result<Vec<IpAddr>, NetworkError> {
        let number = {
            let mut given = self.given.lock();
            let entry = given.entry(pod.uid.clone()).or_insert_with(|| {
                let mut last = self.last.lock();
                *last += 1;
                (*last, Vec::new())
            });
            entry.1 = ports.to_vec();
            entry.0
        };
        self.cut.passed().await;
        Ok(vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))])
    }

    async fn detach(&self, pod: &PodKey) -> Result<(), NetworkError> {
        self.given.lock().remove(&pod.uid);
        self.cut.passed().await;
        Ok(())
    }

    async fn pods(&self) -> BTreeSet<String> {
        self.given.lock().keys().cloned().collect()
    }
}

/// Gives what stands in the object, literally; or errors that were ordered.
#[derive(Default)]
pub struct FakeInputs {
    volumes: Mutex<Option<String>>,
    config: Mutex<Option<String>>,
    followed: Mutex<Vec<Arc<DesiredPod>>>,
    leftovers: Mutex<BTreeSet<String>>,
}

impl FakeInputs {
    /// From now on volumes cannot be prepared; `None` ends that.
    pub fn fail_volumes(&self, text: Option<&str>) {
        *self.volumes.lock() = text.map(str::to_owned);
    }

    /// Every pod that volumes were told to follow, in order.
    pub fn followed(&self) -> Vec<Arc<DesiredPod>> {
        self.followed.lock().clone()
    }

    /// An agent that is gone left volumes of a pod behind.
    pub fn leave(&self, uid: &str) {
        self.leftovers.lock().insert(uid.to_owned());
    }

    /// From now on nothing can be resolved; `None` ends that.
    pub fn fail_config(&self, text: Option<&str>) {
        *self.config.lock() = text.map(str::to_owned);
    }
}

#[async_trait]
impl Inputs for FakeInputs {
    async fn prepare(&self, _pod: &DesiredPod) -> Result<(), InputsError> {
        self.volumes.lock().clone().map_or(Ok(()), |text| Err(InputsError(text)))
    }

    async fn resolve(
        &self,
        pod: &DesiredPod,
        container: &str,
        _addresses: &Addresses,
    ) -> Result<ContainerInputs, InputsError> {
        if let Some(text) = self.config.lock().clone() {
            return Err(InputsError(text));
        }
        let member = pod.member(container).map(|member| member.container.clone()).unwrap_or_default();
        let env = member.env.into_iter().flatten();
        Ok(ContainerInputs {
            command: member.command,
            args: member.args,
            env: env.map(|pair| (pair.name, pair.value.unwrap_or_default())).collect(),
            mounts: Vec::new(),
            working_dir: member.working_dir,
        })
    }

    fn follow(&self, pod: &Arc<DesiredPod>) {
        self.followed.lock().push(Arc::clone(pod));
    }

    async fn release(&self, pod: &PodKey) -> Result<(), InputsError> {
        self.leftovers.lock().remove(&pod.uid);
        Ok(())
    }

    async fn pods(&self) -> BTreeSet<String> {
        self.leftovers.lock().clone()
    }
}
