//! `batch/v1 Job`: pods that run until their work is done.

mod indexes;
mod policies;
mod status;

use serde_json::{Map, Value, json};

use super::{label_as_template, prepare_template, prepare_template_update};
use crate::names;
use crate::object::{Object, member};
use crate::resource::{Particular, Selectable, Strategy};
use crate::same;
use crate::validate::at::{At, Root};
use crate::validate::common::selects;
use crate::validate::pod::template;
use crate::validate::{IMMUTABLE, internal, text, whole, workload};

const PARALLELISM_INDEXED_MAX: i64 = 100_000;
const FAILED_INDEXES_MAX: i64 = 100_000;
const COMPLETIONS_MANY: i64 = 100_000;
const WITH_MANY_COMPLETIONS_MAX: i64 = 10_000;
const MANAGED_BY_BYTES_MAX: usize = 63;

const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];

const SPEC: &str = "batch.v1.JobSpec";

/// What is particular.
pub static KIND: Particular = Particular {
    group: "batch",
    kind: "Job",
    counted: Some("spec"),
    selectable: &[Selectable {
        path: "status.successful",
        value: |job| job.at(&["status", "succeeded"]).number_text(),
    }],
    strategy: Strategy {
        default: label_as_template,
        prepare_create,
        fills_again: true,
        prepare_update: |new, old| {
            drop_disabled(new.spec_mut(), old.spec());
            prepare_template_update(new, old, &["spec", "template"]);
        },
        validate: |root| {
            generated_selector(root, true);
            whole_spec(root.field("spec"), None);
            name_allows_completions(root);
        },
        validate_update,
        validate_status: status::update,
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

/// A Job selects its own pods by its uid, unless its creator wants to select them.
fn prepare_create(object: &mut Object) {
    let (name, uid) = (object.meta.name.clone(), object.meta.uid.clone());
    let is_manual = object.spec().and_then(|spec| spec.get("manualSelector")) == Some(&Value::Bool(true));
    if let (false, Some(spec)) = (is_manual, object.spec_mut()) {
        let template = member(spec, "template");
        let labels = member(member(template, "metadata"), "labels");
        for (keys, value) in [(NAME_LABELS, &name), (UID_LABELS, &uid)] {
            for key in keys {
                labels.entry(key).or_insert_with(|| value.as_str().into());
            }
        }
        let matched = member(member(spec, "selector"), "matchLabels");
        matched.entry(UID_LABELS[1]).or_insert_with(|| uid.as_str().into());
    }
    drop_disabled(object.spec_mut(), None);
    prepare_template(object, &["spec", "template"]);
}

/// Drops what is not in use yet.
pub(super) fn drop_disabled(spec: Option<&mut Map<String, Value>>, old: Option<&Map<String, Value>>) {
    if !old.is_some_and(|old| old.contains_key("scheduling")) {
        spec.map(|spec| spec.shift_remove("scheduling"));
    }
}

/// What the server chose is as it chose it.
fn generated_selector(root: Root<'_>, with_domains: bool) {
    let spec = root.field("spec");
    if spec.field("manualSelector").is_true() || !spec.field("selector").is_set() {
        return;
    }
    let (name, uid) = (root.meta().name.as_str(), root.meta().uid.as_str());
    if uid.is_empty() {
        root.meta_field("uid").required("");
    }
    let labels = spec.field("template").field("metadata").field("labels");
    let expected = [
        (UID_LABELS[0], uid, true),
        (NAME_LABELS[0], name, true),
        (UID_LABELS[1], uid, with_domains),
        (NAME_LABELS[1], name, with_domains),
    ];
    let mut all = Map::new();
    for (key, value, _) in expected.iter().filter(|(.., is_expected)| *is_expected) {
        has_label(labels, key, value);
        all.insert((*key).to_owned(), (*value).into());
    }
    let all = Value::Object(all);
    if selects(spec.field("selector"), labels.with(Some(&all))) == Some(false) {
        let selector = spec.field("selector");
        selector.invalid_value(internal::selector(selector), "`selector` not auto-generated");
    }
}

fn has_label(labels: At<'_>, key: &str, expected: &str) {
    let given = labels.map().and_then(|labels| labels.get(key)).and_then(Value::as_str);
    match given {
        None => labels.key(key).required(&format!("must be '{expected}'")),
        Some(given) if given != expected => {
            labels.key(key).invalid_value(internal::labels(labels), &format!("must be '{expected}'"));
        }
        Some(_) => {}
    }
}

/// The pods of an indexed Job have its name and an index as hostname.
fn name_allows_completions(root: Root<'_>) {
    let (spec, name) = (root.field("spec"), root.meta().name.as_str());
    let last = spec.field("completions").number() - 1;
    if spec.field("completionMode").text() != "Indexed" || last < 0 {
        return;
    }
    let hostname = format!("{name}-{last}");
    if !names::dns_label(&hostname, false).is_empty() {
        let rule = format!("will not able to create pod with invalid DNS label: {hostname}");
        root.meta_field("name").invalid_value(name, &rule);
    }
}

fn whole_spec(at: At<'_>, old: Option<At<'_>>) {
    spec(at, old);
    let selector = at.field("selector");
    if selector.is_set() {
        selector.label_selector();
    } else {
        selector.required("");
    }
    workload::selects_template(selector, at.field("template"));
}

/// A spec but for its selector, which those in CronJobs do not have.
pub(super) fn spec(spec: At<'_>, old: Option<At<'_>>) {
    let counts = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    workload::counts(spec, &counts);
    if spec.field("maxFailedIndexes").is_set() && !spec.field("backoffLimitPerIndex").is_set() {
        spec.field("backoffLimitPerIndex").required("when maxFailedIndexes is specified");
    }
    if spec.field("managedBy").is_set() {
        managed_by(spec.field("managedBy"));
    }
    completion_mode(spec);
    policies::check(spec);
    template::template(spec.field("template"), old.map(|old| old.field("template")));
    restart_policy(spec);
}

/// `example.com/name`
fn managed_by(field: At<'_>) {
    let name = field.text();
    match name.split_once('/') {
        _ if name.is_empty() => field.required(""),
        Some((domain, path)) if !domain.is_empty() && !path.is_empty() => {
            for wrong in names::dns_subdomain(domain, false) {
                field.invalid_value(domain, &wrong);
            }
            if !text::is_http_path(path) {
                field.invalid_value(path, text::HTTP_PATH_RULE);
            }
        }
        _ => field.invalid("must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
    if name.len() > MANAGED_BY_BYTES_MAX {
        field.too_long(MANAGED_BY_BYTES_MAX);
    }
}

fn completion_mode(spec: At<'_>) {
    let (mode, limit, most) =
        (spec.field("completionMode"), spec.field("backoffLimitPerIndex"), spec.field("maxFailedIndexes"));
    if mode.is_set() {
        mode.one_of(&["NonIndexed", "Indexed"]);
    }
    match mode.text() {
        "Indexed" => indexed(spec),
        "NonIndexed" | "" if mode.text() == "NonIndexed" || !mode.is_set() => {
            for field in [limit, most].iter().filter(|field| field.is_set()) {
                field.invalid("requires indexed completion mode");
            }
        }
        _ => {}
    }
}

fn indexed(spec: At<'_>) {
    let (completions, parallelism, most) =
        (spec.field("completions"), spec.field("parallelism"), spec.field("maxFailedIndexes"));
    if !completions.is_set() {
        completions.required("when completion mode is Indexed");
    }
    if parallelism.number() > PARALLELISM_INDEXED_MAX {
        let rule = format!(
            "must be less than or equal to {PARALLELISM_INDEXED_MAX} when completion mode is Indexed"
        );
        parallelism.invalid(&rule);
    }
    if completions.int().zip(most.int()).is_some_and(|(completions, most)| most > completions) {
        most.invalid("must be less than or equal to completions");
    }
    if most.number() > FAILED_INDEXES_MAX {
        most.invalid(&format!("must be less than or equal to {FAILED_INDEXES_MAX}"));
    }
    if completions.number() <= COMPLETIONS_MANY || !spec.field("backoffLimitPerIndex").is_set() {
        return;
    }
    if !most.is_set() {
        most.required(&format!("must be specified when completions is above {COMPLETIONS_MANY}"));
    }
    for field in [parallelism, most].iter().filter(|field| field.number() > WITH_MANY_COMPLETIONS_MAX) {
        let rule = format!(
            "must be less than or equal to {WITH_MANY_COMPLETIONS_MAX} when completions are above {COMPLETIONS_MANY} and used with backoff limit per index"
        );
        field.invalid(&rule);
    }
}

fn restart_policy(spec: At<'_>) {
    let policy = spec.field("template").field("spec").field("restartPolicy");
    match policy.text() {
        "" | "Always" => policy.required("valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if spec.field("podFailurePolicy").is_set() => {
            policy.invalid("only \"Never\" is supported when podFailurePolicy is specified");
        }
        _ => policy.one_of(&["OnFailure", "Never"]),
    }
}

/// How an error shows a value.
type Shown = fn(At<'_>) -> Value;

fn validate_update(new: Root<'_>, old: Root<'_>) {
    let (spec, old_spec) = (new.field("spec"), old.field("spec"));
    whole_spec(spec, Some(old_spec));
    completions(spec, old_spec);
    spec.field("selector").immutable_selector(old_spec.field("selector"));
    changed_template(spec, old_spec, old.field("status"));
    for field in ["completionMode", "backoffLimitPerIndex", "managedBy"] {
        spec.field(field).immutable_pointer(old_spec.field(field));
    }
    let policies: [(&'static str, Shown); 2] =
        [("podFailurePolicy", internal::failure_policy), ("successPolicy", internal::success_policy)];
    for (field, shown) in policies {
        let policy = spec.field(field);
        if !same::field_of(SPEC, field, policy.value(), old_spec.field(field).value()) {
            policy.invalid_value(shown(policy), IMMUTABLE);
        }
    }
    name_allows_completions(new);
}

/// Indexed Jobs may change how many there are, together with how many run at a time.
fn completions(spec: At<'_>, old: At<'_>) {
    let completions = spec.field("completions");
    if spec.field("completionMode").text() != "Indexed" {
        completions.immutable_pointer(old.field("completions"));
    } else if completions.is_set()
        && completions.value() != old.field("completions").value()
        && completions.number() != spec.field("parallelism").number()
    {
        completions.invalid("can only be modified in tandem with spec.parallelism");
    }
}

/// A template may change only before anything runs: where pods go, and what they ask for.
fn changed_template(spec: At<'_>, old: At<'_>, status: At<'_>) {
    let is_suspended = old.field("suspend").is_true()
        && status.field("active").number() == 0
        && (!status.field("startTime").is_set() || status::has(status, "Suspended"));
    let (template, old_template) = (spec.field("template"), old.field("template"));
    let Some(mut allowed) = old_template.value().cloned() else { return };
    if is_suspended {
        let new = template.value().cloned().unwrap_or_default();
        scheduling(&mut allowed, &new);
        for list in ["containers", "initContainers"] {
            own_resources(&mut allowed["spec"][list], &new["spec"][list]);
        }
    }
    let (place, value, model) = match is_suspended {
        true => (spec.field("template.spec"), template.field("spec").value(), "core.v1.PodTemplateSpec"),
        false => (template, template.value(), SPEC),
    };
    let is_same = match is_suspended {
        true => same::field_of(model, "spec", value, allowed.get("spec")),
        false => same::field_of(model, "template", value, Some(&allowed)),
    };
    if !is_same {
        let of = if is_suspended { "PodSpec" } else { "PodTemplateSpec" };
        place.invalid_value(whole::shown(value, of), IMMUTABLE);
    }
}

fn scheduling(allowed: &mut Value, new: &Value) {
    for field in ["nodeSelector", "tolerations", "schedulingGates"] {
        replace(&mut allowed["spec"], &new["spec"], field);
    }
    let (old_affinity, new_affinity) =
        (allowed["spec"].get("affinity").cloned(), new["spec"].get("affinity"));
    let mut affinity = old_affinity.unwrap_or_else(|| json!({}));
    replace(&mut affinity, new_affinity.unwrap_or(&Value::Null), "nodeAffinity");
    if let Some(spec) = allowed.get_mut("spec").and_then(Value::as_object_mut) {
        if affinity == json!({}) && new_affinity.is_none() {
            spec.shift_remove("affinity");
        } else {
            spec.insert("affinity".into(), affinity);
        }
    }
}

fn replace(object: &mut Value, new: &Value, field: &str) {
    let Some(object) = object.as_object_mut() else { return };
    match new.get(field) {
        Some(value) => object.insert(field.to_owned(), value.clone()),
        None => object.shift_remove(field),
    };
}

fn own_resources(allowed: &mut Value, new: &Value) {
    let (Some(allowed), Some(new)) = (allowed.as_array_mut(), new.as_array()) else { return };
    if allowed.len() != new.len() {
        return;
    }
    for (container, new) in
        allowed.iter_mut().zip(new).filter(|(container, new)| container["name"] == new["name"])
    {
        replace(container, new, "resources");
    }
}
