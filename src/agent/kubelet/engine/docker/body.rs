//! What the engine is told to create.

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount as EngineMount,
    MountBindOptions, MountBindOptionsPropagationEnum, MountType,
};

use crate::config::NO_NETWORK;
use crate::engine::{ContainerConfig, Mount, Resources, Security};

/// How large one file of a log becomes, and how many there are; as a kubelet's default.
const LOG_SIZE: &str = "10m";
/// See [`LOG_SIZE`].
const LOG_FILES: &str = "5";

/// The body of the request.
pub(super) fn of(config: &ContainerConfig) -> ContainerCreateBody {
    let mut host = host(&config.resources, &config.security);
    host.mounts = Some(config.mounts.iter().map(mount).collect());
    host.network_mode = Some(config.network_mode.clone());
    host.ipc_mode = Some(config.ipc_mode.clone());
    host.pid_mode.clone_from(&config.pid_mode);
    ContainerCreateBody {
        image: Some(config.image.clone()),
        labels: Some(config.labels.clone().into_iter().collect()),
        entrypoint: config.command.clone(),
        cmd: config.args.clone(),
        env: Some(config.env.clone()),
        working_dir: config.working_dir.clone(),
        user: config.user.clone(),
        hostname: config.hostname.clone(),
        tty: Some(config.tty),
        open_stdin: Some(config.stdin),
        stdin_once: Some(config.stdin_once),
        stop_signal: config.stop_signal.clone(),
        // Else the engine starts itself once more for each such container, to note a namespace in which it has nothing to
        // do: of all that a start takes that is a third.
        network_disabled: (config.network_mode == NO_NETWORK).then_some(true),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

fn host(resources: &Resources, security: &Security) -> HostConfig {
    let log_options = [("max-size", LOG_SIZE), ("max-file", LOG_FILES)];
    let log_options = log_options.map(|(option, value)| (option.to_owned(), value.to_owned()));
    HostConfig {
        cpu_shares: resources.cpu_shares,
        cpu_quota: resources.cpu_quota_us,
        cpu_period: resources.cpu_period_us,
        memory: resources.memory_bytes,
        // No more than the limit with swap either: none is swapped.
        memory_swap: resources.memory_bytes,
        privileged: Some(security.is_privileged),
        readonly_rootfs: Some(security.is_root_read_only),
        group_add: Some(security.groups.clone()),
        cap_add: Some(security.cap_add.clone()),
        cap_drop: Some(security.cap_drop.clone()),
        security_opt: Some(security.options.clone()),
        sysctls: Some(security.sysctls.clone().into_iter().collect()),
        masked_paths: security.is_proc_unmasked.then(Vec::new),
        readonly_paths: security.is_proc_unmasked.then(Vec::new),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(log_options.into_iter().collect()),
        }),
        cgroupns_mode: security.is_privileged.then_some(HostConfigCgroupnsModeEnum::HOST),
        ..HostConfig::default()
    }
}

fn mount(mount: &Mount) -> EngineMount {
    use MountBindOptionsPropagationEnum as Propagation;
    let propagation = match mount.propagation.as_deref() {
        Some("rslave") => Some(Propagation::RSLAVE),
        Some("rshared") => Some(Propagation::RSHARED),
        // The engine's own choice: private, but for folders in which its own files lie, which it mounts no other way than
        // as slaves.
        Some(_) | None => None,
    };
    EngineMount {
        target: Some(mount.container_path.clone()),
        source: Some(mount.host_path.clone()),
        typ: Some(MountType::BIND),
        read_only: Some(mount.is_read_only),
        bind_options: Some(MountBindOptions { propagation, ..MountBindOptions::default() }),
        ..EngineMount::default()
    }
}
