//! The agent's HTTPS server: logs, exec, attach and port-forward of its pods, and tunnels to their addresses. Only the
//! masters get in: whoever else has a certificate of the cluster is refused.
//!
//! ```text
//! GET  /healthz
//! GET  /containerLogs/NAMESPACE/POD/CONTAINER
//! ANY  /exec/NAMESPACE/POD/CONTAINER         upgraded
//! ANY  /attach/NAMESPACE/POD/CONTAINER       upgraded
//! ANY  /portForward/NAMESPACE/POD            upgraded
//! CONNECT HOST:PORT                          a tunnel
//! ```

mod logs;
mod port_forward;
mod processes;
mod tls;
mod tunnel;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use base::env;
use bytes::Bytes;
use client::Client;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kubelet::engine::{Container, ContainerEngine, EngineError};
use streams::Refusal;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::Options;
use crate::credentials::{Credentials, Purpose};
use crate::node::PORT;
use crate::pod_network::Pods;

/// Connections at a time; further ones wait. Each exec, log or tunnel has one of its own.
const CONNECTIONS_MAX: usize = 1_000;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What answers hold.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A server that listens.
pub struct Serving {
    listener: TcpListener,
    certificates: Arc<tls::Certificates>,
    acceptor: TlsAcceptor,
    credentials: Credentials,
    client: Client,
    node: Arc<Node>,
}

/// What requests are about.
pub struct Node {
    pub name: String,
    pub address: IpAddr,
    pub engine: Arc<dyn ContainerEngine>,
    pub pods: Arc<Pods>,
}

/// Gets a certificate and listens.
///
/// # Errors
/// When there is no certificate to be had, or the port is in use.
pub async fn start(
    options: &Options,
    credentials: &Credentials,
    client: &Client,
    node: Node,
) -> anyhow::Result<Serving> {
    let identity = match credentials.load(Purpose::Serving)? {
        Some(identity) => identity,
        None => {
            credentials.obtain(client, Purpose::Serving).await.context("getting the server's certificate")?
        }
    };
    let certificates = Arc::new(tls::Certificates::new(&identity)?);
    let config = tls::config(Arc::clone(&certificates), &options.authority)?;
    let address = SocketAddr::from((options.address, PORT));
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    Ok(Serving {
        listener,
        certificates,
        acceptor: TlsAcceptor::from(config),
        credentials: credentials.clone(),
        client: client.clone(),
        node: Arc::new(node),
    })
}

impl Serving {
    /// Serves, and renews its certificate, for as long as the program runs.
    ///
    /// # Errors
    /// Never.
    pub async fn run(self) -> anyhow::Result<()> {
        let certificates = Arc::clone(&self.certificates);
        let renewing = self.credentials.keep(&self.client, Purpose::Serving, move |identity| {
            if let Err(error) = certificates.replace(identity) {
                tracing::error!(error = format!("{error:#}"), "the server's new certificate cannot be used");
            }
        });
        tokio::select! {
            biased;
            never = self.accept() => never,
            () = renewing => Ok(()),
        }
    }

    async fn accept(&self) -> anyhow::Result<()> {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let place = Arc::clone(&places).acquire_owned().await?;
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    env::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (acceptor, node) = (self.acceptor.clone(), Arc::clone(&self.node));
            env::spawn(async move {
                if let Err(error) = connection(stream, &acceptor, node).await {
                    tracing::debug!(error = format!("{error:#}"), "a connection ended");
                }
                drop(place);
            });
        }
    }
}

async fn connection(stream: TcpStream, acceptor: &TlsAcceptor, node: Arc<Node>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let stream = env::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
    let is_master = tls::is_master(stream.get_ref().1);
    let service = service_fn(move |request: Request<Incoming>| {
        let node = Arc::clone(&node);
        async move { Ok::<_, std::convert::Infallible>(answer(&node, is_master, request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    Ok(served.with_upgrades().await?)
}

async fn answer(node: &Arc<Node>, is_master: bool, mut request: Request<Incoming>) -> Response<Body> {
    if request.uri().path() == "/healthz" && request.method() == Method::GET {
        return text(StatusCode::OK, "ok");
    }
    if !is_master {
        return text(StatusCode::FORBIDDEN, "only the masters may ask this");
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let (head, _) = request.into_parts();
    if head.method == Method::CONNECT {
        return tunnel::serve(node, &head, upgrade).await;
    }
    let path = head.uri.path().to_owned();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let answered = match parts[..] {
        ["containerLogs", namespace, pod, container] => {
            logs::serve(node, &head, upgrade, [namespace, pod, container]).await
        }
        ["exec", namespace, pod, container] => {
            processes::serve(
                node,
                &head,
                upgrade,
                streams::remote_command::Verb::Exec,
                [namespace, pod, container],
            )
            .await
        }
        ["attach", namespace, pod, container] => {
            processes::serve(
                node,
                &head,
                upgrade,
                streams::remote_command::Verb::Attach,
                [namespace, pod, container],
            )
            .await
        }
        ["portForward", namespace, pod] => port_forward::serve(node, &head, upgrade, [namespace, pod]).await,
        _ => Err(not_found("404 page not found")),
    };
    answered.unwrap_or_else(refused)
}

/// The running or last container of this name in a pod.
async fn container(node: &Node, [namespace, pod, name]: [&str; 3]) -> Result<Container, Refusal> {
    let all = of_pod(node, namespace, pod).await?;
    let named = all.into_iter().filter(|container| container.container_name() == name);
    let newest = named.max_by_key(Container::attempt);
    newest.ok_or_else(|| not_found(&format!("container {name} not found in pod {pod}_{namespace}")))
}

/// The containers of a pod, by its name: the newest one of that name.
async fn of_pod(node: &Node, namespace: &str, pod: &str) -> Result<Vec<Container>, Refusal> {
    let all = node.engine.list(&node.name, None).await.map_err(failed)?;
    let is_it = |container: &Container| {
        container.pod_key().is_some_and(|key| key.namespace == namespace && key.name == pod)
    };
    let mut ours: Vec<Container> = all.into_iter().filter(is_it).collect();
    let newest = ours.iter().max_by_key(|container| container.created_ms).and_then(Container::pod_key);
    ours.retain(|container| {
        container.pod_key().map(|key| key.uid) == newest.as_ref().map(|key| key.uid.clone())
    });
    if ours.is_empty() { Err(not_found(&format!("pod {pod}_{namespace} not found"))) } else { Ok(ours) }
}

fn not_found(message: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, message)
}

fn failed(error: EngineError) -> Refusal {
    let status = match error {
        EngineError::NotFound(_) => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refusal::new(status, error.to_string())
}

fn refused(refusal: Refusal) -> Response<Body> {
    refusal.into_response().map(whole)
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn text(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(whole(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response
}

/// A body that is told piece by piece.
fn streamed(pieces: BoxStream<'static, std::io::Result<Bytes>>) -> Body {
    StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync()
}

/// A parameter of a query: the first of that name.
fn parameter(head: &Parts, name: &str) -> Option<String> {
    let query = head.uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
