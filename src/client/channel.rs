//! The real transport: one HTTP/2 connection to each master that is asked.
//!
//! # Guarantees
//! - Requests and watches share the connection, so that a client has as many open files as masters it talks to.
//! - A master that falls silent is noticed within [`PING_INTERVAL`] and [`PING_TIMEOUT`], whatever is open.
//! - A failed connection attempt answers everybody who waited for it: nobody tries again one after another.
//! - After a change of certificate new requests take a new connection; streams on the old one go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::env::{self, Instant};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::credentials::{self, Identity};
use crate::error::Error;
use crate::server::Server;
use crate::transport::{Body, BodyError, SendError, Transport};

/// After how long without a word a master is asked whether it is still there.
pub const PING_INTERVAL: Duration = Duration::from_secs(1);
/// How long it may take to say so.
pub const PING_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long a connection may take to open, its handshakes included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of one answer that wait for whoever reads it.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes of all answers of a connection together: streams that nobody reads for a while must not hold up others.
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;

/// Connections to the masters.
pub(crate) struct Channels {
    authority: String,
    shared: Arc<Shared>,
    slots: Mutex<BTreeMap<Server, Arc<tokio::sync::Mutex<Slot>>>>,
}

/// What a new connection shows, and how often that has changed.
struct Shared(Mutex<(u64, Arc<ClientConfig>)>);

/// The way to one master.
#[derive(Default)]
struct Slot {
    /// With the number of the credentials that it was opened with.
    open: Option<(u64, SendRequest<Full<Bytes>>)>,
    /// The last attempt that failed, when it ended, and why.
    failed: Option<(Instant, String)>,
}

impl Channels {
    /// # Errors
    /// When authority or identity cannot be read.
    pub(crate) fn new(authority: String, identity: Option<&Identity>) -> Result<Self, Error> {
        let tls = credentials::tls(&authority, identity)?;
        let shared = Arc::new(Shared(Mutex::new((0, tls))));
        Ok(Self { authority, shared, slots: Mutex::default() })
    }
}

impl Transport for Channels {
    fn send(
        &self,
        server: &Server,
        request: Request<Bytes>,
    ) -> BoxFuture<'static, Result<Response<Body>, SendError>> {
        let slot = Arc::clone(self.slots.lock().entry(server.clone()).or_default());
        exchange(Arc::clone(&self.shared), slot, server.clone(), request).boxed()
    }

    fn set_identity(&self, identity: Option<&Identity>) -> Result<(), Error> {
        let tls = credentials::tls(&self.authority, identity)?;
        let mut current = self.shared.0.lock();
        *current = (current.0 + 1, tls);
        Ok(())
    }

    fn retain(&self, servers: &[Server]) {
        self.slots.lock().retain(|server, _| servers.contains(server));
    }
}

async fn exchange(
    shared: Arc<Shared>,
    slot: Arc<tokio::sync::Mutex<Slot>>,
    server: Server,
    request: Request<Bytes>,
) -> Result<Response<Body>, SendError> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = server.uri(path).map_err(|error| SendError::NotSent(error.to_string()))?;
    let mut request = Request::from_parts(parts, Full::new(body));
    // Once more when the connection turns out to have ended before it took the request.
    for _ in 0..2 {
        let mut sender = sender(&shared, &slot, &server).await.map_err(SendError::NotSent)?;
        match sender.try_send_request(request).await {
            Ok(response) => {
                return Ok(
                    response.map(|body| body.map_err(|error| BodyError(causes(&error))).boxed_unsync())
                );
            }
            Err(mut failed) => match failed.take_message() {
                Some(unsent) => request = unsent,
                None => return Err(SendError::Lost(causes(&failed.into_error()))),
            },
        }
    }
    Err(SendError::NotSent("the connection ends as soon as it is open".to_owned()))
}

/// An open connection: the one there is, or a new one.
async fn sender(
    shared: &Shared,
    slot: &tokio::sync::Mutex<Slot>,
    server: &Server,
) -> Result<SendRequest<Full<Bytes>>, String> {
    let asked = env::monotonic();
    let (number, tls) = shared.0.lock().clone();
    let mut slot = slot.lock().await;
    if let Some((opened_with, sender)) = &slot.open
        && *opened_with >= number
        && !sender.is_closed()
    {
        return Ok(sender.clone());
    }
    slot.open = None;
    if let Some((_, why)) = slot.failed.as_ref().filter(|(ended, _)| *ended >= asked) {
        return Err(why.clone());
    }
    let opened = env::timeout(CONNECT_TIMEOUT, connect(server, tls)).await;
    let opened =
        opened.unwrap_or_else(|_| Err(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())));
    match opened {
        Ok(sender) => {
            slot.open = Some((number, sender.clone()));
            Ok(sender)
        }
        Err(why) => {
            slot.failed = Some((env::monotonic(), why.clone()));
            Err(why)
        }
    }
}

async fn connect(server: &Server, tls: Arc<ClientConfig>) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream =
        TcpStream::connect((server.host(), server.port())).await.map_err(|error| error.to_string())?;
    // Small requests: waiting to fill a packet would only add delay.
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    if !server.is_tls() {
        return handshake(stream).await;
    }
    let name = ServerName::try_from(server.host().to_owned()).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(tls).connect(name, stream).await.map_err(|error| error.to_string())?;
    handshake(stream).await
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        // A request into a dead connection could not be told from one that was done.
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let (sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|error| causes(&error))?;
    env::spawn(async move {
        // Ends with the last stream after the sender is gone. Requests hear of the error that ended it.
        let _ = connection.await;
    });
    Ok(sender)
}

/// An error with what caused it, in one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
