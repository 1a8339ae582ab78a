//! The objects that the benchmark writes.

use std::time::Duration;

use anyhow::{Result, ensure};
use base::env;
use bytes::Bytes;
use http::Method;

use super::http::Connection;
use crate::load::Target;

/// A namespace without an account by then never gets one.
const ACCOUNT_MAX: Duration = Duration::from_secs(10);
/// Between two looks for it.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A ConfigMap whose JSON is `size_bytes` long (or as short as the name allows).
pub fn body(name: &str, size_bytes: usize) -> Bytes {
    stamped_body(name, "", size_bytes)
}

/// The same with a value `at`, by which a watcher knows which write an event is of.
pub fn stamped_body(name: &str, at: &str, size_bytes: usize) -> Bytes {
    let head = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"at":"{at}","pad":""#
    );
    let tail = r#""}}"#;
    let padding = size_bytes.saturating_sub(head.len() + tail.len());
    Bytes::from(format!("{head}{}{tail}", "x".repeat(padding)))
}

/// Where ConfigMaps of a namespace are created and listed.
pub fn collection(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

/// Creates a namespace; one that exists already is fine.
pub async fn ensure_namespace(connection: &Connection, name: &str) -> Result<()> {
    let body = format!(r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{name}"}}}}"#);
    let answer = connection.send(Method::POST, "/api/v1/namespaces", Bytes::from(body)).await?;
    if answer.status() != http::StatusCode::CONFLICT {
        super::http::succeeded(answer).await?;
    }
    Ok(())
}

/// The same, and waits until pods may be created in it.
///
/// # Errors
/// When it has no account for them in time.
pub async fn ensure_namespace_for_pods(connection: &Connection, name: &str) -> Result<()> {
    ensure_namespace(connection, name).await?;
    let path = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
    let deadline = env::monotonic() + ACCOUNT_MAX;
    while let Err(absent) = connection.get(&path).await {
        ensure!(env::monotonic() < deadline, "namespace {name} gets no account: {absent:#}");
        env::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Clients that create ConfigMaps, spread evenly over connections.
pub struct Creators {
    connections: Vec<Connection>,
    path: String,
    prefix: String,
    size_bytes: usize,
}

impl Creators {
    /// They create `PREFIX-CLIENT-SEQUENCE` in `namespace`, objects of `size_bytes` as JSON.
    pub fn new(connections: Vec<Connection>, namespace: &str, prefix: &str, size_bytes: usize) -> Self {
        Self { connections, path: collection(namespace), prefix: prefix.to_owned(), size_bytes }
    }
}

impl Target for Creators {
    async fn call(&self, client: usize, sequence: u64) -> Result<()> {
        let name = format!("{}-{client:04}-{sequence:08}", self.prefix);
        let connection = &self.connections[client % self.connections.len()];
        connection.accepted(Method::POST, &self.path, body(&name, self.size_bytes)).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_size_asked_for_and_is_a_config_map() {
        let shortest_bytes = stamped_body("a-0001", "17", 0).len();
        for size_bytes in [0, 200, 1024, 2048] {
            let body = stamped_body("a-0001", "17", size_bytes);
            assert_eq!(body.len(), size_bytes.max(shortest_bytes));
            let object: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!((&object["kind"], &object["data"]["at"]), (&"ConfigMap".into(), &"17".into()));
            assert_eq!(object["metadata"]["name"], "a-0001");
        }
    }
}
