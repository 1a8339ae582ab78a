//! The masters' way into the cluster: connections to agents, and through them to whatever their nodes reach.
//!
//! ```text
//! Service -> a ready endpoint -> the agent of its node -> CONNECT -> the pod
//! ```
//!
//! # Guarantees
//! - An agent is believed only with a certificate of the cluster's authority that names its address.
//! - No redirect is followed.
//! - Pods prove nothing to the masters: what they show over TLS is not verified, as in Kubernetes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::{Object, Resource};
use base::{env, unverified};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use state::State;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long a connection to an agent may take, its handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an agent may take to open a tunnel: longer than its own bound.
const TUNNEL_TIMEOUT: Duration = Duration::from_secs(12);

/// Bytes of an agent's refusal that are told on.
const REFUSAL_BYTES_MAX: usize = 4 << 10;

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The cluster does not say where it leads.
    #[error("{0}")]
    Unknown(String),
    /// It could not be made.
    #[error("error dialing backend: {0}")]
    Failed(String),
}

impl DialError {
    /// What it was, without the words for what was tried.
    pub fn reason(&self) -> &str {
        let (Self::Unknown(why) | Self::Failed(why)) = self;
        why
    }
}

/// An agent's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent(SocketAddr);

/// The other end of a connection into the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An agent itself.
    Agent(Agent),
    /// What the agent's node reaches, over TLS or not.
    Behind(Agent, SocketAddr, bool),
}

/// A connection.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Opens connections into the cluster.
#[derive(Clone)]
pub struct Dialer {
    tls: Option<Arc<ClientConfig>>,
}

impl Dialer {
    /// One that shows the masters' certificate.
    pub fn new(tls: Arc<ClientConfig>) -> Self {
        Self { tls: Some(tls) }
    }

    /// One that reaches nobody: where there is no cluster around.
    pub fn nowhere() -> Self {
        Self { tls: None }
    }

    /// Connects to an agent.
    ///
    /// # Errors
    /// When it does not answer in time, or is not who it should be.
    pub async fn agent(&self, agent: Agent) -> Result<TlsStream<TcpStream>, DialError> {
        let Some(tls) = &self.tls else {
            return Err(DialError::Failed("no way into the cluster".to_owned()));
        };
        let Agent(address) = agent;
        let connect = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            TlsConnector::from(Arc::clone(tls)).connect(ServerName::from(address.ip()), stream).await
        };
        match env::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(DialError::Failed(format!("dial tcp {address}: {error}"))),
            Err(_) => Err(DialError::Failed(format!("dial tcp {address}: i/o timeout"))),
        }
    }

    /// Connects to wherever it is.
    ///
    /// # Errors
    /// When that does not answer in time.
    pub async fn open(&self, place: Place) -> Result<Box<dyn Duplex>, DialError> {
        let (agent, to) = match place {
            Place::Agent(agent) => return Ok(Box::new(self.agent(agent).await?)),
            Place::Behind(agent, to, false) => return Ok(Box::new(self.tunnel(agent, to).await?)),
            Place::Behind(agent, to, true) => (agent, to),
        };
        let tunnel = self.tunnel(agent, to).await?;
        let config = unverified::config().map_err(|error| DialError::Failed(error.to_string()))?;
        let shaken = TlsConnector::from(config).connect(ServerName::from(to.ip()), tunnel);
        match env::timeout(CONNECT_TIMEOUT, shaken).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(DialError::Failed(format!("tls: {error}"))),
            Err(_) => Err(DialError::Failed("net/http: TLS handshake timeout".to_owned())),
        }
    }

    /// Sends a request without a body to an agent.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask(
        &self,
        agent: Agent,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, DialError> {
        let stream = self.agent(agent).await?;
        let failed = |error: hyper::Error| DialError::Failed(error.to_string());
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(failed)?;
        env::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to an agent ended");
            }
        });
        sender.send_request(request).await.map_err(failed)
    }

    /// Connects to an address that an agent's node reaches.
    ///
    /// # Errors
    /// When the agent cannot.
    pub async fn tunnel(&self, agent: Agent, to: SocketAddr) -> Result<TokioIo<Upgraded>, DialError> {
        let failed = |error: &dyn std::fmt::Display| DialError::Failed(error.to_string());
        let uri: Uri = to.to_string().parse().map_err(|error| failed(&error))?;
        let request = Request::builder().method(Method::CONNECT).uri(uri).body(Empty::new());
        let asked = self.ask(agent, request.map_err(|error| failed(&error))?);
        let response = env::timeout(TUNNEL_TIMEOUT, asked).await;
        let response = response.map_err(|_| failed(&format!("dial tcp {to}: i/o timeout")))??;
        if response.status() != StatusCode::OK {
            let body = Limited::new(response.into_body(), REFUSAL_BYTES_MAX).collect().await;
            let text = body.map(|body| body.to_bytes()).unwrap_or_default();
            return Err(DialError::Failed(String::from_utf8_lossy(&text).into_owned()));
        }
        let upgraded = hyper::upgrade::on(response).await;
        upgraded.map(TokioIo::new).map_err(|error| failed(&error))
    }
}

impl Agent {
    /// One that listens there.
    #[cfg(test)]
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self(address)
    }

    /// Where it listens.
    pub fn address(self) -> SocketAddr {
        self.0
    }

    /// The agent of a node.
    ///
    /// # Errors
    /// When there is no such node, or it does not say where its agent is.
    pub fn of(state: &State, node: &str) -> Result<Self, DialError> {
        let row = Resource::builtin("", "v1", "nodes");
        let unknown = |why: String| DialError::Unknown(why);
        let found = state.get(row.key("", node).as_str());
        let found = found.ok_or_else(|| unknown(format!("nodes {node:?} not found")))?;
        let object =
            Object::read(&found.bytes.to_bytes(), &row).map_err(|error| unknown(error.to_string()))?;
        let status = object.fields.get("status").unwrap_or(&Value::Null);
        let addresses = status["addresses"].as_array().into_iter().flatten();
        let mut internal = addresses.filter(|one| one["type"] == "InternalIP");
        let address = internal.find_map(|one| one["address"].as_str()?.parse::<IpAddr>().ok());
        let port = status["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
        let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        match (address, port) {
            (Some(address), Some(port)) => Ok(Self(SocketAddr::new(address, port))),
            (None, _) => Err(unknown(format!("no preferred addresses found for node {node:?}"))),
            (_, None) => Err(unknown(format!("node {node:?} has no agent that can be asked"))),
        }
    }
}
