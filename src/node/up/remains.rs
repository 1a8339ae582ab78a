//! What goes on of a node without its engine: when that was killed nobody ends its containerd, its shims and its
//! containers, and none of them has a pid file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::ClusterDir;
use super::cluster_file::ClusterFile;
use super::host::{Host, Seen, Signal};
use super::nodes;
use super::plumbing::Names;
use super::process::{Running, entries};
use super::wait::wait_for_end;

/// Where control groups are. An engine that was killed removes none of its containers'.
const CGROUPS: &str = "/sys/fs/cgroup";

/// How many directories deep those of containers are at most: `CONTROLLER/PARENT.../docker/ID`.
const CGROUP_DEPTH_MAX: usize = 6;

/// How often what is left is looked for: a process may start another one just before it ends.
const ROUNDS_MAX: usize = 5;

/// What tells the processes of a cluster's nodes.
struct Nodes {
    /// The numbers of their network namespaces.
    networks: BTreeSet<u64>,
    /// The run directories of their engines.
    runs: Vec<PathBuf>,
    /// The ids of the containers that their engines made.
    containers: BTreeSet<String>,
}

/// Ends everything that still runs of a cluster's nodes, at once: what would end it in order is gone.
///
/// # Errors
/// When something does not end.
pub async fn end(
    host: &dyn Host,
    directory: &ClusterDir,
    names: &Names,
    file: &ClusterFile,
) -> anyhow::Result<()> {
    if file.nodes.is_empty() {
        return Ok(());
    }
    let nodes = Nodes::of(host, directory, names, file)?;
    let mut left = Vec::new();
    for _ in 0..ROUNDS_MAX {
        left = nodes.processes(host);
        if left.is_empty() {
            nodes.remove_groups(Path::new(CGROUPS), CGROUP_DEPTH_MAX);
            return Ok(());
        }
        for process in &left {
            host.signal(process.pid, &process.started, Signal::Kill)?;
        }
        wait_for_end(host, &left).await;
    }
    let told: Vec<_> =
        left.iter().map(|process| format!("{} ({})", process.pid, process.command.join(" "))).collect();
    bail!("these processes of nodes do not end even when killed: {}", told.join(", "))
}

impl Nodes {
    fn of(
        host: &dyn Host,
        directory: &ClusterDir,
        names: &Names,
        file: &ClusterFile,
    ) -> anyhow::Result<Self> {
        let mut found = Self { networks: BTreeSet::new(), runs: Vec::new(), containers: BTreeSet::new() };
        for node in &file.nodes {
            found.networks.extend(host.namespace(&names.namespace(&node.name)));
            found.runs.push(nodes::run_directory(names, &node.name));
            let engine = directory.data(&nodes::engine_name(&node.name)).path().join("containers");
            found.containers.extend(entries(&engine).context("looking for containers")?);
        }
        Ok(found)
    }

    fn processes(&self, host: &dyn Host) -> Vec<Running> {
        let ours = host.processes().into_iter().filter(|seen| self.has(seen));
        ours.map(|Seen { pid, facts, .. }| Running { pid, started: facts.started, command: facts.command })
            .collect()
    }

    /// Whether a process is in a node's network, names a path of its engine, or is in a container that the engine made.
    fn has(&self, seen: &Seen) -> bool {
        let in_network = seen.network.is_some_and(|network| self.networks.contains(&network));
        let is_of_run = |word: &String| self.runs.iter().any(|run| Path::new(word).starts_with(run));
        in_network || seen.facts.command.iter().any(is_of_run) || self.names_container(&seen.cgroups)
    }

    /// Whether the path of a control group, or one of many, is of a container that the engine made: `docker/ID` or
    /// `docker-ID.scope`, whatever manages them.
    fn names_container(&self, groups: &str) -> bool {
        groups.split(['/', '-', '.', '\n']).any(|part| self.containers.contains(part))
    }

    /// Removes the control groups of containers, the innermost first. One that is still in use, or goes by itself, is left.
    fn remove_groups(&self, directory: &Path, depth: usize) {
        let is_directory = |path: &PathBuf| path.symlink_metadata().is_ok_and(|facts| facts.is_dir());
        let inner = entries(directory).unwrap_or_default();
        for path in inner.iter().map(|name| directory.join(name)).filter(is_directory) {
            if depth > 0 {
                self.remove_groups(&path, depth - 1);
            }
            if self.names_container(&path.display().to_string())
                && let Err(error) = std::fs::remove_dir(&path)
            {
                tracing::debug!(path = %path.display(), %error, "a control group is left");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::host::{ProcessFacts, command};

    const ID: &str = "9680fd2dbe6b";

    fn nodes() -> Nodes {
        Nodes {
            networks: [7].into(),
            runs: vec!["/run/keelson/abcdef/node-1".into()],
            containers: [ID.to_owned()].into(),
        }
    }

    #[test]
    fn control_groups_of_containers_go_and_others_stay() {
        let root = tempfile::tempdir().expect("temporary directory");
        let groups =
            ["pids/docker/9680fd2dbe6b/inner", "slice/docker-9680fd2dbe6b.scope", "pids/docker/77ff"];
        groups.iter().for_each(|path| std::fs::create_dir_all(root.path().join(path)).expect("make"));
        nodes().remove_groups(root.path(), CGROUP_DEPTH_MAX);
        let left =
            ["pids/docker/9680fd2dbe6b", "slice/docker-9680fd2dbe6b.scope", "slice", "pids/docker/77ff"];
        assert_eq!(left.map(|path| root.path().join(path).exists()), [false, false, true, true]);
    }

    #[test]
    fn processes_of_nodes_are_told_from_strangers() {
        let (id, nodes) = (ID, nodes());
        let cases = [
            ("in the network", 7, "bash", "0::/\n".to_owned(), true),
            ("a shim", 1, "shim -id x -address /run/keelson/abcdef/node-1/c.sock", String::new(), true),
            ("a container", 8, "/pause", format!("8:pids:/docker/{id}\n0::/\n"), true),
            ("one of systemd's", 8, "/pause", format!("0::/system.slice/docker-{id}.scope\n"), true),
            ("below a container", 8, "sh", format!("0::/docker/{id}/inner\n"), true),
            ("another container", 8, "/pause", format!("0::/docker/{id}0\n"), false),
            (
                "another node's shim",
                1,
                "shim -address /run/keelson/abcdef/node-11/c.sock",
                String::new(),
                false,
            ),
            ("the host's own", 1, "dockerd", "0::/\n".to_owned(), false),
        ];
        for (what, network, line, cgroups, expected) in cases {
            let facts = ProcessFacts { started: "boot 1".to_owned(), command: command(line) };
            let seen = Seen { pid: 9, facts, network: Some(network), cgroups };
            assert_eq!(nodes.has(&seen), expected, "{what}");
        }
    }
}
