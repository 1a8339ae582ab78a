//! One HTTP/1.1 request on a connection of its own, which the answer may turn into something else.

use std::pin::pin;

use base::env;
use bytes::{Bytes, BytesMut};
use futures::future::{Either, select};
use http::header::HOST;
use http::{HeaderValue, Request, StatusCode, response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::Error;
use crate::limits::{REFUSAL_BYTES_MAX, UPGRADE_TIMEOUT};

/// How a server answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The connection is no longer HTTP.
    Switched(response::Parts, Upgraded),
    /// With something else. The connection is closed; of the body there is the beginning.
    Other(response::Parts, Bytes),
}

/// Asks for an upgrade. Whatever the answer, it is the last: nothing is asked twice, and no redirect is
/// followed.
pub(crate) async fn exchange<S>(stream: S, request: Request<()>) -> Result<Answer, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let exchanged = env::timeout(UPGRADE_TIMEOUT, Box::pin(exchange_unlimited(stream, request))).await;
    exchanged.map_err(|_| Error::TimedOut("waiting for the answer to an upgrade request"))?
}

async fn exchange_unlimited<S>(stream: S, mut request: Request<()>) -> Result<Answer, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // HTTP/1.1 demands one, whatever it says.
    request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static("localhost"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asked = async {
        let mut response = sender.send_request(request.map(|()| Empty::<Bytes>::new())).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let upgraded = hyper::upgrade::on(&mut response).await?;
            return Ok(Answer::Switched(response.into_parts().0, upgraded));
        }
        let (head, body) = response.into_parts();
        Ok(Answer::Other(head, beginning(body).await?))
    };
    // The connection's own end may come first; it is the answer that tells what it was.
    match select(pin!(asked), pin!(connection.with_upgrades())).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, asked)) => asked.await,
    }
}

/// At most [`REFUSAL_BYTES_MAX`] of a body.
async fn beginning(mut body: Incoming) -> Result<Bytes, Error> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = REFUSAL_BYTES_MAX - bytes.len();
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() >= room {
            break;
        }
    }
    Ok(bytes.freeze())
}
