//! The rules of pods: of their spec, wherever it stands, and of what only real pods have.
//!
//! Kubernetes accepts what old objects hold even where newer rules would refuse it. Here all objects were accepted
//! by these rules, so there is nothing to be lenient about, but for [`Spec::allow_sys_admin`].

mod annotations;
mod containers;
mod dns;
mod downward;
mod env;
mod handlers;
mod mounts;
pub mod parts;
pub mod paths;
mod projected;
pub mod resources;
pub mod scheduling;
mod security;
pub mod status;
pub mod template;
pub mod update;
pub mod volumes;
mod windows;

use super::at::{At, Root};
use super::{internal, text};
use crate::names;

use annotations::Annotations;

/// The largest number of seconds and of other 32-bit counts.
const INT32_MAX: i64 = i32::MAX as i64;

/// The spec of a pod, and what its rules need to know about it.
#[derive(Clone)]
pub struct Spec<'a> {
    /// The spec.
    pub spec: At<'a>,
    /// The name of the pod; empty in templates.
    name: &'a str,
    /// Whether it is a pod, not a template for pods.
    is_pod: bool,
    /// Whether the kubelet made it, from a file on its node.
    is_mirror: bool,
    /// Whether containers may have `CAP_SYS_ADMIN` that may not escalate: some had it before.
    allow_sys_admin: bool,
    /// The volumes with nothing wrong.
    volumes: Vec<At<'a>>,
}

impl<'a> Spec<'a> {
    fn new(spec: At<'a>, old: Option<At<'_>>) -> Self {
        let allow_sys_admin = old.is_some_and(has_sys_admin);
        Self { spec, name: "", is_pod: false, is_mirror: false, allow_sys_admin, volumes: Vec::new() }
    }

    fn os(&self) -> &'a str {
        self.spec.field("os").field("name").text()
    }

    fn volume(&self, name: &str) -> Option<At<'a>> {
        self.volumes.iter().copied().find(|volume| volume.field("name").text() == name)
    }

    fn all_containers(&self) -> impl Iterator<Item = At<'a>> {
        all_containers(self.spec)
    }
}

/// Every container of a spec: first those that run first, last those that were added last.
pub fn all_containers(spec: At<'_>) -> impl Iterator<Item = At<'_>> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(move |list| spec.field(list).items())
}

fn has_sys_admin(spec: At<'_>) -> bool {
    all_containers(spec).map(|container| container.field("securityContext")).any(|context| {
        let mut added = context.field("capabilities").field("add").items();
        !context.field("allowPrivilegeEscalation").is_true()
            && added.any(|name| name.text() == "CAP_SYS_ADMIN")
    })
}

/// A new pod.
pub fn create(pod: Root<'_>) {
    metadata_and_spec(pod, None);
    let spec = pod.field("spec");
    let ephemeral = spec.field("ephemeralContainers");
    if ephemeral.count() > 0 {
        ephemeral.forbidden("cannot be set on create");
    }
    if !spec.field("nodeName").is_empty() && spec.field("schedulingGates").count() > 0 {
        spec.field("nodeName").forbidden("cannot be set until all schedulingGates have been cleared");
    }
    let annotations = Annotations::of_object(pod);
    annotations.seccomp_match(spec);
    annotations.app_armor_match(spec);
}

/// What holds for pods whether they are new or changed.
fn metadata_and_spec(pod: Root<'_>, old: Option<Root<'_>>) {
    let annotations = Annotations::of_object(pod);
    let at = pod.field("spec");
    annotations.check(at, old.map(Annotations::of_object).as_ref());
    let mut spec = Spec::new(at, old.map(|old| old.field("spec")));
    spec.name = pod.meta().name.as_str();
    spec.is_pod = true;
    spec.is_mirror = annotations.get(annotations::MIRROR).is_some();
    check(&mut spec);
    if at.field("serviceAccountName").is_empty() {
        for volume in at.field("volumes").items() {
            for source in volume.field("projected").field("sources").items() {
                if source.field("serviceAccountToken").is_set() {
                    let rule = "must not be specified when serviceAccountName is not set";
                    source.field("serviceAccountToken").forbidden(rule);
                }
            }
        }
    }
    at.field("terminationGracePeriodSeconds").non_negative();
    for list in ["containers", "initContainers"] {
        at.field(list).items().for_each(containers::trimmed_image);
    }
}

/// A spec, wherever it stands.
fn check(of: &mut Spec<'_>) {
    let spec = of.spec;
    if !spec.field("terminationGracePeriodSeconds").is_set() {
        spec.field("terminationGracePeriodSeconds").required("");
    }
    of.volumes = volumes::volumes(of);
    resource_claims(of);
    containers::containers(of);
    resources::of_pod(of);
    host_network(of);
    spec.field("restartPolicy").require_one_of(&["Always", "OnFailure", "Never"]);
    spec.field("dnsPolicy").require_one_of(&["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    spec.field("nodeSelector").labels();
    security::of_pod(of);
    if spec.field("hostPID").is_true() && spec.field("shareProcessNamespace").is_true() {
        let rule = "ShareProcessNamespace and HostPID cannot both be enabled";
        spec.field("shareProcessNamespace").invalid(rule);
    }
    scheduling::affinity(spec.field("affinity"));
    dns::config(spec);
    gates(spec);
    scheduling::spread(spec.field("topologySpreadConstraints"));
    windows::host_process(of);
    own_users(of);
    dns::host_names(spec);
    names_of_others(spec);
    let deadline = spec.field("activeDeadlineSeconds");
    if deadline.is_set() {
        deadline.between(1, INT32_MAX);
    }
    scheduling::tolerations(spec.field("tolerations"));
    dns::host_aliases(spec.field("hostAliases"));
    if spec.field("preemptionPolicy").is_set() {
        spec.field("preemptionPolicy").require_one_of(&["PreemptLowerPriority", "Never"]);
    }
    resources::overhead(spec.field("overhead"));
    windows::os(of);
    for container in of.all_containers() {
        env::files_are_in_empty_dirs(spec, container);
    }
}

fn names_of_others(spec: At<'_>) {
    for field in ["serviceAccountName", "nodeName", "priorityClassName"].map(|field| spec.field(field)) {
        if !field.text().is_empty() {
            field.check_name(names::dns_subdomain);
        }
    }
    let class = spec.field("runtimeClassName");
    if class.is_set() {
        class.check_name(names::dns_subdomain);
    }
    let (account, deprecated) =
        (spec.field("serviceAccountName").text(), spec.field("serviceAccount").text());
    if account != deprecated {
        let rule = format!("must be the same as serviceAccountName: {account:?}");
        spec.field("deprecatedServiceAccount").invalid_value(deprecated, &rule);
    }
}

fn resource_claims(of: &Spec<'_>) {
    let mut known: Vec<&str> = Vec::new();
    for claim in of.spec.field("resourceClaims").items() {
        if of.is_mirror {
            claim
                .report(|_| crate::FieldError::forbidden("[]", "static pods do not support resource claims"));
            continue;
        }
        let (name, direct, template) =
            (claim.field("name"), claim.field("resourceClaimName"), claim.field("resourceClaimTemplateName"));
        if known.contains(&name.text()) {
            name.duplicate();
        } else {
            name.require_name(names::dns_label);
            known.extend(Some(name.text()).filter(|name| !name.is_empty()));
        }
        let rule = match (direct.is_set(), template.is_set()) {
            (true, true) => {
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            }
            (false, false) => "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            _ => "",
        };
        if !rule.is_empty() {
            claim.invalid_value(internal::claim(claim), rule);
        }
        for reference in [direct, template].iter().filter(|reference| reference.is_set()) {
            reference.check_name(names::dns_subdomain);
        }
    }
}

/// Ports of a pod on the host's network are the host's.
fn host_network(of: &Spec<'_>) {
    if !of.spec.field("hostNetwork").is_true() {
        return;
    }
    for port in of.spec.field("containers").items().flat_map(|container| container.field("ports").items()) {
        let (host, own) = (port.field("hostPort"), port.field("containerPort").number());
        if (of.is_pod || host.number() != 0) && host.number() != own {
            host.invalid_value(host.number(), "must match `containerPort` when `hostNetwork` is true");
        }
    }
}

fn gates(spec: At<'_>) {
    for gate in spec.field("readinessGates").items() {
        gate.field("conditionType").check(names::qualified);
    }
    let mut known: Vec<&str> = Vec::new();
    for gate in spec.field("schedulingGates").items() {
        let name = gate.field("name").text();
        names::qualified(name).iter().for_each(|wrong| gate.invalid_value(name, wrong));
        if known.contains(&name) {
            gate.duplicate_value(name);
        }
        known.push(name);
    }
}

/// A pod with users of its own does not share what belongs to the host's.
fn own_users(of: &Spec<'_>) {
    const RULE: &str = "when `hostUsers` is false";
    let spec = of.spec;
    if spec.field("hostUsers").bool() != Some(false) {
        return;
    }
    for (field, told) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.field(field).is_true() {
            spec.field(told).forbidden(RULE);
        }
    }
    for devices in of.all_containers().map(|container| container.field("volumeDevices")) {
        if devices.count() > 0 {
            devices.forbidden(RULE);
        }
    }
}

/// Seconds that a pod may run.
fn deadline_range() -> String {
    text::range(0, INT32_MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{Object, Resource, validate, write};

    fn errors(spec: &Value) -> Vec<String> {
        let row = Resource::builtin("", "v1", "pods");
        let mut tree = json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"containers": [{"name": "web", "image": "nginx"}]},
        });
        crate::patch::merge(&mut tree["spec"], spec);
        let mut object = Object::from_tree(tree, &row).expect("conforms").0;
        object.default(&row);
        write::create(&mut object, &row);
        validate::create(&object, &row).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_wrong_with_new_pods() {
        let container = |rest: Value| {
            let mut container = json!({"name": "a", "image": "b"});
            crate::patch::merge(&mut container, &rest);
            json!({"containers": [container]})
        };
        let cases: &[(Value, &[&str])] = &[
            (json!({}), &[]),
            (container(json!({"image": null})), &["spec.containers[0].image: Required value"]),
            (json!({"containers": []}), &["spec.containers: Required value"]),
            (
                container(json!({"volumeMounts": [{"name": "x", "mountPath": "/"}]})),
                &[r#"spec.containers[0].volumeMounts[0].name: Not found: "x""#],
            ),
            (
                container(json!({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}})),
                &[
                    r#"spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#,
                ],
            ),
            (
                container(json!({"livenessProbe": {"exec": {}, "tcpSocket": {"port": 1}}})),
                &[
                    "spec.containers[0].livenessProbe.exec.command: Required value",
                    "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
                ],
            ),
            (
                json!({"restartPolicy": "Sometimes"}),
                &[
                    r#"spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never""#,
                ],
            ),
            (
                json!({"volumes": [{"name": "a", "emptyDir": {}, "hostPath": {"path": "/"}}]}),
                &["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
            ),
        ];
        for (spec, expect) in cases {
            assert_eq!(errors(spec), *expect, "{spec}");
        }
    }
}
