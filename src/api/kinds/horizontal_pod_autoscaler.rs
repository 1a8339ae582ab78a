//! `autoscaling HorizontalPodAutoscaler`: as many replicas as there is work.

use crate::names;
use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};
use crate::validate::pod::resources;

const PERIOD_SECONDS_MAX: i64 = 1_800;
const WINDOW_SECONDS_MAX: i64 = 3_600;

const SOURCES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];
const NO_SOURCE: &str = "must populate information for the given metric source";

/// What is particular.
pub static KIND: Particular = Particular {
    group: "autoscaling",
    kind: "HorizontalPodAutoscaler",
    counted: Some("spec"),
    declared: &[("spec.maxReplicas", "Required value"), ("spec.maxReplicas", "greater than or equal to 1")],
    strategy: Strategy {
        validate: |root| spec(root.field("spec"), None),
        validate_update: |new, old| spec(new.field("spec"), Some(old.field("spec"))),
        validate_status: |new, _| status(new),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

fn spec(spec: At<'_>, old: Option<At<'_>>) {
    let (least, most) = (spec.field("minReplicas"), spec.field("maxReplicas"));
    if least.number() < 0 {
        least.invalid("must be greater than or equal to 0");
    }
    if most.number() == 0 {
        most.required("");
    } else if most.number() < 0 {
        most.invalid("must be greater than or equal to 1");
    }
    if least.int().is_some_and(|least| most.number() < least) {
        most.invalid_value(most.number(), "must be greater than or equal to `minReplicas`");
    }
    let target = spec.field("scaleTargetRef");
    let is_same = old.map(|old| old.field("scaleTargetRef")).is_some_and(|old| {
        ["apiVersion", "kind"].iter().all(|field| old.field(field).text() == target.field(field).text())
    });
    reference(target, target.field("kind").text() == "ReplicationController", is_same);
    metrics(spec);
    for rules in ["scaleUp", "scaleDown"].map(|field| spec.field("behavior").field(field)) {
        if rules.is_set() {
            scaling(rules);
        }
    }
}

/// An object of any kind. Its version may lack a group only if it is of the legacy one.
fn reference(reference: At<'_>, any_group: bool, any_version: bool) {
    for field in ["kind", "name"].map(|field| reference.field(field)) {
        field.require_name(names::path_segment);
    }
    let version = reference.field("apiVersion");
    let slashes = version.text().matches('/').count();
    if any_version {
        return;
    }
    if slashes > 1 {
        version.invalid_value(version.text(), &format!("unexpected GroupVersion string: {}", version.text()));
    } else if !any_group && (slashes == 0 || version.text().starts_with('/')) {
        version.invalid_value(version.text(), "apiVersion must specify API group");
    }
}

fn metrics(spec: At<'_>) {
    let metrics = spec.field("metrics");
    metrics.items().for_each(metric);
    let is_outside = |metric: &At<'_>| ["Object", "External"].contains(&metric.field("type").text());
    if spec.field("minReplicas").int() == Some(0) && !metrics.items().any(|metric| is_outside(&metric)) {
        metrics.forbidden(
            "must specify at least one Object or External metric to support scaling to zero replicas",
        );
    }
}

/// The rules of one source of metrics.
type Check = fn(At<'_>);

fn metric(metric: At<'_>) {
    const CHECKS: &[(&str, &str, Check)] = &[
        ("Object", "object", object),
        ("External", "external", external),
        ("Pods", "pods", pods),
        ("Resource", "resource", resource),
        ("ContainerResource", "containerResource", container_resource),
    ];
    let kind = metric.field("type");
    if kind.text().is_empty() {
        kind.required("must specify a metric source type");
    }
    if !SOURCES.contains(&kind.text()) {
        kind.one_of(SOURCES);
    }
    let given: Vec<_> = CHECKS.iter().filter(|(_, field, _)| metric.field(field).is_set()).collect();
    if let Some((_, field, check)) = given.first() {
        check(metric.field(field));
    }
    let wanted = CHECKS.iter().find(|(name, ..)| *name == kind.text()).map(|(_, field, _)| *field);
    if let Some(field) = wanted.filter(|field| !metric.field(field).is_set()) {
        metric.field(field).required(NO_SOURCE);
    }
    if given.len() != 1 {
        for (_, field, _) in given.iter().filter(|(_, field, _)| Some(*field) != wanted) {
            metric.field(field).forbidden("must populate the given metric source only");
        }
    }
}

fn object(source: At<'_>) {
    reference(source.field("describedObject"), true, false);
    identifier(source);
    let target = target(source);
    if !target.field("value").is_set() && !target.field("averageValue").is_set() {
        target.field("averageValue").required("must set either a target value or averageValue");
    }
}

fn external(source: At<'_>) {
    identifier(source);
    let target = target(source);
    match (target.field("value").is_set(), target.field("averageValue").is_set()) {
        (false, false) => {
            target
                .field("averageValue")
                .required("must set either a target value for metric or a per-pod target");
        }
        (true, true) => {
            target
                .field("value")
                .forbidden("may not set both a target value for metric and a per-pod target");
        }
        _ => {}
    }
}

fn pods(source: At<'_>) {
    identifier(source);
    let target = target(source);
    if !target.field("averageValue").is_set() {
        target.field("averageValue").required("must specify a positive target averageValue");
    }
}

fn resource(source: At<'_>) {
    if source.field("name").text().is_empty() {
        source.field("name").required("must specify a resource name");
    }
    utilization(source);
}

fn container_resource(source: At<'_>) {
    let (name, container) = (source.field("name"), source.field("container"));
    if name.text().is_empty() {
        name.required("must specify a resource name");
    } else {
        resources::container_resource(name, name.text());
    }
    if container.text().is_empty() {
        container.required("must specify a container");
    } else {
        container.check_name(names::dns_label);
    }
    utilization(source);
}

fn utilization(source: At<'_>) {
    let target = target(source);
    let (share, amount) = (target.field("averageUtilization"), target.field("averageValue"));
    match (share.is_set(), amount.is_set()) {
        (false, false) => share.required("must set either a target raw value or a target utilization"),
        (true, true) => amount.forbidden("may not set both a target raw value and a target utilization"),
        _ => {}
    }
}

fn identifier(source: At<'_>) {
    let name = source.field("metric").field("name");
    if name.text().is_empty() {
        name.required("must specify a metric name");
    } else {
        name.check_name(names::path_segment);
    }
}

fn target(source: At<'_>) -> At<'_> {
    let target = source.field("target");
    let kind = target.field("type");
    if kind.text().is_empty() {
        kind.required("must specify a metric target type");
    }
    if !["Utilization", "Value", "AverageValue"].contains(&kind.text()) {
        kind.invalid_value(kind.text(), "must be either Utilization, Value, or AverageValue");
    }
    for amount in ["value", "averageValue"].map(|field| target.field(field)) {
        if amount.quantity().is_some_and(|amount| amount.signum() != 1) {
            amount.invalid("must be positive");
        }
    }
    if target.field("averageUtilization").int().is_some_and(|share| share < 1) {
        target.field("averageUtilization").invalid("must be greater than 0");
    }
    target
}

fn scaling(rules: At<'_>) {
    let (window, select, policies) =
        (rules.field("stabilizationWindowSeconds"), rules.field("selectPolicy"), rules.field("policies"));
    if window.number() < 0 {
        window.invalid("must be greater than or equal to zero");
    }
    if window.number() > WINDOW_SECONDS_MAX {
        window.invalid(&format!("must be less than or equal to {WINDOW_SECONDS_MAX}"));
    }
    if select.is_set() {
        select.one_of(&["Disabled", "Max", "Min"]);
    }
    if policies.count() == 0 {
        policies.required("must specify at least one Policy");
    }
    for policy in policies.items() {
        policy.field("type").one_of(&["Percent", "Pods"]);
        policy.field("value").positive();
        let period = policy.field("periodSeconds");
        period.positive();
        if period.number() > PERIOD_SECONDS_MAX {
            period.invalid(&format!("must be less than or equal to {PERIOD_SECONDS_MAX}"));
        }
    }
    rules.field("tolerance").quantity_non_negative();
}

fn status(root: Root<'_>) {
    let status = root.field("status");
    for condition in status.field("conditions").items() {
        condition.field("observedGeneration").non_negative();
    }
    status.field("currentReplicas").non_negative();
    status.field("desiredReplicas").non_negative();
}
