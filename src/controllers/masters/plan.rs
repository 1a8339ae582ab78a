//! What Service `kubernetes` and its endpoints should be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use api::view::View;
use api::{Key, Resource};
use projection::{Intent, LastOutcomes, Plan, World, office};
use serde_json::{Value, json};

use super::MEMBERS;
use crate::shared::{service_range, stored};

const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";

/// How long a master may be silent: it renews its lease every five seconds.
const GRACE_MS: u64 = 12_000;

/// The port of the Service, whatever the masters' own is.
const PORT: u16 = 443;

/// Masters by the port of their API.
type Masters = BTreeMap<u16, BTreeSet<IpAddr>>;

/// Plans all of it.
pub(super) fn plan(world: &World, service: &Key, _: &LastOutcomes, now_ms: u64) -> Plan {
    let mut plan = Plan::default();
    leases_of_others(world, &mut plan);
    let masters = masters(world, now_ms, &mut plan);
    let Some((first_port, _)) = masters.first_key_value() else { return plan };
    if stored::is_closed(world, NAMESPACE) {
        return plan;
    }
    if world.state.get(service.as_str()).is_none() {
        let object = new_service(*first_port, service_range::nth(world, 1));
        plan.intents.push(Intent::create(&Resource::builtin("", "v1", "services"), NAMESPACE, object));
    }
    endpoints(world, &masters, &mut plan);
    for (port, addresses) in &masters {
        slice(world, &slice_name(*port, *first_port), *port, addresses, &mut plan);
    }
    let names: BTreeSet<String> = masters.keys().map(|port| slice_name(*port, *first_port)).collect();
    let old = world.state.range(&slices_prefix()).filter(|found| {
        found.labels().get("kubernetes.io/service-name") == Some(NAME) && !names.contains(found.key.name())
    });
    plan.intents.extend(old.map(|found| Intent::delete(found)));
    plan
}

fn slices_prefix() -> String {
    format!("discovery.k8s.io/endpointslices/{NAMESPACE}/")
}

/// One slice holds the masters of one port; the first has the Service's name, as in Kubernetes.
fn slice_name(port: u16, first: u16) -> String {
    if port == first { NAME.to_owned() } else { format!("{NAME}-{port}") }
}

/// The leases of masters that are members no more say nothing.
fn leases_of_others(world: &World, plan: &mut Plan) {
    let is_member = |name: &str| world.state.get(&format!("{MEMBERS}{name}")).is_some();
    let all = world.state.range(office::MASTERS);
    let left = all.filter(|lease| !lease.key.as_str().strip_prefix(office::MASTERS).is_some_and(&is_member));
    plan.intents.extend(left.map(|lease| Intent::delete(lease)));
}

/// The masters that can be reached from elsewhere: endpoints on a loopback address lead nowhere, and silent masters are
/// dead.
fn masters(world: &World, now_ms: u64, plan: &mut Plan) -> Masters {
    let (mut alive, mut silent) = (Masters::new(), Masters::new());
    for record in world.state.range(MEMBERS) {
        let api = record.view().get("api");
        let Some((host, port)) = address(api) else { continue };
        if host.is_loopback() || host.is_unspecified() {
            continue;
        }
        let lease = format!("{}{}", office::MASTERS, record.key.name());
        let which = match GRACE_MS.checked_sub(world.office.silent_ms(&lease)) {
            Some(left) => {
                plan.requeue_at(now_ms + left + 1);
                &mut alive
            }
            None => &mut silent,
        };
        which.entry(port).or_default().insert(host);
    }
    // Somebody leads, whatever the leases say.
    if alive.is_empty() { silent } else { alive }
}

/// `HOST:PORT`, of which the host may be a name: then it is none of ours.
fn address(api: View<'_>) -> Option<(IpAddr, u16)> {
    let text = api.text();
    let (host, port) = text.rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']).parse().ok()?, port.parse().ok()?))
}

fn new_service(target: u16, address: Option<IpAddr>) -> Value {
    let mut service = json!({
        "metadata": {
            "name": NAME,
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP",
            "ports": [{"name": "https", "protocol": "TCP", "port": PORT, "targetPort": target}],
            "sessionAffinity": "None",
        },
    });
    if let Some(address) = address {
        service["spec"]["clusterIP"] = address.to_string().into();
    }
    service
}

fn endpoints(world: &World, masters: &Masters, plan: &mut Plan) {
    let subset = |(port, addresses): (&u16, &BTreeSet<IpAddr>)| {
        let addresses: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip.to_string()})).collect();
        json!({"addresses": addresses, "ports": [{"name": "https", "port": port, "protocol": "TCP"}]})
    };
    let subsets: Vec<Value> = masters.iter().map(subset).collect();
    let row = Resource::builtin("", "v1", "endpoints");
    match world.state.get(row.key(NAMESPACE, NAME).as_str()) {
        None => {
            let labels = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
            let object = json!({"metadata": {"name": NAME, "labels": labels}, "subsets": subsets});
            plan.intents.push(Intent::create(&row, NAMESPACE, object));
        }
        Some(found) if stored::at(found, &["subsets"]) != json!(subsets) => {
            plan.intents.push(Intent::patch(found, "", json!({"subsets": subsets})));
        }
        Some(_) => {}
    }
}

fn slice(world: &World, name: &str, port: u16, addresses: &BTreeSet<IpAddr>, plan: &mut Plan) {
    let endpoint = |ip: &IpAddr| json!({"addresses": [ip.to_string()], "conditions": {"ready": true}});
    let endpoints: Vec<Value> = addresses.iter().map(endpoint).collect();
    let ports = json!([{"name": "https", "port": port, "protocol": "TCP"}]);
    let row = Resource::builtin("discovery.k8s.io", "v1", "endpointslices");
    match world.state.get(row.key(NAMESPACE, name).as_str()) {
        None => {
            let family = if addresses.iter().all(IpAddr::is_ipv4) { "IPv4" } else { "IPv6" };
            let object = json!({
                "metadata": {"name": name, "labels": {"kubernetes.io/service-name": NAME}},
                "addressType": family,
                "endpoints": endpoints,
                "ports": ports,
            });
            plan.intents.push(Intent::create(&row, NAMESPACE, object));
        }
        Some(found)
            if stored::at(found, &["endpoints"]) != json!(endpoints)
                || stored::at(found, &["ports"]) != ports =>
        {
            plan.intents.push(Intent::patch(found, "", json!({"endpoints": endpoints, "ports": ports})));
        }
        Some(_) => {}
    }
}
