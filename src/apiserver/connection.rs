//! One connection: TLS, who its client is, and HTTP until its end.
//!
//! # Flow
//! TLS handshake -> who is it (client certificate) -> HTTP/1.1 or HTTP/2, by what the client sends.
//!
//! # Guarantees
//! A client that says nothing, or reads nothing of what waits for it, is let go within a named time. One
//! that has nothing to read, as with a watch of something that does not change, may stay.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::response::Response;
use base::env;
use base::shutdown::Shutdown;
use base::stall::StallLimit;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use crate::limits::{
    CONNECTION_BUFFER_BYTES, CONNECTION_WINDOW_BYTES, DRAIN_TIMEOUT, HANDSHAKE_TIMEOUT, HEAD_BYTES_MAX,
    KEEP_ALIVE_INTERVAL, SEND_BUFFER_BYTES, STREAM_WINDOW_BYTES, STREAMS_MAX, WRITE_STALL_MAX,
};
use crate::streams::{Streams, Told};
use crate::user::{Peer, User};

/// How a connection failed.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a connection needs to be served.
pub(crate) struct Connection {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) router: Router,
    pub(crate) shutdown: Shutdown,
    /// Where the client is, if that is known.
    pub(crate) client: Option<IpAddr>,
}

/// In the extensions of a request: where its client is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl Connection {
    /// Serves it to its end.
    ///
    /// # Errors
    /// When the client broke it off, or was let go.
    pub(crate) async fn serve<S>(mut self, stream: S) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // Below TLS and HTTP, so that whatever either wants to send has the same deadline.
        let stream = StallLimit::new(stream, WRITE_STALL_MAX);
        let handshake = env::timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream)).await;
        let stream = handshake.map_err(|_| silent())??;
        let peer = peer_of(&stream);
        let has_asked = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&has_asked);
        let router = self.router.clone().map_request(move |mut request: http::Request<_>| {
            asked.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(peer.clone());
            if let Some(client) = self.client {
                request.extensions_mut().insert(ClientAddress(client));
            }
            request
        });
        let service = router.map_response(|response: Response| response.map(Told::new));
        let builder = builder();
        let connection =
            builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
        tokio::pin!(connection);
        tokio::select! {
            biased;
            () = self.shutdown.wait() => {}
            served = connection.as_mut() => return served,
            () = never_asks(&has_asked) => return Err(silent().into()),
        }
        connection.as_mut().graceful_shutdown();
        env::timeout(DRAIN_TIMEOUT, connection).await.unwrap_or(Ok(()))
    }
}

/// Resolves when the first request is overdue. HTTP asks for it by itself only once it knows its version.
async fn never_asks(has_asked: &AtomicBool) {
    env::sleep(HANDSHAKE_TIMEOUT).await;
    if has_asked.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

fn silent() -> io::Error {
    let why = format!("the client asked for nothing within {} s", HANDSHAKE_TIMEOUT.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, why)
}

fn builder() -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(Streams);
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
fn peer_of<S>(stream: &TlsStream<S>) -> Peer {
    let certificates = stream.get_ref().1.peer_certificates();
    Peer(certificates.and_then(|chain| chain.first()).and_then(|leaf| User::of_certificate(leaf)))
}
