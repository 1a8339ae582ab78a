//! `apiregistration.k8s.io/v1 APIService`: who serves a group and version.

use serde_json::json;

use crate::field_error::quoted;
use crate::names;
use crate::object::Object;
use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};
use crate::validate::webhook;

/// What is particular.
pub static KIND: Particular = Particular {
    group: "apiregistration.k8s.io",
    kind: "APIService",
    strategy: Strategy {
        name: names::path_segment,
        prepare_create,
        validate,
        validate_update: |new, _| validate(new),
        validate_status: |new, _| {
            for condition in new.field("status").field("conditions").items() {
                condition.field("status").one_of(&["True", "False", "Unknown"]);
            }
        },
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

const GROUP_PRIORITY_MAX: i64 = 20_000;
const VERSION_PRIORITY_MAX: i64 = 1_000;

/// What this server serves itself is available at once.
fn prepare_create(object: &mut Object) {
    let is_local = object.spec().is_none_or(|spec| spec.get("service").is_none());
    let condition = json!({
        "type": "Available",
        "status": "True",
        "lastTransitionTime": object.meta.creation_timestamp,
        "reason": "Local",
        "message": "Local APIServices are always available",
    });
    let status = if is_local { json!({"conditions": [condition]}) } else { json!({}) };
    object.fields.insert("status".into(), status);
}

fn validate(new: Root<'_>) {
    let spec = new.field("spec");
    let (group, version) = (spec.field("group"), spec.field("version"));
    let name = format!("{}.{}", version.text(), group.text());
    let rule = format!("must be `spec.version+\".\"+spec.group`: {}", quoted(&name));
    for (field, given) in [("generateName", &new.meta().generate_name), ("name", &new.meta().name)] {
        let is_asked_for = field == "name" || !given.is_empty();
        if is_asked_for && *given != name && names::path_segment(given, false).is_empty() {
            new.meta_field(field).invalid_value(given.as_str(), &rule);
        }
    }
    if !group.is_empty() {
        group.check_name(names::dns_subdomain);
    } else if version.text() != "v1" {
        group.required("only v1 may have an empty group and it better be legacy kube");
    }
    version.check_name(names::dns_1035_label);
    at_most(spec.field("groupPriorityMinimum"), GROUP_PRIORITY_MAX);
    at_most(spec.field("versionPriority"), VERSION_PRIORITY_MAX);
    let (service, bundle, insecure) =
        (spec.field("service"), spec.field("caBundle"), spec.field("insecureSkipTLSVerify"));
    if service.is_set() {
        service.field("namespace").require_text();
        service.field("name").require_text();
        webhook::port(service.field("port"));
        if insecure.is_true() && !bundle.is_empty() {
            insecure.invalid("may not be true if caBundle is present");
        }
        return;
    }
    if !bundle.is_empty() {
        let size = super::decoded_bytes(bundle.text());
        bundle.invalid_value(format!("{size} bytes"), "local APIServices may not have a caBundle");
    }
    if insecure.is_true() {
        insecure.invalid("local APIServices may not have insecureSkipTLSVerify");
    }
}

fn at_most(priority: At<'_>, max: i64) {
    if !(1..=max).contains(&priority.number()) {
        priority.invalid_value(priority.number(), &format!("must be positive and less than {max}"));
    }
}
