//! `autoscaling/v1 HorizontalPodAutoscaler`: the CPU target as a field, and all that `v2` has beyond it as JSON in
//! annotations, in the words that clients of `v1` know.

use serde_json::{Map, Value, json};

use super::Conversion;
use crate::object::{Object, member};

/// The row.
pub const V1: Conversion = Conversion {
    seen: ["autoscaling", "v1", "horizontalpodautoscalers"],
    stored: ["autoscaling", "v2", "horizontalpodautoscalers"],
    store: |object, _| store(object),
    show: |object, _| show(object),
};

type Tree = Map<String, Value>;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// What only conversions write.
const ANNOTATIONS: &[&str] = &[
    METRICS,
    CURRENT_METRICS,
    CONDITIONS,
    BEHAVIOR,
    "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
    "autoscaling.alpha.kubernetes.io/scale-up-tolerance",
];

/// The target of an autoscaler that names no metric at all, in percent.
const CPU_PERCENT: i64 = 80;

/// A member here, where it stands in `v2`, and whether it is written when it is not there, as zero.
type Member = (&'static str, &'static [&'static str], bool);

/// The sources of metrics with their members, both in the order in which they are written.
type Sources = &'static [(&'static str, &'static [Member])];

static SPEC: Sources = &[
    (
        "object",
        &[
            ("target", &["describedObject"], false),
            ("metricName", &["metric", "name"], false),
            ("targetValue", &["target", "value"], true),
            ("selector", &["metric", "selector"], false),
            ("averageValue", &["target", "averageValue"], false),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", &["metric", "name"], false),
            ("targetAverageValue", &["target", "averageValue"], true),
            ("selector", &["metric", "selector"], false),
        ],
    ),
    (
        "resource",
        &[
            ("name", &["name"], false),
            ("targetAverageUtilization", &["target", "averageUtilization"], false),
            ("targetAverageValue", &["target", "averageValue"], false),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", &["name"], false),
            ("targetAverageUtilization", &["target", "averageUtilization"], false),
            ("targetAverageValue", &["target", "averageValue"], false),
            ("container", &["container"], false),
        ],
    ),
    (
        "external",
        &[
            ("metricName", &["metric", "name"], false),
            ("metricSelector", &["metric", "selector"], false),
            ("targetValue", &["target", "value"], false),
            ("targetAverageValue", &["target", "averageValue"], false),
        ],
    ),
];

static STATUS: Sources = &[
    (
        "object",
        &[
            ("target", &["describedObject"], false),
            ("metricName", &["metric", "name"], false),
            ("currentValue", &["current", "value"], true),
            ("selector", &["metric", "selector"], false),
            ("averageValue", &["current", "averageValue"], false),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", &["metric", "name"], false),
            ("currentAverageValue", &["current", "averageValue"], true),
            ("selector", &["metric", "selector"], false),
        ],
    ),
    (
        "resource",
        &[
            ("name", &["name"], false),
            ("currentAverageUtilization", &["current", "averageUtilization"], false),
            ("currentAverageValue", &["current", "averageValue"], true),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", &["name"], false),
            ("currentAverageUtilization", &["current", "averageUtilization"], false),
            ("currentAverageValue", &["current", "averageValue"], true),
            ("container", &["container"], false),
        ],
    ),
    (
        "external",
        &[
            ("metricName", &["metric", "name"], false),
            ("metricSelector", &["metric", "selector"], false),
            ("currentValue", &["current", "value"], true),
            ("currentAverageValue", &["current", "averageValue"], false),
        ],
    ),
];

fn show(mut object: Object) -> Object {
    for name in ANNOTATIONS {
        object.meta.annotations.remove(*name);
    }
    let annotations = &mut object.meta.annotations;
    let mut annotate = |name: &str, value: Value| annotations.insert(name.to_owned(), value.to_string());
    if let Some(spec) = object.fields.get_mut("spec").and_then(Value::as_object_mut) {
        let (cpu, others): (Vec<_>, Vec<_>) = taken(spec, "metrics").into_iter().partition(is_cpu_target);
        if let Some(percent) =
            cpu.first().and_then(|metric| metric.pointer("/resource/target/averageUtilization"))
        {
            spec.insert("targetCPUUtilizationPercentage".into(), percent.clone());
        }
        if !others.is_empty() {
            annotate(METRICS, others.iter().map(|metric| old_metric(metric, SPEC)).collect());
        }
        if let Some(behavior) = spec.shift_remove("behavior") {
            annotate(BEHAVIOR, go_behavior(&behavior));
        }
    }
    if let Some(status) = object.fields.get_mut("status").and_then(Value::as_object_mut) {
        let current = taken(status, "currentMetrics");
        let of_cpu = |metric: &&Value| metric["type"] == "Resource" && metric["resource"]["name"] == "cpu";
        let mut percents = current
            .iter()
            .filter(of_cpu)
            .filter_map(|metric| metric.pointer("/resource/current/averageUtilization"));
        if let Some(percent) = percents.next_back() {
            status.insert("currentCPUUtilizationPercentage".into(), percent.clone());
        }
        if !current.is_empty() {
            annotate(CURRENT_METRICS, current.iter().map(|metric| old_metric(metric, STATUS)).collect());
        }
        let conditions = taken(status, "conditions");
        if !conditions.is_empty() {
            annotate(CONDITIONS, conditions.iter().map(old_condition).collect());
        }
    }
    object
}

fn store(mut object: Object) -> Object {
    let annotations = &mut object.meta.annotations;
    let mut kept =
        |name: &str| annotations.remove(name).and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let [metrics, current, conditions, behavior] =
        [METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR].map(|name| kept(name).unwrap_or_default());
    for name in ANNOTATIONS {
        annotations.remove(*name);
    }
    let spec = member(&mut object.fields, "spec");
    let percent = spec.shift_remove("targetCPUUtilizationPercentage").filter(|percent| !percent.is_null());
    let mut all: Vec<Value> = items(&metrics).map(|metric| new_metric(metric, SPEC)).collect();
    all.extend(percent.map(cpu_target));
    if all.is_empty() {
        all.push(cpu_target(CPU_PERCENT.into()));
    }
    spec.insert("metrics".into(), all.into());
    if behavior.is_object() {
        spec.insert("behavior".into(), recased(&behavior, char::to_ascii_lowercase));
    }
    let Some(status) = object.fields.get_mut("status").and_then(Value::as_object_mut) else { return object };
    let percent = status.shift_remove("currentCPUUtilizationPercentage").filter(|percent| !percent.is_null());
    if let Some(percent) = percent {
        let metric = json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}});
        status.insert("currentMetrics".into(), json!([metric]));
    }
    if current.is_array() {
        let all: Vec<_> = items(&current).map(|metric| new_metric(metric, STATUS)).collect();
        status.insert("currentMetrics".into(), all.into());
    }
    if conditions.is_array() {
        status.insert("conditions".into(), conditions);
    }
    object
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn taken(from: &mut Tree, name: &str) -> Vec<Value> {
    match from.shift_remove(name) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// Whether a metric is what the one field of `v1` says.
fn is_cpu_target(metric: &Value) -> bool {
    metric["type"] == "Resource"
        && metric["resource"]["name"] == "cpu"
        && metric.pointer("/resource/target/averageUtilization").is_some()
}

fn cpu_target(percent: Value) -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": percent});
    json!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
}

/// A metric of `v2` in the words of `v1`.
fn old_metric(metric: &Value, sources: Sources) -> Value {
    let mut old = Map::from_iter([("type".to_owned(), metric["type"].clone())]);
    for (source, members) in sources {
        let Some(given) = metric.get(source) else { continue };
        let mut flat = Map::new();
        for (name, path, always) in *members {
            let found = path.iter().try_fold(given, |at, step| at.get(step)).cloned();
            if let Some(value) = found.or(always.then(|| "0".into())) {
                flat.insert((*name).to_owned(), value);
            }
        }
        old.insert((*source).to_owned(), flat.into());
    }
    old.into()
}

/// The way back.
fn new_metric(metric: &Value, sources: Sources) -> Value {
    let mut new = Map::from_iter([("type".to_owned(), metric["type"].clone())]);
    for (source, members) in sources {
        let Some(given) = metric.get(source).and_then(Value::as_object) else { continue };
        let mut deep = Map::new();
        for (name, path, _) in *members {
            let Some(value) = given.get(*name).filter(|value| !value.is_null()) else { continue };
            let (last, before) = path.split_last().expect("a path has a step");
            let at = before.iter().fold(&mut deep, |at, step| member(at, step));
            at.insert((*last).to_owned(), value.clone());
        }
        if std::ptr::eq(sources, SPEC) {
            set_target_type(source, member(&mut deep, "target"));
        }
        new.insert((*source).to_owned(), deep.into());
    }
    new.into()
}

/// `v1` tells by the members that are there what kind of target it is.
fn set_target_type(source: &str, target: &mut Tree) {
    let has = |name: &str| target.contains_key(name);
    let kind = match source {
        "resource" | "containerResource" if has("averageUtilization") => "Utilization",
        "external" if has("value") => "Value",
        "object" if !has("averageValue") => "Value",
        _ => "AverageValue",
    };
    if source == "object" && kind == "AverageValue" && target.get("value") == Some(&"0".into()) {
        target.shift_remove("value");
    }
    target.insert("type".into(), kind.into());
}

/// Conditions are the same in both; a time that is not there is null.
fn old_condition(condition: &Value) -> Value {
    let mut old = Map::new();
    for name in ["type", "status", "lastTransitionTime", "reason", "message", "observedGeneration"] {
        match condition.get(name) {
            Some(value) => old.insert(name.to_owned(), value.clone()),
            None if name == "lastTransitionTime" => old.insert(name.to_owned(), Value::Null),
            None => None,
        };
    }
    old.into()
}

/// Behaviour under the names of Go's fields, all of them written.
fn go_behavior(behavior: &Value) -> Value {
    let rules = |name: &str| match behavior.get(name) {
        None => Value::Null,
        Some(rules) => {
            let policy = |policy: &Value| {
                ["type", "value", "periodSeconds"]
                    .map(|name| (name.to_owned(), policy[name].clone()))
                    .into_iter()
                    .collect()
            };
            let policies: Value = match rules.get("policies") {
                None => Value::Null,
                Some(policies) => {
                    items(policies).map(policy).map(|policy: Tree| Value::from(policy)).collect()
                }
            };
            json!({
                "stabilizationWindowSeconds": rules["stabilizationWindowSeconds"],
                "selectPolicy": rules["selectPolicy"],
                "policies": policies,
                "tolerance": rules["tolerance"],
            })
        }
    };
    recased(&json!({"scaleUp": rules("scaleUp"), "scaleDown": rules("scaleDown")}), char::to_ascii_uppercase)
}

/// The same with another case of every name's first letter, without what is null on the way to small letters.
fn recased(value: &Value, case: fn(&char) -> char) -> Value {
    let drops_null = case(&'A') == 'a';
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, value)| !(drops_null && value.is_null()));
            let renamed = kept.map(|(name, value)| {
                let mut letters = name.chars();
                let first = letters.next().map(|first| case(&first));
                (first.into_iter().chain(letters).collect(), recased(value, case))
            });
            Value::Object(renamed.collect())
        }
        Value::Array(items) => items.iter().map(|item| recased(item, case)).collect(),
        scalar => scalar.clone(),
    }
}
