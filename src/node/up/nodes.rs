//! The nodes of a cluster on one machine: for each a Docker engine and an agent, in a network namespace.
//!
//! An engine is the node's own: other data, other socket, no bridge and no firewall rules, so that whatever the user's
//! engine does stays untouched.

use std::path::PathBuf;

use anyhow::Context;

use super::ClusterDir;
use super::cluster_file::{ClusterFile, NodeAddress};
use super::host::{Command, Host, command};
use super::plumbing::Names;
use super::process::Process;
use base::files;

/// How long an engine lets containers end by themselves when it is stopped, in seconds.
const ENGINE_SHUTDOWN_S: u32 = 3;

/// An engine's own settings: none. Those of the user's engine are not for it.
const SETTINGS: &str = "daemon.json";

/// Where an engine notes the pid of its containerd, below its run directory.
const CONTAINERD_PID: &str = "containerd/containerd.pid";

/// The name of the process that is a node's engine.
pub fn engine_name(node: &str) -> String {
    format!("{node}-engine")
}

fn cluster_run(names: &Names) -> PathBuf {
    PathBuf::from("/run/keelson").join(names.short())
}

/// Where an engine keeps what does not outlive it. Short, because the paths of sockets are bounded to 107 bytes and the
/// cluster's directory may be deep.
pub fn run_directory(names: &Names, node: &str) -> PathBuf {
    cluster_run(names).join(node)
}

/// An engine's socket.
pub fn socket(names: &Names, node: &str) -> PathBuf {
    run_directory(names, node).join("docker.sock")
}

/// Makes an engine's run directory.
///
/// # Errors
/// When it cannot be made.
pub fn prepare(names: &Names, node: &str) -> anyhow::Result<()> {
    let run = run_directory(names, node);
    files::make_directory(&run)?;
    Ok(files::write(&run.join(SETTINGS), b"{}\n")?)
}

/// Removes the pid of a containerd that is dead: an engine would wait for it in vain, and end, once that pid is another
/// process's, or nobody has collected the dead one.
///
/// # Errors
/// When the file can be neither read nor removed.
pub fn forget_dead_containerd(host: &dyn Host, names: &Names, node: &str) -> anyhow::Result<()> {
    let run = run_directory(names, node);
    let path = run.join(CONTAINERD_PID);
    let Some(noted) = files::read(&path)? else { return Ok(()) };
    let process = noted.trim().parse().ok().and_then(|pid| host.process(pid));
    // Its configuration lies there.
    let is_ours = |word: &String| word.starts_with(&run.display().to_string());
    if !process.is_some_and(|facts| facts.command.iter().any(is_ours)) {
        files::remove(&path)?;
    }
    Ok(())
}

/// The process that is a node's engine. Without a pid file of its own: it would not start beside one that was killed,
/// once another process has that pid. Ours are told from strangers.
pub fn engine(directory: &ClusterDir, names: &Names, node: &NodeAddress) -> Process {
    let name = engine_name(&node.name);
    let run = run_directory(names, &node.name);
    let data = directory.data(&name);
    let mut words = command(&format!("nsenter --net=/run/netns/{} dockerd", names.namespace(&node.name)));
    words.extend(["--data-root".to_owned(), data.path().display().to_string()]);
    words.extend(command(&format!(
        "--exec-root {run} --pidfile= --host unix://{socket} --bridge none --iptables=false \
         --ip6tables=false --ip-forward=false --ip-masq=false --userland-proxy=false --log-level warn \
         --shutdown-timeout {ENGINE_SHUTDOWN_S} --config-file {run}/{SETTINGS}",
        run = run.display(),
        socket = socket(names, &node.name).display(),
    )));
    Process { name, command: words }
}

/// How the flag begins by which masters and agents are told where Services get their addresses; agents take those of the
/// fourth version of IP.
const SERVICE_ADDRESSES: &str = "--service-cluster-ip-range=";

/// Tells an agent how long the Lease of its node holds.
pub fn lease_flag(seconds: u32) -> String {
    format!("--node-lease-duration-seconds={seconds}")
}

/// The process that is a node's agent. It joins with a token, the first time.
pub fn agent(
    directory: &ClusterDir,
    names: &Names,
    program: &str,
    file: &ClusterFile,
    node: &NodeAddress,
) -> Process {
    let mut words: Command =
        command(&format!("nsenter --net=/run/netns/{} {program} agent", names.namespace(&node.name)));
    words.extend(["--dir".to_owned(), directory.data(&node.name).path().display().to_string()]);
    words.extend(command(&format!(
        "--name {} --address {} --engine unix://{}",
        node.name,
        node.address,
        socket(names, &node.name).display()
    )));
    for master in &file.masters {
        words.extend(["--server".to_owned(), master.api.url()]);
    }
    words.extend(["--token-file".to_owned(), directory.token(&node.name).display().to_string()]);
    let of_services = |word: &&String| word.starts_with(SERVICE_ADDRESSES) && !word.contains(':');
    words.extend(file.service_ranges.iter().find(of_services).cloned());
    words.extend(file.agents.iter().cloned());
    // The disk is the whole machine's, which may be as full as its owner likes.
    words.extend(["--eviction-hard".to_owned(), "memory.available<100Mi".to_owned()]);
    Process { name: node.name.clone(), command: words }
}

/// Unmounts what a node's engine left mounted.
///
/// # Errors
/// When something is still in use.
pub fn unmount(
    host: &dyn Host,
    directory: &ClusterDir,
    names: &Names,
    node: &NodeAddress,
) -> anyhow::Result<()> {
    let run = run_directory(names, &node.name);
    let data = directory.data(&node.name).path().to_owned();
    let engine = directory.data(&engine_name(&node.name)).path().to_owned();
    let mounts = host.run(&command("cat /proc/self/mountinfo")).context("reading what is mounted")?;
    let mut ours: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|at| [&run, &data, &engine].iter().any(|root| std::path::Path::new(at).starts_with(root)))
        .collect();
    // The innermost first.
    ours.sort_by_key(|at| std::cmp::Reverse(at.len()));
    for at in ours {
        host.run(&vec!["umount".to_owned(), "--lazy".to_owned(), at.to_owned()])
            .with_context(|| format!("unmounting {at}, which the engine of {} left", node.name))?;
    }
    Ok(())
}

/// Removes what the engines kept below `/run`, once nothing is mounted there.
///
/// # Errors
/// When something is still in use.
pub fn remove_run(host: &dyn Host, names: &Names) -> anyhow::Result<()> {
    let run = cluster_run(names).display().to_string();
    let remove = ["rm", "--recursive", "--force", "--one-file-system", &run].map(str::to_owned);
    host.run(&remove.to_vec()).with_context(|| format!("removing {run}"))?;
    Ok(())
}
