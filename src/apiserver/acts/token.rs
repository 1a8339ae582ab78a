//! `TokenRequest`: a token for a service account, good for a time and for as long as the object that it is bound to.

use std::sync::Arc;

use api::{FieldError, GroupResource, Key, Object, Status, time};
use axum::response::Response;
use base::env;
use serde_json::{Value, json};
use state::State;

use crate::errors::Failure;
use crate::server::{Context, with_warnings};
use crate::tokens::jwt::{self, Bound, Claims, Reference};
use crate::tokens::{API_AUDIENCES, ISSUER, keys, user_name};
use crate::verbs::Call;
use crate::verbs::create::uid;

/// How long a token must be good, in seconds.
const SECONDS_MIN: i64 = 600;

/// How long it is good unless the request says, in seconds.
const SECONDS_DEFAULT: i64 = 3_600;

/// The longest time that may be asked for, in seconds.
const SECONDS_MAX: i64 = 1 << 32;

/// The longest time that is given, in seconds: a year. Whoever asks for more is warned.
const SECONDS_GIVEN_MAX: i64 = 365 * 86_400;

/// Issues a token.
pub(super) async fn run(context: Arc<Context>, call: Call, mut request: Object) -> Result<Response, Failure> {
    let name = &call.path.name;
    let wrong =
        |errors: &[FieldError], name: &str| Status::invalid(call.lens.shown.group_kind(), name, errors);
    if !matches!(&request.meta.name, given if given.is_empty() || given == name) {
        let why = "must match the service account name if specified";
        let error = FieldError::invalid("metadata.name", &*request.meta.name, why);
        return Err(wrong(&[error], name).into());
    }
    let moment = context.backend.linearizable().await?;
    let account = moment.state.get(call.key().as_str()).ok_or_else(|| call.not_found())?;
    let (given, is) = (&request.meta.uid, &account.meta.uid);
    if !given.is_empty() && given != is {
        let requests = GroupResource { group: "authentication.k8s.io", resource: "TokenRequest" };
        let why = format!(
            "the UID in the token request ({given}) does not match the UID of the service account ({is})"
        );
        return Err(Status::conflict(requests, name, &why).into());
    }
    fill(&mut request, name, is);
    let seconds = seconds(&request);
    let errors: Vec<_> = expiration(seconds).into_iter().collect();
    if !errors.is_empty() {
        return Err(wrong(&errors, "").into());
    }
    let mut bound = bound(&moment.state, &call.path.namespace, name, &request)?;
    bound.serviceaccount = Reference { name: name.clone(), uid: is.clone() };
    let mut warnings = Vec::new();
    let seconds = if seconds > SECONDS_GIVEN_MAX {
        warnings.push(format!(
            "requested expiration of {seconds} seconds shortened to {SECONDS_GIVEN_MAX} seconds"
        ));
        SECONDS_GIVEN_MAX
    } else {
        seconds
    };
    if let Some(spec) = request.spec_mut() {
        spec.insert("expirationSeconds".to_owned(), seconds.into());
    }
    let now_ms = env::wall_ms();
    let status = issue(&moment.state, &request, bound, now_ms, seconds.unsigned_abs())?;
    request.meta.creation_timestamp = time::rfc3339(now_ms);
    Ok(with_warnings(super::answered(&call, request, status)?, &warnings))
}

/// Fills in what was left out.
fn fill(request: &mut Object, name: &str, uid: &str) {
    name.clone_into(&mut request.meta.name);
    uid.clone_into(&mut request.meta.uid);
    let spec = api::object::member(&mut request.fields, "spec");
    if spec.get("audiences").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        spec.insert("audiences".to_owned(), json!(API_AUDIENCES));
    }
    if spec.get("expirationSeconds").is_none_or(Value::is_null) {
        spec.insert("expirationSeconds".to_owned(), SECONDS_DEFAULT.into());
    }
}

fn seconds(request: &Object) -> i64 {
    let seconds = request.spec().and_then(|spec| spec.get("expirationSeconds"));
    seconds.and_then(Value::as_i64).unwrap_or(SECONDS_DEFAULT)
}

fn expiration(seconds: i64) -> Option<FieldError> {
    let why = match seconds {
        ..SECONDS_MIN => "may not specify a duration less than 10 minutes",
        SECONDS_MIN..=SECONDS_MAX => return None,
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    Some(FieldError::invalid("spec.expirationSeconds", seconds, why))
}

/// What the token is bound to, looked up in `state`.
fn bound(state: &State, namespace: &str, account: &str, request: &Object) -> Result<Bound, Status> {
    let mut bound = Bound { namespace: namespace.to_owned(), ..Bound::default() };
    let text = |field: &str| request.text(&["spec", "boundObjectRef", field]);
    let is_bound = request.spec().and_then(|spec| spec.get("boundObjectRef")).is_some_and(Value::is_object);
    if !is_bound {
        return Ok(bound);
    }
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    let (resource, within) = match (group, text("kind")) {
        ("", "Pod") => ("pods", namespace),
        ("", "Secret") => ("secrets", namespace),
        ("", "Node") => ("nodes", ""),
        (group, kind) => {
            let what = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(Status::bad_request(what));
        }
    };
    let name = text("name");
    let found = state.get(Key::object("", resource, within, name).as_str());
    let found = found.ok_or_else(|| Status::not_found(GroupResource { group: "", resource }, name))?;
    if resource == "pods" {
        bound.node = node_of(state, account, found)?;
    }
    if !matches!(text("uid"), given if given.is_empty() || given == found.meta.uid) {
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been \
             deleted and then recreated",
            text("uid")
        );
        return Err(Status::conflict(GroupResource { group: "", resource: text("kind") }, name, &why));
    }
    let reference = Some(Reference { name: name.to_owned(), uid: found.meta.uid.clone() });
    match resource {
        "pods" => bound.pod = reference,
        "secrets" => bound.secret = reference,
        _ => bound.node = reference,
    }
    Ok(bound)
}

/// Where a pod of this account runs: told in its token as far as it is known.
fn node_of(state: &State, account: &str, pod: &state::Object) -> Result<Option<Reference>, Status> {
    let pod = pod.view();
    let [runs_as, node] = pod.find([&["spec", "serviceAccountName"], &["spec", "nodeName"]]);
    if !runs_as.is(account) {
        return Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
        )));
    }
    let node = node.text();
    let uid = state.get(Key::object("", "nodes", "", &node).as_str()).map(|node| node.meta.uid.clone());
    let reference = Reference { name: node.into_owned(), uid: uid.unwrap_or_default() };
    Ok(Some(reference).filter(|reference| !reference.name.is_empty()))
}

/// The status that holds the token.
fn issue(state: &State, request: &Object, bound: Bound, now_ms: u64, seconds: u64) -> Result<Value, Status> {
    let key = keys::newest(state).ok_or_else(|| {
        Status::unavailable("the cluster has no key that signs tokens yet; try again").with_retry_after(1)
    })?;
    let audiences = request.spec().and_then(|spec| spec.get("audiences")).and_then(Value::as_array);
    let now = now_ms / 1000;
    let claims = Claims {
        aud: audiences.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
        exp: now + seconds,
        iat: now,
        iss: ISSUER.to_owned(),
        jti: uid(env::random_u128()),
        nbf: now,
        sub: user_name(&bound.namespace, &bound.serviceaccount.name),
        bound,
    };
    let token = jwt::sign(&claims, &key)
        .map_err(|error| Status::internal(&format!("failed to generate token: {error}")))?;
    Ok(json!({"token": token, "expirationTimestamp": time::rfc3339((now + seconds) * 1000)}))
}
