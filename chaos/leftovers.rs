//! What of a cluster is on this machine: after `keelson down`, what it left behind.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::cluster::Cluster;
use crate::machine::Need;
use crate::process;

/// How long listing something may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);

/// Commands that list what a network is made of, a line for each part.
const LISTS: &[&[&str]] = &[
    &["ip", "netns", "list"],
    &["ip", "-o", "link", "show"],
    &["ip", "-4", "route", "show", "table", "all"],
    &["nft", "list", "tables"],
];

impl Cluster {
    /// Everything on this machine that belongs to the cluster, but for its directory: processes, also those in containers
    /// of its engines, and control groups of those; mounts of its nodes and their run directory; network namespaces,
    /// links, routes and tables of nftables. Nothing is left when it is down.
    ///
    /// # Errors
    /// When it cannot be looked for.
    pub async fn leftovers(&self) -> Result<Vec<String>> {
        let short = self.nodes().short()?;
        let run = PathBuf::from("/run/keelson").join(&short);
        let mut found = processes(self.directory(), &run)?;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let of_nodes = format!("{}/node-", self.data("").display());
        let is_ours = |line: &&str| line.contains(&of_nodes) || line.contains(&format!("{}/", run.display()));
        found.extend(mounts.lines().filter(is_ours).map(|line| format!("mount {line}")));
        found.extend(groups(&self.data(""))?);
        if run.exists() {
            found.push(format!("directory {}", run.display()));
        }
        if Need::Namespaces.missing().is_none() {
            for list in LISTS {
                found.extend(network(list, &short).await?);
            }
        }
        Ok(found)
    }
}

/// Control groups of containers that engines below a directory made.
fn groups(data: &Path) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for engine in std::fs::read_dir(data).into_iter().flatten() {
        for container in std::fs::read_dir(engine?.path().join("containers")).into_iter().flatten() {
            ids.push(container?.file_name().to_string_lossy().into_owned());
        }
    }
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        // One that goes meanwhile holds nothing.
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|its| its.is_dir()) {
                let name = path.display().to_string();
                if ids.iter().any(|id| name.contains(id)) {
                    found.push(format!("control group {name}"));
                }
                folders.push(path);
            }
        }
    }
    Ok(found)
}

/// The lines of a list that carry the cluster's name.
async fn network(list: &[&str], short: &str) -> Result<Vec<String>> {
    let listed = process::run(Command::new(list[0]).args(&list[1..]), LIST_TIMEOUT).await?;
    let names = [format!("kl{short}"), format!("kl-{short}"), format!("keelson_{short}")];
    let is_ours = |line: &&str| names.iter().any(|name| line.contains(name));
    Ok(listed.lines().filter(is_ours).map(|line| format!("{}: {line}", list.join(" "))).collect())
}

/// Processes that name one of the paths, or whose root is made of what lies there: that of a container is. Other mounts tell
/// nothing, because every new namespace begins with a copy of all that the machine has.
fn processes(directory: &Path, run: &Path) -> Result<Vec<String>> {
    let places = [directory, run].map(|path| path.display().to_string());
    let is_whole = |rest: &str| rest.is_empty() || rest.starts_with(['/', ' ']);
    let names = |text: &str| places.iter().any(|place| text.split(place).skip(1).any(is_whole));
    let own = std::fs::read_link("/proc/self/ns/mnt").context("this process has mounts")?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let file = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
        let command = std::fs::read(file("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        // One that ends meanwhile has none.
        let is_apart = std::fs::read_link(file("ns/mnt")).is_ok_and(|its| its != own);
        let mounts = || std::fs::read_to_string(file("mountinfo")).unwrap_or_default();
        let has_root = || mounts().lines().any(|mount| mount.split(' ').nth(4) == Some("/") && names(mount));
        if process::is_alive(pid) && (names(&command) || is_apart && has_root()) {
            found.push(format!("process {pid} {command}"));
        }
    }
    Ok(found)
}
