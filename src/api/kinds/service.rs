//! `v1 Service`: a name and an address for pods that come and go.

mod addresses;
mod rules;

use serde_json::{Map, Value, json};

use crate::field_error::FieldError;
use crate::meta::ObjectMeta;
use crate::names;
use crate::object::Object;
use crate::resource::{Particular, Strategy, selectable};
use crate::validate::at::errors_of_change;

/// What is particular.
pub static KIND: Particular = Particular {
    kind: "Service",
    selectable: &[
        selectable!("spec.clusterIP", "spec", "clusterIP"),
        selectable!("spec.type", "spec", "type"),
    ],
    strategy: Strategy {
        name: names::dns_label,
        prepare_create: |object| drop(object.fields.insert("status".into(), json!({"loadBalancer": {}}))),
        prepare_update: drop_what_no_longer_fits,
        validate: |new| rules::validate(new, None),
        validate_update: rules::validate_update,
        validate_status: rules::validate_status,
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

/// The parts of a spec on which others depend.
#[derive(Clone, Copy)]
struct Spec<'s>(Option<&'s Map<String, Value>>);

impl<'s> Spec<'s> {
    fn of(object: &'s Object) -> Self {
        Self(object.fields.get("spec").and_then(Value::as_object))
    }

    fn get(self, field: &str) -> Option<&'s Value> {
        self.0.and_then(|spec| spec.get(field)).filter(|value| !value.is_null())
    }

    fn text(self, field: &str) -> &'s str {
        self.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    fn list(self, field: &str) -> &'s [Value] {
        self.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn is(self, kind: &str) -> bool {
        self.text("type") == kind
    }

    fn is_headless(self) -> bool {
        self.list("clusterIPs") == ["None"]
    }

    fn has_node_ports(self) -> bool {
        self.is("NodePort") || self.is("LoadBalancer")
    }

    /// Whether it can be reached from outside the cluster.
    fn is_external(self) -> bool {
        self.has_node_ports() || (self.is("ClusterIP") && !self.list("externalIPs").is_empty())
    }

    /// Whether load balancers ask nodes whether they have any of its pods.
    fn has_health_check(self) -> bool {
        self.is("LoadBalancer") && self.text("externalTrafficPolicy") == "Local"
    }

    fn node_ports(self) -> Vec<i64> {
        let port = |port: &Value| port.get("nodePort").and_then(Value::as_i64).filter(|port| *port != 0);
        self.list("ports").iter().filter_map(port).collect()
    }
}

/// What is wrong with the addresses that a spec asks for, and with their families.
pub fn address_errors(spec: &Map<String, Value>, old: Option<&Map<String, Value>>) -> Vec<FieldError> {
    let object = |spec: &Map<String, Value>| {
        let fields = Map::from_iter([("spec".to_owned(), Value::Object(spec.clone()))]);
        Object { meta: ObjectMeta::default(), fields }
    };
    let (new, old) = (object(spec), old.map(object));
    errors_of_change(&new, old.as_ref().unwrap_or(&new), |new, before| {
        addresses::validate(new.field("spec"), old.as_ref().map(|_| before.field("spec")));
    })
}

/// A change of the type leaves fields behind that the server filled in for the old one. What the client did not change
/// and the new type has no use for goes; what it did change is left to the rules.
fn drop_what_no_longer_fits(new: &mut Object, old: &Object) {
    let (after, before) = (Spec::of(new), Spec::of(old));
    let is_same = |field: &str| after.get(field) == before.get(field);
    let is_same_text = |field: &str| after.text(field) == before.text(field);
    let mut dropped = Vec::new();
    if after.is("ExternalName") && !before.is("ExternalName") {
        if is_same_text("clusterIP") && after.list("clusterIPs") == before.list("clusterIPs") {
            dropped.extend(["clusterIP", "clusterIPs"]);
        }
        dropped.extend((after.list("ipFamilies") == before.list("ipFamilies")).then_some("ipFamilies"));
        dropped.extend(is_same_text("ipFamilyPolicy").then_some("ipFamilyPolicy"));
    }
    if before.has_health_check() && !after.has_health_check() {
        dropped.extend(is_same("healthCheckNodePort").then_some("healthCheckNodePort"));
    }
    let no_balancer = !after.is("LoadBalancer");
    if before.is("LoadBalancer") && no_balancer {
        let fields = ["allocateLoadBalancerNodePorts", "loadBalancerClass"];
        dropped.extend(fields.into_iter().filter(|field| is_same(field)));
    }
    if before.is_external() && !after.is_external() {
        dropped.extend(is_same_text("externalTrafficPolicy").then_some("externalTrafficPolicy"));
    }
    let had = before.node_ports();
    let drops_ports = before.has_node_ports()
        && !after.has_node_ports()
        && after.node_ports().iter().all(|port| had.contains(port));
    if let Some(spec) = new.fields.get_mut("spec").and_then(Value::as_object_mut) {
        dropped.into_iter().for_each(|field| drop(spec.shift_remove(field)));
        let ports = spec.get_mut("ports").filter(|_| drops_ports).and_then(Value::as_array_mut);
        for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
            port.shift_remove("nodePort");
        }
    }
    let status = new.fields.get_mut("status").and_then(Value::as_object_mut);
    if let Some(status) = status.filter(|_| no_balancer) {
        status.insert("loadBalancer".into(), json!({}));
    }
}
