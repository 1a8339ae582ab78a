//! What containers may do: users and groups, capabilities, profiles, sysctls.

use super::paths::local_descending;
use super::{Spec, windows};
use crate::validate::at::At;
use crate::validate::internal;

const ID_MAX: i64 = i32::MAX as i64;
const PROFILE_PATH_BYTES_MAX: usize = 4_095;
const SYSCTL_BYTES_MAX: usize = 253;
const SYSCTL_RULE: &str = r"must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
const PROFILES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];

fn id(field: At<'_>) {
    if field.is_set() {
        field.between(0, ID_MAX);
    }
}

/// The security context of a container.
pub(super) fn of_container(of: &Spec<'_>, context: At<'_>) {
    if !context.is_set() {
        return;
    }
    id(context.field("runAsUser"));
    id(context.field("runAsGroup"));
    let mount = context.field("procMount");
    if mount.is_set() {
        mount.one_of(&["Default", "Unmasked"]);
        if mount.text() == "Unmasked" && of.spec.field("hostUsers").bool() != Some(false) {
            mount.invalid("`hostUsers` must be false to use `Unmasked`");
        }
    }
    seccomp(context.field("seccompProfile"));
    if context.field("allowPrivilegeEscalation").bool() == Some(false) {
        escalation(of, context);
    }
    windows::options(context.field("windowsOptions"));
    app_armor(context.field("appArmorProfile"));
}

fn escalation(of: &Spec<'_>, context: At<'_>) {
    let refuse = |what: &str| {
        let rule = format!("cannot set `allowPrivilegeEscalation` to false and {what}");
        context.invalid_value(internal::security_context(context), &rule);
    };
    if context.field("privileged").is_true() {
        refuse("`privileged` to true");
    }
    let added = context.field("capabilities").field("add").items();
    for _ in added.filter(|name| name.text() == "CAP_SYS_ADMIN" && !of.allow_sys_admin) {
        refuse("`capabilities.Add` CAP_SYS_ADMIN");
    }
}

fn seccomp(profile: At<'_>) {
    if !profile.is_set() {
        return;
    }
    let (kind, path) = (profile.field("type"), profile.field("localhostProfile"));
    if kind.text().is_empty() {
        kind.required("type is required when seccompProfile is set");
    } else {
        kind.one_of(PROFILES);
    }
    match (kind.text() == "Localhost", path.is_set()) {
        (true, true) => local_descending(path),
        (true, false) => path.required("must be set when seccomp type is Localhost"),
        (false, true) => {
            path.invalid_value(internal::profile(profile), "can only be set when seccomp type is Localhost");
        }
        (false, false) => {}
    }
}

/// A profile of AppArmor.
pub(super) fn app_armor(profile: At<'_>) {
    const NEEDED: &str = "must be set when AppArmor type is Localhost";
    if !profile.is_set() {
        return;
    }
    let (kind, path) = (profile.field("type"), profile.field("localhostProfile"));
    match kind.text() {
        "Localhost" if !path.is_set() => path.required(NEEDED),
        "Localhost" => {
            if path.text().trim() != path.text() {
                path.invalid("must not be padded with whitespace");
            } else if path.text().is_empty() {
                path.required(NEEDED);
            }
            if path.text().len() > PROFILE_PATH_BYTES_MAX {
                path.too_long(PROFILE_PATH_BYTES_MAX);
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if path.is_set() {
                path.invalid("can only be set when AppArmor type is Localhost");
            }
        }
        "" => kind.required("type is required when appArmorProfile is set"),
        _ => kind.not_supported(PROFILES),
    }
}

/// The security context of a pod.
pub(super) fn of_pod(of: &Spec<'_>) {
    let context = of.spec.field("securityContext");
    if !context.is_set() {
        return;
    }
    ["fsGroup", "runAsUser", "runAsGroup"].iter().for_each(|field| id(context.field(field)));
    context.field("supplementalGroups").items().for_each(id);
    sysctls(of, context.field("sysctls"));
    let one_of = |field: &'static str, known: &[&str]| {
        if context.field(field).is_set() {
            context.field(field).one_of(known);
        }
    };
    one_of("fsGroupChangePolicy", &["Always", "OnRootMismatch"]);
    seccomp(context.field("seccompProfile"));
    windows::options(context.field("windowsOptions"));
    app_armor(context.field("appArmorProfile"));
    one_of("supplementalGroupsPolicy", &["Merge", "Strict"]);
    one_of("seLinuxChangePolicy", &["MountOption", "Recursive"]);
}

fn sysctls(of: &Spec<'_>, sysctls: At<'_>) {
    let mut known: Vec<&str> = Vec::new();
    for name in sysctls.items().map(|sysctl| sysctl.field("name")) {
        if !name.require_text() {
            known.push("");
            continue;
        }
        if !is_sysctl(name.text()) {
            name.invalid(SYSCTL_RULE);
        } else if known.contains(&name.text()) {
            name.duplicate();
        }
        for (field, namespace) in [("hostNetwork", "Net"), ("hostIPC", "IPC")] {
            if of.spec.field(field).is_true() && sysctl_namespace(name.text()) == namespace {
                name.invalid(&format!("may not be specified when '{field}' is true"));
            }
        }
        known.push(name.text());
    }
}

/// Parts of small letters, digits, dashes and underscores between dots or slashes.
fn is_sysctl(name: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits = |part: &str| {
        let inner = |byte: u8| alphanumeric(byte) || byte == b'-' || byte == b'_';
        part.bytes().next().is_some_and(alphanumeric)
            && part.bytes().last().is_some_and(alphanumeric)
            && part.bytes().all(inner)
    };
    name.len() <= SYSCTL_BYTES_MAX && name.split(['.', '/']).all(fits)
}

/// The kernel's namespace that a sysctl belongs to.
fn sysctl_namespace(name: &str) -> &'static str {
    const IPC: &[&str] = &[
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
        "kernel.shm",
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.msg",
    ];
    let swap = |letter| match letter {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    // `net/ipv4/conf` is another way to write `net.ipv4.conf`.
    let name: String = match name.find(['.', '/']) {
        Some(at) if name[at..].starts_with('/') => name.chars().map(swap).collect(),
        _ => name.to_owned(),
    };
    let name = name.split('*').next().unwrap_or_default();
    match name {
        _ if IPC.contains(&name) || name.starts_with("fs.mqueue.") => "IPC",
        _ if name.starts_with("net.") => "Net",
        _ => "",
    }
}
