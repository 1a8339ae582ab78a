//! The listener: TLS, HTTP/1.1 and HTTP/2 on one port.
//!
//! # Flow
//! accept -> [`crate::connection`] -> [`crate::routes`]. On shutdown: no more connections, watches end, open requests have a moment to finish.

use std::sync::Arc;

use api::Resource;
use axum::Router;
use axum::response::Response;
use base::env;
use base::shutdown::Shutdown;
use base::telemetry::Metrics;
use http::HeaderValue;
use http::header::WARNING;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::backend::Backend;
use crate::chain::admission::Settings;
use crate::connection::Connection;
use crate::definitions::Registry;
use crate::dialer::Dialer;
use crate::limits::{ACCEPT_RETRY, DRAIN_TIMEOUT, PROXIED_MAX, REQUESTS_MAX};
use crate::metrics::ServerMetrics;
use crate::request::ResourcePath;
use crate::routes;
use crate::tokens::Tokens;

/// What a server needs.
pub struct Options {
    /// Where it listens.
    pub listener: TcpListener,
    /// Its certificate, and whom it trusts (see [`crate::tls`]).
    pub tls: Arc<ServerConfig>,
    /// Connections at a time, [`crate::limits::CONNECTIONS_MAX`] or what the process may open. Further ones
    /// wait in the listener's queue.
    pub connections_max: usize,
    /// Where it writes what it measures, and what `/metrics` shows.
    pub telemetry: Metrics,
    /// What there is beside this master.
    pub around: Around,
    /// More routes, behind authentication and authorization: handlers find the `User` in the request's
    /// extensions.
    pub guarded: Router,
    /// More routes that anybody may call; they check for themselves.
    pub open: Router,
}

/// Tells who leads. Asked for each request, so it takes no time.
pub type LeaderUrl = Arc<dyn Fn() -> Option<HeaderValue> + Send + Sync>;

/// What there is beside a master.
#[derive(Clone)]
pub struct Around {
    /// The API of the master that leads, `https://HOST:PORT`, as far as this one knows: told with every answer.
    pub leader: LeaderUrl,
    /// The way into the cluster.
    pub dialer: Dialer,
    /// What the master was told about admission.
    pub settings: Arc<Settings>,
}

impl Around {
    /// Nothing.
    pub fn nothing() -> Self {
        Self { leader: Arc::new(|| None), dialer: Dialer::nowhere(), settings: Arc::default() }
    }
}

/// What all requests share.
pub struct Context {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) metrics: ServerMetrics,
    pub(crate) telemetry: Metrics,
    pub(crate) shutdown: Shutdown,
    pub(crate) leader: LeaderUrl,
    /// Leads to agents.
    pub(crate) dialer: Dialer,
    /// What this master was told about admission.
    pub(crate) settings: Arc<Settings>,
    /// What definitions make.
    pub(crate) definitions: Registry,
    /// Reads bearer tokens.
    pub(crate) tokens: Tokens,
    /// Places of requests in work.
    pub(crate) requests: Semaphore,
    /// Places of requests that are passed on.
    pub(crate) proxied: Semaphore,
}

impl Context {
    /// The row that a path names, as far as this master knows.
    pub(crate) fn row(&self, path: &ResourcePath) -> Option<Arc<Resource>> {
        self.definitions.row(path, &self.backend.moment().state)
    }

    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        telemetry: Metrics,
        shutdown: Shutdown,
        around: Around,
    ) -> Arc<Self> {
        let metrics = ServerMetrics::new(&telemetry);
        Arc::new(Self {
            backend,
            metrics,
            telemetry,
            shutdown,
            leader: around.leader,
            dialer: around.dialer,
            settings: around.settings,
            definitions: Registry::default(),
            tokens: Tokens::default(),
            requests: Semaphore::new(REQUESTS_MAX),
            proxied: Semaphore::new(PROXIED_MAX),
        })
    }
}

/// The API server of one master.
pub struct Service {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    router: Router,
    connections_max: u32,
}

impl Service {
    /// Prepares to serve `backend`; `shutdown` is what [`Service::run`] will be given.
    pub fn new(options: Options, backend: Arc<dyn Backend>, shutdown: Shutdown) -> Self {
        let context = Context::new(backend, options.telemetry, shutdown, options.around);
        let router = routes::router(context, options.guarded, options.open);
        let connections_max = u32::try_from(options.connections_max).unwrap_or(u32::MAX);
        let acceptor = TlsAcceptor::from(options.tls);
        Self { listener: options.listener, acceptor, router, connections_max }
    }

    /// Serves until the shutdown, then lets open requests finish for [`DRAIN_TIMEOUT`].
    pub async fn run(self, mut shutdown: Shutdown) {
        let places = Arc::new(Semaphore::new(self.connections_max as usize));
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
                client: stream.peer_addr().ok().map(|address| address.ip()),
            };
            env::spawn(async move {
                // Small answers: waiting to fill a packet would only add delay.
                let _ = stream.set_nodelay(true);
                if let Err(error) = connection.serve(stream).await {
                    tracing::debug!(%error, "connection ended");
                }
                drop(place);
            });
        }
        drop(self.listener);
        // Whoever is not done then is cut off by the end of the process.
        let _ = env::timeout(DRAIN_TIMEOUT, places.acquire_many(self.connections_max)).await;
    }

    /// The next connection, when there is room for one.
    async fn accept(&self, places: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _)) => Some((stream, place)),
            Err(error) => {
                // Out of file descriptors, mostly: others must close first.
                tracing::warn!(%error, "a connection could not be accepted");
                env::sleep(ACCEPT_RETRY).await;
                None
            }
        }
    }
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
