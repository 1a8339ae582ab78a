//! Files that change all at once.
//!
//! # Layout
//! As in Kubernetes, which programs rely on that watch `..data`:
//!
//! ```text
//! ..2026_01_31_12_00_00.123456789/   the files, in a folder of their own each time
//! ..data -> ..2026_01_31_12_00_00.123456789
//! user -> ..data/user                one link for each first name in the payload
//! ```
//!
//! # Guarantees
//! - Whoever reads through `..data` sees one payload or the other, whole, also when the agent dies at any step.
//! - Where the files already stand as they should be, nothing is written.
//! - The next run removes what a run that died left behind.
//!
//! # Assumptions
//! Containers can only read the volume, and one run at a time writes to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::Error;
use crate::ownership;
use crate::payload::Payload;

/// The link that leads to the files.
const DATA: &str = "..data";

/// The same before it takes its place.
const DATA_NEXT: &str = "..data_tmp";

/// Permission bits of folders among the files.
const FOLDER_MODE: u32 = 0o755;

/// Whether a run changed the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// They were as they should be.
    Unchanged,
    /// They are others now.
    Replaced,
}

/// Makes the files of a volume those of a payload whose paths were checked. `stamp` names the new folder and
/// must be new each time.
///
/// # Errors
/// A file could not be read or changed: what was visible before or the payload is visible now.
pub(crate) fn write(
    disk: &dyn Disk,
    volume: &Path,
    payload: &Payload,
    group: Option<u32>,
    stamp: &str,
) -> Result<Written, Error> {
    let current = current(volume)?;
    remove_stale(disk, volume, current.as_deref())?;
    let is_current = match &current {
        Some(name) => holds(&volume.join(name), payload)?,
        None => false,
    };
    if !is_current {
        publish(disk, volume, payload, group, stamp)?;
    }
    show(disk, volume, payload)?;
    if is_current {
        return Ok(Written::Unchanged);
    }
    remove_stale(disk, volume, Some(&format!("..{stamp}")))?;
    Ok(Written::Replaced)
}

/// The folder that `..data` leads to, if it is one of the writer's.
fn current(volume: &Path) -> Result<Option<String>, Error> {
    let link = volume.join(DATA);
    match fs::read_link(&link) {
        Ok(target) => {
            let name = target.into_os_string().into_string().unwrap_or_default();
            let is_ours = name.starts_with("..") && name.len() > 2 && !name.contains('/');
            Ok(is_ours.then_some(name))
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(Error::file("read", link, why)),
    }
}

/// Writes the files beside those that are seen, then lets them be seen.
fn publish(
    disk: &dyn Disk,
    volume: &Path,
    payload: &Payload,
    group: Option<u32>,
    stamp: &str,
) -> Result<(), Error> {
    let name = format!("..{stamp}");
    let folder = volume.join(&name);
    create_folder(disk, &folder)?;
    let ancestors = payload.keys().flat_map(|path| Path::new(path).ancestors().skip(1));
    let folders: BTreeSet<&Path> = ancestors.filter(|path| !path.as_os_str().is_empty()).collect();
    for path in folders {
        create_folder(disk, &folder.join(path))?;
    }
    for (path, file) in payload {
        let path = folder.join(path);
        disk.create_file(&path, file).map_err(|why| Error::file("write", &path, why))?;
    }
    if let Some(group) = group {
        ownership::give_to_group(disk, volume, group, true)?;
    }
    let next = volume.join(DATA_NEXT);
    disk.create_link(Path::new(&name), &next).map_err(|why| Error::file("symlink", &next, why))?;
    disk.rename(&next, &volume.join(DATA)).map_err(|why| Error::file("rename", &next, why))
}

fn create_folder(disk: &dyn Disk, path: &Path) -> Result<(), Error> {
    disk.create_folder(path, FOLDER_MODE).map_err(|why| Error::file("mkdir", path, why))
}

/// Makes the links that users look at: those that are missing, and none that lead nowhere any more.
fn show(disk: &dyn Disk, volume: &Path, payload: &Payload) -> Result<(), Error> {
    let wanted: BTreeSet<&str> = payload.keys().map(|path| first_name(path)).collect();
    let links = links(volume)?;
    for name in wanted.iter().filter(|name| !links.contains_key(**name)) {
        let (link, target) = (volume.join(name), Path::new(DATA).join(name));
        match disk.create_link(&target, &link) {
            // A volume that is mounted below this one has its place there.
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(|why| Error::file("symlink", &link, why))?,
        }
    }
    for (name, target) in links {
        if target.starts_with(DATA) && !wanted.contains(name.as_str()) {
            let link = volume.join(name);
            disk.remove_file(&link).map_err(|why| Error::file("remove", &link, why))?;
        }
    }
    Ok(())
}

fn first_name(path: &str) -> &str {
    path.split_once('/').map_or(path, |(first, _)| first)
}

/// The links in a volume but the writer's own, with what they lead to.
fn links(volume: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    let mut found = BTreeMap::new();
    for name in names(volume)?.into_iter().filter(|name| !name.starts_with("..")) {
        if let Ok(target) = fs::read_link(volume.join(&name)) {
            found.insert(name, target);
        }
    }
    Ok(found)
}

/// Removes what only the writer makes, except the link to the files and the folder that it leads to.
fn remove_stale(disk: &dyn Disk, volume: &Path, current: Option<&str>) -> Result<(), Error> {
    for name in names(volume)? {
        if !name.starts_with("..") || name == DATA || Some(name.as_str()) == current {
            continue;
        }
        let path = volume.join(&name);
        let meta = fs::symlink_metadata(&path).map_err(|why| Error::file("stat", &path, why))?;
        let removed = if meta.is_dir() { disk.remove_folder(&path) } else { disk.remove_file(&path) };
        removed.map_err(|why| Error::file("remove", &path, why))?;
    }
    Ok(())
}

/// Whether the files in a folder are exactly those of the payload.
fn holds(folder: &Path, payload: &Payload) -> Result<bool, Error> {
    let mut found = BTreeSet::new();
    if !folder.is_dir() {
        return Ok(false);
    }
    list_files(folder, "", &mut found)?;
    if !found.iter().eq(payload.keys()) {
        return Ok(false);
    }
    for (path, file) in payload {
        let path = folder.join(path);
        let data = fs::read(&path).map_err(|why| Error::file("read", &path, why))?;
        if data != file.data {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The paths of all files below a folder.
fn list_files(folder: &Path, below: &str, found: &mut BTreeSet<String>) -> Result<(), Error> {
    for name in names(folder)? {
        let path = folder.join(&name);
        let meta = fs::symlink_metadata(&path).map_err(|why| Error::file("stat", &path, why))?;
        let name = if below.is_empty() { name } else { format!("{below}/{name}") };
        if meta.is_dir() {
            list_files(&path, &name, found)?;
        } else {
            found.insert(name);
        }
    }
    Ok(())
}

/// The names in a folder. One that is no text is none of the writer's.
fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = fs::read_dir(folder).map_err(|why| Error::file("read", folder, why))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|why| Error::file("read", folder, why))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
