//! `Eviction`: a pod is deleted, if the budget of those that it belongs to allows one disruption more.
//!
//! The budget's decrement and the pod's deletion are one transaction: neither happens without the other.

use std::sync::{Arc, LazyLock};

use api::codec::{DeleteOptions, Format};
use api::deletion::{self, Deletion};
use api::selector::Selector;
use api::status::{Cause, Details};
use api::{GroupResource, Object, Resource, Status, scale, time};
use axum::response::Response;
use base::env;
use replica::Moment;
use serde_json::{Value, json};
use state::{Guard, Write};

use super::binding::set_condition;
use crate::errors::Failure;
use crate::server::Context;
use crate::verbs::write::{self, Answer, Decision, Plan};
use crate::verbs::{Call, delete};

static BUDGETS: LazyLock<Arc<Resource>> =
    LazyLock::new(|| Resource::builtin("policy", "v1", "poddisruptionbudgets"));

/// How many evictions may wait for the budget's controller to see them, as in Kubernetes.
const DISRUPTED_PODS_MAX: usize = 2000;

/// What a refusal is caused by.
const CAUSE: &str = "DisruptionBudget";

/// When to ask again whether a budget is up to date.
const RETRY_SECONDS: u32 = 10;

/// Evicts the pod that the path names.
pub(super) async fn run(
    context: Arc<Context>,
    mut call: Call,
    eviction: Object,
) -> Result<Response, Failure> {
    if call.path.name != eviction.meta.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object").into());
    }
    let options = match eviction.fields.get("deleteOptions") {
        Some(options) => DeleteOptions::read(options.to_string().as_bytes(), Format::Json)?,
        None => DeleteOptions::default(),
    };
    if options.dry_run {
        call.query.set("dryRun", &["All"]);
    }
    write::run(&*context.backend, &call, |moment| decide(&call, &options, moment)).await
}

fn decide(call: &Call, options: &DeleteOptions, moment: &Moment) -> Result<Decision, Status> {
    let (row, key) = (&*call.row, call.key());
    let found = moment.state.get(key.as_str()).ok_or_else(|| call.not_found())?;
    delete::check_preconditions(call, options, &found.meta.uid, found.revision)?;
    let mut pod = call.read(found)?;
    let mut plan = Plan {
        guards: vec![Guard::AtRevision { key: key.clone(), revision: found.revision }],
        writes: Vec::new(),
        answer: Answer::Done(Box::new(Status { code: 201, ..Status::success(Details::default()) })),
    };
    if !counts_no_more(&pod)
        && let Some((budget, mut object)) = budget_of(&pod, moment)?
        && !is_spare(&pod, &object)
    {
        decrement(&mut object, &pod.meta.name)?;
        let prepared = object.prepare(&BUDGETS);
        plan.guards.push(Guard::AtRevision { key: budget.key.clone(), revision: budget.revision });
        plan.writes.push(write::put(budget.key.clone(), &prepared));
    }
    if let Some(status) = pod.fields.entry("status").or_insert_with(|| json!({})).as_object_mut() {
        let condition = json!({
            "type": "DisruptionTarget", "status": "True",
            "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
        });
        set_condition(status, &condition);
    }
    plan.writes.push(match deletion::decide(&mut pod, row, options, env::wall_ms()) {
        Deletion::Remove => Write::Delete { key },
        Deletion::Mark | Deletion::Pending => write::put(key, &pod.prepare(row)),
    });
    Ok(Decision::Propose(plan))
}

/// A pod that ended, that has not begun, or that is going already disrupts nothing.
fn counts_no_more(pod: &Object) -> bool {
    pod.meta.is_deleting() || matches!(pod.text(&["status", "phase"]), "Succeeded" | "Failed" | "Pending")
}

/// The one budget that a pod belongs to.
fn budget_of<'m>(
    pod: &Object,
    moment: &'m Moment,
) -> Result<Option<(&'m Arc<state::Object>, Object)>, Status> {
    let mut budgets = moment.state.range(&BUDGETS.prefix(&pod.meta.namespace)).filter_map(|found| {
        let object = Object::read(&found.bytes.to_bytes(), &BUDGETS).ok()?;
        let selector = object.fields.get("spec").and_then(|spec| spec.get("selector"))?;
        let selector = Selector::parse(&scale::selector_text(selector)).ok()?;
        selector.matches(|key| pod.meta.labels.get(key).map(String::as_str)).then_some((found, object))
    });
    let first = budgets.next();
    if budgets.next().is_some() {
        let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        return Err(Status::unexplained(why));
    }
    Ok(first)
}

fn number(budget: &Object, field: &str) -> i64 {
    let status = budget.fields.get("status");
    status.and_then(|status| status.get(field)).and_then(Value::as_i64).unwrap_or(0)
}

fn condition<'o>(object: &'o Object, kind: &str) -> Option<&'o Value> {
    let list =
        object.fields.get("status").and_then(|status| status.get("conditions")).and_then(Value::as_array);
    list.into_iter().flatten().find(|one| one["type"] == kind)
}

/// A pod that is not healthy takes nothing from the budget where its policy, or enough healthy others, say so.
fn is_spare(pod: &Object, budget: &Object) -> bool {
    let is_ready = condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True");
    let desired = number(budget, "desiredHealthy");
    let is_enough = number(budget, "currentHealthy") >= desired && desired > 0;
    !is_ready && (budget.text(&["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow" || is_enough)
}

fn decrement(budget: &mut Object, pod: &str) -> Result<(), Status> {
    let allowed = number(budget, "disruptionsAllowed");
    refuse(budget, allowed)?;
    let left = allowed - 1;
    let Some(status) = budget.fields.get_mut("status").and_then(Value::as_object_mut) else { return Ok(()) };
    status.insert("disruptionsAllowed".into(), left.into());
    if left == 0 {
        let none = json!({
            "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
            "observedGeneration": status.get("observedGeneration").cloned().unwrap_or_default(),
        });
        set_condition(status, &none);
    }
    let now = time::rfc3339(env::wall_ms());
    if let Some(disrupted) = status.entry("disruptedPods").or_insert_with(|| json!({})).as_object_mut() {
        disrupted.insert(pod.to_owned(), now.into());
    }
    Ok(())
}

/// Refuses what the budget does not allow.
fn refuse(budget: &Object, allowed: i64) -> Result<(), Status> {
    let name = &budget.meta.name;
    let cause = |message: String| Cause { reason: CAUSE, message, field: String::new() };
    let budgets = GroupResource { group: "policy", resource: "poddisruptionbudget" };
    let forbidden = |why: &str, because: &str| {
        let text = format!("The disruption budget {name} does not allow evicting pods currently: {because}");
        Err(Status::forbidden(budgets, name, why).with_cause(cause(text)))
    };
    let busy = "Cannot evict pod as it would violate the pod's disruption budget.";
    if number(budget, "observedGeneration") < budget.meta.generation {
        let text = format!("The disruption budget {name} is still being processed by the server.");
        return Err(Status::too_many_requests(busy, RETRY_SECONDS).with_cause(cause(text)));
    }
    let pending = budget.fields.get("status").and_then(|status| status.get("disruptedPods"));
    if allowed < 0 {
        let why = "pdb disruptions allowed is negative";
        return forbidden(why, why);
    }
    if pending.and_then(Value::as_object).is_some_and(|pods| pods.len() > DISRUPTED_PODS_MAX) {
        return forbidden(
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
            "too many pending evictions not confirmed by PDB controller",
        );
    }
    if allowed > 0 {
        return Ok(());
    }
    let (desired, current) = (number(budget, "desiredHealthy"), number(budget, "currentHealthy"));
    let said = condition(budget, "DisruptionAllowed").filter(|one| one["status"] == "False");
    let word = |field: &str| said.and_then(|one| one[field].as_str()).unwrap_or_default();
    let (reason, message) = (word("reason"), word("message"));
    let text = if reason == "SyncFailed" && !message.is_empty() {
        format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
        )
    } else if current <= desired {
        format!("The disruption budget {name} needs {desired} healthy pods and has {current} currently")
    } else if message.is_empty() {
        format!("The disruption budget {name} does not allow evicting pods currently")
    } else {
        format!("The disruption budget {name} does not allow evicting pods currently ({reason}): {message}")
    };
    Err(Status::too_many_requests(busy, 0).with_cause(cause(text)))
}
