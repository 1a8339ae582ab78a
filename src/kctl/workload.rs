//! What makes pods, and what it made.

use serde_json::Value;

use crate::failure::Failure;
use crate::flags::Select;
use crate::manifest;
use crate::server::Server;
use crate::targets::{self, Target};

/// Which template of its Deployment a ReplicaSet has.
pub const REVISION: &str = "deployment.kubernetes.io/revision";

/// The items of a list, of which there are none where there is no list.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The number of the template that a Deployment or a ReplicaSet has, if it has one.
pub fn revision(object: &Value) -> Option<i64> {
    object["metadata"]["annotations"][REVISION].as_str()?.parse().ok()
}

/// Who answers for an object.
pub fn controller(object: &Value) -> Option<&Value> {
    items(&object["metadata"]["ownerReferences"]).iter().find(|owner| owner["controller"] == true)
}

/// Whether `owner` answers for an object.
pub fn is_controlled_by(object: &Value, owner: &Value) -> bool {
    controller(object).is_some_and(|of| of["uid"] == owner["metadata"]["uid"])
}

/// A condition of an object, if it has it.
pub fn condition<'o>(object: &'o Value, kind: &str) -> Option<&'o Value> {
    items(&object["status"]["conditions"]).iter().find(|one| one["type"] == kind)
}

/// Whether a condition is `True`.
pub fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|one| one["status"] == "True")
}

/// Which pods belong to an object, as a query; `None` where none can.
pub fn selector(object: &Value) -> Option<String> {
    let selector = &object["spec"]["selector"];
    let text = api::scale::selector_text(selector);
    (selector.is_object() && !text.is_empty()).then_some(text)
}

/// The ReplicaSets of a Deployment, the oldest revision first.
///
/// # Errors
/// When the server does not tell.
pub async fn replica_sets(server: &Server, deployment: &Value) -> Result<Vec<Value>, Failure> {
    let mut sets = selected(server, "replicasets.apps", deployment).await?;
    sets.retain(|set| is_controlled_by(set, deployment));
    sets.sort_by_key(revision);
    Ok(sets)
}

/// The pods that an object selects.
///
/// # Errors
/// When the server does not tell.
pub async fn pods(server: &Server, object: &Value) -> Result<Vec<Value>, Failure> {
    selected(server, "pods", object).await
}

async fn selected(server: &Server, resource: &str, object: &Value) -> Result<Vec<Value>, Failure> {
    let Some(labels) = selector(object) else { return Ok(Vec::new()) };
    let all = Target::all(&server.catalog.find(resource)?, manifest::namespace(object));
    targets::list(server, &all, &Select { labels, ..Select::default() }).await
}
