//! The whole router over a cluster in memory.

mod admission;
mod apply;
mod bounds;
mod certificates;
mod crashes;
mod custom;
mod kinds;
mod namespaces;
mod nodes;
mod owners;
mod proxies;
mod reads;
mod requests;
mod services;
mod stalls;
mod subresources;
mod table;
mod tokens;
mod transport;
mod watches;
mod whatif;
mod writes;

use std::sync::Arc;

use api::kinds::namespace::SYSTEM_NAMESPACES;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use base::shutdown::{self, Trigger};
use base::telemetry::Metrics;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::backend::{Backend, memory::Memory};
use crate::chain::admission::Settings;
use crate::server::{Around, Context};
use crate::user::{MASTERS, NODE_PREFIX, NODES, Peer, User};
use crate::{bootstrap, routes, standing};

/// A server without sockets, and its cluster.
struct Api {
    router: Router,
    memory: Memory,
    trigger: Trigger,
}

/// What came back.
#[derive(Debug)]
struct Answer {
    code: u16,
    body: Value,
    warnings: Vec<String>,
}

impl Answer {
    /// Code and message of a failure.
    fn failure(&self) -> (u16, &str) {
        (self.code, self.body["message"].as_str().unwrap_or_default())
    }

    fn names(&self) -> Vec<String> {
        let items = self.body["items"].as_array().expect("a list");
        items.iter().map(|item| item["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
    }

    fn revision(&self) -> u64 {
        self.body["metadata"]["resourceVersion"]
            .as_str()
            .expect("a resourceVersion")
            .parse()
            .expect("a number")
    }
}

impl Api {
    /// With the system namespaces.
    fn new() -> Self {
        Self::with(Router::new())
    }

    /// With all that a cluster begins with: ranges for Services as well.
    fn whole() -> Self {
        let api = Self::new();
        for txn in bootstrap::missing(&Backend::moment(&api.memory).state, &bootstrap::Settings::default()) {
            api.memory.apply(txn);
        }
        api
    }

    /// With a key that signs tokens as well.
    fn founded() -> Self {
        let api = Self::whole();
        let state = &Backend::moment(&api.memory).state;
        for txn in standing::founding(state, "the authority").expect("a key") {
            api.memory.apply(txn);
        }
        api
    }

    /// The same, with routes that anybody may call.
    fn with(open: Router) -> Self {
        Self::told(open, without_accounts())
    }

    /// The same, with these settings of admission.
    fn told(open: Router, settings: Settings) -> Self {
        let memory = Memory::new();
        let first = bootstrap::missing(&Backend::moment(&memory).state, &bootstrap::Settings::default());
        for txn in first.into_iter().take(SYSTEM_NAMESPACES.len()) {
            memory.apply(txn);
        }
        let (router, trigger) = serve(Arc::new(memory.clone()), open, settings);
        Self { router, memory, trigger }
    }

    /// A request of a user of `system:masters`.
    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Response {
        self.send_as(Some(admin()), method, path, headers, body).await
    }

    /// A request of whom the connection proves.
    async fn send_as(
        &self,
        peer: Option<User>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Response {
        send_to(&self.router, peer, method, path, headers, body).await
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        answer(self.send(method, path, headers, body).await).await
    }

    /// A request with a bearer token.
    async fn ask_with(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer)];
        let body = if body.is_null() { Body::empty() } else { body.to_string().into() };
        answer(self.send_as(None, method, path, &headers, body).await).await
    }

    /// A request of the agent of a node, with a body in JSON or without one.
    async fn ask_as_node(&self, node: &str, method: &str, path: &str, body: Value) -> Answer {
        let user = User::authenticated(&format!("{NODE_PREFIX}{node}"), [NODES.to_owned()]);
        let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { Body::empty() } else { body.to_string().into() };
        answer(self.send_as(Some(user), method, path, &[("content-type", media)], body).await).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], Body::empty()).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, &[], body.to_string()).await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask("PUT", path, &[], body.to_string()).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, &[], Body::empty()).await
    }

    /// Creates a ConfigMap in `default`.
    async fn config_map(&self, name: &str, labels: Value) -> Answer {
        let created =
            self.post(MAPS, json!({"metadata": {"name": name, "labels": labels}, "data": {"a": "b"}})).await;
        assert_eq!(created.code, 201, "{created:?}");
        created
    }
}

/// Settings for where nobody makes accounts.
fn without_accounts() -> Settings {
    Settings { disabled: vec!["ServiceAccount".to_owned()], ..Settings::default() }
}

/// What serves a backend, until the trigger is dropped or fired.
fn serve(backend: Arc<dyn Backend>, open: Router, settings: Settings) -> (Router, Trigger) {
    let (trigger, shutdown) = shutdown::channel();
    let around = Around { settings: Arc::new(settings), ..Around::nothing() };
    let context = Context::new(backend, Metrics::new(), shutdown, around);
    (routes::router(context, Router::new(), open), trigger)
}

/// A request of whom the connection proves.
async fn send_to(
    router: &Router,
    peer: Option<User>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(body.into()).expect("a request");
    request.extensions_mut().insert(Peer(peer));
    router.clone().oneshot(request).await.expect("the router answers")
}

/// A user of `system:masters`.
fn admin() -> User {
    User::authenticated("admin", [MASTERS.to_owned()])
}

async fn answer(response: Response) -> Answer {
    let code = response.status().as_u16();
    let warnings = response.headers().get_all("warning").iter();
    let warnings = warnings.map(|value| value.to_str().expect("text").to_owned()).collect();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into());
    Answer { code, body, warnings }
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
