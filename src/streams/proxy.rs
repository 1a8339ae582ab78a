//! Upgrades that are only passed on: whoever stands between does not look into the streams.
//!
//! # Guarantees
//! - Only a backend that switched protocols is connected to the client. After any other answer its
//!   connection is closed before the client has that answer, so that no further request can reach it with
//!   the rights of whoever stands between (CVE-2018-1002105).
//! - No redirect is followed, nor handed on (CVE-2020-8559).

use base::env;
use bytes::Bytes;
use futures::future::{Either, select};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{Request, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::error::Error;
use crate::exchange::{Answer, exchange};
use crate::limits::LINGER_TIMEOUT;
use crate::upgrade;

/// What a backend made of a request.
#[derive(Debug)]
pub enum Proxied {
    /// It switched protocols: the answer to send, and what to run then.
    Switched(Response<Bytes>, Passage),
    /// It refused: the answer to send.
    Refused(Response<Bytes>),
}

/// Bytes in both directions between a client and its backend.
#[derive(Debug)]
pub struct Passage {
    client: OnUpgrade,
    backend: Upgraded,
}

/// Passes an upgrade request on over a new connection to its backend. The head goes as it is,
/// without a body: whoever calls has taken credentials out of it and put the backend's path in.
///
/// # Errors
/// When the request asks for no upgrade, or the backend neither switches protocols nor says with an error
/// why not.
pub async fn proxy_upgrade<S>(mut head: Parts, client: OnUpgrade, backend: S) -> Result<Proxied, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    upgrade::asked(&head.headers).map_err(|refusal| Error::Protocol(refusal.message))?;
    // There is no body: a backend that waits for one would take it from what follows the upgrade.
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING] {
        head.headers.remove(name);
    }
    match exchange(backend, Request::from_parts(head, ())).await? {
        Answer::Switched(head, backend) => {
            let response = Response::from_parts(head, Bytes::new());
            Ok(Proxied::Switched(response, Passage { client, backend }))
        }
        Answer::Other(head, _) if !head.status.is_client_error() && !head.status.is_server_error() => {
            Err(Error::NotSwitched(head.status))
        }
        Answer::Other(mut head, body) => {
            // These are about the connection on which the answer came.
            for name in [CONNECTION, UPGRADE, CONTENT_LENGTH, TRANSFER_ENCODING] {
                head.headers.remove(name);
            }
            Ok(Proxied::Refused(Response::from_parts(head, body)))
        }
    }
}

impl Passage {
    /// Copies until both sides have ended; the second one soon after the first.
    ///
    /// # Errors
    /// When the client's connection is not upgraded, or either breaks.
    pub async fn run(self) -> Result<(), Error> {
        let (from_client, to_client) = tokio::io::split(TokioIo::new(self.client.await?));
        let (from_backend, to_backend) = tokio::io::split(TokioIo::new(self.backend));
        let inwards = Box::pin(copy(from_client, to_backend));
        let outwards = Box::pin(copy(from_backend, to_client));
        let (ended, other) = match select(inwards, outwards).await {
            Either::Left((ended, other)) => (ended, Either::Left(other)),
            Either::Right((ended, other)) => (ended, Either::Right(other)),
        };
        ended?;
        // What the other side still has to say belongs to what has just ended.
        env::timeout(LINGER_TIMEOUT, other).await.unwrap_or(Ok(()))?;
        Ok(())
    }
}

async fn copy<R, W>(mut from: R, mut to: W) -> std::io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await
}
