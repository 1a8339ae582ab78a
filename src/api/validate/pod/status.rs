//! What may be told about a pod that exists.

use std::collections::{BTreeMap, BTreeSet};

use super::annotations::Annotations;
use crate::names;
use crate::validate::at::{At, Root};
use crate::validate::common::IMMUTABLE;
use crate::validate::text;

const LISTS: &[(&str, &str)] = &[
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
];

/// A changed status.
pub fn update(pod: Root<'_>, old: Root<'_>) {
    Annotations::of_object(pod).update(&Annotations::of_object(old));
    Annotations::of_object(pod).check(pod.field("spec"), Some(&Annotations::of_object(old)));
    let (status, old_status) = (pod.field("status"), old.field("status"));
    conditions(status.field("conditions"));
    nominated_node(pod, old);
    if status.field("observedGeneration").number() < 0 {
        status.field("observedGeneration").invalid("must be a non-negative integer");
    }
    let class = status.field("qosClass");
    if class.text() != old_status.field("qosClass").text() {
        class.invalid_value(class.text(), IMMUTABLE);
    }
    for (list, containers) in LISTS {
        transitions(status.field(list), old_status.field(list), old.field("spec"), containers);
        users(status.field(list), pod.field("spec"));
        match *containers {
            "ephemeralContainers" => none_allocated(status.field(list)),
            _ => allocated(status.field(list), pod.field("spec").field(containers), status),
        }
    }
    claims(status.field("resourceClaimStatuses"), pod.field("spec"));
    extended_claim(status.field("extendedResourceClaimStatus"), pod.field("spec"));
    pod_ips(status, old_status);
    host_ips(status, old_status);
}

fn conditions(conditions: At<'_>) {
    for condition in conditions.items() {
        if condition.field("observedGeneration").number() < 0 {
            condition.field("observedGeneration").invalid("must be a non-negative integer");
        }
        let kind = condition.field("type");
        if !["PodScheduled", "Ready", "Initialized"].contains(&kind.text()) {
            condition.field("Type").with(kind.value()).check(names::qualified);
        }
    }
}

fn nominated_node(pod: Root<'_>, old: Root<'_>) {
    let name = pod.field("status").field("nominatedNodeName");
    if name.text().is_empty() || name.text() == old.field("status").field("nominatedNodeName").text() {
        return;
    }
    name.check_name(names::dns_subdomain);
    if !old.field("spec").field("nodeName").is_empty() {
        name.forbidden("may not be set on pods that are already bound to a node");
    }
}

/// How a container ended.
fn end(status: At<'_>) -> At<'_> {
    status.field("state").field("terminated")
}

/// What ended starts again only where the pod says so.
fn transitions(new: At<'_>, old: At<'_>, spec: At<'_>, list: &'static str) {
    let ended: Vec<_> = old.items().enumerate().filter(|(_, status)| end(*status).is_set()).collect();
    if ended.is_empty() || (list != "ephemeralContainers" && all_could_restart(spec)) {
        return;
    }
    let back = new.items().filter(|status| !end(*status).is_set());
    let back: BTreeSet<_> = back.map(|status| status.field("name").text()).collect();
    let containers = by_name(spec.field(list).items());
    for (at, before) in ended {
        let name = before.field("name").text();
        let code = end(before).field("exitCode").number();
        let restarts = |container: &At<'_>| should_restart(*container, spec, code);
        let is_allowed = list != "ephemeralContainers" && containers.get(name).is_some_and(restarts);
        if back.contains(name) && !is_allowed {
            new.index(at).field("state").forbidden("may not be transitioned to non-terminated state");
        }
    }
}

/// Whether some container's end may start all of them again.
fn all_could_restart(spec: At<'_>) -> bool {
    super::all_containers(spec)
        .flat_map(|container| container.field("restartPolicyRules").items())
        .any(|rule| rule.field("action").text() == "RestartAllContainers")
}

/// Whether a container that ended with this code starts again.
fn should_restart(container: At<'_>, spec: At<'_>, code: i64) -> bool {
    let own = container.field("restartPolicy");
    if own.is_set() {
        let applies = |rule: &At<'_>| {
            let codes = rule.field("exitCodes");
            let listed = codes.field("values").items().any(|value| value.number() == code);
            match codes.field("operator").text() {
                "In" => listed,
                "NotIn" => !listed,
                _ => false,
            }
        };
        let mut rules = container.field("restartPolicyRules").items();
        if rules.any(|rule| rule.field("action").text() == "Restart" && applies(&rule)) {
            return true;
        }
    }
    let policy = if own.is_set() { own } else { spec.field("restartPolicy") };
    match policy.text() {
        "Always" => true,
        "OnFailure" => code != 0,
        _ => false,
    }
}

fn users(statuses: At<'_>, spec: At<'_>) {
    let is_windows = spec.field("os").field("name").text() == "windows";
    for user in statuses.items().map(|status| status.field("user").field("linux")) {
        if !user.is_set() {
            continue;
        }
        if is_windows {
            user.forbidden("cannot be set for a windows pod");
            continue;
        }
        let ids = [user.field("uid"), user.field("gid")].into_iter();
        for id in ids.chain(user.field("supplementalGroups").items()) {
            id.between(0, i64::from(i32::MAX));
        }
    }
}

fn claims(statuses: At<'_>, spec: At<'_>) {
    let claims = by_name(spec.field("resourceClaims").items());
    let mut known = BTreeSet::new();
    for status in statuses.items() {
        let (name, claim) = (status.field("name"), status.field("resourceClaimName"));
        if !claims.contains_key(name.text()) {
            name.invalid("must match the name of an entry in `spec.resourceClaims`");
        }
        if !known.insert(name.text()) {
            name.duplicate();
        }
        if claim.is_set() {
            claim.check_name(names::dns_subdomain);
        }
    }
}

fn by_name<'a>(items: impl Iterator<Item = At<'a>>) -> BTreeMap<&'a str, At<'a>> {
    items.map(|item| (item.field("name").text(), item)).collect()
}

/// The claim that was made for resources that containers ask for by their names.
fn extended_claim(claim: At<'_>, spec: At<'_>) {
    if !claim.is_set() {
        return;
    }
    let (mappings, name) = (claim.field("requestMappings"), claim.field("resourceClaimName"));
    if mappings.count() == 0 {
        mappings.required("at least one request mapping is required");
    }
    const FIELDS: [&str; 3] = ["containerName", "resourceName", "requestName"];
    let lists = ["containers", "initContainers"].into_iter();
    let containers = by_name(lists.flat_map(|list| spec.field(list).items()));
    let mut known = BTreeSet::new();
    for mapping in mappings.items() {
        let [of, resource, request] = FIELDS.map(|field| mapping.field(field));
        match containers.get(of.text()) {
            Some(container) if !requests(*container).key(resource.text()).is_set() => resource.invalid("must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests"),
            Some(_) => {}
            None => of.invalid("must match the name of an entry in spec.initContainers.name or spec.containers.name"),
        }
        claim.field("requestName").with(request.value()).check_name(names::dns_label);
        if !known.insert([of, resource, request].map(At::text)) {
            [of, resource, request].into_iter().for_each(At::duplicate);
        }
    }
    if name.require_text() {
        name.check_name(names::dns_subdomain);
    }
}

fn requests(container: At<'_>) -> At<'_> {
    container.field("resources").field("requests")
}

const ALLOCATED: &str = "allocatedResourcesStatus";

/// Containers that only look at others get no resources.
fn none_allocated(statuses: At<'_>) {
    for resources in statuses.items().map(|of| of.field(ALLOCATED)).filter(|resources| resources.count() > 0)
    {
        resources.forbidden("must not be specified in container status");
    }
}

/// What became of the resources that containers got.
fn allocated(statuses: At<'_>, containers: At<'_>, status: At<'_>) {
    let containers = by_name(containers.items());
    let claimed = claimed(&containers, status.field("extendedResourceClaimStatus"));
    for of in statuses.items() {
        let container = containers.get(of.field("name").text());
        for resource in of.field(ALLOCATED).items() {
            if let Some(container) = container {
                is_asked_for(resource.field("name"), *container, &claimed);
            }
            health(resource.field("resources"));
        }
    }
}

/// What containers ask for of claims, of their own and of the one that was made for them: the container, the claim and
/// the request, which is empty where all of the claim is meant.
fn claimed<'a>(containers: &BTreeMap<&'a str, At<'a>>, extended: At<'a>) -> BTreeSet<[&'a str; 3]> {
    let own = containers.iter().flat_map(|(of, container)| {
        let claims = container.field("resources").field("claims").items();
        claims.map(|claim| [*of, claim.field("name").text(), claim.field("request").text()])
    });
    let made = extended.field("resourceClaimName").text();
    let mapped = extended.field("requestMappings").items().filter_map(|mapping| {
        let (of, request) = (mapping.field("containerName").text(), mapping.field("requestName").text());
        let amount = requests(*containers.get(of)?).key(mapping.field("resourceName").text()).quantity()?;
        (!made.is_empty() && !request.is_empty() && amount.signum() != 0).then_some([of, made, request])
    });
    own.chain(mapped).collect()
}

/// A container asks for resources by their names, or for those of a claim.
fn is_asked_for(name: At<'_>, container: At<'_>, claimed: &BTreeSet<[&str; 3]>) {
    let Some(named) = name.text().strip_prefix("claim:") else {
        if !requests(container).key(name.text()).is_set() {
            name.invalid("must match one of the container's resource requests");
        }
        return;
    };
    let of_request = named.split_once('/').filter(|(_, request)| !request.is_empty());
    let (claim, request) = of_request.unwrap_or((named, ""));
    if !claimed.contains(&[container.field("name").text(), claim, request]) {
        name.invalid("must match one of the container's resource claims as 'claim:<claimName>/<requestName>' when container.resources.claims[*].request is set or 'claim:<claimName>' when it is empty");
    }
}

const HEALTH_MESSAGE_BYTES_MAX: usize = 1024;

fn health(resources: At<'_>) {
    let mut known = BTreeSet::new();
    for resource in resources.items() {
        let (message, id) = (resource.field("message"), resource.field("resourceID"));
        resource.field("health").one_of(&["Healthy", "Unhealthy", "Unknown"]);
        if message.is_set() && message.text().is_empty() {
            message.required("must be non-empty if specified");
        } else if message.text().len() > HEALTH_MESSAGE_BYTES_MAX {
            message.too_long(HEALTH_MESSAGE_BYTES_MAX);
        }
        if !known.insert(id.text()) {
            id.duplicate();
        }
    }
}

/// Addresses must be sound, unless they were there before.
fn sound(ips: At<'_>, old: At<'_>) {
    let known: BTreeSet<_> = old.items().map(|ip| ip.field("ip").text()).collect();
    for ip in ips.items() {
        let text = ip.field("ip").text();
        if !known.contains(text) {
            text::legacy_ip(text).iter().for_each(|wrong| ip.invalid_value(text, wrong));
        }
    }
}

/// At most one of each family.
fn one_per_family(ips: At<'_>) {
    let mut texts = ips.items().map(|ip| ip.field("ip").text()).enumerate();
    let odd = texts.find(|(_, text)| ips.count() > 1 && !text::is_ip(text));
    if let Some((at, text)) = odd {
        ips.internal(&format!("failed to check for dual stack with error:invalid IP[{at}]: {text}"));
    }
    let is_v6 = |ip: &At<'_>| ip.field("ip").text().contains(':');
    if odd.is_some() || ips.count() > 2 || (ips.count() == 2 && ips.items().filter(is_v6).count() != 1) {
        let shown: Vec<_> = ips.items().map(|ip| serde_json::json!({"IP": ip.field("ip").text()})).collect();
        ips.invalid_value(shown, "may specify no more than one IP for each IP family");
    }
}

fn pod_ips(status: At<'_>, old: At<'_>) {
    let (ip, ips) = (status.field("podIP"), status.field("podIPs"));
    sound(ips, old.field("podIPs"));
    one_per_family(ips);
    let first = ips.index(0).field("ip");
    if ip.text().is_empty() != (ips.count() == 0) {
        let shown = match ips.count() {
            0 => serde_json::Value::Null,
            _ => ips.items().map(|ip| serde_json::json!({"IP": ip.field("ip").text()})).collect(),
        };
        ips.invalid_value(shown, "podIP and podIPs must either both be set or both be unset");
    } else if ip.text() != first.text() {
        first.invalid("must be equal to `podIP`");
    }
}

fn host_ips(status: At<'_>, old: At<'_>) {
    let (ip, ips) = (status.field("hostIP"), status.field("hostIPs"));
    if ips.count() == 0 {
        return;
    }
    let first = ips.index(0).field("ip");
    if ip.text() != first.text() {
        first.invalid("must be equal to `hostIP`");
    }
    sound(ips, old.field("hostIPs"));
    one_per_family(ips);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::Object;
    use crate::resource::Resource;
    use crate::validate::at::errors_of;

    #[test]
    fn allocated_resources_are_those_that_the_container_asks_for() {
        let names = [
            "a.b/c",
            "a.b/d",
            "claim:whole",
            "claim:whole/",
            "claim:part/one",
            "claim:part",
            "claim:part/two",
            "claim:made/three",
            "claim:made/none",
            "claim:made/others",
            "claim:made",
            "claim:/three",
            "claim:",
        ];
        let pod = json!({"metadata": {"name": "x"}, "spec": {"containers": [
            {"name": "c", "image": "i", "resources": {
                "requests": {"a.b/c": "1", "a.b/none": "0"},
                "claims": [{"name": "whole"}, {"name": "part", "request": "one"}],
            }},
            {"name": "other", "image": "i", "resources": {"requests": {"a.b/c": "1"}}},
        ]}, "status": {
            "containerStatuses": [{"name": "c", "allocatedResourcesStatus":
                names.map(|name| json!({"name": name, "resources": [{"resourceID": "1"}, {"resourceID": "1"}]})),
            }],
            "extendedResourceClaimStatus": {"resourceClaimName": "made", "requestMappings": [
                {"containerName": "c", "resourceName": "a.b/c", "requestName": "three"},
                {"containerName": "c", "resourceName": "a.b/none", "requestName": "none"},
                {"containerName": "other", "resourceName": "a.b/c", "requestName": "others"},
            ]},
        }});
        let row = Resource::find("", "v1", "pods").expect("a kind");
        let pod = Object::from_tree(pod, &row).expect("conforms").0;
        let errors = errors_of(&pod, |pod| {
            let (spec, status) = (pod.field("spec"), pod.field("status"));
            allocated(status.field("containerStatuses"), spec.field("containers"), status);
        });
        let refused =
            |name: &str| errors.iter().any(|error| error.to_string().contains(&format!("{name:?}")));
        let fit: Vec<_> = names.into_iter().filter(|name| !refused(name)).collect();
        assert_eq!(fit, ["a.b/c", "claim:whole", "claim:part/one", "claim:made/three"]);
        let twice = errors.iter().filter(|error| error.to_string().contains("Duplicate value")).count();
        assert_eq!(twice, names.len());
    }
}
