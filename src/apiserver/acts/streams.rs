//! What a pod says and is told, which only its node knows: its log, and the streams of `exec`, `attach` and
//! `port-forward`. The pod's agent is asked, and what it answers passed on. A pod without a node has said nothing, and
//! nothing can be told to it.

use std::sync::Arc;

use api::{Object, Status};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base::env;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use streams::Proxied;

use crate::dialer::{Agent, DialError};
use crate::errors::Failure;
use crate::limits::AGENT_REFUSAL_BYTES_MAX;
use crate::server::Context;
use crate::verbs::Call;

/// The subresources of pods that only their node answers, what its agent calls them, and whether they are about one
/// container.
const STREAMS: &[(&str, &str, bool)] = &[
    ("attach", "attach", true),
    ("exec", "exec", true),
    ("log", "containerLogs", true),
    ("portforward", "portForward", false),
];

/// Parameters that are the masters' business, not the agent's.
const OWN_PARAMETERS: &[&str] = &["container", "insecureSkipTLSVerifyBackend"];

fn find(call: &Call) -> Option<&'static (&'static str, &'static str, bool)> {
    let is_pod = (&*call.row.group, &*call.row.plural) == ("", "pods");
    STREAMS.iter().find(|(name, ..)| *name == call.path.subresource).filter(|_| is_pod)
}

/// Whether only the node of a pod can answer.
pub(crate) fn is_one(call: &Call) -> bool {
    find(call).is_some()
}

/// Passes the request on to the agent of the pod's node.
///
/// # Errors
/// 400 for a container that the pod does not have or a pod without a node, 500 when its agent cannot be reached, and what
/// the agent refuses.
pub(crate) async fn run(context: Arc<Context>, call: Call) -> Result<Response, Failure> {
    let moment = context.backend.linearizable().await?;
    let found = moment.state.get(call.key().as_str()).ok_or_else(|| call.not_found())?;
    let pod = call.read(found)?;
    let Some(&(name, called, is_of_container)) = find(&call) else {
        return Err(Status::no_such_path().into());
    };
    let container = if is_of_container { Some(container(&pod, call.query.get("container"))?) } else { None };
    let node = pod.text(&["spec", "nodeName"]);
    if node.is_empty() && name == "log" {
        return Ok(([(CONTENT_TYPE, "text/plain")], "").into_response());
    }
    if node.is_empty() {
        let why = format!("pod {} does not have a host assigned", call.path.name);
        return Err(Status::bad_request(why).into());
    }
    let agent = Agent::of(&moment.state, node).map_err(|error| failed(&error))?;
    let uri = uri(&call, called, container.as_deref())?;
    match call.upgrade.take() {
        Some(upgrade) => upgraded(&context, &call, agent, uri, upgrade).await,
        None if name == "log" => {
            // Of an earlier life there is a log or none, whatever this one waits for.
            let is_earlier = call.query.get("previous") == "true";
            let waits =
                container.as_deref().filter(|_| !is_earlier).and_then(|container| waits(&pod, container));
            log(&context, agent, uri, waits).await
        }
        None => Err(Status::bad_request("Upgrade request required").into()),
    }
}

fn failed(error: &DialError) -> Failure {
    Status::unexplained(error.to_string()).into()
}

/// Where the agent has it: `/exec/NAMESPACE/POD/CONTAINER?...`.
fn uri(call: &Call, called: &str, container: Option<&str>) -> Result<Uri, Status> {
    let path = &call.path;
    let mut text = format!("/{called}/{}/{}", path.namespace, path.name);
    if let Some(container) = container {
        text.push('/');
        text.push_str(container);
    }
    let query = call.head.uri.query().unwrap_or_default();
    let is_own = |part: &&str| OWN_PARAMETERS.contains(&part.split('=').next().unwrap_or_default());
    let rest: Vec<&str> = query.split('&').filter(|part| !is_own(part)).collect();
    let text = format!("{text}?{}", rest.join("&"));
    text.parse().map_err(|error: http::uri::InvalidUri| Status::bad_request(error.to_string()))
}

/// The log as a body that follows what the agent tells. Where it knows of no container, the pod's status tells what that
/// waits for.
async fn log(context: &Context, agent: Agent, uri: Uri, waits: Option<Status>) -> Result<Response, Failure> {
    let request = Request::get(uri).header(HOST, "agent").body(Empty::new());
    let request = request.map_err(|error| Status::internal(&error.to_string()))?;
    let answer = context.dialer.ask(agent, request).await.map_err(|error| failed(&error))?;
    if let (StatusCode::NOT_FOUND, Some(waits)) = (answer.status(), waits) {
        return Err(waits.into());
    }
    if answer.status() != StatusCode::OK {
        return Err(refusal(answer.status(), answer.into_body()).await.into());
    }
    Ok(([(CONTENT_TYPE, "text/plain")], Body::new(answer.into_body())).into_response())
}

/// Why a container that waits has no log, in the words of Kubernetes' kubelet.
fn waits(pod: &Object, container: &str) -> Option<Status> {
    let status = pod.fields.get("status");
    if ["Succeeded", "Failed"].contains(&pod.text(&["status", "phase"])) {
        return None;
    }
    let lists = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"];
    let mut all = lists.into_iter().filter_map(|list| status?.get(list)?.as_array()).flatten();
    let state = all.find(|one| one["name"] == container).map(|one| &one["state"]);
    let reason = match state {
        None => "ContainerCreating",
        Some(state) => state["waiting"]["reason"].as_str()?,
    };
    let what = match reason {
        "ErrImagePull" => "trying and failing to pull image",
        "ImagePullBackOff" => "image can't be pulled",
        other => other,
    };
    let pod = &pod.meta.name;
    Some(Status::bad_request(format!("container {container:?} in pod {pod:?} is waiting to start: {what}")))
}

/// What an agent refused, in its words.
async fn refusal(code: StatusCode, body: Incoming) -> Status {
    let read = Limited::new(body, AGENT_REFUSAL_BYTES_MAX).collect().await;
    let bytes = read.map(|read| read.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    match code.as_u16() {
        400..=499 => Status { code: code.as_u16(), ..Status::bad_request(text) },
        _ => Status::internal(&text),
    }
}

/// Both sides switch protocols, and bytes go through.
async fn upgraded(
    context: &Context,
    call: &Call,
    agent: Agent,
    uri: Uri,
    upgrade: hyper::upgrade::OnUpgrade,
) -> Result<Response, Failure> {
    let backend = context.dialer.agent(agent).await.map_err(|error| failed(&error))?;
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = call.head.method.clone();
    head.uri = uri;
    head.headers = call.head.headers.clone();
    // Whoever the client proved to be, the agent only knows the masters.
    head.headers.remove(AUTHORIZATION);
    head.headers.insert(HOST, HeaderValue::from_static("agent"));
    let proxied = streams::proxy_upgrade(head, upgrade, backend).await;
    let proxied = proxied.map_err(|error| Status::unexplained(format!("error dialing backend: {error}")))?;
    Ok(passed(proxied))
}

/// The answer to a client whose upgrade was passed on; carries what follows.
pub(crate) fn passed(proxied: Proxied) -> Response {
    match proxied {
        Proxied::Switched(response, passage) => {
            env::spawn(async move {
                if let Err(error) = passage.run().await {
                    tracing::debug!(%error, "a stream through this master ended");
                }
            });
            response.map(Body::from)
        }
        Proxied::Refused(response) => response.map(Body::from),
    }
}

/// A container is named by name, unless there is only one.
fn container(pod: &Object, wanted: &str) -> Result<String, Status> {
    let of = |list: &str| {
        pod.spec().and_then(|spec| spec.get(list)).and_then(Value::as_array).into_iter().flatten()
    };
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let names: Vec<_> = lists.into_iter().flat_map(of).filter_map(|one| one["name"].as_str()).collect();
    let name = &pod.meta.name;
    let mut containers = of("containers").filter_map(|one| one["name"].as_str());
    let why = match (wanted, containers.next(), containers.next()) {
        ("", None, _) => format!("a container name must be specified for pod {name}"),
        ("", Some(only), None) => return Ok(only.to_owned()),
        ("", Some(_), Some(_)) => {
            format!("a container name must be specified for pod {name}, choose one of: [{}]", names.join(" "))
        }
        _ if names.contains(&wanted) => return Ok(wanted.to_owned()),
        _ => format!("container {wanted} is not valid for pod {name}"),
    };
    Err(Status::bad_request(why))
}

#[cfg(test)]
mod tests {
    use api::Resource;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_container_without_a_log_waits_for() {
        let waiting = |reason: &str| json!({"name": "c", "state": {"waiting": {"reason": reason}}});
        let said = |status: Value| {
            let pod = json!({"metadata": {"name": "p", "namespace": "default"}, "status": status});
            let pod = Object::read(pod.to_string().as_bytes(), &Resource::builtin("", "v1", "pods"));
            waits(&pod.expect("a pod"), "c").map(|status| status.message)
        };
        let expected = |what: &str| Some(format!("container \"c\" in pod \"p\" is waiting to start: {what}"));
        assert_eq!(said(json!({})), expected("ContainerCreating"));
        for (reason, what) in [
            ("PodInitializing", "PodInitializing"),
            ("ErrImagePull", "trying and failing to pull image"),
            ("ImagePullBackOff", "image can't be pulled"),
        ] {
            assert_eq!(said(json!({"containerStatuses": [waiting(reason)]})), expected(what));
            assert_eq!(said(json!({"initContainerStatuses": [waiting(reason)]})), expected(what));
        }
        assert_eq!(said(json!({"containerStatuses": [{"name": "c", "state": {"running": {}}}]})), None);
        assert_eq!(said(json!({"phase": "Failed", "reason": "Evicted"})), None);
    }
}
