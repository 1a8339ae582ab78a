//! The volumes of the pods of a node.
//!
//! # Layout
//! ```text
//! ROOT/pods/UID/volumes/kubernetes.io~configmap/NAME/   a volume
//! ROOT/pods/UID/volume-subpaths/NAME/CONTAINER/INDEX    a part of one, mounted for a container
//! ROOT/pods/UID/plugins/kubernetes.io~empty-dir/NAME/ready   an emptyDir that is complete
//! ```
//!
//! # Guarantees
//! - Level-triggered: every call looks at what stands and does what is missing, so a restarted agent takes up
//!   what it finds, and nothing is kept but tokens.
//! - What a volume shows is another payload or the one before, whole.
//! - [`Volumes::tear_down`] unmounts everything first, follows no symlink, enters no mount, and can be
//!   called again wherever it stopped.
//!
//! # Assumptions
//! One call at a time for each pod. No container of a pod runs when its volumes are torn down.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::env;

use crate::disk::NodeDisk;
use crate::error::{Error, VolumeError};
use crate::mountinfo::{is_mounted, mount_memory, unmount_below};
use crate::mounts::{Mounts, Standing};
use crate::plan::{self, Body, Memory, VolumePlan, file_name, ready_marker};
use crate::pod::PodContext;
use crate::tokens::{TokenSource, Tokens, tokens};
use crate::{host_path, ownership, remove, writer};

/// Permission bits of a volume's own folder, and of the folders that lead to it.
const VOLUME_MODE: u32 = 0o777;
const FOLDER_MODE: u32 = 0o750;

/// Permission bits of folders in a volume on which others are mounted.
const NESTED_MODE: u32 = 0o755;

/// The volumes of all pods of the node.
pub struct Volumes {
    pods: PathBuf,
    tokens: Tokens,
}

impl Volumes {
    /// The volumes below a folder, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(root: &Path, source: Arc<dyn TokenSource>) -> Result<Self, Error> {
        let pods = root.join("pods");
        create_folders(&pods)?;
        // The kernel names mounts by their real path.
        let pods = pods.canonicalize().map_err(|why| Error::file("open", &pods, why))?;
        Ok(Self { pods, tokens: Tokens::new(source) })
    }

    /// Makes the volumes that the containers of a pod mount, or finds them made.
    ///
    /// # Errors
    /// Each volume that could not be; the others stand.
    pub async fn set_up(&self, context: &PodContext<'_>) -> Result<Mounts, Vec<VolumeError>> {
        self.apply(context, |_| true).await
    }

    /// Brings the files of volumes up to what the objects, the pod and its tokens are now. Once an object was
    /// there, a volume keeps the files it has while the object is missing.
    ///
    /// # Errors
    /// Each volume that could not be; it shows what it showed before.
    pub async fn update(&self, context: &PodContext<'_>) -> Result<Mounts, Vec<VolumeError>> {
        self.apply(context, |plan| matches!(plan.body, Body::Files { .. })).await
    }

    /// Plans all volumes of a pod and does what is missing for those that `is_due`.
    async fn apply(
        &self,
        context: &PodContext<'_>,
        is_due: fn(&VolumePlan) -> bool,
    ) -> Result<Mounts, Vec<VolumeError>> {
        let issued = self.tokens.issue(tokens(context.pod)).await;
        let plans = plan::volumes(context, &issued);
        let pod = match file_name(context.uid()) {
            Ok(uid) => self.pods.join(uid),
            Err(error) => return Err(vec![VolumeError { volume: String::new(), error }]),
        };
        let (folder, group) = (pod.clone(), context.fs_group());
        let applied = env::blocking(move || {
            let one = |planned: Result<VolumePlan, VolumeError>| {
                let plan = planned?;
                let done = if is_due(&plan) { apply_one(&folder, &plan, group) } else { Ok(()) };
                done.map_err(|error| VolumeError { volume: plan.name.clone(), error })?;
                Ok(standing(&folder, plan))
            };
            plans.into_iter().map(one).collect::<Vec<Result<_, VolumeError>>>()
        })
        .await;
        let (mut volumes, mut errors) = (Vec::new(), Vec::new());
        for one in applied {
            match one {
                Ok(standing) => volumes.push(standing),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Mounts { volumes: volumes.into_iter().collect(), renew_at_ms: issued.renew_at_ms, pod })
    }

    /// Removes the folder of a pod with everything in it: its subPaths and volumes, and what the kubelet
    /// put there.
    ///
    /// # Errors
    /// Something is in use or cannot be removed. Nothing that is mounted was entered, and the next call goes on.
    pub async fn tear_down(&self, uid: &str) -> Result<(), Error> {
        self.tokens.forget(uid);
        let (pods, uid) = (self.pods.clone(), file_name(uid)?.to_owned());
        env::blocking(move || {
            unmount_below(&pods.join(&uid))?;
            remove::remove(&pods, &uid)
        })
        .await
    }

    /// The uids of the pods that have a folder: after a restart, those of pods that are gone are to be torn
    /// down.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub async fn uids(&self) -> Result<Vec<String>, Error> {
        let pods = self.pods.clone();
        env::blocking(move || {
            let entries = fs::read_dir(&pods).map_err(|why| Error::file("read", &pods, why))?;
            let names: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.file_name())).collect();
            let names = names.map_err(|why| Error::file("read", &pods, why))?;
            let mut uids: Vec<String> =
                names.into_iter().filter_map(|name| name.into_string().ok()).collect();
            uids.sort();
            Ok(uids)
        })
        .await
    }
}

fn standing(pod: &Path, plan: VolumePlan) -> (String, Standing) {
    let is_read_only = plan.is_read_only();
    let path = match (plan.folder(), &plan.body) {
        (Some(folder), _) => pod.join(folder),
        (None, Body::HostPath { path, .. }) => PathBuf::from(path),
        (None, _) => pod.to_owned(),
    };
    (plan.name, Standing { path, is_read_only })
}

fn apply_one(pod: &Path, plan: &VolumePlan, group: Option<u32>) -> Result<(), Error> {
    let folder = plan.folder().map(|folder| pod.join(folder)).unwrap_or_default();
    match &plan.body {
        Body::HostPath { path, kind } => host_path::check(path, kind),
        Body::EmptyDir { memory } => empty_dir(&folder, &pod.join(ready_marker(&plan.name)), *memory, group),
        Body::Files { memory, payload, nested, .. } => {
            volume_folder(&folder, *memory)?;
            for path in nested.iter().map(|path| folder.join(path)) {
                let made = DirBuilder::new().recursive(true).mode(NESTED_MODE).create(&path);
                made.map_err(|why| Error::file("mkdir", &path, why))?;
            }
            writer::write(&NodeDisk, &folder, payload, group, &stamp()).map(drop)
        }
    }
}

/// An emptyDir is only touched until it is complete: from then on it is the containers'.
fn empty_dir(folder: &Path, marker: &Path, memory: Option<Memory>, group: Option<u32>) -> Result<(), Error> {
    let stands = folder.is_dir() && (memory.is_none() || is_mounted(folder)?);
    if marker.exists() && stands {
        return Ok(());
    }
    volume_folder(folder, memory)?;
    if let Some(group) = group {
        ownership::give_to_group(&NodeDisk, folder, group, false)?;
    }
    if let Some(parent) = marker.parent() {
        create_folders(parent)?;
    }
    fs::write(marker, "").map_err(|why| Error::file("write", marker, why))
}

/// The folder of a volume, on a file system in memory where it is to be.
fn volume_folder(folder: &Path, memory: Option<Memory>) -> Result<(), Error> {
    if let Some(parent) = folder.parent() {
        create_folders(parent)?;
    }
    if !folder.is_dir() {
        fs::create_dir(folder).map_err(|why| Error::file("mkdir", folder, why))?;
    }
    let meta = fs::metadata(folder).map_err(|why| Error::file("stat", folder, why))?;
    let mode = meta.permissions().mode() & 0o7777;
    // What the umask took away, also from an agent that died in between.
    if mode & VOLUME_MODE != VOLUME_MODE {
        fs::set_permissions(folder, Permissions::from_mode(mode | VOLUME_MODE))
            .map_err(|why| Error::file("chmod", folder, why))?;
    }
    match memory {
        Some(memory) if !is_mounted(folder)? => mount_memory(folder, memory),
        _ => Ok(()),
    }
}

fn create_folders(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path);
    made.map_err(|why| Error::file("mkdir", path, why))
}

/// The name of a new folder of files: when it was written, in UTC, and a number that no other has.
fn stamp() -> String {
    let now = api::time::rfc3339(env::wall_ms());
    format!(
        "{}.{}",
        now.trim_end_matches('Z').replace(['-', ':', 'T'], "_"),
        env::random_u64() % 10_000_000_000
    )
}
