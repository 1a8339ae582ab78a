//! `apps/v1 StatefulSet`: pods with names and storage of their own.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{prepare_template, prepare_template_update};
use crate::names;
use crate::resource::{Particular, Strategy};
use crate::same;
use crate::validate::at::{At, Root};
use crate::validate::pod::template;
use crate::validate::workload::{
    counts, not_decremented, parts_of_replicas, required_selector, selects_template, some_of,
};
use crate::validate::{IMMUTABLE, claim, internal, whole};

const MODEL: &str = "apps.v1.StatefulSetSpec";

/// What is particular.
pub static KIND: Particular = Particular {
    group: "apps",
    kind: "StatefulSet",
    counted: Some("spec"),
    strategy: Strategy {
        name: names::dns_label,
        prepare_create: |object| prepare_template(object, &["spec", "template"]),
        prepare_update: |new, old| prepare_template_update(new, old, &["spec", "template"]),
        validate: |root| {
            let at = root.field("spec");
            let claims = at.field("volumeClaimTemplates").items();
            claims.for_each(|template| claim::spec(template.field("spec")));
            if !at.field("serviceName").text().is_empty() {
                at.field("serviceName").check_name(names::dns_label);
            }
            spec(at, None);
        },
        validate_update: |new, old| {
            spec(new.field("spec"), Some(old.field("spec")));
            fixed(new.field("spec"), old.field("spec"));
        },
        validate_status: status,
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

fn spec(spec: At<'_>, old: Option<At<'_>>) {
    let management = spec.field("podManagementPolicy");
    if management.require_text() && !["OrderedReady", "Parallel"].contains(&management.text()) {
        management.invalid("must be 'OrderedReady' or 'Parallel'");
    }
    strategy(spec.field("updateStrategy"));
    let retention = spec.field("persistentVolumeClaimRetentionPolicy");
    if retention.is_set() {
        for field in ["whenDeleted", "whenScaled"] {
            retention.field(field).one_of(&["Retain", "Delete"]);
        }
    }
    spec.field("replicas").non_negative();
    spec.field("minReadySeconds").non_negative();
    let start = spec.field("ordinals.start").with(spec.field("ordinals").field("start").value());
    start.non_negative();
    let selector = spec.field("selector");
    required_selector(selector, "statefulset");
    if selects_template(selector, spec.field("template")) {
        let replaced = as_made(spec);
        template::template(
            spec.field("template").with(Some(&replaced)),
            old.map(|old| old.field("template")),
        );
    } else {
        selector.invalid_value(internal::selector(selector), "");
    }
    template::always_restarts(spec.field("template"), "StatefulSet");
}

/// The template as pods are made of it: their names are the set's to give, and claims come before other volumes.
fn as_made(spec: At<'_>) -> Value {
    let mut template = spec.field("template").value().cloned().unwrap_or_else(|| json!({}));
    let names =
        spec.field("volumeClaimTemplates").items().map(|claim| claim.field("metadata").field("name").text());
    let claims: BTreeSet<&str> = names.collect();
    let Some(pod) = template.get_mut("spec").and_then(Value::as_object_mut) else { return template };
    pod.retain(|field, _| field != "hostname" && field != "subdomain");
    if !claims.is_empty() {
        let volume = |name: &&str| json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
        let mut volumes: Vec<Value> = claims.iter().map(volume).collect();
        let own = pod.get("volumes").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_own = |volume: &Value| !claims.contains(volume["name"].as_str().unwrap_or_default());
        volumes.extend(own.into_iter().filter(is_own));
        pod.insert("volumes".into(), volumes.into());
    }
    template
}

fn strategy(strategy: At<'_>) {
    let update = strategy.field("rollingUpdate");
    match strategy.field("type").text() {
        "" => strategy.required(""),
        "OnDelete" if update.is_set() => {
            update.invalid_value(
                internal::stateful_rolling(update),
                "only allowed for updateStrategy 'RollingUpdate'",
            );
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            update.field("partition").non_negative();
            some_of(update.field("maxUnavailable"));
        }
        _ => strategy
            .invalid_value(internal::stateful_strategy(strategy), "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

/// What stays as it was made.
fn fixed(new: At<'_>, old: At<'_>) {
    new.field("selector").immutable_selector(old.field("selector"));
    new.field("serviceName").immutable(old.field("serviceName"));
    new.field("podManagementPolicy").immutable(old.field("podManagementPolicy"));
    let (claims, old_claims) = (new.field("volumeClaimTemplates"), old.field("volumeClaimTemplates"));
    if !same::field_of(MODEL, "volumeClaimTemplates", claims.value(), old_claims.value()) {
        let shown: Vec<_> =
            claims.items().map(|claim| whole::shown(claim.value(), "PersistentVolumeClaim")).collect();
        let shown = if shown.is_empty() { Value::Null } else { shown.into() };
        claims.invalid_value(shown, IMMUTABLE);
    }
}

fn status(new: Root<'_>, old: Root<'_>) {
    let status = new.field("status");
    let parts = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    counts(status, &["replicas", "observedGeneration", "collisionCount"]);
    counts(status, &parts);
    parts_of_replicas(status, &parts, "status.readyReplicas");
    not_decremented(status.field("collisionCount"), old.field("status").field("collisionCount"));
}
