//! The listener: TLS, HTTP/1.1 and HTTP/2 on one port, and the identity of each connection's client.
//!
//! # Flow
//! accept -> TLS handshake -> who is it (client certificate) -> HTTP by ALPN -> [`crate::routes`].
//! On shutdown: no more connections, watches end, open requests have a moment to finish.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use base::env;
use base::shutdown::Shutdown;
use base::telemetry::Metrics;
use http::HeaderValue;
use http::header::WARNING;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use crate::backend::Backend;
use crate::limits::{
    CONNECTION_BUFFER_BYTES, CONNECTION_WINDOW_BYTES, CONNECTIONS_MAX, DRAIN_TIMEOUT, HANDSHAKE_TIMEOUT,
    HEAD_BYTES_MAX, KEEP_ALIVE_INTERVAL, SEND_BUFFER_BYTES, STREAM_WINDOW_BYTES, STREAMS_MAX,
};
use crate::metrics::ServerMetrics;
use crate::routes;
use crate::user::{Peer, User};

/// What a server needs.
pub struct Options {
    /// Where it listens.
    pub listener: TcpListener,
    /// Its certificate, and whom it trusts (see [`crate::tls`]).
    pub tls: Arc<ServerConfig>,
    /// Where it writes what it measures, and what `/metrics` shows.
    pub telemetry: Metrics,
    /// More routes, behind authentication and authorization: handlers find the `User` in the request's
    /// extensions.
    pub guarded: Router,
    /// More routes that anybody may call; they check for themselves.
    pub open: Router,
}

/// What all requests share.
pub struct Context {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) metrics: ServerMetrics,
    pub(crate) telemetry: Metrics,
    pub(crate) shutdown: Shutdown,
}

impl Context {
    pub(crate) fn new(backend: Arc<dyn Backend>, telemetry: Metrics, shutdown: Shutdown) -> Arc<Self> {
        Arc::new(Self { backend, metrics: ServerMetrics::new(&telemetry), telemetry, shutdown })
    }
}

/// The API server of one master.
pub struct Service {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    router: Router,
}

impl Service {
    /// Prepares to serve `backend`; `shutdown` is what [`Service::run`] will be given.
    pub fn new(options: Options, backend: Arc<dyn Backend>, shutdown: Shutdown) -> Self {
        let context = Context::new(backend, options.telemetry, shutdown);
        let router = routes::router(context, options.guarded, options.open);
        Self { listener: options.listener, acceptor: TlsAcceptor::from(options.tls), router }
    }

    /// Serves until the shutdown, then lets open requests finish for [`DRAIN_TIMEOUT`].
    pub async fn run(self, mut shutdown: Shutdown) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            // Both arms may be dropped without losing anything: accept takes a connection or none.
            let accepted = tokio::select! {
                biased;
                () = shutdown.wait() => break,
                accepted = self.accept(&places) => accepted,
            };
            let Some((stream, place)) = accepted else { continue };
            let connection = Connection {
                acceptor: self.acceptor.clone(),
                router: self.router.clone(),
                shutdown: shutdown.clone(),
                _place: place,
            };
            env::spawn(async move {
                if let Err(error) = connection.serve(stream).await {
                    tracing::debug!(%error, "connection ended");
                }
            });
        }
        drop(self.listener);
        let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
        // Whoever is not done then is cut off by the end of the process.
        let _ = env::timeout(DRAIN_TIMEOUT, places.acquire_many(all)).await;
    }

    /// The next connection, when there is room for one.
    async fn accept(&self, places: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _)) => Some((stream, place)),
            Err(error) => {
                // Out of file descriptors, mostly: others must close first.
                tracing::warn!(%error, "a connection could not be accepted");
                env::sleep(std::time::Duration::from_millis(50)).await;
                None
            }
        }
    }
}

/// One connection, until its end.
struct Connection {
    acceptor: TlsAcceptor,
    router: Router,
    shutdown: Shutdown,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(mut self, stream: TcpStream) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let handshake = env::timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream)).await;
        let stream = handshake.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let peer = peer_of(&stream);
        let router = self.router.clone();
        let service = TowerToHyperService::new(router.map_request(move |mut request: http::Request<_>| {
            request.extensions_mut().insert(peer.clone());
            request
        }));
        let builder = builder();
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            biased;
            () = self.shutdown.wait() => {}
            served = connection.as_mut() => return served,
        }
        connection.as_mut().graceful_shutdown();
        env::timeout(DRAIN_TIMEOUT, connection).await.unwrap_or(Ok(()))
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_TIMEOUT)
        .max_buf_size(CONNECTION_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_INTERVAL)
        .max_header_list_size(HEAD_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    builder
}

/// Who the verified client certificate names. A certificate that names nobody is as good as none.
fn peer_of(stream: &TlsStream<TcpStream>) -> Peer {
    let certificates = stream.get_ref().1.peer_certificates();
    Peer(certificates.and_then(|chain| chain.first()).and_then(|leaf| User::of_certificate(leaf)))
}

/// Adds a `Warning` header for each warning.
pub(crate) fn with_warnings(mut response: Response, warnings: &[String]) -> Response {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}
