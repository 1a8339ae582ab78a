//! A small HTTPS client for the API: it says exactly what it knows about a request's fate.

use std::time::Duration;

use anyhow::Context;
use base::env;
use bytes::Bytes;
pub use http::Method;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::held::Held;
use crate::kubeconfig::Endpoint;
use crate::watch::Watch;

/// How long a request may take, unless a test says otherwise: well above an election.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The namespace that is used unless a test names another.
pub const NAMESPACE: &str = "default";

/// Why a request gave no answer, or not the one asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing was sent: the request has not happened.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// Sent, but no whole answer came back: the request may or may not happen, even later.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The server answered with an error.
    #[error("{code} {reason}: {message}")]
    Status {
        /// The HTTP status code.
        code: u16,
        /// The `Status` object's reason.
        reason: String,
        /// The `Status` object's message.
        message: String,
    },
}

impl ClientError {
    /// Whether a write that failed so certainly did not and will not happen. Of a server's own errors (5xx)
    /// two promise that: no master to write to (503) and no space to write it in (507).
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Unknown(_) => false,
            Self::Status { code, .. } => matches!(code, 400..500 | 503 | 507),
        }
    }

    /// The HTTP status code, when there was an answer.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Status { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// Shorthand.
pub type Result<T> = std::result::Result<T, ClientError>;

/// Talks to one address; keeps idle connections.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    namespace: String,
    timeout: Duration,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Client {
    /// A client of one context of a kubeconfig. Connects when first used.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, namespace: NAMESPACE.to_owned(), timeout: REQUEST_TIMEOUT, idle: Mutex::default() }
    }

    /// For the ConfigMaps of another namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.namespace = namespace.to_owned();
        self
    }

    /// With another limit for each request.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.endpoint.address
    }

    /// The host's address alone.
    pub fn host(&self) -> &str {
        self.endpoint.address.rsplit_once(':').map_or(self.address(), |(host, _)| host)
    }

    /// One request and its whole answer: JSON, or `Null` when it is none.
    ///
    /// # Errors
    /// See [`ClientError`]; an answer that is not 2xx is one.
    pub async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let bytes = self.answer(method, path, body).await?;
        Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Gets what is no JSON.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn text(&self, path: &str) -> Result<String> {
        let bytes = self.answer(Method::GET, path, None).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// One request with headers of the caller's own, and its answer, whatever it is: the code, and of a failure the body.
    /// On a connection of its own, which a server may close that does not read all of a bad request.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn exchange_as(
        &self,
        method: Method,
        path: &str,
        headers: &[(String, String)],
        body: String,
    ) -> Result<(u16, Bytes)> {
        let unsent = |error: &dyn std::fmt::Display| ClientError::Unreachable(error.to_string());
        let mut request = Request::builder().method(method).uri(path).header("host", self.address());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| unsent(&error))?;
        let exchange = async {
            let mut connection = self.connect().await.map_err(|error| unsent(&error))?;
            let response = connection.send_request(request).await.map_err(unknown)?;
            let code = response.status();
            // What succeeds may be a watch, and have no end.
            let body = match code.is_success() {
                true => Bytes::new(),
                false => response.into_body().collect().await.map_err(unknown)?.to_bytes(),
            };
            Ok((code.as_u16(), body))
        };
        let answer = env::timeout(self.timeout, exchange).await;
        answer.unwrap_or_else(|_| Err(ClientError::Unknown(format!("no answer within {:?}", self.timeout))))
    }

    async fn answer(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Bytes> {
        let answered = env::timeout(self.timeout, self.exchange(method, path, body)).await;
        answered.unwrap_or_else(|_| Err(ClientError::Unknown(format!("no answer within {:?}", self.timeout))))
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Bytes> {
        let mut connection = self.connection().await?;
        let response = self.send(&mut connection, method, path, body).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await.map_err(unknown)?.to_bytes();
        self.idle.lock().push(connection);
        if status.is_success() {
            return Ok(bytes);
        }
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Err(refusal(status.as_u16(), &answer, &bytes))
    }

    /// An idle connection that still stands, or a new one.
    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>> {
        loop {
            let idle = self.idle.lock().pop();
            let Some(mut connection) = idle else {
                return self.connect().await.map_err(|error| ClientError::Unreachable(format!("{error:#}")));
            };
            // A server that went away has closed it, which shows only when it is asked.
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.dial().await?)).await?;
        env::spawn(async move {
            // Whoever uses the connection sees its end as a failed request.
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// A new connection on which nothing was sent yet.
    pub(crate) async fn dial(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let Endpoint { address, server_name, tls } = &self.endpoint;
        // The wait must end before the request's own limit, or nobody can tell that nothing was sent.
        let stream =
            env::timeout(self.timeout / 2, TcpStream::connect(address)).await.context("connect")??;
        stream.set_nodelay(true)?;
        let server_name: ServerName<'static> = server_name.clone();
        let connecting = TlsConnector::from(tls.clone()).connect(server_name, stream);
        Ok(env::timeout(self.timeout / 4, connecting).await.context("TLS handshake")??)
    }

    /// Sends the head of a request that creates ConfigMap `name`: the master waits for the rest.
    ///
    /// # Errors
    /// When the master does not take it.
    pub async fn hold_create(&self, name: &str) -> anyhow::Result<Held> {
        Held::post(self, &self.path_of(""), &config_map(&self.namespace, name, "held")).await
    }

    async fn send(
        &self,
        connection: &mut SendRequest<Full<Bytes>>,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Incoming>> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address())
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|error| ClientError::Unreachable(error.to_string()))?;
        connection.send_request(request).await.map_err(unknown)
    }

    /// The path of the namespace's ConfigMaps, of one of them, or of all with a query.
    fn path_of(&self, rest: &str) -> String {
        let separator = if rest.is_empty() || rest.starts_with('?') { "" } else { "/" };
        format!("/api/v1/namespaces/{}/configmaps{separator}{rest}", self.namespace)
    }

    /// Creates the client's namespace; fine when it exists.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_namespace(&self) -> Result<()> {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}});
        match self.request(Method::POST, "/api/v1/namespaces", Some(&object)).await {
            Err(refused) if refused.code() == Some(409) => Ok(()),
            answered => answered.map(|_| ()),
        }
    }

    /// Creates ConfigMap `name` with one value; the revision it got.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create(&self, name: &str, value: &str) -> Result<u64> {
        let object = config_map(&self.namespace, name, value);
        revision(&self.request(Method::POST, &self.path_of(""), Some(&object)).await?)
    }

    /// Replaces the value of ConfigMap `name` if it is at `at`; the revision it got.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn update(&self, name: &str, value: &str, at: u64) -> Result<u64> {
        let mut object = config_map(&self.namespace, name, value);
        object["metadata"]["resourceVersion"] = json!(at.to_string());
        revision(&self.request(Method::PUT, &self.path_of(name), Some(&object)).await?)
    }

    /// Deletes ConfigMap `name`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.request(Method::DELETE, &self.path_of(name), None).await.map(|_| ())
    }

    /// ConfigMap `name`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get(&self, name: &str) -> Result<Value> {
        self.request(Method::GET, &self.path_of(name), None).await
    }

    /// All ConfigMaps of the namespace and the revision of the list. `query` begins with `?` or is empty.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn list(&self, query: &str) -> Result<(u64, Vec<Value>)> {
        let mut list = self.request(Method::GET, &self.path_of(query), None).await?;
        let revision = revision(&list)?;
        let items = list["items"].as_array_mut().map(std::mem::take);
        Ok((revision, items.unwrap_or_default()))
    }

    /// Watches the namespace's ConfigMaps from the first event after `from`, with bookmarks.
    ///
    /// # Errors
    /// See [`ClientError`]; the time limit covers the answer's head only.
    pub async fn watch(&self, from: u64) -> Result<Watch> {
        let query = format!("?watch=true&allowWatchBookmarks=true&resourceVersion={from}");
        let path = self.path_of(&query);
        let opening = async {
            let mut connection =
                self.connect().await.map_err(|e| ClientError::Unreachable(format!("{e:#}")))?;
            let response = self.send(&mut connection, Method::GET, &path, None).await?;
            if response.status().is_success() {
                return Ok(Watch::new(response.into_body(), connection));
            }
            let status = response.status().as_u16();
            let bytes = response.into_body().collect().await.map_err(unknown)?.to_bytes();
            Err(refusal(status, &serde_json::from_slice(&bytes).unwrap_or(Value::Null), &bytes))
        };
        let opened = env::timeout(self.timeout, opening).await;
        opened.unwrap_or_else(|_| Err(ClientError::Unknown(format!("no watch within {:?}", self.timeout))))
    }
}

/// A ConfigMap with one value.
pub fn config_map(namespace: &str, name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": namespace },
        "data": { "value": value },
    })
}

/// The resourceVersion of an object or list.
///
/// # Errors
/// When it has none, or one that is no number.
pub fn revision(object: &Value) -> Result<u64> {
    let text = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    text.parse().map_err(|_| ClientError::Unknown(format!("no resourceVersion in {object}")))
}

fn unknown(error: hyper::Error) -> ClientError {
    ClientError::Unknown(error.to_string())
}

fn refusal(code: u16, status: &Value, bytes: &[u8]) -> ClientError {
    let text = |field: &str| status[field].as_str().map(str::to_owned);
    let message = text("message").unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned());
    ClientError::Status { code, reason: text("reason").unwrap_or_default(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_certainly_not_written() {
        let status = |code| ClientError::Status { code, reason: String::new(), message: String::new() };
        let refused = [400, 403, 404, 409, 410, 429, 503, 507].map(status);
        assert!(refused.iter().all(ClientError::is_refusal));
        assert!(ClientError::Unreachable(String::new()).is_refusal());
        let open = [500, 502, 504].map(status);
        assert!(!open.iter().any(ClientError::is_refusal));
        assert!(!ClientError::Unknown(String::new()).is_refusal());
    }
}
