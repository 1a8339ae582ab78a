//! One server: requests, answers, watches.
//!
//! # Guarantees
//! The server is chosen once, by the first request, which changes nothing. A request that failed is never sent to
//! another one: it may have been done.

use std::time::Duration;

use base::env;
use futures::{AsyncBufRead, Stream, StreamExt};
use http::{Method, Request};
use kube::client::Body;
use kube::core::WatchEvent;
use kube::core::discovery::v2::APIGroupDiscoveryList;
use kube::{Client, Config};
use serde_json::Value;

use crate::catalog::Catalog;
use crate::dial::Dialer;
use crate::failure::{Failure, Refusal};
use crate::flags::Global;
use crate::masters::{Masters, causes};
use crate::screen::warn;

/// How long an answer may take unless the command line says.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);

/// From which level on requests are told, and their bodies.
const TELL_REQUESTS: u8 = 6;
const TELL_BODIES: u8 = 8;

const JSON: &str = "application/json";
const DISCOVERY: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
/// As a Table where the server can.
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    accept: &'static str,
    media: &'static str,
    body: Vec<u8>,
}

impl Call {
    /// A request without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        let path = path.into();
        Self { method, path, query: Vec::new(), accept: JSON, media: JSON, body: Vec::new() }
    }

    /// A read.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// With a query parameter, unless it is empty.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.query.push((name, value));
        }
        self
    }

    /// With a body.
    pub fn body(mut self, media: &'static str, body: &Value) -> Self {
        self.media = media;
        self.body = body.to_string().into_bytes();
        self
    }

    /// In another form than JSON.
    pub fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }

    fn uri(&self) -> String {
        let pairs = self.query.iter().map(|(name, value)| format!("{name}={}", encode(value)));
        let query = pairs.collect::<Vec<_>>().join("&");
        match query.as_str() {
            "" => self.path.clone(),
            query => format!("{}{}{query}", self.path, if self.path.contains('?') { '&' } else { '?' }),
        }
    }

    fn request(&self) -> Result<Request<Vec<u8>>, Failure> {
        let mut request = Request::builder().method(self.method.clone()).uri(self.uri());
        request = request.header(http::header::ACCEPT, self.accept);
        if !self.body.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, self.media);
        }
        request.body(self.body.clone()).map_err(|error| Failure::Refused(format!("{}: {error}", self.uri())))
    }
}

/// For a query: everything but letters, digits and `-._~` by its bytes.
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let each = text
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    each.collect()
}

/// An event of a watch.
#[derive(Clone, Debug)]
pub struct Event {
    /// `ADDED`, `MODIFIED`, `DELETED`
    pub kind: &'static str,
    /// What it happened to.
    pub object: Value,
}

/// The server that answers, and what the command line says about every request.
pub struct Server {
    client: Client,
    dialer: Dialer,
    /// `https://HOST:PORT`
    pub url: String,
    /// Where objects are looked for that name no namespace.
    pub namespace: String,
    /// Whether the command line named that namespace.
    pub is_namespace_given: bool,
    /// What it serves.
    pub catalog: Catalog,
    timeout: Option<Duration>,
    verbosity: u8,
}

impl Server {
    /// Finds one that answers, the current context's first.
    ///
    /// # Errors
    /// When none does, or when the first that answers refuses to tell what it serves.
    pub async fn connect(masters: &Masters, global: &Global) -> Result<Self, Failure> {
        let first = &masters.configs()[0];
        // Another context may be another cluster, which must not be taken for this one.
        let is_alike = |config: &&Config| config.root_cert.is_some() && config.root_cert == first.root_cert;
        let others = masters.configs()[1..].iter().filter(is_alike).filter(|_| global.server.is_none());
        let mut tried = Vec::new();
        for config in std::iter::once(first).chain(others) {
            match Self::open(config, global).await {
                Err(Failure::NoAnswer(reason)) => tried.push(reason),
                opened => return opened,
            }
        }
        Err(Failure::NoAnswer(format!(
            "no master answered. Check that they run (their logs say why not) and that the addresses are reachable \
             from here:\n  {}",
            tried.join("\n  ")
        )))
    }

    async fn open(config: &Config, global: &Global) -> Result<Self, Failure> {
        let config = adjusted(config.clone(), global)?;
        let url = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let namespace = global.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let dialer = Dialer::Real(Box::new(config.clone()));
        let client = Client::try_from(config)
            .map_err(|error| Failure::NoAnswer(format!("{url}: {}", causes(&error))))?;
        Self::over((client, dialer), url, namespace, global).await
    }

    /// Asks what is served.
    pub async fn over(
        (client, dialer): (Client, Dialer),
        url: String,
        namespace: String,
        global: &Global,
    ) -> Result<Self, Failure> {
        let mut server = Self {
            client,
            dialer,
            url,
            namespace,
            is_namespace_given: global.namespace.is_some(),
            catalog: Catalog::default(),
            timeout: global.request_timeout()?,
            verbosity: global.verbosity,
        };
        let legacy = Call::get("/api").accept(DISCOVERY);
        let groups = Call::get("/apis").accept(DISCOVERY);
        let (legacy, groups) = futures::join!(server.json(legacy), server.json(groups));
        let mut all = Vec::new();
        for answer in [legacy?, groups?] {
            let list: APIGroupDiscoveryList = serde_json::from_value(answer).map_err(|error| {
                server.no_answer("GET /api", &format!("its discovery is not understood ({error})"))
            })?;
            all.extend(list.items);
        }
        server.catalog = Catalog::new(&all);
        Ok(server)
    }

    fn no_answer(&self, operation: &str, reason: &str) -> Failure {
        Failure::NoAnswer(format!("{operation}: {}: {reason}", self.url))
    }

    /// Asks, and returns the body of a good answer.
    ///
    /// # Errors
    /// When there is none, or it is a no.
    pub async fn text(&self, call: Call) -> Result<String, Failure> {
        let operation = format!("{} {}", call.method, call.path);
        let limit = self.timeout.unwrap_or(ANSWER_TIMEOUT);
        let begun = env::monotonic();
        let answer = env::timeout(limit, self.exchange(&call)).await;
        let slow = || {
            let changes = if call.method == Method::GET { "" } else { "; it may have been done" };
            self.no_answer(&operation, &format!("nothing within {} s{changes}", limit.as_secs_f64()))
        };
        let (code, body) = answer.map_err(|_| slow())?.map_err(|error| self.no_answer(&operation, &error))?;
        if self.verbosity >= TELL_REQUESTS {
            let took = begun.elapsed().as_millis();
            warn(&format!("{} {}{} {code} in {took} ms", call.method, self.url, call.uri()));
        }
        if self.verbosity >= TELL_BODIES {
            warn(&format!("request: {}\nanswer: {body}", String::from_utf8_lossy(&call.body)));
        }
        if code < 400 { Ok(body) } else { Err(Failure::Server(Box::new(refusal(code, &body)))) }
    }

    async fn exchange(&self, call: &Call) -> Result<(u16, String), String> {
        let request = call.request().map_err(|failure| failure.to_string())?.map(Body::from);
        let answer = self.client.send(request).await.map_err(|error| causes(&error))?;
        for warning in answer.headers().get_all(http::header::WARNING) {
            let text = warning.to_str().unwrap_or_default();
            warn(&format!("Warning: {}", text.split('"').nth(1).unwrap_or(text)));
        }
        let code = answer.status().as_u16();
        let body = answer.into_body().collect_bytes().await.map_err(|error| causes(&error))?;
        Ok((code, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Asks, and reads the answer as JSON.
    ///
    /// # Errors
    /// As [`Server::text`], and when it is no JSON.
    pub async fn json(&self, call: Call) -> Result<Value, Failure> {
        let operation = format!("{} {}", call.method, call.path);
        let body = self.text(call).await?;
        let malformed = |error: serde_json::Error| {
            self.no_answer(&operation, &format!("its answer is no JSON ({error})"))
        };
        serde_json::from_str(&body).map_err(malformed)
    }

    /// Asks for what is read as it comes.
    ///
    /// # Errors
    /// When the answer is no.
    pub async fn stream(&self, call: Call) -> Result<impl AsyncBufRead + Unpin + use<>, Failure> {
        if self.verbosity >= TELL_REQUESTS {
            warn(&format!("{} {}{}", call.method, self.url, call.uri()));
        }
        let body = self.client.request_stream(call.request()?).await;
        Ok(Box::pin(body.map_err(self.failure(&call))?))
    }

    /// How to reach it past HTTP.
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// What to ask for there, with credentials.
    ///
    /// # Errors
    /// When there are none to be had.
    pub async fn request(&self, path: &str) -> Result<Request<()>, Failure> {
        if self.verbosity >= TELL_REQUESTS {
            warn(&format!("CONNECT {}{path}", self.url));
        }
        self.dialer.request(path).await.map_err(Failure::Refused)
    }

    /// Why streams did not begin.
    pub fn stream_failure(&self, path: &str, error: streams::Error) -> Failure {
        match error {
            streams::Error::Refused { status, body } => {
                Failure::Server(Box::new(refusal(status.as_u16(), &body)))
            }
            other => self.no_answer(path.split('?').next().unwrap_or_default(), &causes(&other)),
        }
    }

    /// What an error means.
    fn failure(&self, call: &Call) -> impl Fn(kube::Error) -> Failure + Clone + use<> {
        let operation = format!("{} {}", call.method, call.path);
        let url = self.url.clone();
        move |error| match error {
            kube::Error::Api(status) => Failure::Server(Box::new(Refusal {
                code: status.code,
                reason: status.reason.clone(),
                message: status.message.clone(),
            })),
            other => Failure::NoAnswer(format!("{operation}: {url}: {}", causes(&other))),
        }
    }

    /// Watches, until the server ends it or `limit` has passed.
    ///
    /// # Errors
    /// When it cannot begin.
    pub async fn watch(
        &self,
        call: Call,
    ) -> Result<impl Stream<Item = Result<Event, Failure>> + use<>, Failure> {
        let failure = self.failure(&call);
        let call = call.with("watch", "true");
        if self.verbosity >= TELL_REQUESTS {
            warn(&format!("{} {}{}", call.method, self.url, call.uri()));
        }
        let begun = self.client.request_events::<Value>(call.request()?).await;
        let events = Box::pin(begun.map_err(failure.clone())?);
        let events = events.map(move |event| match event.map_err(&failure)? {
            WatchEvent::Added(object) => Ok(Some(Event { kind: "ADDED", object })),
            WatchEvent::Modified(object) => Ok(Some(Event { kind: "MODIFIED", object })),
            WatchEvent::Deleted(object) => Ok(Some(Event { kind: "DELETED", object })),
            WatchEvent::Bookmark(_) => Ok(None),
            WatchEvent::Error(status) => Err(failure(kube::Error::Api(status))),
        });
        Ok(events.filter_map(|event| async { event.transpose() }).boxed())
    }
}

/// The kubeconfig's ways, with the command line's in their place.
fn adjusted(mut config: Config, global: &Global) -> Result<Config, Failure> {
    if let Some(server) = &global.server {
        config.cluster_url =
            server.parse().map_err(|error| Failure::Usage(format!("--server {server}: {error}")))?;
    }
    // Answers have limits of their own, and a watch has none.
    config.read_timeout = None;
    config.accept_invalid_certs |= global.insecure_skip_tls_verify;
    let auth = &mut config.auth_info;
    auth.token = global.token.clone().map(Into::into).or(auth.token.take());
    auth.impersonate = global.as_user.clone().or(auth.impersonate.take());
    if !global.as_groups.is_empty() {
        auth.impersonate_groups = Some(global.as_groups.clone());
    }
    auth.impersonate_uid = global.as_uid.clone().or(auth.impersonate_uid.take());
    Ok(config)
}

/// A bad answer, which should be a Status.
fn refusal(code: u16, body: &str) -> Refusal {
    let status: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
    let (reason, message) = (text("reason"), text("message"));
    let message = match message.as_str() {
        "" if body.trim().is_empty() => format!("it answered {code} without a word"),
        "" => body.trim().to_owned(),
        _ => message,
    };
    Refusal { code, reason, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded() {
        let call = Call::get("/api/v1/pods")
            .with("labelSelector", "a in (b,c)")
            .with("limit", "")
            .with("fieldSelector", "x=é");
        assert_eq!(call.uri(), "/api/v1/pods?labelSelector=a%20in%20%28b%2Cc%29&fieldSelector=x%3D%C3%A9");
        assert_eq!(Call::get("/x?y=1").with("z", "2").uri(), "/x?y=1&z=2");
    }

    #[test]
    fn a_bad_answer_is_told_even_when_it_is_no_status() {
        let told = |body: &str| refusal(503, body).message;
        assert_eq!(told(r#"{"reason":"X","message":"no"}"#), "no");
        assert_eq!(told("upstream gone\n"), "upstream gone");
        assert_eq!(told(""), "it answered 503 without a word");
    }
}
