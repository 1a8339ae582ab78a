//! The kinds: one file each, holding its row and what is particular to it.

pub mod api_service;
pub mod certificate_signing_request;
pub mod cluster_role;
pub mod cluster_role_binding;
pub mod config_map;
pub mod controller_revision;
mod counting;
pub mod cron_job;
pub mod csi_driver;
pub mod csi_node;
pub mod csi_storage_capacity;
pub mod custom_resource_definition;
pub mod daemon_set;
pub mod deployment;
pub mod device_taint_rule;
pub mod endpoint_slice;
pub mod endpoints;
pub mod event;
pub mod flow_schema;
pub mod horizontal_pod_autoscaler;
pub mod ingress;
pub mod ingress_class;
pub mod ip_address;
pub mod job;
pub mod lease;
pub mod limit_range;
pub mod mutating_webhook_configuration;
pub mod namespace;
pub mod network_policy;
pub mod node;
pub mod persistent_volume;
pub mod persistent_volume_claim;
pub mod pod;
pub mod pod_disruption_budget;
pub mod pod_template;
pub mod priority_class;
pub mod priority_level_configuration;
pub mod replica_set;
pub mod replication_controller;
pub mod resource_quota;
pub mod role;
pub mod role_binding;
pub mod runtime_class;
pub mod secret;
pub mod service;
pub mod service_account;
pub mod service_cidr;
mod shared;
pub mod stateful_set;
pub mod storage_class;
pub mod storage_version_migration;
pub mod validating_webhook_configuration;
pub mod volume_attachment;
pub mod volume_attributes_class;

use serde_json::{Map, Value};

use crate::names;
use crate::object::Object;
use crate::resource::Particular;
use crate::validate::at::{At, Root};

/// The kinds with files of their own.
static OWN: &[&Particular] = &[
    &api_service::KIND,
    &certificate_signing_request::KIND,
    &cluster_role::KIND,
    &cluster_role_binding::KIND,
    &config_map::KIND,
    &controller_revision::KIND,
    &cron_job::KIND,
    &csi_driver::KIND,
    &csi_node::KIND,
    &csi_storage_capacity::KIND,
    &custom_resource_definition::KIND,
    &daemon_set::KIND,
    &deployment::KIND,
    &device_taint_rule::KIND,
    &endpoint_slice::KIND,
    &endpoints::KIND,
    &event::KIND,
    &event::NEW,
    &flow_schema::KIND,
    &horizontal_pod_autoscaler::KIND,
    &ingress::KIND,
    &ingress_class::KIND,
    &ip_address::KIND,
    &job::KIND,
    &lease::KIND,
    &limit_range::KIND,
    &mutating_webhook_configuration::KIND,
    &namespace::KIND,
    &network_policy::KIND,
    &node::KIND,
    &persistent_volume::KIND,
    &persistent_volume_claim::KIND,
    &pod::KIND,
    &pod_disruption_budget::KIND,
    &pod_template::KIND,
    &priority_class::KIND,
    &priority_level_configuration::KIND,
    &replica_set::KIND,
    &replication_controller::KIND,
    &resource_quota::KIND,
    &role::KIND,
    &role_binding::KIND,
    &runtime_class::KIND,
    &secret::KIND,
    &service::KIND,
    &service_account::KIND,
    &service_cidr::KIND,
    &stateful_set::KIND,
    &storage_class::KIND,
    &storage_version_migration::KIND,
    &validating_webhook_configuration::KIND,
    &volume_attachment::KIND,
    &volume_attributes_class::KIND,
];

/// Every kind with something particular.
pub fn particular() -> impl Iterator<Item = &'static Particular> {
    OWN.iter().copied().chain(counting::COUNTING)
}

/// How much data a ConfigMap or Secret may hold.
pub(crate) const DATA_BYTES_MAX: usize = 1024 * 1024;

const IMMUTABLE: &str = "field is immutable when `immutable` is set";

/// The keys of a map become names of files.
pub(crate) fn file_keys(map: At<'_>) {
    map.entries().for_each(|(key, entry)| file_key(key, entry));
}

/// One of them.
pub(crate) fn file_key(key: &str, entry: At<'_>) {
    for wrong in names::config_key(key) {
        entry.invalid_value(key, &wrong);
    }
}

fn at_path<'o>(object: &'o mut Object, path: &[&str]) -> Option<&'o mut Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(object.fields.get_mut(*first)?, |value, name| value.get_mut(*name))
}

fn seen_at<'o>(object: &'o Object, path: &[&str]) -> Option<&'o Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(object.fields.get(*first)?, |value, name| value.get(*name))
}

/// An object without labels gets those of its template.
pub(crate) fn label_as_template(object: &mut Object) {
    if object.meta.labels.is_empty() {
        let labels = object.spec().and_then(|spec| spec.get("template")?.pointer("/metadata/labels"));
        let texts = labels.and_then(Value::as_object).into_iter().flatten();
        let texts = texts.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        object.meta.labels = texts.collect();
    }
}

/// Drops from the template for pods at a path what is not in use yet.
pub(crate) fn prepare_template(object: &mut Object, path: &[&str]) {
    pod::drop::drop_disabled_in_template(at_path(object, path), None);
}

/// The same, where the old template may use it.
pub(crate) fn prepare_template_update(new: &mut Object, old: &Object, path: &[&str]) {
    pod::drop::drop_disabled_in_template(at_path(new, path), seen_at(old, path));
}

/// Puts a field back as it was; leaves it alone where there was none.
pub(crate) fn keep_field(new: &mut Map<String, Value>, old: Option<&Map<String, Value>>, field: &str) {
    if let Some(value) = old.and_then(|old| old.get(field)) {
        new.insert(field.to_owned(), value.clone());
    }
}

/// How many bytes the base64 text stands for.
pub(crate) fn decoded_bytes(base64: &str) -> usize {
    base64.len() / 4 * 3 - base64.bytes().rev().take_while(|byte| *byte == b'=').count()
}

/// What a change of an immutable object breaks: `immutable` itself, or one of `fields`.
pub(crate) fn stays_immutable(new: Root<'_>, old: Root<'_>, fields: &[&'static str]) {
    if !old.field("immutable").is_true() {
        return;
    }
    if !new.field("immutable").is_true() {
        new.field("immutable").forbidden(IMMUTABLE);
    }
    for field in fields.iter().filter(|field| !new.field(field).equals(old.field(field))) {
        new.field(field).forbidden(IMMUTABLE);
    }
}
