//! What a container may do, and as whom: its own security context over the pod's.

use k8s_openapi::api::core::v1::{PodSecurityContext, SecurityContext};

use crate::engine::{Image, Security};
use crate::pod::{DesiredPod, Member};

use super::ConfigError;

fn contexts(desired: &DesiredPod, member: &Member) -> (PodSecurityContext, SecurityContext) {
    let pod = desired.spec().security_context.clone().unwrap_or_default();
    (pod, member.container.security_context.clone().unwrap_or_default())
}

/// The kernel settings of the pod belong to its sandbox.
pub(super) fn sandbox(desired: &DesiredPod) -> Security {
    let pod = desired.spec().security_context.clone().unwrap_or_default();
    let sysctls = pod.sysctls.into_iter().flatten().map(|sysctl| (sysctl.name, sysctl.value)).collect();
    Security {
        is_root_read_only: true,
        options: vec!["no-new-privileges".to_owned()],
        sysctls,
        ..Security::default()
    }
}

/// Whom the container runs as; `None` is whom its image says.
pub(super) fn user(
    desired: &DesiredPod,
    member: &Member,
    image: &Image,
) -> Result<Option<String>, ConfigError> {
    let (pod, own) = contexts(desired, member);
    let user = own.run_as_user.or(pod.run_as_user);
    let group = own.run_as_group.or(pod.run_as_group);
    if own.run_as_non_root.or(pod.run_as_non_root) == Some(true) {
        refuse_root(desired, member, user, image)?;
    }
    let image_user = image.user.split(':').next().filter(|user| !user.is_empty());
    Ok(match (user, group) {
        (Some(user), Some(group)) => Some(format!("{user}:{group}")),
        (Some(user), None) => Some(user.to_string()),
        (None, Some(group)) => Some(format!("{}:{group}", image_user.unwrap_or("0"))),
        (None, None) => None,
    })
}

fn refuse_root(
    desired: &DesiredPod,
    member: &Member,
    user: Option<i64>,
    image: &Image,
) -> Result<(), ConfigError> {
    let place = format!("(pod: \"{}\", container: {})", desired.key, member.name());
    let refuse = |what: &str| Err(ConfigError(format!("{what} {place}")));
    if let Some(user) = user {
        return if user == 0 { refuse("container's runAsUser breaks non-root policy") } else { Ok(()) };
    }
    let name = image.user.split(':').next().unwrap_or_default();
    match name.parse::<i64>() {
        Ok(0) => refuse("container has runAsNonRoot and image will run as root"),
        Ok(_) => Ok(()),
        // An image that says nothing runs as root.
        Err(_) if name.is_empty() => refuse("container has runAsNonRoot and image will run as root"),
        Err(_) => refuse(&format!(
            "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
        )),
    }
}

/// What the container may do.
pub(super) fn container(desired: &DesiredPod, member: &Member) -> Result<Security, ConfigError> {
    let (pod, own) = contexts(desired, member);
    let is_privileged = own.privileged == Some(true);
    let mut groups: Vec<i64> = pod.supplemental_groups.unwrap_or_default();
    groups.extend(pod.fs_group);
    groups.dedup();
    let mut options = Vec::new();
    if own.allow_privilege_escalation == Some(false) && !is_privileged {
        options.push("no-new-privileges".to_owned());
    }
    let profile = own.seccomp_profile.or(pod.seccomp_profile);
    match profile.as_ref().map(|profile| profile.type_.as_str()) {
        // The engine's own profile holds when nothing is said.
        Some("RuntimeDefault") => {}
        // As in Kubernetes, whoever asks for none has none.
        None | Some("Unconfined") => options.push("seccomp=unconfined".to_owned()),
        Some(other) => {
            return Err(ConfigError(format!(
                "seccomp profile type {other:?} is not supported on this node: use RuntimeDefault or Unconfined"
            )));
        }
    }
    let capabilities = own.capabilities.unwrap_or_default();
    let plain = |names: Option<Vec<String>>| -> Vec<String> {
        let names = names.into_iter().flatten();
        names.map(|name| name.trim_start_matches("CAP_").to_owned()).collect()
    };
    Ok(Security {
        is_privileged,
        is_root_read_only: own.read_only_root_filesystem == Some(true),
        groups: groups.iter().map(ToString::to_string).collect(),
        cap_add: plain(capabilities.add),
        cap_drop: plain(capabilities.drop),
        options,
        sysctls: std::collections::BTreeMap::new(),
        is_proc_unmasked: own.proc_mount.as_deref() == Some("Unmasked"),
    })
}
