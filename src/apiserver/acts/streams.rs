//! What a pod says and is told, which only its node knows: its log, and the streams of `exec`, `attach` and
//! `port-forward`. A pod without a node has said nothing, and nothing can be told to it.

use std::sync::Arc;

use api::{Object, Status};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::errors::Failure;
use crate::server::Context;
use crate::verbs::Call;

/// The subresources of pods that only their node answers, and whether they are about one container.
const STREAMS: &[(&str, bool)] = &[("attach", true), ("exec", true), ("log", true), ("portforward", false)];

fn find(call: &Call) -> Option<bool> {
    let is_pod = (&*call.row.group, &*call.row.plural) == ("", "pods");
    let found = STREAMS.iter().find(|(name, _)| *name == call.path.subresource);
    found.filter(|_| is_pod).map(|(_, of_container)| *of_container)
}

/// Whether only the node of a pod can answer.
pub(crate) fn is_one(call: &Call) -> bool {
    find(call).is_some()
}

/// Answers for a pod without a node.
///
/// # Errors
/// 400 for a container that the pod does not have, 503 where the node would have to answer.
pub(crate) async fn run(context: Arc<Context>, call: Call) -> Result<Response, Failure> {
    let moment = context.backend.linearizable().await?;
    let found = moment.state.get(call.key().as_str()).ok_or_else(|| call.not_found())?;
    let pod = call.read(found)?;
    if find(&call) == Some(true) {
        check_container(&pod, call.query.get("container"))?;
    }
    let name = &call.path.name;
    match pod.text(&["spec", "nodeName"]) {
        "" if call.path.subresource == "log" => Ok(([(CONTENT_TYPE, "text/plain")], "").into_response()),
        "" => Err(Status::bad_request(format!("pod {name} does not have a host assigned")).into()),
        node => Err(Status::unavailable(format!("nothing on node {node} answers for pod {name} yet")).into()),
    }
}

/// A container is named by name, unless there is only one.
fn check_container(pod: &Object, wanted: &str) -> Result<(), Status> {
    let of = |list: &str| {
        pod.spec().and_then(|spec| spec.get(list)).and_then(Value::as_array).into_iter().flatten()
    };
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let names: Vec<_> = lists.into_iter().flat_map(of).filter_map(|one| one["name"].as_str()).collect();
    let name = &pod.meta.name;
    let why = match (wanted, of("containers").count()) {
        ("", 0) => format!("a container name must be specified for pod {name}"),
        ("", 1) => return Ok(()),
        ("", _) => {
            format!("a container name must be specified for pod {name}, choose one of: [{}]", names.join(" "))
        }
        _ if names.contains(&wanted) => return Ok(()),
        _ => format!("container {wanted} is not valid for pod {name}"),
    };
    Err(Status::bad_request(why))
}
