//! May they? The reviews of `authorization.k8s.io`: the authorizer's own answer, as an object.

use std::sync::Arc;

use api::{FieldError, GroupResource, Object, Status};
use axum::response::Response;
use serde_json::{Value, json};

use crate::chain::authorize::{self, Scope};
use crate::errors::Failure;
use crate::request::{ResourcePath, Target};
use crate::server::Context;
use crate::user::User;
use crate::verbs::Call;

/// Whether anybody may.
pub(super) async fn anybody(context: Arc<Context>, call: Call, body: Object) -> Result<Response, Failure> {
    let user = subject(&body);
    let errors = wrong_attributes(&body).into_iter().chain(wrong_user(&user)).collect();
    answer(&context, call, body, &user, errors)
}

/// Whether anybody may in this namespace.
pub(super) async fn local(context: Arc<Context>, call: Call, body: Object) -> Result<Response, Failure> {
    let user = subject(&body);
    let mut errors = wrong_attributes(&body);
    errors.extend(wrong_user(&user));
    let within = body.text(&["spec", "resourceAttributes", "namespace"]);
    if member(&body, "resourceAttributes").is_some() && within != call.path.namespace {
        let field = "spec.resourceAttributes.namespace";
        errors.push(FieldError::invalid(field, within, "must match metadata.namespace"));
    }
    if let Some(given) = member(&body, "nonResourceAttributes") {
        let why = "disallowed on this kind of request";
        errors.push(FieldError::invalid("spec.nonResourceAttributes", shown(given), why));
    }
    answer(&context, call, body, &user, errors)
}

/// Whether who asks may.
pub(super) async fn own(context: Arc<Context>, call: Call, body: Object) -> Result<Response, Failure> {
    let user = call.user.clone();
    let errors = wrong_attributes(&body);
    answer(&context, call, body, &user, errors)
}

/// All that who asks may do in a namespace.
pub(super) async fn rules(call: Call, body: Object) -> Result<Response, Failure> {
    if body.text(&["spec", "namespace"]).is_empty() {
        return Err(Status::bad_request("no namespace on request").into());
    }
    let (mut resources, mut others) = (Vec::new(), Vec::new());
    for rule in authorize::rules(&call.user) {
        let verbs = rule.verbs;
        match rule.on {
            Scope::Resources(groups, names) => {
                resources.push(json!({"verbs": verbs, "apiGroups": groups, "resources": names}));
            }
            Scope::Paths(paths) => others.push(json!({"verbs": verbs, "nonResourceURLs": paths})),
        }
    }
    let mut status = json!({"resourceRules": resources, "nonResourceRules": others, "incomplete": false});
    if call.user.node().is_some() {
        status["incomplete"] = true.into();
        status["evaluationError"] = "node authorizer does not support user rule resolution".into();
    }
    super::answered(&call, body, status)
}

fn member<'o>(body: &'o Object, name: &str) -> Option<&'o Value> {
    body.fields.get("spec").and_then(|spec| spec.get(name)).filter(|value| !value.is_null())
}

/// The user that a review is about.
fn subject(body: &Object) -> User {
    let groups = member(body, "groups").and_then(Value::as_array).into_iter().flatten();
    let groups = groups.filter_map(Value::as_str).map(str::to_owned).collect();
    User { name: body.text(&["spec", "user"]).to_owned(), groups, ..User::default() }
}

/// A review is about a resource or about a path.
fn wrong_attributes(body: &Object) -> Vec<FieldError> {
    const WHY: &str = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
    let path = member(body, "nonResourceAttributes");
    if member(body, "resourceAttributes").is_some() != path.is_some() {
        return Vec::new();
    }
    vec![FieldError::invalid("spec", path.map(shown).unwrap_or_default(), WHY)]
}

fn wrong_user(user: &User) -> Option<FieldError> {
    let is_nobody = user.name.is_empty() && user.groups.is_empty();
    is_nobody.then(|| FieldError::invalid("spec.user", "", "at least one of user or group must be specified"))
}

/// A path and a verb as Go writes them.
fn shown(attributes: &Value) -> Value {
    let text = |field: &str| attributes[field].as_str().unwrap_or_default();
    json!({"Path": text("path"), "Verb": text("verb")})
}

fn answer(
    context: &Context,
    call: Call,
    body: Object,
    user: &User,
    errors: Vec<FieldError>,
) -> Result<Response, Failure> {
    if !errors.is_empty() {
        // Nobody says which kind it is that is wrong.
        let kind = GroupResource { group: &call.row.group, resource: "" };
        return Err(Status::invalid(kind, "", &errors).into());
    }
    let status = match authorize::decide(user, &target(&body), &context.backend.moment().state) {
        Ok(()) => json!({"allowed": true}),
        Err(denied) if denied.reason.is_empty() => json!({"allowed": false}),
        Err(denied) => json!({"allowed": false, "reason": denied.reason}),
    };
    super::answered(&call, body, status)
}

/// The request that a review asks about.
fn target(body: &Object) -> Target {
    let path = member(body, "resourceAttributes").map(|of| {
        let text = |name: &str| of[name].as_str().unwrap_or_default().to_owned();
        ResourcePath {
            group: text("group"),
            version: text("version"),
            namespace: text("namespace"),
            resource: text("resource"),
            name: text("name"),
            subresource: text("subresource"),
        }
    });
    let within = if path.is_some() { "resourceAttributes" } else { "nonResourceAttributes" };
    let verb = body.text(&["spec", within, "verb"]).to_owned();
    let path_text = body.text(&["spec", within, "path"]).to_owned();
    Target { verb: verb.into(), path: path_text, resource: path, fields: fields(body) }
}

/// The fields that a review asks about to have one value.
fn fields(body: &Object) -> Vec<(String, String)> {
    let selector = member(body, "resourceAttributes").and_then(|of| of.get("fieldSelector"));
    let terms = selector.and_then(|selector| selector.get("requirements")).and_then(Value::as_array);
    let equal = terms.into_iter().flatten().filter(|term| term["operator"] == "In");
    let pair = |term: &Value| match term["values"].as_array()?.as_slice() {
        [value] => Some((term["key"].as_str()?.to_owned(), value.as_str()?.to_owned())),
        _ => None,
    };
    equal.filter_map(pair).collect()
}
