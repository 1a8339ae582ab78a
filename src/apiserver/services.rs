//! What a Service holds beside itself: addresses, each an IPAddress, and node ports, each a record that the API does
//! not serve. All of it is written in the transaction that writes the Service, so nothing leaks and nothing needs
//! repair: a name that is taken fails the transaction's guard, and another one is chosen.

mod addresses;
mod families;
mod node_ports;
mod ranges;

use std::sync::{Arc, LazyLock};

use api::{GroupResource, Object, Resource, Status};
use serde_json::{Map, Value, json};
use state::{Guard, State, Write};

use crate::chain::admission::Attempt;

pub(crate) use addresses::first_range;
pub use ranges::{Cidr, NodePorts};
pub(crate) use ranges::{default_cidr, node_port_record};

static SERVICES: LazyLock<Arc<Resource>> = LazyLock::new(|| Resource::builtin("", "v1", "services"));
static ADDRESSES: LazyLock<Arc<Resource>> =
    LazyLock::new(|| Resource::builtin("networking.k8s.io", "v1", "ipaddresses"));
static CIDRS: LazyLock<Arc<Resource>> =
    LazyLock::new(|| Resource::builtin("networking.k8s.io", "v1", "servicecidrs"));

/// Writes that go with another write, and what they depend on.
#[derive(Debug, Default)]
pub(crate) struct Companions {
    pub(crate) guards: Vec<Guard>,
    pub(crate) writes: Vec<Write>,
}

impl Companions {
    /// Removes a record, if it is there.
    fn remove(&mut self, state: &State, key: api::Key) {
        if let Some(found) = state.get(key.as_str()) {
            self.guards.push(Guard::AtRevision { key: key.clone(), revision: found.revision });
            self.writes.push(Write::Delete { key });
        }
    }
}

fn is_of(resource: &Resource, row: &Resource) -> bool {
    (&resource.group, &resource.kind) == (&row.group, &row.kind)
}

/// Gives a new or changed object what it lacks. Runs before the object is validated.
///
/// # Errors
/// When what it asks for cannot be had, or nothing is left.
pub(crate) fn reserve(
    attempt: &Attempt<'_>,
    object: &mut Object,
    old: Option<&Object>,
) -> Result<Companions, Status> {
    if !is_of(attempt.resource, &SERVICES) {
        return Ok(Companions::default());
    }
    let mut wanted = Companions::default();
    let holder = Holder::of(attempt);
    let before = old.map(spec_of).unwrap_or_default();
    let mut spec = spec_of(object);
    if old.is_some() {
        families::keep_given(&mut spec, &before);
    }
    families::normalize(&mut spec, old.map(|_| &before));
    families::choose(&holder, &mut spec, old.map(|_| &before))?;
    addresses::reserve(&holder, &mut spec, &before, &mut wanted)?;
    node_ports::reserve(&holder, &mut spec, &before, &mut wanted)?;
    object.fields.insert("spec".to_owned(), spec.into());
    Ok(wanted)
}

/// Takes back what a Service holds that goes, and lets go of ranges that are empty then.
pub(crate) fn release(state: &State, resource: &Resource, object: &Object) -> Companions {
    let mut freed = Companions::default();
    if is_of(resource, &SERVICES) {
        let spec = spec_of(object);
        let held = addresses::of(&spec);
        for address in &held {
            freed.remove(state, ADDRESSES.key("", address));
        }
        for port in node_ports::of(&spec) {
            freed.remove(state, ranges::node_port_key(port));
        }
        addresses::let_go(state, &held, &mut freed);
    } else if is_of(resource, &ADDRESSES) {
        addresses::let_go(state, std::slice::from_ref(&object.meta.name), &mut freed);
    }
    freed
}

/// Completes a new range of addresses, which no controller needs to look at first.
pub(crate) fn complete(resource: &Resource, object: &mut Object) {
    if is_of(resource, &CIDRS) {
        addresses::complete_cidr(object);
    }
}

/// Before an object is deleted: what keeps a range goes if nobody uses the range. Returns what that depends on.
pub(crate) fn unhold(state: &State, resource: &Resource, object: &mut Object) -> Option<Guard> {
    is_of(resource, &CIDRS).then(|| addresses::free_cidr(state, object)).flatten()
}

/// Refuses to take an address from a Service that lives.
///
/// # Errors
/// 403 naming the Service.
pub(crate) fn refuse_delete(attempt: &Attempt<'_>) -> Result<(), Status> {
    if !is_of(attempt.resource, &ADDRESSES) {
        return Ok(());
    }
    let found = attempt.state.get(ADDRESSES.key("", attempt.name).as_str());
    let Some(address) = found.and_then(|found| Object::read(&found.bytes.to_bytes(), &ADDRESSES).ok()) else {
        return Ok(());
    };
    let parent = |field| address.text(&["spec", "parentRef", field]);
    let (namespace, name) = (parent("namespace"), parent("name"));
    if parent("group").is_empty() && parent("resource") == "services" {
        let service = attempt.state.get(SERVICES.key(namespace, name).as_str());
        let service = service.and_then(|found| Object::read(&found.bytes.to_bytes(), &SERVICES).ok());
        if service
            .is_some_and(|service| addresses::of(&spec_of(&service)).iter().any(|one| one == attempt.name))
        {
            let why = format!("it is the address of the Service {namespace}/{name}: delete that instead");
            return Err(Status::forbidden(attempt.resource.group_resource(), attempt.name, &why));
        }
    }
    Ok(())
}

type Spec = Map<String, Value>;

fn spec_of(object: &Object) -> Spec {
    object.fields.get("spec").and_then(Value::as_object).cloned().unwrap_or_default()
}

fn text<'s>(spec: &'s Spec, field: &str) -> &'s str {
    spec.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn texts(spec: &Spec, field: &str) -> Vec<String> {
    let items = spec.get(field).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn set_texts(spec: &mut Spec, field: &str, texts: &[String]) {
    if texts.is_empty() {
        spec.shift_remove(field);
    } else {
        spec.insert(field.to_owned(), json!(texts));
    }
}

/// The Service that asks, and the cluster that it asks.
struct Holder<'a> {
    state: &'a State,
    namespace: &'a str,
    name: &'a str,
}

impl<'a> Holder<'a> {
    fn of(attempt: &Attempt<'a>) -> Self {
        let Attempt { state, namespace, name, .. } = *attempt;
        Self { state, namespace, name }
    }

    fn invalid(&self, errors: &[api::FieldError]) -> Status {
        Status::invalid(GroupResource { group: "", resource: "Service" }, self.name, errors)
    }
}
