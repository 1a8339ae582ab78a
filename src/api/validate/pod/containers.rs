//! Containers: those of the pod, those before it, and those added later.

use std::collections::BTreeSet;

use super::handlers::handlers;
use super::{Spec, env, mounts, resources, security};
use crate::names;
use crate::validate::at::At;
use crate::validate::text;

/// When an image is pulled.
pub(super) const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];

const RESTART_RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const NOT_EPHEMERAL: &str = "cannot be set for an Ephemeral Container";
const NOT_INIT: &str = "may not be set for init containers without restartPolicy=Always";

/// What an ephemeral container cannot have: it is no part of the pod's service.
const NEVER_EPHEMERAL: &[&str] = &[
    "ports",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

/// All lists of containers of a pod.
pub(super) fn containers(of: &Spec<'_>) {
    regular(of);
    init(of);
    ephemeral(of);
}

fn regular(of: &Spec<'_>) {
    let containers = of.spec.field("containers");
    if containers.count() == 0 {
        return containers.required("");
    }
    let mut known: Vec<&str> = Vec::new();
    for container in containers.items() {
        common(of, container);
        unique(container.field("name"), &mut known);
        handlers(of, container);
        restart_policy(container);
    }
    host_ports(containers.items());
}

fn unique<'a>(name: At<'a>, known: &mut Vec<&'a str>) {
    if known.contains(&name.text()) {
        name.duplicate();
    } else {
        known.push(name.text());
    }
}

fn init(of: &Spec<'_>) {
    let mut known: Vec<&str> =
        of.spec.field("containers").items().map(|container| container.field("name").text()).collect();
    for container in of.spec.field("initContainers").items() {
        common(of, container);
        let (policy, rules) = (container.field("restartPolicy"), container.field("restartPolicyRules"));
        if policy.is_set() {
            restart_policy(container);
        } else if rules.count() > 0 {
            policy.required("must specify restartPolicy when restart rules are used");
        }
        let name = container.field("name");
        if known.contains(&name.text()) {
            name.duplicate();
        } else if !name.text().is_empty() {
            known.push(name.text());
        }
        host_ports_of_init(container, of.spec.field("initContainers"));
        if policy.text() == "Always" {
            handlers(of, container);
            continue;
        }
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"]
            .map(|field| container.field(field))
        {
            if field.is_set() {
                field.forbidden(NOT_INIT);
            }
        }
        for resize in container.field("resizePolicy").items().map(|resize| resize.field("restartPolicy")) {
            if resize.text() == "RestartContainer" {
                resize.invalid("must not be set to 'RestartContainer' for non-sidecar initContainers");
            }
        }
    }
}

fn ephemeral(of: &Spec<'_>) {
    let of_list =
        |list: &'static str| of.spec.field(list).items().map(|container| container.field("name").text());
    let others: BTreeSet<_> = match of.spec.field("ephemeralContainers").count() {
        0 => return,
        _ => of_list("containers").chain(of_list("initContainers")).collect(),
    };
    let mut known = others.clone();
    for container in of.spec.field("ephemeralContainers").items() {
        common(of, container);
        trimmed_image(container);
        if !known.insert(container.field("name").text()) {
            container.field("name").duplicate();
        }
        let target = container.field("targetContainerName");
        if !target.text().is_empty() && !others.contains(target.text()) {
            target.not_found();
        }
        for field in NEVER_EPHEMERAL.iter().map(|field| container.field(field)).filter(|field| field.is_set())
        {
            field.forbidden(NOT_EPHEMERAL);
        }
        if container.field("resources").entries().any(|(_, value)| value.is_set()) {
            container.field("resources").forbidden(NOT_EPHEMERAL);
        }
        for mount in container.field("volumeMounts").items() {
            for field in ["subPath", "subPathExpr"].map(|field| mount.field(field)) {
                if !field.is_empty() {
                    field.forbidden(NOT_EPHEMERAL);
                }
            }
        }
    }
}

/// What holds for all containers.
fn common(of: &Spec<'_>, container: At<'_>) {
    container.field("name").require_name(names::dns_label);
    container.field("image").require_text();
    container.field("terminationMessagePolicy").require_one_of(&["File", "FallbackToLogsOnError"]);
    ports(container.field("ports"));
    env::env(container.field("env"));
    env::env_from(container.field("envFrom"));
    mounts::mounts(of, container);
    mounts::devices(of, container);
    container.field("imagePullPolicy").require_one_of(PULL_POLICIES);
    resources::of_container(of, container.field("resources"));
    resize_policy(container.field("resizePolicy"), of.spec.field("restartPolicy").text());
    security::of_container(of, container.field("securityContext"));
}

/// An image whose name has no blanks around it: templates may, pods may not.
pub(super) fn trimmed_image(container: At<'_>) {
    let image = container.field("image");
    if image.text().trim() != image.text() {
        image.invalid("must not have leading or trailing whitespace");
    }
}

fn ports(ports: At<'_>) {
    let mut known: Vec<&str> = Vec::new();
    for port in ports.items() {
        let (name, number, host) = (port.field("name"), port.field("containerPort"), port.field("hostPort"));
        if !name.text().is_empty() {
            let wrong = text::port_name(name.text());
            wrong.iter().for_each(|wrong| name.invalid(wrong));
            if wrong.is_empty() {
                unique(name, &mut known);
            }
        }
        if number.number() == 0 {
            number.required("");
        } else {
            number.port_number();
        }
        if host.number() != 0 {
            host.port_number();
        }
        port.field("protocol").require_one_of(&["SCTP", "TCP", "UDP"]);
    }
}

/// No two ports of one host.
fn host_ports<'a>(containers: impl Iterator<Item = At<'a>>) {
    let mut known: BTreeSet<(&str, &str, i64)> = BTreeSet::new();
    for port in containers.flat_map(|container| container.field("ports").items()) {
        duplicate_host_port(port, port.field("hostPort"), &mut known);
    }
}

/// Init containers run one by one; errors count as if each were the only one of the list.
fn host_ports_of_init<'a>(container: At<'a>, list: At<'a>) {
    let mut known: BTreeSet<(&str, &str, i64)> = BTreeSet::new();
    for (at, port) in container.field("ports").items().enumerate() {
        let place = list.index(0).field("ports").index(at).field("hostPort");
        duplicate_host_port(port, place, &mut known);
    }
}

fn duplicate_host_port<'a>(port: At<'a>, place: At<'a>, known: &mut BTreeSet<(&'a str, &'a str, i64)>) {
    let (protocol, ip, number) =
        (port.field("protocol").text(), port.field("hostIP").text(), port.field("hostPort").number());
    if number != 0 && !known.insert((protocol, ip, number)) {
        place.duplicate_value(format!("{protocol}/{ip}/{number}"));
    }
}

fn resize_policy(policies: At<'_>, pod_restart: &str) {
    let mut known: Vec<&str> = Vec::new();
    for policy in policies.items() {
        let (name, restart) = (policy.field("resourceName"), policy.field("restartPolicy"));
        if known.contains(&name.text()) {
            policy.duplicate_value(name.text());
        }
        known.push(name.text());
        policies.with(name.value()).require_one_of(&["cpu", "memory"]);
        policies.with(restart.value()).require_one_of(&["NotRequired", "RestartContainer"]);
        if pod_restart == "Never" && restart.text() != "NotRequired" {
            policies
                .invalid_value(restart.text(), "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
        }
    }
}

fn restart_policy(container: At<'_>) {
    let (policy, rules) = (container.field("restartPolicy"), container.field("restartPolicyRules"));
    if policy.is_set() {
        policy.one_of(&["Always", "Never", "OnFailure"]);
    } else if rules.count() == 0 {
        return;
    } else {
        policy.required("must specify restartPolicy when restart rules are used");
    }
    if rules.count() > RESTART_RULES_MAX {
        rules.too_many(rules.count(), RESTART_RULES_MAX);
    }
    for rule in rules.items() {
        rule.field("action").one_of(&["Restart", "RestartAllContainers"]);
        let codes = rule.field("exitCodes");
        if !codes.is_set() {
            codes.required("must be specified");
            continue;
        }
        codes.field("operator").one_of(&["In", "NotIn"]);
        if codes.field("values").count() > EXIT_CODES_MAX {
            codes.field("values").too_many(codes.field("values").count(), EXIT_CODES_MAX);
        }
    }
}
