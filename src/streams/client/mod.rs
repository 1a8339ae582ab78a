//! The client's side, as kubectl behaves: WebSocket first, and SPDY where the server refuses that.

use std::future::Future;
use std::io;

use base::env;
use http::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{Method, Request, response};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

pub use forwarder::Forwarder;
pub use session::{Outcome, Resizer, Session};

use crate::driver::{Driver, Wire};
use crate::error::Error;
use crate::exchange::{Answer, exchange};
use crate::upgrade::{PROTOCOL_VERSION, SPDY, WEB_SOCKET};

mod forwarder;
mod session;

/// Opens connections to a server, with TLS where it speaks that.
pub trait Dial {
    /// What an open connection is.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects. Called once more where the server refuses the first attempt at an upgrade.
    fn dial(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// A connection that is no longer HTTP, and the protocol on it.
enum Agreed {
    WebSocket(TokioIo<Upgraded>),
    Spdy(TokioIo<Upgraded>),
}

/// Asks for an upgrade to WebSocket, and if that is refused for one to SPDY. Of `request` the path, the
/// query and the headers count.
async fn agree<D: Dial>(
    dial: &D,
    request: &Request<()>,
    web_socket: &'static str,
    spdy: &'static str,
) -> Result<Agreed, Error> {
    match over_web_socket(dial, request, web_socket).await {
        Err(Error::Refused { status, body }) => {
            tracing::debug!(%status, body, "WebSocket was refused, SPDY is asked for");
            over_spdy(dial, request, spdy).await.map(Agreed::Spdy)
        }
        agreed => agreed.map(Agreed::WebSocket),
    }
}

async fn over_web_socket<D: Dial>(
    dial: &D,
    request: &Request<()>,
    protocol: &'static str,
) -> Result<TokioIo<Upgraded>, Error> {
    let key = generate_key();
    let mut request = asking(request, Method::GET, WEB_SOCKET);
    let headers = request.headers_mut();
    headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
    headers.insert("sec-websocket-key", HeaderValue::try_from(key.as_str()).map_err(http::Error::from)?);
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    let (head, stream) = switched(dial, request).await?;
    let agreed = head.headers.get(SEC_WEBSOCKET_PROTOCOL);
    let accepted = head.headers.get("sec-websocket-accept");
    if accepted.is_none_or(|accepted| accepted != derive_accept_key(key.as_bytes()).as_str()) {
        return Err(Error::Protocol("the server's answer to a WebSocket is to another request".to_owned()));
    }
    as_asked(&head, agreed, protocol)?;
    Ok(stream)
}

async fn over_spdy<D: Dial>(
    dial: &D,
    request: &Request<()>,
    protocol: &'static str,
) -> Result<TokioIo<Upgraded>, Error> {
    let mut request = asking(request, Method::POST, SPDY);
    request.headers_mut().insert(PROTOCOL_VERSION, HeaderValue::from_static(protocol));
    let (head, stream) = switched(dial, request).await?;
    as_asked(&head, head.headers.get(PROTOCOL_VERSION), protocol)?;
    Ok(stream)
}

/// A server that switched to another protocol than the one asked for counts as one that refused.
fn as_asked(
    head: &response::Parts,
    agreed: Option<&HeaderValue>,
    protocol: &'static str,
) -> Result<(), Error> {
    if agreed.is_some_and(|agreed| agreed == protocol) {
        return Ok(());
    }
    let agreed = agreed.map_or("", |agreed| agreed.to_str().unwrap_or_default());
    let body = format!("invalid protocol, expected one of [{protocol:?}], got {agreed:?}");
    Err(Error::Refused { status: head.status, body })
}

fn asking(request: &Request<()>, method: Method, to: &'static str) -> Request<()> {
    let mut asking = request.clone();
    *asking.method_mut() = method;
    asking.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    asking.headers_mut().insert(UPGRADE, HeaderValue::from_static(to));
    asking
}

async fn switched<D: Dial>(
    dial: &D,
    request: Request<()>,
) -> Result<(response::Parts, TokioIo<Upgraded>), Error> {
    match exchange(dial.dial().await?, request).await? {
        Answer::Switched(head, stream) => Ok((head, TokioIo::new(stream))),
        Answer::Other(head, body) => {
            let body = String::from_utf8_lossy(&body).trim().to_owned();
            Err(Error::Refused { status: head.status, body })
        }
    }
}

/// Drives a connection until nobody holds a part of it, or the server goes.
fn run<W: Wire + Send + 'static>(driver: Driver<W>) -> env::JoinHandle<()> {
    env::spawn(async move {
        if let Err(error) = driver.await {
            tracing::debug!(%error, "a streaming connection broke");
        }
    })
}
