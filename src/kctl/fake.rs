//! A server for tests: it keeps objects, says what it is told to say, and remembers what it was asked to change.

pub mod files;
pub mod node;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Map, Value, json};

use crate::dial::Dialer;
use crate::failure::Failure;
use crate::{catalog, cli, patch, screen};

/// What it serves: group, kind, short name.
const KINDS: &[(&str, &str, &str)] = &[
    ("", "Node", "no"),
    ("", "Pod", "po"),
    ("", "ReplicationController", "rc"),
    ("", "Service", "svc"),
    ("apps", "DaemonSet", "ds"),
    ("apps", "Deployment", "deploy"),
    ("apps", "ReplicaSet", "rs"),
    ("apps", "StatefulSet", "sts"),
];

/// The server.
#[derive(Clone, Default)]
pub struct Fake {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By their paths.
    objects: BTreeMap<String, Value>,
    /// What is answered next, by method and path.
    answers: BTreeMap<String, VecDeque<(u16, String)>>,
    /// Requests that change something.
    asked: Vec<String>,
}

/// A no.
pub fn refusal(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message})
}

impl Fake {
    /// One that has these objects.
    pub fn of(objects: impl IntoIterator<Item = Value>) -> Self {
        let fake = Self::default();
        objects.into_iter().for_each(|object| fake.put(object));
        fake
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has an object from now on.
    pub fn put(&self, object: Value) {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
        let kind = catalog::tests::row(group, version, text("/kind"), "");
        let path = kind.path(text("/metadata/namespace"), text("/metadata/name"));
        self.state().objects.insert(path, object);
    }

    /// Answers a request, once, with this. Watches are asked for as `WATCH`, and answered with events.
    pub fn say(&self, request: &str, code: u16, answer: impl ToString) {
        let mut state = self.state();
        state.answers.entry(request.to_owned()).or_default().push_back((code, answer.to_string()));
    }

    /// Runs a command line; returns what it shows, its exit code, and what it asked to be changed.
    pub fn run(&self, line: &str) -> String {
        self.run_words(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// The same, of words that hold blanks.
    pub fn run_words(&self, words: &[&str]) -> String {
        screen::recorded::begin();
        let outcome = base::env::simulate(1, async {
            let connected = (self.client(), Dialer::Fake(self.clone()));
            Box::pin(cli::run_on(words, connected)).await
        });
        let mut shown = screen::recorded::end();
        if let Err(failure) = outcome {
            let code = failure.exit_code();
            if !matches!(failure, Failure::Exit(_)) {
                shown.push_str(&format!("{failure}\n"));
            }
            shown.push_str(&format!("[exit code {code}]\n"));
        }
        for request in std::mem::take(&mut self.state().asked) {
            shown.push_str(&format!("> {request}\n"));
        }
        shown
    }

    fn client(&self) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.map(|bytes| bytes.to_vec()).unwrap_or_default();
                match fake.answer(&Request::from_parts(head, body)) {
                    Some((code, text)) => {
                        let response = Response::builder().status(code).body(Body::from(text.into_bytes()));
                        Ok::<_, Infallible>(response.expect("an answer"))
                    }
                    // Nothing happens any more.
                    None => std::future::pending().await,
                }
            }
        });
        Client::new(service, "default")
    }

    /// A connection to a node that runs commands and answers on ports.
    pub fn dialed(&self) -> tokio::io::DuplexStream {
        let (near, far) = tokio::io::duplex(4096);
        base::env::spawn(node::serve(far, |_| ()));
        near
    }

    fn answer(&self, request: &Request<Vec<u8>>) -> Option<(u16, String)> {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let is_watch = query.contains("watch=true");
        let mut state = self.state();
        if request.method() != Method::GET {
            let query = if query.is_empty() { String::new() } else { format!("?{query}") };
            let body = String::from_utf8_lossy(request.body()).into_owned();
            state.asked.push(format!("{} {path}{query} {body}", request.method()).trim_end().to_owned());
        }
        let method = if is_watch { "WATCH" } else { request.method().as_str() };
        let said = state.answers.get_mut(&format!("{method} {path}")).and_then(VecDeque::pop_front);
        match said {
            Some(said) => Some(said),
            None if is_watch => None,
            None => {
                let (code, value) = state.serve(request);
                Some((code, value.to_string()))
            }
        }
    }
}

impl State {
    fn serve(&mut self, request: &Request<Vec<u8>>) -> (u16, Value) {
        let path = request.uri().path();
        let body = || serde_json::from_slice::<Value>(request.body()).unwrap_or_default();
        let (whole, below) = match path.rsplit_once('/') {
            Some((whole, below @ ("scale" | "eviction"))) => (whole, below),
            _ => (path, ""),
        };
        match (request.method().as_str(), below) {
            ("GET", _) if path == "/api" => (200, discovery(true)),
            ("GET", _) if path == "/apis" => (200, discovery(false)),
            ("GET", "") if self.objects.contains_key(path) => (200, self.objects[path].clone()),
            ("GET", "") if is_collection(path) => (200, self.list(path, request.uri().query())),
            ("POST", "") => {
                let object = body();
                let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                self.objects.insert(format!("{path}/{name}"), object.clone());
                (201, object)
            }
            (method, below) => match self.objects.get_mut(whole) {
                Some(object) => match (method, below) {
                    ("DELETE", _) | ("POST", "eviction") => {
                        (200, self.objects.remove(whole).unwrap_or_default())
                    }
                    ("PATCH" | "PUT" | "GET", "scale") => {
                        if let Some(replicas) = body().pointer("/spec/replicas") {
                            object["spec"]["replicas"] = replicas.clone();
                        }
                        (200, scale(object))
                    }
                    ("GET", _) => (404, not_found(path)),
                    _ => {
                        let media = request.headers().get(http::header::CONTENT_TYPE);
                        let media = media.and_then(|media| media.to_str().ok()).unwrap_or_default();
                        patched(object, whole, media, &body());
                        (200, object.clone())
                    }
                },
                None => (404, not_found(path)),
            },
        }
    }

    fn list(&self, path: &str, query: Option<&str>) -> Value {
        let parameter = |name: &str| {
            let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
            let found = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next();
            found.unwrap_or_default().replace("%3D", "=").replace("%2C", ",")
        };
        let (labels, fields) = (parameter("labelSelector"), parameter("fieldSelector"));
        let labels = api::selector::Selector::parse(&labels).expect("a selector");
        let is_selected = |object: &Value| {
            let label = |name: &str| object["metadata"]["labels"][name].as_str();
            let mut wanted = fields.split(',').filter_map(|term| term.split_once('='));
            let has = |(field, value): (&str, &str)| {
                let field = format!("/{}", field.replace('.', "/"));
                object.pointer(&field).and_then(Value::as_str) == Some(value)
            };
            labels.matches(label) && wanted.all(has)
        };
        // Without the namespace, where all of them are asked for.
        let place = |of: &str| match of.split_once("/namespaces/") {
            Some((root, rest)) if !path.contains("/namespaces/") => {
                format!("{root}/{}", rest.split_once('/').map_or("", |(_, rest)| rest))
            }
            _ => of.to_owned(),
        };
        let inside = self.objects.iter().filter(|(of, _)| place(of).starts_with(&format!("{path}/")));
        let items: Vec<&Value> =
            inside.map(|(_, object)| object).filter(|object| is_selected(object)).collect();
        json!({"kind": "List", "metadata": {"resourceVersion": "7"}, "items": items})
    }
}

fn is_collection(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    KINDS.iter().any(|(_, kind, _)| format!("{}s", kind.to_lowercase()) == last)
}

fn not_found(path: &str) -> Value {
    let mut parts = path.rsplit('/');
    let (name, plural) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let group = if path.starts_with("/apis/apps/") { ".apps" } else { "" };
    refusal(404, "NotFound", &format!("{plural}{group} \"{name}\" not found"))
}

fn scale(object: &Value) -> Value {
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": object["metadata"]["name"],
            "namespace": object["metadata"]["namespace"],
            "resourceVersion": object["metadata"]["resourceVersion"],
        },
        "spec": {"replicas": object["spec"]["replicas"]},
        "status": {"replicas": object["status"]["replicas"].as_i64().unwrap_or(0)},
    })
}

fn patched(object: &mut Value, path: &str, media: &str, body: &Value) {
    match media {
        patch::JSON => api::patch::json(object, body.to_string().as_bytes()).expect("a patch that fits"),
        patch::STRATEGIC => {
            let plural = path.rsplit('/').nth(1).unwrap_or_default();
            let group = if path.starts_with("/apis/apps/") { "apps" } else { "" };
            let of = api::Resource::find(group, "v1", plural).expect("a built-in kind");
            let changes: Map<String, Value> = body.as_object().cloned().unwrap_or_default();
            let object = object.as_object_mut().expect("an object");
            api::patch::strategic(object, changes, &of.schema).expect("a patch that fits");
        }
        patch::MERGE => api::patch::merge(object, body),
        _ => *object = body.clone(),
    }
}

fn discovery(is_legacy: bool) -> Value {
    let of_place = KINDS.iter().filter(|(group, ..)| group.is_empty() == is_legacy);
    let resource = |(group, kind, short): &(&str, &str, &str)| {
        let singular = kind.to_lowercase();
        json!({
            "resource": format!("{singular}s"),
            "responseKind": {"group": group, "version": "v1", "kind": kind},
            "scope": if *kind == "Node" { "Cluster" } else { "Namespaced" },
            "singularResource": singular,
            "verbs": ["get", "list", "watch", "create", "patch", "delete"],
            "shortNames": [short],
        })
    };
    let resources: Vec<Value> = of_place.map(resource).collect();
    let name = if is_legacy { "" } else { "apps" };
    let group = json!({"metadata": {"name": name}, "versions": [{"version": "v1", "resources": resources}]});
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": [group]})
}
