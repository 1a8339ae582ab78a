//! Amounts of resources that containers and pods ask for and may use.

use std::collections::BTreeSet;

use super::Spec;
use crate::names;
use crate::quantity::Quantity;
use crate::validate::at::At;

const HUGE_PAGES: &str = "hugepages-";

/// Names without a domain that mean something somewhere.
const STANDARD: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];

/// Names of things that are counted.
const COUNTED: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// Whether memory is counted in large pages under this name.
pub fn is_huge_pages(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
}

/// Whether Kubernetes itself defines the resource.
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether it is a resource that somebody else defines: a device, a licence.
pub fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified(&format!("requests.{name}")).is_empty()
}

/// Whether more of it may be promised than there is.
pub fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_pages(name)
}

/// Whether only whole numbers of it exist.
pub fn is_counted(name: &str) -> bool {
    COUNTED.contains(&name) || is_extended(name)
}

/// Whether the name stands without a domain.
pub fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name) || is_huge_pages(name) || name.starts_with("requests.hugepages-")
}

/// A name of a resource, of any kind. Returns whether it is one.
pub fn name(place: At<'_>, name: &str) -> bool {
    let wrong = names::qualified(name);
    wrong.iter().for_each(|wrong| place.invalid_value(name, wrong));
    if wrong.is_empty() && !name.contains('/') && !is_standard(name) {
        place.invalid_value(name, "must be a standard resource type or fully qualified");
        return false;
    }
    wrong.is_empty()
}

/// A name of a resource that containers ask for.
pub fn container_resource(place: At<'_>, key: &str) {
    name(place, key);
    let known = ["cpu", "memory", "ephemeral-storage"].contains(&key) || is_huge_pages(key);
    if !key.contains('/') && !known {
        place.invalid_value(key, "must be a standard resource for containers");
    } else if key.contains('/') && !is_native(key) && !is_extended(key) {
        place.invalid_value(key, "doesn't follow extended resource name standard");
    }
}

fn pod_resource(place: At<'_>, key: &str) {
    if name(place, key) && !is_pod_level(key) {
        place
            .with(None)
            .report(|path| crate::FieldError::not_supported(path, key, &["cpu", HUGE_PAGES, "memory"]));
    }
}

/// Whether a pod as a whole may ask for it.
pub(super) fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_pages(name)
}

/// An amount of a resource: not negative, and whole where it is counted.
pub fn amount(place: At<'_>, name: &str) {
    place.quantity_non_negative();
    if is_counted(name) && place.quantity().is_some_and(|amount| amount.in_units(-3) % 1000 != 0) {
        place.invalid("must be an integer");
    }
}

/// What a container asks for.
pub(super) fn of_container(of: &Spec<'_>, resources: At<'_>) {
    requirements(of, resources, container_resource);
}

/// What a pod needs beside its containers.
pub fn overhead(overhead: At<'_>) {
    let mut huge = false;
    for (name, place) in overhead.entries() {
        let place = overhead.field("limits").key(name).with(place.value());
        container_resource(place, name);
        amount(place, name);
        huge_pages(place, name);
        huge |= is_huge_pages(name);
    }
    if huge && !overhead.key("cpu").is_set() && !overhead.key("memory").is_set() {
        overhead.forbidden("HugePages require cpu or memory");
    }
}

fn huge_pages(place: At<'_>, name: &str) {
    let Some(page) = name.strip_prefix(HUGE_PAGES) else { return };
    let page =
        Quantity::parse(page).ok().filter(|page| *page > Quantity::ZERO && page.in_units(-3) % 1000 == 0);
    let fits = |amount: Quantity| page.is_some_and(|page| amount.in_units(0) % page.in_units(0) == 0);
    if place.quantity().is_some_and(|amount| !fits(amount)) {
        place.invalid(&format!("{} is not positive integer multiple of {name}", place.text()));
    }
}

fn requirements(of: &Spec<'_>, resources: At<'_>, check_name: fn(At<'_>, &str)) {
    let (limits, requests) = (resources.field("limits"), resources.field("requests"));
    for (name, place) in limits.entries() {
        check_name(place, name);
        amount(place, name);
        huge_pages(place, name);
    }
    for (name, place) in requests.entries() {
        check_name(place, name);
        amount(place, name);
        at_most_limit(requests, limits, name, place);
        huge_pages(place, name);
    }
    let has =
        |wanted: fn(&str) -> bool| limits.entries().chain(requests.entries()).any(|(name, _)| wanted(name));
    if has(is_huge_pages) && !has(|name| matches!(name, "cpu" | "memory")) {
        resources.forbidden("HugePages require cpu or memory");
    }
    claims(of, resources.field("claims"));
}

fn at_most_limit(requests: At<'_>, limits: At<'_>, name: &str, request: At<'_>) {
    let limit = limits.key(name);
    if !limit.is_set() {
        if !may_overcommit(name) {
            limits.required("Limit must be set for non overcommitable resources");
        }
        return;
    }
    let rule = match request.quantity().cmp(&limit.quantity()) {
        std::cmp::Ordering::Equal => return,
        _ if !may_overcommit(name) => "must be equal to",
        std::cmp::Ordering::Less => return,
        std::cmp::Ordering::Greater => "must be less than or equal to",
    };
    requests.invalid_value(request.text(), &format!("{rule} {name} limit of {}", limit.text()));
}

/// Claims that a container uses: each once, and only those of the pod.
fn claims(of: &Spec<'_>, claims: At<'_>) {
    let mut known: BTreeSet<String> = BTreeSet::new();
    for claim in claims.items() {
        let (name, request) = (claim.field("name").text(), claim.field("request"));
        if name.is_empty() {
            claim.required("");
            continue;
        }
        if known.contains(name) {
            claim.duplicate_value(name);
        } else {
            let key = if request.text().is_empty() {
                name.to_owned()
            } else {
                format!("{name}/{}", request.text())
            };
            if !request.text().is_empty() {
                request.check_name(names::dns_label);
            }
            let is_part = |known: &&String| known.split_once('/').is_some_and(|(claim, _)| claim == name);
            if known.contains(&key) {
                claim.duplicate_value(key.as_str());
            } else if request.text().is_empty() {
                known.iter().filter(is_part).for_each(|_| claim.duplicate_value(name));
            }
            known.insert(key);
        }
        of_the_pod(of, claim, name);
    }
}

fn of_the_pod(of: &Spec<'_>, claim: At<'_>, name: &str) {
    let claims = of.spec.field("resourceClaims").items().map(|claim| claim.field("name").text());
    let names: BTreeSet<_> = claims.filter(|name| !name.is_empty()).collect();
    if !names.contains(name) {
        let listed = match names.len() {
            0 => " which is empty".to_owned(),
            _ => format!(": {}", names.into_iter().collect::<Vec<_>>().join(", ")),
        };
        claim.not_found_value(name, &format!("must be one of the names in pod.spec.resourceClaims{listed}"));
    }
}

/// What a pod as a whole asks for.
pub(super) fn of_pod(of: &Spec<'_>) {
    let resources = of.spec.field("resources");
    if !resources.is_set() {
        return;
    }
    if of.os() == "windows" {
        return resources.forbidden("may not be set for a windows pod");
    }
    if resources.field("claims").is_set() {
        resources.field("claims").forbidden("claims may not be set for Resources at pod-level");
    }
    requirements(of, resources, pod_resource);
    consistent(of, resources);
}

/// The containers fit into the pod.
fn consistent(of: &Spec<'_>, resources: At<'_>) {
    let (requests, limits) = (resources.field("requests"), resources.field("limits"));
    for (name, total) in totals(of.spec.value(), "requests") {
        let place = requests.key(&name);
        if place.quantity().is_some_and(|of_pod| total > of_pod) {
            place.invalid(&format!(
                "must be greater than or equal to aggregate container requests of {total}"
            ));
        }
    }
    for (name, total) in totals(of.spec.value(), "limits").into_iter().filter(|(name, _)| is_huge_pages(name))
    {
        let place = limits.key(&name);
        if place.quantity().is_some_and(|of_pod| total > of_pod) {
            place.invalid(&format!("must be greater than or equal to aggregate container limits of {total}"));
        }
    }
    for (at, container) in of.spec.field("containers").items().enumerate() {
        for (name, limit) in container.field("resources").field("limits").entries() {
            let of_pod = limits.key(name);
            if of_pod.is_set() && limit.quantity() > of_pod.quantity() {
                let place = resources.field("containers").index(at).key(name).field("limits");
                let rule = format!("must be less than or equal to pod limits of {}", of_pod.text());
                place.invalid_value(limit.text(), &rule);
            }
        }
    }
}

pub use totals::totals;

mod totals {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use crate::quantity::Quantity;

    type Amounts = BTreeMap<String, Quantity>;

    /// What all containers of a pod's spec ask for or may use together, `field` by name: those that run at the same
    /// time are added; of those that run one after the other the largest counts.
    pub fn totals(spec: Option<&Value>, field: &str) -> Amounts {
        let containers = |list: &str| {
            let items = spec.and_then(|spec| spec.get(list)).and_then(Value::as_array);
            items.map_or(&[][..], Vec::as_slice)
        };
        let mut total = Amounts::new();
        for container in containers("containers") {
            add(&mut total, &amounts(container, field));
        }
        let (mut sidecars, mut before) = (Amounts::new(), Amounts::new());
        for container in containers("initContainers") {
            let mut own = amounts(container, field);
            if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
                add(&mut total, &own);
                add(&mut sidecars, &own);
                own = sidecars.clone();
            } else {
                add(&mut own, &sidecars);
            }
            largest(&mut before, &own);
        }
        largest(&mut total, &before);
        total
    }

    fn amounts(container: &Value, field: &str) -> Amounts {
        let map =
            container.get("resources").and_then(|resources| resources.get(field)).and_then(Value::as_object);
        let amount =
            |(name, amount): (&String, &Value)| Some((name.clone(), Quantity::parse(amount.as_str()?).ok()?));
        map.into_iter().flatten().filter_map(amount).collect()
    }

    fn add(total: &mut Amounts, more: &Amounts) {
        for (name, amount) in more {
            total.entry(name.clone()).and_modify(|sum| *sum = sum.plus(*amount)).or_insert(*amount);
        }
    }

    fn largest(total: &mut Amounts, other: &Amounts) {
        for (name, amount) in other {
            total.entry(name.clone()).and_modify(|most| *most = (*most).max(*amount)).or_insert(*amount);
        }
    }
}
