//! `batch/v1 CronJob`: Jobs at given times.

use super::{job, prepare_template, prepare_template_update};
use crate::cron;
use crate::object::Object;
use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};
use crate::validate::internal;

/// A label has room for a name of this length and the number of a Job.
const NAME_BYTES_MAX: usize = 52;
const ZONE_PART_BYTES_MAX: usize = 14;

const TEMPLATE: [&str; 4] = ["spec", "jobTemplate", "spec", "template"];

/// What is particular.
pub static KIND: Particular = Particular {
    group: "batch",
    kind: "CronJob",
    counted: Some("spec"),
    declared: &[("spec.schedule", "Required value")],
    strategy: Strategy {
        prepare_create: |object| {
            job::drop_disabled(job_spec_mut(object), None);
            prepare_template(object, &TEMPLATE);
        },
        prepare_update: |new, old| {
            let old_spec =
                old.spec().and_then(|spec| spec.get("jobTemplate")).and_then(|job| job.get("spec"));
            job::drop_disabled(job_spec_mut(new), old_spec.and_then(serde_json::Value::as_object));
            prepare_template_update(new, old, &TEMPLATE);
        },
        validate: |root| {
            spec(root.field("spec"), None);
            name(root);
        },
        validate_update: |new, old| spec(new.field("spec"), Some(old.field("spec"))),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

fn job_spec_mut(object: &mut Object) -> Option<&mut serde_json::Map<String, serde_json::Value>> {
    object.spec_mut()?.get_mut("jobTemplate")?.get_mut("spec")?.as_object_mut()
}

fn name(root: Root<'_>) {
    let name = root.meta().name.as_str();
    if name.len() > NAME_BYTES_MAX {
        root.meta_field("name").invalid_value(name, "must be no more than 52 characters");
    }
}

fn spec(spec: At<'_>, old: Option<At<'_>>) {
    let (at, zone) = (spec.field("schedule"), spec.field("timeZone"));
    if at.require_text() {
        schedule(at, zone, old.is_some_and(|old| old.field("schedule").text().contains("TZ")));
    }
    spec.field("startingDeadlineSeconds").non_negative();
    if zone.is_set() && old.is_none_or(|old| old.field("timeZone").value() != zone.value()) {
        time_zone(zone);
    }
    spec.field("concurrencyPolicy").require_one_of(&["Allow", "Forbid", "Replace"]);
    let of_job = spec.field("jobTemplate").field("spec");
    job::spec(of_job, old.map(|old| old.field("jobTemplate").field("spec")));
    let selector = of_job.field("selector");
    if selector.is_set() {
        selector.invalid_value(internal::selector(selector), "`selector` will be auto-generated");
    }
    if of_job.field("manualSelector").is_true() {
        of_job.field("manualSelector").not_supported(&["nil", "false"]);
    }
    spec.field("successfulJobsHistoryLimit").non_negative();
    spec.field("failedJobsHistoryLimit").non_negative();
}

/// When it runs. Schedules with a zone of their own are left from before there was a field for it.
fn schedule(at: At<'_>, zone: At<'_>, may_have_zone: bool) {
    if let Err(error) = cron::check(at.text()) {
        at.invalid(&error);
    }
    if !at.text().contains("TZ") {
        return;
    }
    if !may_have_zone {
        at.invalid("cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    } else if zone.is_set() {
        at.invalid("cannot use both timeZone field and TZ or CRON_TZ in schedule");
    }
}

fn time_zone(zone: At<'_>) {
    let name = zone.text();
    if name.is_empty() {
        return zone.invalid("timeZone must be nil or non-empty string");
    }
    let unknown = || zone.invalid(&format!("unknown time zone {name}"));
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte);
    let is_part = |part: &str| {
        (1..=ZONE_PART_BYTES_MAX).contains(&part.len())
            && part.bytes().all(is_letter)
            && !matches!(part, "." | "..")
            && !part.starts_with('-')
    };
    if !name.split('/').all(is_part) {
        return unknown();
    }
    if name.eq_ignore_ascii_case("Local") {
        zone.invalid("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
    }
    if name != "Local" && !cron::is_time_zone(name) {
        unknown();
    }
}
