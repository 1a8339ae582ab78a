//! What each volume of a pod is to be: data only, nothing is touched.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, PodSpec, Volume};

use crate::error::{Error, VolumeError};
use crate::payload::{self, Payload};
use crate::pod::{PodContext, amount, containers, memory_limit_bytes, mounted_volumes};
use crate::tokens::Issued;

/// The folders of volumes are named after the plugins that Kubernetes has for them.
const EMPTY_DIR: &str = "kubernetes.io~empty-dir";
const CONFIG_MAP: &str = "kubernetes.io~configmap";
const SECRET: &str = "kubernetes.io~secret";
const DOWNWARD_API: &str = "kubernetes.io~downward-api";
const PROJECTED: &str = "kubernetes.io~projected";

/// A volume of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumePlan {
    /// Its name in the pod.
    pub name: String,
    /// What it is.
    pub body: Body,
}

/// What a volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A folder that lives as long as the pod.
    EmptyDir {
        /// On tmpfs where this is set.
        memory: Option<Memory>,
    },
    /// What stands on the node.
    HostPath {
        /// Where.
        path: String,
        /// What it must be; empty means anything.
        kind: String,
    },
    /// Files that are written for the pod, and read only to it.
    Files {
        /// The folder of its sort.
        plugin: &'static str,
        /// On tmpfs where this is set.
        memory: Option<Memory>,
        /// The files.
        payload: Payload,
        /// Folders in it on which the pod mounts other volumes: nobody could make them later, read only.
        nested: BTreeSet<String>,
    },
}

/// A file system in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// How much it takes; without, the kernel's default of half the memory.
    pub size_bytes: Option<u64>,
}

impl VolumePlan {
    /// Its folder below that of the pod; none for what stands on the node already.
    pub fn folder(&self) -> Option<PathBuf> {
        let plugin = match &self.body {
            Body::EmptyDir { .. } => EMPTY_DIR,
            Body::HostPath { .. } => return None,
            Body::Files { plugin, .. } => plugin,
        };
        Some(Path::new("volumes").join(plugin).join(&self.name))
    }

    /// Whether containers may only read it, whatever they ask for.
    pub fn is_read_only(&self) -> bool {
        matches!(self.body, Body::Files { .. })
    }
}

/// Where it is noted that an emptyDir is complete, below the folder of the pod.
pub(crate) fn ready_marker(volume: &str) -> PathBuf {
    Path::new("plugins").join(EMPTY_DIR).join(volume).join("ready")
}

/// A plan for each volume that a container mounts, or why there is none.
pub(crate) fn volumes(context: &PodContext<'_>, issued: &Issued) -> Vec<Result<VolumePlan, VolumeError>> {
    let Some(spec) = &context.pod.spec else { return Vec::new() };
    let plan = |volume: &Volume| {
        let name = volume.name.clone();
        body(volume, spec, context, issued)
            .map(|body| VolumePlan { name: name.clone(), body })
            .map_err(|error| VolumeError { volume: name, error })
    };
    mounted_volumes(spec).into_iter().map(plan).collect()
}

fn body(volume: &Volume, spec: &PodSpec, context: &PodContext<'_>, issued: &Issued) -> Result<Body, Error> {
    file_name(&volume.name)?;
    let memory = Some(Memory { size_bytes: memory_bytes(spec, context, None)? });
    let files = |plugin, memory, payload| {
        let nested = nested(spec, &volume.name);
        Ok(Body::Files { plugin, memory, payload: payload::checked(payload)?, nested })
    };
    if let Some(source) = &volume.config_map {
        return files(CONFIG_MAP, None, payload::of_config_map(source, context)?);
    }
    if let Some(source) = &volume.secret {
        return files(SECRET, memory, payload::of_secret(source, context)?);
    }
    if let Some(source) = &volume.downward_api {
        return files(DOWNWARD_API, memory, payload::of_downward_api(source, context)?);
    }
    if let Some(source) = &volume.projected {
        return files(PROJECTED, memory, payload::of_projected(source, context, issued)?);
    }
    if let Some(source) = &volume.host_path {
        if source.path.split('/').any(|name| name == "..") {
            return Err(Error::HostPath(source.path.clone()));
        }
        return Ok(Body::HostPath {
            path: source.path.clone(),
            kind: source.type_.clone().unwrap_or_default(),
        });
    }
    if let Some(source) = &volume.empty_dir {
        return empty_dir(source, spec, context);
    }
    match kind_of(volume) {
        Some(kind) => Err(Error::VolumeType(kind)),
        // A volume that says nothing is an emptyDir.
        None => Ok(Body::EmptyDir { memory: None }),
    }
}

fn empty_dir(source: &EmptyDirVolumeSource, spec: &PodSpec, context: &PodContext<'_>) -> Result<Body, Error> {
    let memory = match source.medium.as_deref().unwrap_or_default() {
        // The limit of one on disk is kept by whoever measures what pods use.
        "" => None,
        "Memory" => {
            let limit = source.size_limit.as_ref().map(amount).transpose()?;
            let size_bytes = memory_bytes(spec, context, limit.map(|limit| limit.in_units(0)))?;
            Some(Memory { size_bytes })
        }
        medium => return Err(Error::Medium(medium.to_owned())),
    };
    Ok(Body::EmptyDir { memory })
}

/// The least of the volume's own limit, the pod's limit and what the node has to give.
fn memory_bytes(spec: &PodSpec, context: &PodContext<'_>, own: Option<i128>) -> Result<Option<u64>, Error> {
    let of_node = context.node.allocatable.get("memory").map(amount).transpose()?;
    let of_node = of_node.map(|memory| memory.in_units(0));
    let limits = [own, memory_limit_bytes(spec), of_node].into_iter().flatten();
    Ok(limits.filter(|bytes| *bytes > 0).min().and_then(|bytes| u64::try_from(bytes).ok()))
}

/// The field that says what a volume is, for one that is not known here.
fn kind_of(volume: &Volume) -> Option<String> {
    let fields = serde_json::to_value(volume).ok()?;
    fields.as_object()?.keys().find(|field| *field != "name").cloned()
}

/// A name that leads nowhere else.
pub(crate) fn file_name(name: &str) -> Result<&str, Error> {
    let is_one = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
    if is_one { Ok(name) } else { Err(Error::FileName(name.to_owned())) }
}

/// Where containers mount other volumes right below this one, as paths in it.
fn nested(spec: &PodSpec, volume: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for container in containers(spec) {
        let mut points: Vec<Vec<&str>> =
            container.mounts.iter().map(|mount| names(&mount.mount_path)).collect();
        points.sort();
        for own in container.mounts.iter().filter(|mount| mount.name == volume) {
            let own = names(&own.mount_path);
            let mut above: Option<&[&str]> = None;
            for point in points.iter().filter(|point| point.len() > own.len() && point.starts_with(&own)) {
                // What lies below another mount belongs to that.
                if above.is_none_or(|above| !point.starts_with(above)) {
                    above = Some(point);
                    found.insert(point[own.len()..].join("/"));
                }
            }
        }
    }
    found
}

/// The names of a path, which must not climb out of a container.
fn names(path: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    names
}

#[cfg(test)]
mod tests;
