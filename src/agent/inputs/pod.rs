//! A pod as this crate looks at it: its containers of all sorts, and what surrounds them.

use std::collections::{BTreeMap, BTreeSet};

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvFromSource, EnvVar, Pod, PodSpec, ResourceRequirements, Secret, SecurityContext,
    Service, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource;

use crate::error::Error;

/// The objects of a pod's namespace that were fetched for it, by name.
///
/// What is missing here does not exist: who could not find out asks again before it calls. Shown nowhere: it
/// holds secrets.
#[derive(Clone, Default)]
pub struct Objects {
    /// The ConfigMaps.
    pub config_maps: BTreeMap<String, ConfigMap>,
    /// The Secrets.
    pub secrets: BTreeMap<String, Secret>,
}

impl Objects {
    /// The ConfigMap of that name, or nothing where it may be missing.
    pub(crate) fn config_map(&self, name: &str, optional: Option<bool>) -> Result<Option<&ConfigMap>, Error> {
        found(self.config_maps.get(name), "configmap", name, optional)
    }

    /// The Secret of that name, or nothing where it may be missing.
    pub(crate) fn secret(&self, name: &str, optional: Option<bool>) -> Result<Option<&Secret>, Error> {
        found(self.secrets.get(name), "secret", name, optional)
    }
}

fn found<'a, T>(
    object: Option<&'a T>,
    kind: &'static str,
    name: &str,
    optional: Option<bool>,
) -> Result<Option<&'a T>, Error> {
    match object {
        None if optional != Some(true) => Err(Error::NotFound { kind, name: name.to_owned() }),
        found => Ok(found),
    }
}

/// What its node adds to a pod.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    /// What pods may use in all: limits that containers do not set are these.
    pub allocatable: BTreeMap<String, resource::Quantity>,
    /// The node's addresses, the first one first.
    pub host_ips: Vec<String>,
}

/// Everything that decides what a pod's containers are given.
#[derive(Clone, Copy)]
pub struct PodContext<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its addresses; its status may not have them yet.
    pub pod_ips: &'a [String],
    /// The objects that it references.
    pub objects: &'a Objects,
    /// Its node.
    pub node: &'a NodeFacts,
    /// The Services of the pod's namespace and of `default`; others are passed over.
    pub services: &'a [Service],
}

impl<'a> PodContext<'a> {
    /// The pod's namespace.
    pub(crate) fn namespace(&self) -> &'a str {
        self.pod.metadata.namespace.as_deref().unwrap_or("default")
    }

    /// The pod's uid.
    pub(crate) fn uid(&self) -> &'a str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The group that owns the pod's volumes.
    pub(crate) fn fs_group(&self) -> Option<u32> {
        let group = self.pod.spec.as_ref()?.security_context.as_ref()?.fs_group?;
        u32::try_from(group).ok()
    }
}

/// What this crate reads of a container, an init container or an ephemeral one.
pub(crate) struct AnyContainer<'a> {
    pub(crate) env: &'a [EnvVar],
    pub(crate) env_from: &'a [EnvFromSource],
    pub(crate) mounts: &'a [VolumeMount],
    pub(crate) security: Option<&'a SecurityContext>,
}

impl<'a> AnyContainer<'a> {
    fn of(
        env: Option<&'a Vec<EnvVar>>,
        env_from: Option<&'a Vec<EnvFromSource>>,
        mounts: Option<&'a Vec<VolumeMount>>,
        security: Option<&'a SecurityContext>,
    ) -> Self {
        Self { env: list(env), env_from: list(env_from), mounts: list(mounts), security }
    }
}

/// A list that may be missing.
pub(crate) fn list<T>(items: Option<&Vec<T>>) -> &[T] {
    items.map_or(&[], Vec::as_slice)
}

/// All containers of a pod: init containers, those that stay, ephemeral ones.
pub(crate) fn containers(spec: &PodSpec) -> Vec<AnyContainer<'_>> {
    let lasting = list(spec.init_containers.as_ref()).iter().chain(&spec.containers).map(|one| {
        let Container { env, env_from, volume_mounts, security_context, .. } = one;
        AnyContainer::of(env.as_ref(), env_from.as_ref(), volume_mounts.as_ref(), security_context.as_ref())
    });
    let ephemeral = list(spec.ephemeral_containers.as_ref()).iter().map(|one| {
        AnyContainer::of(
            one.env.as_ref(),
            one.env_from.as_ref(),
            one.volume_mounts.as_ref(),
            one.security_context.as_ref(),
        )
    });
    lasting.chain(ephemeral).collect()
}

/// The volumes that a container mounts. The others are never set up, as in Kubernetes.
pub(crate) fn mounted_volumes(spec: &PodSpec) -> Vec<&Volume> {
    let mounts = containers(spec);
    let mounted: BTreeSet<&str> =
        mounts.iter().flat_map(|container| container.mounts).map(|mount| mount.name.as_str()).collect();
    list(spec.volumes.as_ref()).iter().filter(|volume| mounted.contains(volume.name.as_str())).collect()
}

/// The user that all containers run as, where they say so and agree.
pub(crate) fn common_user(spec: &PodSpec) -> Option<u32> {
    let of_pod = spec.security_context.as_ref().and_then(|security| security.run_as_user);
    let users: Option<BTreeSet<i64>> = containers(spec)
        .iter()
        .map(|container| container.security.and_then(|security| security.run_as_user).or(of_pod))
        .collect();
    let users = users?;
    let user = users.first().filter(|_| users.len() == 1)?;
    u32::try_from(*user).ok()
}

/// An amount as a number that can be reckoned with.
pub(crate) fn amount(quantity: &resource::Quantity) -> Result<Quantity, Error> {
    Quantity::parse(&quantity.0).map_err(|error| Error::Quantity { amount: quantity.0.clone(), why: error.0 })
}

/// The limit of memory of a whole pod in bytes, where there is one: its own, or what its containers can reach together
/// when each has one.
pub(crate) fn memory_limit_bytes(spec: &PodSpec) -> Option<i128> {
    if let Some(of_pod) = limit_bytes(spec.resources.as_ref()) {
        return Some(of_pod);
    }
    let mut together: i128 = 0;
    for container in &spec.containers {
        together += limit_bytes(container.resources.as_ref())?;
    }
    // Init containers run one after the other, each beside those before it that stay.
    let (mut beside, mut highest) = (0, 0);
    for container in list(spec.init_containers.as_ref()) {
        let own = limit_bytes(container.resources.as_ref())?;
        if container.restart_policy.as_deref() == Some("Always") {
            beside += own;
            highest = highest.max(beside);
        } else {
            highest = highest.max(beside + own);
        }
    }
    Some(highest.max(together + beside))
}

fn limit_bytes(resources: Option<&ResourceRequirements>) -> Option<i128> {
    let limit = resources?.limits.as_ref()?.get("memory")?;
    amount(limit).ok().map(|limit| limit.in_units(0)).filter(|bytes| *bytes > 0)
}
