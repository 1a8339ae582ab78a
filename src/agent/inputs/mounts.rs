//! What is mounted into a container.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base::env;
use k8s_openapi::api::core::v1::{Container, VolumeMount};

use crate::environment::Environment;
use crate::error::Error;
use crate::expand::expand;
use crate::plan::file_name;
use crate::pod::list;
use crate::subpath::{self, Failed};

/// The volumes of a pod that stand, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// By the volume's name.
    pub volumes: BTreeMap<String, Standing>,
    /// When a token in one of them is to be renewed, in milliseconds since the Unix epoch: by then
    /// [`Volumes::update`](crate::Volumes::update) is to be called.
    pub renew_at_ms: Option<u64>,
    /// The pod's folder.
    pub(crate) pod: PathBuf,
}

/// A volume that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Where, on the node.
    pub path: PathBuf,
    /// Whether containers may only read it, whatever they ask for.
    pub is_read_only: bool,
}

/// How mounts that are made later are seen on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Not at all.
    Private,
    /// The container sees those of the node.
    HostToContainer,
    /// Each sees those of the other.
    Bidirectional,
}

/// One mount of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerMount {
    /// The volume's name.
    pub volume: String,
    /// What is mounted.
    pub host_path: PathBuf,
    /// Where the container sees it.
    pub container_path: String,
    /// Whether it may only read.
    pub is_read_only: bool,
    /// How later mounts are seen.
    pub propagation: Propagation,
}

/// A mount before its subPath is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct MountPlan {
    /// With the volume's own path.
    mount: ContainerMount,
    /// The part of the volume; empty means all of it.
    sub_path: String,
}

impl Mounts {
    /// The mounts of a container, with its subPaths opened and in place. The container is not running: a
    /// subPath that leads elsewhere now is mounted anew.
    ///
    /// # Errors
    /// A volume is unknown, or a subPath is wrong or cannot be had.
    pub async fn of_container(
        &self,
        container: &Container,
        environment: &Environment,
    ) -> Result<Vec<ContainerMount>, Error> {
        let plans = self.plan(container, environment)?;
        let (pod, container) = (self.pod.clone(), file_name(&container.name)?.to_owned());
        env::blocking(move || {
            let plans = plans.into_iter().enumerate();
            plans.map(|(index, plan)| prepare(&pod, &container, index, plan)).collect()
        })
        .await
    }

    /// The mounts as the container says, without touching anything.
    fn plan(&self, container: &Container, environment: &Environment) -> Result<Vec<MountPlan>, Error> {
        let mounts = list(container.volume_mounts.as_ref()).iter();
        mounts.map(|mount| self.plan_one(container, mount, environment)).collect()
    }

    fn plan_one(
        &self,
        container: &Container,
        mount: &VolumeMount,
        environment: &Environment,
    ) -> Result<MountPlan, Error> {
        let standing = self.volumes.get(&mount.name).ok_or_else(|| Error::NoSuchVolume {
            volume: mount.name.clone(),
            container: container.name.clone(),
        })?;
        let sub_path = sub_path(mount, environment)?;
        let propagation = match mount.mount_propagation.as_deref() {
            None | Some("None") => Propagation::Private,
            Some("HostToContainer") => Propagation::HostToContainer,
            Some("Bidirectional") => Propagation::Bidirectional,
            Some(other) => return Err(Error::Propagation(other.to_owned())),
        };
        let is_absolute = mount.mount_path.starts_with('/');
        let mount = ContainerMount {
            volume: mount.name.clone(),
            host_path: standing.path.clone(),
            container_path: format!("{}{}", if is_absolute { "" } else { "/" }, mount.mount_path),
            is_read_only: standing.is_read_only || mount.read_only == Some(true),
            propagation,
        };
        Ok(MountPlan { mount, sub_path })
    }
}

/// The part of the volume, with variables put in. One that is missing or empty would mount more than was meant.
fn sub_path(mount: &VolumeMount, environment: &Environment) -> Result<String, Error> {
    let expression = mount.sub_path_expr.as_deref().unwrap_or_default();
    let path = if expression.is_empty() {
        mount.sub_path.clone().unwrap_or_default()
    } else {
        let mut missing = BTreeSet::new();
        let path = expand(expression, |name| {
            let value = environment.get(name).unwrap_or_default();
            if value.is_empty() {
                missing.insert(name.to_owned());
            }
            Some(value.to_owned())
        });
        if !missing.is_empty() {
            return Err(Error::MissingValue(missing.into_iter().collect::<Vec<_>>().join(", ")));
        }
        path
    };
    if path.starts_with('/') {
        return Err(Error::SubPathAbsolute(path));
    }
    if path.split('/').any(|name| name == "..") {
        return Err(Error::SubPathClimbs(path));
    }
    Ok(path)
}

/// Puts the part of a volume at a place of the agent's own, where there is a part.
fn prepare(pod: &Path, container: &str, index: usize, plan: MountPlan) -> Result<ContainerMount, Error> {
    let MountPlan { mut mount, sub_path } = plan;
    if sub_path.is_empty() {
        return Ok(mount);
    }
    let (volume, container) = (mount.volume.clone(), container.to_owned());
    let target = pod.join("volume-subpaths").join(&volume).join(&container).join(index.to_string());
    let part = match subpath::open_or_make(&mount.host_path, &sub_path) {
        Ok(part) => part,
        Err(why) => {
            tracing::warn!(pod = %pod.display(), volume, container, sub_path, %why, "no subPath");
            return Err(match why {
                Failed::Make(_) => Error::SubPathDirectory { volume, container },
                Failed::Open(_) => Error::SubPath { volume, container },
            });
        }
    };
    if let Err(why) = subpath::bind(&part, &target) {
        tracing::warn!(pod = %pod.display(), volume, container, sub_path, %why, "no subPath");
        return Err(Error::SubPath { volume, container });
    }
    mount.host_path = target;
    Ok(mount)
}
