//! `storagemigration.k8s.io/v1 StorageVersionMigration`: all objects of a resource are to be stored anew.

use serde_json::json;

use crate::names;
use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};
use crate::validate::{IMMUTABLE, meta, whole};

/// What is particular.
pub static KIND: Particular = Particular {
    group: "storagemigration.k8s.io",
    kind: "StorageVersionMigration",
    strategy: Strategy { validate, validate_update, validate_status, ..Strategy::PLAIN },
    ..Particular::NONE
};

fn resource(root: Root<'_>) -> At<'_> {
    root.field("spec").field("resource")
}

fn validate(new: Root<'_>) {
    let (group, resource) = (resource(new).field("group"), resource(new).field("resource"));
    let wrong = names::dns_1035_label(resource.text(), false);
    if resource.text().is_empty() {
        resource.required("resource is required to be set");
    } else if !wrong.is_empty() {
        resource.invalid(&wrong.join(","));
    }
    let wrong = names::dns_subdomain(group.text(), false);
    if !group.text().is_empty() && !wrong.is_empty() {
        group.invalid(&wrong.join(","));
    }
}

fn validate_update(new: Root<'_>, old: Root<'_>) {
    validate(new);
    let text = |root| ["group", "resource"].map(|field| resource(root).field(field).text());
    let [group, resource] = text(new);
    if [group, resource] != text(old) {
        // As Go writes the spec.
        let shown = json!({"Resource": {"group": group, "resource": resource}});
        new.field("spec").invalid_value(shown, IMMUTABLE);
    }
}

fn validate_status(new: Root<'_>, old: Root<'_>) {
    let (status, before) = (new.field("status"), old.field("status"));
    let version = status.field("resourceVersion");
    let is_version = |text: &str| !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    if !version.text().is_empty() && !is_version(version.text()) {
        version.invalid(&format!("resource version is not well formed: {}", version.text()));
    }
    let conditions = status.field("conditions");
    meta::conditions(conditions);
    let was = before.field("resourceVersion").text();
    if !was.is_empty() && was != version.text() {
        version.invalid_value(version.text(), IMMUTABLE);
    }
    let refuse = |why: &str| conditions.invalid_value(whole::conditions(conditions.value()), why);
    if is_true(status, "Succeeded") && is_true(status, "Failed") {
        refuse("Both success and failed conditions cannot be true at the same time");
    }
    for (kind, named) in [("Succeeded", "Success"), ("Failed", "Failed")] {
        if is_true(before, kind) && !is_true(status, kind) {
            refuse(&format!("{named} condition cannot be set to false once it is true"));
        }
    }
}

/// What the first condition of this type says.
fn is_true(status: At<'_>, kind: &str) -> bool {
    let mut conditions = status.field("conditions").items();
    let found = conditions.find(|condition| condition.field("type").text() == kind);
    found.is_some_and(|condition| condition.field("status").text() == "True")
}
