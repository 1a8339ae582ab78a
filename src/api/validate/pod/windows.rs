//! What differs between pods for Linux and for Windows.

use super::Spec;
use crate::names;
use crate::validate::at::At;

const CREDENTIAL_BYTES_MAX: usize = 64 * 1024;
const DOMAIN_BYTES_MAX: usize = 256;
const USER_BYTES_MAX: usize = 104;

/// Options of a security context that only Windows has.
pub(super) fn options(options: At<'_>) {
    let (name, spec, user) = (
        options.field("gmsaCredentialSpecName"),
        options.field("gmsaCredentialSpec"),
        options.field("runAsUserName"),
    );
    if name.is_set() {
        name.check_name(names::dns_subdomain);
    }
    if spec.is_set() && spec.text().is_empty() {
        spec.invalid("gmsaCredentialSpec cannot be an empty string");
    } else if spec.text().len() > CREDENTIAL_BYTES_MAX {
        spec.invalid("gmsaCredentialSpec size must be under 64 KiB");
    }
    if user.is_set() {
        run_as_user(user);
    }
}

fn run_as_user(field: At<'_>) {
    let name = field.text();
    let parts: Vec<_> = name.split('\\').collect();
    let (domain, user) = match parts.as_slice() {
        _ if name.is_empty() => return field.invalid("runAsUserName cannot be an empty string"),
        _ if name.contains(|letter: char| letter.is_ascii_control()) => {
            return field.invalid("runAsUserName cannot contain control characters");
        }
        [user] => (None, *user),
        [domain, user] => (Some(*domain), *user),
        _ => return field.invalid("runAsUserName cannot contain more than one backslash"),
    };
    let domain_name = domain.unwrap_or_default();
    let dots_and_blanks = !user.is_empty() && user.chars().all(|letter| matches!(letter, '.' | ' '));
    let rules = [
        (domain_name.len() >= DOMAIN_BYTES_MAX, "runAsUserName's Domain length must be under 256 characters"),
        (
            domain.is_some_and(|domain| !is_net_bios(domain) && !is_dns(domain)),
            "runAsUserName's Domain doesn't match the NetBios nor the DNS format",
        ),
        (user.is_empty(), "runAsUserName's User cannot be empty"),
        (user.len() > USER_BYTES_MAX, "runAsUserName's User length must not be longer than 104 characters"),
        (dots_and_blanks, "runAsUserName's User cannot contain only periods or spaces"),
        (
            user.contains(|letter| r#""/\:;|=,+*?<>@[]"#.contains(letter)),
            r#"runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]"#,
        ),
    ];
    rules.iter().filter(|(broken, _)| *broken).for_each(|(_, rule)| field.invalid(rule));
}

fn is_net_bios(domain: &str) -> bool {
    let is_odd = |letter: char| r#"\/:*?"<>|"#.contains(letter);
    (1..=15).contains(&domain.chars().count()) && !domain.starts_with('.') && !domain.contains(is_odd)
}

fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| names::dns_label(&label.to_lowercase(), false).is_empty())
}

/// Containers that run on the host itself: all of a pod or none.
pub(super) fn host_process(of: &Spec<'_>) {
    let option = |context: At<'_>| context.field("windowsOptions").field("hostProcess").bool();
    let pod = option(of.spec.field("securityContext"));
    let (mut count, mut on_host) = (0, 0);
    for container in of.all_containers() {
        let own = option(container.field("securityContext"));
        if let (Some(pod), Some(own)) = (pod, own)
            && pod != own
        {
            let place = container.field("securityContext").field("windowsOptions").field("hostProcess");
            let rule = format!("pod hostProcess value must be identical if both are specified, was {pod}");
            place.invalid(&rule);
        }
        count += 1;
        on_host += u32::from(own.or(pod) == Some(true));
    }
    if on_host == 0 {
        return;
    }
    if on_host != count {
        let rule =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        of.spec.invalid_value("", rule);
    }
    let network = of.spec.field("hostNetwork");
    if !network.is_true() {
        network.invalid_value(false, "hostNetwork must be true if pod contains any hostProcess containers");
    }
}

const NOT_ON_WINDOWS: &str = "cannot be set for a windows pod";

const POD_FIELDS: &[&str] = &[
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];

const CONTAINER_FIELDS: &[&str] = &[
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// A pod says for which system it is.
pub(super) fn os(of: &Spec<'_>) {
    let os = of.spec.field("os");
    if !os.is_set() || !os.field("name").require_text() {
        return;
    }
    let forbid = |context: At<'_>, fields: &[&'static str], rule: &str| {
        for field in fields.iter().map(|field| context.field(field)).filter(|field| field.is_set()) {
            field.forbidden(rule);
        }
    };
    let contexts = || of.all_containers().map(|container| container.field("securityContext"));
    let pod = of.spec.field("securityContext");
    match of.os() {
        "linux" => {
            let rule = "windows options cannot be set for a linux pod";
            forbid(pod, &["windowsOptions"], rule);
            contexts().for_each(|context| forbid(context, &["windowsOptions"], rule));
        }
        "windows" => {
            forbid(pod, POD_FIELDS, NOT_ON_WINDOWS);
            if pod.field("sysctls").count() > 0 {
                pod.field("sysctls").forbidden(NOT_ON_WINDOWS);
            }
            forbid(of.spec, &["hostUsers", "shareProcessNamespace"], NOT_ON_WINDOWS);
            for field in ["hostPID", "hostIPC"].map(|field| of.spec.field(field)) {
                if field.is_true() {
                    field.forbidden(NOT_ON_WINDOWS);
                }
            }
            contexts().for_each(|context| forbid(context, CONTAINER_FIELDS, NOT_ON_WINDOWS));
        }
        _ => os.with(os.field("name").value()).not_supported(&["linux", "windows"]),
    }
}
