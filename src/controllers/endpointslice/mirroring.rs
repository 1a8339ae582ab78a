//! Endpoints that somebody wrote by hand, for a Service that selects no pods, told as slices: proxies read nothing else.

use std::net::IpAddr;

use api::Key;
use projection::{Controller, LastOutcomes, Plan, Reason, Wakes, World};
use serde_json::{Value, json};
use state::{Change, Object};

use super::family::{Slices, Wanted};
use super::pack::ports_key;
use super::{SLICES, services_of};
use crate::shared::backends::{SERVICES, offered};
use crate::shared::stored;

const ENDPOINTS: &str = "core/endpoints/";

/// Whose the slices are.
const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";

/// The label by which Endpoints are left out.
const SKIPPED: &str = "endpointslice.kubernetes.io/skip-mirror";

/// The annotation of Endpoints that only say who leads.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";

/// Addresses of one subset that are told: Kubernetes' `--mirroring-max-endpoints-per-subset`.
const ADDRESSES_MAX: usize = 1_000;

/// The row. Keys are those of Endpoints.
pub const ENDPOINT_SLICE_MIRRORING: Controller = Controller {
    name: "endpointslicemirroring",
    actor: "system:serviceaccount:kube-system:endpointslicemirroring-controller",
    component: "endpoint-slice-mirroring-controller",
    wakes,
    keys: |world, wakes| stored::keys(world, ENDPOINTS, wakes),
    plan,
};

fn of(namespace: &str, name: &str) -> Key {
    Key::object("", "endpoints", namespace, name)
}

fn wakes(_: &World, change: &Change, wakes: &mut Wakes) {
    let key = &change.object.key;
    match key.collection() {
        ENDPOINTS => wakes.add(key),
        SERVICES => wakes.add(&of(key.namespace(), key.name())),
        SLICES => services_of(change, MANAGER).for_each(|(namespace, name)| wakes.add(&of(namespace, name))),
        _ => {}
    }
}

fn plan(world: &World, key: &Key, last: &LastOutcomes, _: u64) -> Plan {
    let mut plan = Plan::default();
    // What there was of those that are gone goes with them.
    let Some(endpoints) = world.state.get(key.as_str()) else { return plan };
    for refused in last.refused.iter().take(1) {
        plan.reasons.push(Reason {
            about: key.clone(),
            is_warning: true,
            reason: "FailedToUpdateEndpointSlices",
            message: format!(
                "Failed to create or update EndpointSlices for {}: {}",
                shown(key),
                refused.status.message
            ),
        });
    }
    let wanted = if is_mirrored(world, endpoints) { by_family(endpoints) } else { Vec::new() };
    let labels = stored::map(endpoints, &["metadata", "labels"]);
    Slices { owner: endpoints, owner_kind: "Endpoints", manager: MANAGER, labels }
        .plan(world, wanted, &mut plan);
    plan
}

fn shown(key: &Key) -> String {
    format!("{}/{}", key.namespace(), key.name())
}

/// Whether somebody wrote them by hand: their Service is there and selects nothing.
fn is_mirrored(world: &World, endpoints: &Object) -> bool {
    let key = &endpoints.key;
    let service = Key::object("", "services", key.namespace(), key.name());
    endpoints.labels().get(SKIPPED) != Some("true")
        && !stored::map(endpoints, &["metadata", "annotations"]).contains_key(LEADER)
        && world.state.get(service.as_str()).is_some_and(|service| !service.meta.deleting)
        && world.selectors.of(&service).is_none()
}

/// What they say of each family of addresses; of a family of which they say nothing, nothing, but for `IPv4` where they
/// name no address at all: a slice tells so.
fn by_family(endpoints: &Object) -> Vec<(&'static str, Wanted)> {
    let (mut v4, mut v6) = (Wanted::new(), Wanted::new());
    for subset in stored::list(endpoints, &["subsets"]) {
        let list = |field: &str| subset[field].as_array().map_or(&[][..], Vec::as_slice);
        let ports: Vec<Value> = list("ports").iter().map(|port| offered(port, &port["port"])).collect();
        let key = ports_key(&ports);
        let ready = list("addresses").iter().map(|address| (address, true));
        let unready = list("notReadyAddresses").iter().map(|address| (address, false));
        for (address, is_ready) in ready.chain(unready).take(ADDRESSES_MAX) {
            let family = match address["ip"].as_str().unwrap_or_default().parse() {
                Ok(IpAddr::V4(_)) => &mut v4,
                Ok(IpAddr::V6(_)) => &mut v6,
                Err(_) => continue,
            };
            let (_, told) = family.entry(key.clone()).or_insert_with(|| (ports.clone(), Vec::new()));
            told.push(endpoint(address, is_ready));
        }
    }
    let families = [("IPv4", v4), ("IPv6", v6)];
    let says_nothing = families.iter().all(|(_, wanted)| wanted.is_empty());
    let is_told = |(family, wanted): &(&str, Wanted)| !wanted.is_empty() || says_nothing && *family == "IPv4";
    families.into_iter().filter(is_told).collect()
}

fn endpoint(address: &Value, is_ready: bool) -> Value {
    let mut told = json!({"addresses": [address["ip"]], "conditions": {"ready": is_ready}});
    for field in ["hostname", "targetRef", "nodeName"] {
        if !address[field].is_null() {
            told[field] = address[field].clone();
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use projection::testing::{plan, put, world};

    use super::*;
    use crate::testing::{namespace, nobody, settle, woken};

    fn service(selector: &Value) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": "default"},
            "spec": {"clusterIP": "10.43.0.7", "ipFamilies": ["IPv4"], "selector": selector, "ports": [{"port": 5432}]},
        })
    }

    fn endpoints(subsets: &Value) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": "db", "namespace": "default", "labels": {"team": "a"}},
            "subsets": subsets,
        })
    }

    fn subset(addresses: &[&str]) -> Value {
        let addresses: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
        json!({"addresses": addresses, "ports": [{"port": 5432, "protocol": "TCP"}]})
    }

    fn by_hand(subsets: &Value) -> World {
        world([namespace("default"), service(&Value::Null), endpoints(subsets)])
    }

    fn told(world: &World) -> Vec<String> {
        let told = |slice: &std::sync::Arc<Object>| {
            let endpoints = stored::list(slice, &["endpoints"]);
            let all = endpoints.iter().map(|endpoint| {
                format!(
                    "{} {}",
                    endpoint["addresses"][0].as_str().unwrap_or(""),
                    endpoint["conditions"]["ready"]
                )
            });
            let mut all: Vec<String> = all.collect();
            all.sort_unstable();
            format!("{} {}", stored::at(slice, &["addressType"]).as_str().unwrap_or(""), all.join(" "))
        };
        let mut all: Vec<String> = world.state.range(SLICES).map(told).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn endpoints_written_by_hand_are_told_as_a_slice() {
        let mut subset = subset(&["192.0.2.1"]);
        subset["notReadyAddresses"] = json!([{"ip": "192.0.2.2", "hostname": "second"}]);
        let world = by_hand(&json!([subset]));
        expect![[r#"
            create endpointslices/default {"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"generateName":"db-","labels":{"team":"a","kubernetes.io/service-name":"db","endpointslice.kubernetes.io/managed-by":"endpointslicemirroring-controller.k8s.io"},"ownerReferences":[{"apiVersion":"v1","kind":"Endpoints","name":"db","uid":"uid-db","controller":true,"blockOwnerDeletion":true}]},"addressType":"IPv4","endpoints":[{"addresses":["192.0.2.1"],"conditions":{"ready":true}},{"addresses":["192.0.2.2"],"conditions":{"ready":false},"hostname":"second"}],"ports":[{"name":"","protocol":"TCP","port":5432}]} if Live { key: "core/endpoints/default/db", uid: "uid-db" }
        "#]].assert_eq(&projection::testing::shown(&plan(&world, &of("default", "db"), ENDPOINT_SLICE_MIRRORING.plan)));
    }

    #[test]
    fn slices_follow_what_is_written_in_both_families() {
        let mut world = by_hand(&json!([subset(&["192.0.2.1", "2001:db8::1"])]));
        settle(&mut world, &[ENDPOINT_SLICE_MIRRORING], nobody);
        assert_eq!(told(&world), ["IPv4 192.0.2.1 true", "IPv6 2001:db8::1 true"]);
        put(&mut world, endpoints(&json!([subset(&["192.0.2.9"])])));
        settle(&mut world, &[ENDPOINT_SLICE_MIRRORING], nobody);
        assert_eq!(told(&world), ["IPv4 192.0.2.9 true"]);
        put(&mut world, endpoints(&json!([])));
        settle(&mut world, &[ENDPOINT_SLICE_MIRRORING], nobody);
        assert_eq!(told(&world), ["IPv4 "], "nobody is behind it");
    }

    #[test]
    fn those_that_nobody_wrote_by_hand_or_that_say_so_are_left_out() {
        let mut world = by_hand(&json!([subset(&["192.0.2.1"])]));
        settle(&mut world, &[ENDPOINT_SLICE_MIRRORING], nobody);
        let mut with_label = endpoints(&json!([subset(&["192.0.2.1"])]));
        with_label["metadata"]["labels"][SKIPPED] = "true".into();
        let mut of_leader = endpoints(&json!([subset(&["192.0.2.1"])]));
        of_leader["metadata"]["annotations"] = json!({LEADER: "{}"});
        let mirrored = endpoints(&json!([subset(&["192.0.2.1"])]));
        for (service, endpoints) in [
            (service(&json!({"app": "db"})), &mirrored),
            (service(&Value::Null), &with_label),
            (service(&Value::Null), &of_leader),
        ] {
            put(&mut world, service);
            put(&mut world, endpoints.clone());
            settle(&mut world, &[ENDPOINT_SLICE_MIRRORING], nobody);
            assert!(told(&world).is_empty(), "{endpoints}");
            put(&mut world, self::service(&Value::Null));
            put(&mut world, mirrored.clone());
            settle(&mut world, &[ENDPOINT_SLICE_MIRRORING], nobody);
            assert_eq!(told(&world).len(), 1);
        }
    }

    #[test]
    fn a_service_and_a_slice_wake_their_endpoints() {
        let mut world = by_hand(&json!([subset(&["192.0.2.1"])]));
        let key = of("default", "db").to_string();
        assert_eq!(
            woken(&ENDPOINT_SLICE_MIRRORING, &mut world, service(&json!({"app": "db"}))),
            std::slice::from_ref(&key)
        );
        put(&mut world, service(&Value::Null));
        settle(&mut world, &[ENDPOINT_SLICE_MIRRORING], nobody);
        let slice = world.state.range(SLICES).next().expect("one").clone();
        assert_eq!(
            crate::testing::woken_by_removal(&ENDPOINT_SLICE_MIRRORING, &mut world, &slice.key),
            [key]
        );
    }
}
