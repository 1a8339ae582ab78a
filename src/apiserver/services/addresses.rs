//! Addresses of Services.

use std::net::IpAddr;
use std::sync::Arc;

use api::{FieldError, Object, ObjectMeta, Status, time};
use base::env;
use serde_json::{Map, Value, json};
use state::{Guard, State, Write};

use super::ranges::{Cidr, family};
use super::{ADDRESSES, CIDRS, Companions, Holder, Spec, set_texts, text, texts};
use crate::verbs::create::uid;
use crate::verbs::write::put;

/// Who gives addresses out, as their labels say it.
const MANAGER: &str = "ipallocator.k8s.io";

/// Keeps a range as long as addresses of it are in use.
pub(super) const CIDR_FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";

/// The range that a cluster begins with.
pub(crate) const FIRST_CIDR: &str = "kubernetes";

/// The ranges that addresses come from.
pub(super) struct Ranges {
    /// With the uid of the ServiceCIDR that each stands in, and its name.
    all: Vec<(Cidr, String, String)>,
}

impl Ranges {
    /// Those that are not going. The first one's family is the one that Services have if they do not say.
    pub(super) fn of(state: &State) -> Self {
        let mut all = Vec::new();
        let mut found: Vec<_> = state.range(&CIDRS.prefix("")).filter(|found| !found.meta.deleting).collect();
        found.sort_by_key(|found| found.key.name() != FIRST_CIDR);
        for found in found {
            all.extend(
                cidrs_of(found)
                    .into_iter()
                    .map(|cidr| (cidr, found.meta.uid.clone(), found.key.name().to_owned())),
            );
        }
        Self { all }
    }

    pub(super) fn has_family(&self, family: &str) -> bool {
        self.all.iter().any(|(cidr, ..)| cidr.family() == family)
    }

    pub(super) fn is_dual(&self) -> bool {
        self.has_family("IPv4") && self.has_family("IPv6")
    }

    pub(super) fn first_family(&self) -> &'static str {
        self.all.first().map_or("IPv4", |(cidr, ..)| cidr.family())
    }
}

fn cidrs_of(found: &state::Object) -> Vec<Cidr> {
    let object = Object::read(&found.bytes.to_bytes(), &CIDRS).ok();
    let spec = object.map(|object| super::spec_of(&object)).unwrap_or_default();
    texts(&spec, "cidrs").iter().filter_map(|text| text.parse().ok()).collect()
}

/// The addresses that a Service holds.
pub(super) fn of(spec: &Spec) -> Vec<String> {
    let all = if text(spec, "type") == "ExternalName" { Vec::new() } else { texts(spec, "clusterIPs") };
    if all.first().is_some_and(|first| first == "None") { Vec::new() } else { all }
}

/// Reserves what the Service asks for and did not hold before, and lets go what it held and holds no more.
pub(super) fn reserve(
    holder: &Holder<'_>,
    spec: &mut Spec,
    before: &Spec,
    wanted: &mut Companions,
) -> Result<(), Status> {
    let held = of(before);
    if text(spec, "type") != "ExternalName" && text(spec, "clusterIP") != "None" {
        let ranges = Ranges::of(holder.state);
        let mut all = texts(spec, "clusterIPs");
        let families = texts(spec, "ipFamilies");
        all.resize(families.len().max(all.len()), String::new());
        for (at, family) in families.iter().enumerate() {
            if !held.is_empty() && held.contains(&all[at]) {
                continue;
            }
            all[at] = one(holder, &ranges, family, &all, at, wanted)?;
        }
        // What is no address stays as it is: validation says what is wrong with it.
        if let Some(first) = all.first().filter(|first| !first.is_empty()) {
            spec.insert("clusterIP".to_owned(), first.as_str().into());
        }
        set_texts(spec, "clusterIPs", &all);
    }
    let holds = of(spec);
    let freed: Vec<_> = held.into_iter().filter(|address| !holds.contains(address)).collect();
    for address in &freed {
        wanted.remove(holder.state, ADDRESSES.key("", address));
    }
    let_go(holder.state, &freed, wanted);
    Ok(())
}

/// Reserves one address: the one at `at` if it is named, else any of the family.
fn one(
    holder: &Holder<'_>,
    ranges: &Ranges,
    family: &str,
    all: &[String],
    at: usize,
    wanted: &mut Companions,
) -> Result<String, Status> {
    let is_taken = |address: IpAddr| {
        let key = ADDRESSES.key("", &address.to_string());
        holder.state.get(key.as_str()).is_some() || is_reserved(wanted, &key)
    };
    let given = &all[at];
    let found = if given.is_empty() {
        let of_family = ranges.all.iter().filter(|(cidr, ..)| cidr.family() == family);
        let mut chosen = of_family.filter_map(|range| Some((range, range.0.choose(is_taken)?)));
        chosen.next().ok_or_else(|| {
            let name = holder.name;
            Status::internal(&format!("failed to allocate a serviceIP for Service {name:?}: range is full"))
        })?
    } else {
        let refused = |why: &str| {
            let given: Vec<_> = all.iter().filter(|one| !one.is_empty()).collect();
            let text = format!("failed to allocate IP {}: {why}", all[at]);
            holder.invalid(&[FieldError::invalid("spec.clusterIPs", json!(given), &text)])
        };
        // Validation says better what is wrong with it.
        let Ok(address) = given.parse::<IpAddr>() else { return Ok(given.clone()) };
        let range = ranges.all.iter().find(|(cidr, ..)| cidr.has(address));
        let range = range.ok_or_else(|| refused("the provided network does not match the current range"))?;
        if is_taken(address) {
            return Err(refused("provided IP is already allocated"));
        }
        (range, address)
    };
    let ((_, uid, cidr), address) = found;
    wanted.guards.push(Guard::Live { key: CIDRS.key("", cidr), uid: uid.clone() });
    let address = if given.is_empty() { address.to_string() } else { given.clone() };
    let object = address_object(holder, &address);
    let key = ADDRESSES.key("", &object.meta.name);
    wanted.guards.push(Guard::Absent { key: key.clone() });
    wanted.writes.push(put(key, &object.prepare(&ADDRESSES)));
    Ok(address)
}

fn is_reserved(wanted: &Companions, key: &api::Key) -> bool {
    wanted.writes.iter().any(|write| matches!(write, Write::Put { key: taken, .. } if taken == key))
}

/// The IPAddress by which a Service holds an address.
fn address_object(holder: &Holder<'_>, address: &str) -> Object {
    let parsed: Option<IpAddr> = address.parse().ok();
    let family = parsed.map_or("IPv4", family);
    let labels =
        [("ipaddress.kubernetes.io/ip-family", family), ("ipaddress.kubernetes.io/managed-by", MANAGER)];
    let meta = ObjectMeta {
        name: parsed.map_or_else(|| address.to_owned(), |address| address.to_string()),
        uid: uid(env::random_u128()),
        creation_timestamp: time::rfc3339(env::wall_ms()),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ..ObjectMeta::default()
    };
    let parent = json!({"resource": "services", "namespace": holder.namespace, "name": holder.name});
    Object { meta, fields: Map::from_iter([("spec".to_owned(), json!({"parentRef": parent}))]) }
}

/// Lets ranges go that wait for the last of their addresses, once these are freed.
pub(super) fn let_go(state: &State, freed: &[String], wanted: &mut Companions) {
    let parsed: Vec<IpAddr> = freed.iter().filter_map(|address| address.parse().ok()).collect();
    for found in state.range(&CIDRS.prefix("")).filter(|found| found.meta.deleting && found.meta.finalizers) {
        let cidrs = cidrs_of(found);
        if !parsed.iter().any(|address| cidrs.iter().any(|cidr| cidr.has(*address)))
            || is_used(state, found.key.name(), &cidrs, &parsed)
        {
            continue;
        }
        let Some((guard, write)) = without_finalizer(found) else { continue };
        wanted.guards.push(guard);
        wanted.writes.push(write);
    }
}

/// Whether any address of the ServiceCIDR `name` is in use, besides some, that no other range has as well.
fn is_used(state: &State, name: &str, cidrs: &[Cidr], besides: &[IpAddr]) -> bool {
    let mut others = Ranges::of(state);
    others.all.retain(|(.., other)| other != name);
    let addresses =
        state.range(&ADDRESSES.prefix("")).filter_map(|found| found.key.name().parse::<IpAddr>().ok());
    let mut held =
        addresses.filter(|address| !besides.contains(address) && cidrs.iter().any(|cidr| cidr.has(*address)));
    held.any(|address| !others.all.iter().any(|(cidr, ..)| cidr.has(address)))
}

fn without_finalizer(found: &Arc<state::Object>) -> Option<(Guard, Write)> {
    let mut object = Object::read(&found.bytes.to_bytes(), &CIDRS).ok()?;
    object.meta.finalizers.retain(|one| one != CIDR_FINALIZER);
    let key = found.key.clone();
    let guard = Guard::AtRevision { key: key.clone(), revision: found.revision };
    let is_free = object.meta.finalizers.is_empty();
    let write = if is_free { Write::Delete { key } } else { put(key, &object.prepare(&CIDRS)) };
    Some((guard, write))
}

/// The ServiceCIDR that a cluster begins with.
pub(crate) fn first_range(cidrs: &[Cidr]) -> (api::Key, Write) {
    let meta = ObjectMeta {
        name: FIRST_CIDR.to_owned(),
        uid: uid(env::random_u128()),
        creation_timestamp: time::rfc3339(env::wall_ms()),
        ..ObjectMeta::default()
    };
    let cidrs: Vec<_> = cidrs.iter().map(ToString::to_string).collect();
    let mut object = Object { meta, fields: Map::from_iter([("spec".to_owned(), json!({"cidrs": cidrs}))]) };
    complete_cidr(&mut object);
    let key = CIDRS.key("", FIRST_CIDR);
    (key.clone(), put(key, &object.prepare(&CIDRS)))
}

/// What a new range begins with: it is ready at once, and stays until nobody uses it.
pub(super) fn complete_cidr(object: &mut Object) {
    if !object.meta.finalizers.iter().any(|one| one == CIDR_FINALIZER) {
        object.meta.finalizers.push(CIDR_FINALIZER.to_owned());
    }
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes Service CIDR is ready",
        "lastTransitionTime": time::rfc3339(env::wall_ms()),
    });
    object.fields.insert("status".to_owned(), json!({"conditions": [ready]}));
}

/// Before a range is deleted: nothing keeps it if none of its addresses is in use. Returns what that depends on.
pub(super) fn free_cidr(state: &State, object: &mut Object) -> Option<Guard> {
    let spec = object.fields.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
    let cidrs: Vec<Cidr> = texts(&spec, "cidrs").iter().filter_map(|text| text.parse().ok()).collect();
    if is_used(state, &object.meta.name, &cidrs, &[]) {
        return None;
    }
    object.meta.finalizers.retain(|one| one != CIDR_FINALIZER);
    Some(Guard::Unwritten { prefix: ADDRESSES.prefix(""), since: state.revision() })
}
