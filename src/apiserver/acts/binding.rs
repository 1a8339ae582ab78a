//! `Binding`: a pod gets its node.

use std::sync::Arc;

use api::object::member;
use api::status::Details;
use api::validate::at::errors_of;
use api::{GroupResource, Object, Resource, Status, validate};
use axum::response::Response;
use replica::Moment;
use serde_json::{Map, Value, json};
use state::Guard;

use crate::errors::Failure;
use crate::server::Context;
use crate::verbs::write::{self, Answer, Decision, Plan};
use crate::verbs::{Call, stated};

const PODS: GroupResource<'static> = GroupResource { group: "", resource: "pods" };

/// Binds the pod that the path or, at `bindings`, the body names.
pub(super) async fn run(context: Arc<Context>, mut call: Call, binding: Object) -> Result<Response, Failure> {
    if call.path.name.is_empty() {
        call.path.name.clone_from(&binding.meta.name);
        call.row = Resource::builtin("", "v1", "pods");
    }
    if call.path.name != binding.meta.name {
        return Err(Status::bad_request("name in URL does not match name in Binding object").into());
    }
    // Kubernetes answers with the bare texts.
    let errors = errors_of(&binding, validate::pod::parts::binding);
    if !errors.is_empty() {
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        let text = if let [text] = &*texts { text.clone() } else { format!("[{}]", texts.join(", ")) };
        return Err(Status::unexplained(text).into());
    }
    write::run(&*context.backend, &call, |moment| decide(&call, &binding, moment)).await
}

fn decide(call: &Call, binding: &Object, moment: &Moment) -> Result<Decision, Status> {
    let name = &call.path.name;
    let found = moment.state.get(call.key().as_str()).ok_or_else(|| Status::not_found(PODS, name))?;
    stated(call, &binding.meta, found)?;
    bound(call, found, |pod| {
        pod.meta.annotations.extend(binding.meta.annotations.clone());
        pod.meta.labels.extend(binding.meta.labels.clone());
        bind(pod, binding.text(&["target", "name"]));
    })
}

/// Binds the pod of the call's path to a node.
///
/// # Errors
/// When there is no such pod, or something stands in the way.
pub(crate) fn place(call: &Call, node: &str, moment: &Moment) -> Result<Decision, Status> {
    let name = &call.path.name;
    let found = moment.state.get(call.key().as_str()).ok_or_else(|| Status::not_found(PODS, name))?;
    bound(call, found, |pod| bind(pod, node))
}

fn bound(call: &Call, found: &state::Object, bind: impl FnOnce(&mut Object)) -> Result<Decision, Status> {
    let (key, name) = (&found.key, &call.path.name);
    let mut pod = call.read(found)?;
    if let Some(why) = obstacle(&pod) {
        let resource = GroupResource { group: "", resource: "pods/binding" };
        return Err(Status::conflict(resource, name, &why));
    }
    bind(&mut pod);
    let prepared = pod.prepare(&call.row);
    let guards = vec![Guard::AtRevision { key: key.clone(), revision: found.revision }];
    let done = Status { code: 201, ..Status::success(Details::default()) };
    Ok(Decision::Propose(Plan {
        guards,
        writes: vec![write::put_wanted(key.clone(), &prepared)?],
        answer: Answer::Done(Box::new(done)),
    }))
}

/// Why a pod gets no node now.
fn obstacle(pod: &Object) -> Option<String> {
    let (name, node) = (&pod.meta.name, pod.text(&["spec", "nodeName"]));
    let gates = pod.fields.get("spec").and_then(|spec| spec.get("schedulingGates")).and_then(Value::as_array);
    if pod.meta.is_deleting() {
        Some(format!("pod {name} is being deleted, cannot be assigned to a host"))
    } else if !node.is_empty() {
        Some(format!("pod {name} is already assigned to node {node:?}"))
    } else if gates.is_some_and(|gates| !gates.is_empty()) {
        Some(format!("pod {name} has non-empty .spec.schedulingGates"))
    } else {
        None
    }
}

fn bind(pod: &mut Object, node: &str) {
    member(&mut pod.fields, "spec").insert("nodeName".into(), node.into());
    let status = member(&mut pod.fields, "status");
    status.shift_remove("nominatedNodeName");
    set_condition(status, &json!({"type": "PodScheduled", "status": "True"}));
}

/// Puts a condition in the place of the one of its type, with the time of its last transition.
pub(super) fn set_condition(status: &mut Map<String, Value>, condition: &Value) {
    let list = status.entry("conditions").or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else { return };
    let before = list.iter().position(|one| one["type"] == condition["type"]);
    let is_same = before.is_some_and(|at| list[at]["status"] == condition["status"]);
    let since = match before {
        Some(at) if is_same => list[at]["lastTransitionTime"].clone(),
        _ => api::time::rfc3339(base::env::wall_ms()).into(),
    };
    let mut condition = condition.clone();
    condition["lastTransitionTime"] = since;
    match before {
        Some(at) => list[at] = condition,
        None => list.push(condition),
    }
}
