//! From a pod's description to what the engine creates: pure.

use std::path::{Path, PathBuf};

use crate::engine::{ContainerConfig, Image, Mount};
use crate::names::{self, SANDBOX};
use crate::outside::{ContainerInputs, HostPort};
use crate::pause;
use crate::pod::{DesiredPod, Kind, Member, PodKey};

pub mod files;
mod resources;
mod security;
#[cfg(test)]
mod tests;

/// The network mode of a container that has a network namespace and nothing of the engine's in it.
pub const NO_NETWORK: &str = "none";

/// The node, as far as containers see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// Its addresses, the first one first.
    pub ips: Vec<String>,
    /// Where the kubelet keeps its files.
    pub root: PathBuf,
    /// Addresses of the cluster's DNS server.
    pub cluster_dns: Vec<String>,
    /// The cluster's domain, `cluster.local` mostly.
    pub cluster_domain: String,
}

/// Where the files of one pod are.
pub fn pod_dir(root: &Path, key: &PodKey) -> PathBuf {
    root.join("pods").join(&key.uid)
}

/// The file in which this start of a container leaves its last words.
pub fn message_file(root: &Path, key: &PodKey, container: &str, attempt: u32) -> PathBuf {
    pod_dir(root, key).join("containers").join(container).join(attempt.to_string())
}

/// What a container cannot be created from, in the words of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// The container that owns the pod's network.
pub fn sandbox(node: &NodeFacts, desired: &DesiredPod, attempt: u32) -> ContainerConfig {
    let is_on_host = desired.is_on_host_network();
    let (hostname, domain) = files::hostname(desired, &node.cluster_domain);
    let full = if domain.is_empty() { hostname.clone() } else { format!("{hostname}.{domain}") };
    let is_full = desired.spec().set_hostname_as_fqdn == Some(true);
    ContainerConfig {
        name: names::container_name(&desired.key, SANDBOX, attempt),
        labels: names::sandbox_labels(&node.name, desired, attempt),
        image: pause::IMAGE.to_owned(),
        hostname: (!is_on_host).then_some(if is_full { full } else { hostname }),
        // The network moves an interface in, by the process: the engine needs none of its own.
        network_mode: if is_on_host { "host" } else { NO_NETWORK }.to_owned(),
        ipc_mode: if desired.spec().host_ipc == Some(true) { "host" } else { "shareable" }.to_owned(),
        pid_mode: (desired.spec().host_pid == Some(true)).then(|| "host".to_owned()),
        resources: resources::sandbox(),
        security: security::sandbox(desired),
        ..ContainerConfig::default()
    }
}

/// Everything that one start of a container is made from.
pub struct Start<'a> {
    /// The node.
    pub node: &'a NodeFacts,
    /// The pod.
    pub desired: &'a DesiredPod,
    /// The container.
    pub member: &'a Member,
    /// How many were before it.
    pub attempt: u32,
    /// See [`crate::backoff::next`].
    pub backoff_ms: u64,
    /// The engine's id of the sandbox.
    pub sandbox: &'a str,
    /// The image that is there.
    pub image: &'a Image,
    /// What it is given.
    pub inputs: ContainerInputs,
    /// The engine's id of the container whose processes an ephemeral one sees.
    pub target: Option<&'a str>,
}

/// One container in its sandbox.
///
/// # Errors
/// When it must not run as root and would.
pub fn container(start: Start<'_>) -> Result<ContainerConfig, ConfigError> {
    let Start { node, desired, member, attempt, sandbox, image, inputs, .. } = start;
    let (spec, container) = (desired.spec(), &member.container);
    let joined = format!("container:{sandbox}");
    let labels = names::container_labels(&node.name, desired, member, attempt, sandbox, start.backoff_ms);
    let pid_mode = match start.target {
        _ if spec.host_pid == Some(true) => Some("host".to_owned()),
        _ if spec.share_process_namespace == Some(true) => Some(joined.clone()),
        Some(target) => Some(format!("container:{target}")),
        None => None,
    };
    let mut mounts = inputs.mounts;
    own_mounts(node, desired, member, attempt, &mut mounts);
    Ok(ContainerConfig {
        name: names::container_name(&desired.key, member.name(), attempt),
        labels,
        image: image.id.clone(),
        command: inputs.command,
        args: inputs.args,
        env: inputs.env.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
        working_dir: inputs.working_dir,
        user: security::user(desired, member, image)?,
        hostname: None,
        tty: container.tty == Some(true),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        stop_signal: container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.clone()),
        mounts,
        network_mode: joined.clone(),
        ipc_mode: if spec.host_ipc == Some(true) { "host".to_owned() } else { joined },
        pid_mode,
        resources: resources::container(desired, member),
        security: security::container(desired, member)?,
    })
}

/// The files that the kubelet itself makes: names, servers, last words.
fn own_mounts(
    node: &NodeFacts,
    desired: &DesiredPod,
    member: &Member,
    attempt: u32,
    mounts: &mut Vec<Mount>,
) {
    let dir = pod_dir(&node.root, &desired.key);
    let message = message_file(&node.root, &desired.key, member.name(), attempt);
    let message_path = member.container.termination_message_path.as_deref();
    let own = [
        ("/etc/hosts", dir.join(files::HOSTS)),
        ("/etc/resolv.conf", dir.join(files::RESOLV_CONF)),
        (message_path.unwrap_or("/dev/termination-log"), message),
    ];
    for (container_path, host_path) in own {
        // A pod that mounts a file of its own there keeps it.
        if !mounts.iter().any(|mount| mount.container_path == container_path) {
            mounts.push(Mount {
                host_path: host_path.to_string_lossy().into_owned(),
                container_path: container_path.to_owned(),
                ..Mount::default()
            });
        }
    }
}

/// The ports of the node that lead into the pod.
pub fn host_ports(desired: &DesiredPod) -> Vec<HostPort> {
    let members = desired.of_kinds(&[Kind::Sidecar, Kind::App]);
    let ports = members.flat_map(|member| member.container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let number = |port: i32| u16::try_from(port).ok().filter(|port| *port > 0);
            Some(HostPort {
                host_ip: port.host_ip.clone().filter(|ip| !ip.is_empty()),
                host_port: number(port.host_port?)?,
                container_port: number(port.container_port)?,
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            })
        })
        .collect()
}
