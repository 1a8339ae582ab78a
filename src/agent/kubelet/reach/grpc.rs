//! `grpc.health.v1.Health/Check`: one call over HTTP/2 without TLS, its two messages written and read here.

use base::env;
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2;
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;

use super::Health;
use crate::limits::PROBE_OUTPUT_BYTES_MAX;

/// Bytes of the head of a message: whether it is compressed, and its length.
const HEAD_BYTES: usize = 5;

/// gRPC's own code for what has no other.
const UNKNOWN: u32 = 2;

/// Asks over an open connection.
pub(super) async fn check(stream: TcpStream, authority: &str, service: &str) -> Health {
    let exchanged = exchange(stream, authority, service).await;
    exchanged.unwrap_or_else(|message| Health::Refused { code: UNKNOWN, message })
}

async fn exchange(stream: TcpStream, authority: &str, service: &str) -> Result<Health, String> {
    let opened = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(|error| error.to_string())?;
    let connection = env::spawn(connection);
    let request = Request::post(format!("http://{authority}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.37")
        .body(Full::new(question(service)))
        .map_err(|error| error.to_string())?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("unexpected HTTP status code received from server: {}", answer.status()));
        }
        // One that fails at once has its trailers in the head.
        if let Some(refused) = refused(answer.headers()) {
            return Ok(refused);
        }
        let body = Limited::new(answer.into_body(), PROBE_OUTPUT_BYTES_MAX).collect().await;
        let body = body.map_err(|error| error.to_string())?;
        if let Some(refused) = body.trailers().and_then(refused) {
            return Ok(refused);
        }
        status(&body.to_bytes()).map(Health::Answered)
    };
    let health = answered.await;
    connection.abort();
    health
}

/// `HealthCheckRequest`: field 1 is the service.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.extend_from_slice(&message);
    framed.freeze()
}

/// `HealthCheckResponse`: field 1 is the status, and a field that is missing is 0.
fn status(body: &[u8]) -> Result<u64, String> {
    let (head, rest) = body.split_at_checked(HEAD_BYTES).ok_or("the answer holds no message")?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let message = rest.get(..length).filter(|_| head[0] == 0);
    match message.ok_or("the answer's message is compressed, or cut off")? {
        [] => Ok(0),
        [0x08, varint @ ..] => {
            let last = varint.iter().position(|byte| byte & 0x80 == 0).filter(|last| *last < 9);
            let bytes = &varint[..=last.ok_or("the answer's status is cut off")?];
            Ok(bytes.iter().rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f)))
        }
        other => Err(format!("the answer is no HealthCheckResponse: {other:02x?}")),
    }
}

/// What the trailers say, if it is no success.
fn refused(trailers: &HeaderMap) -> Option<Health> {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    let code = text("grpc-status")?.parse().unwrap_or(UNKNOWN);
    let message = text("grpc-message").unwrap_or_default();
    (code != 0).then(|| Health::Refused {
        code,
        message: percent_decode_str(message).decode_utf8_lossy().into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn messages_are_those_of_the_protocol() {
        assert_eq!(question("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(question("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(question(&"x".repeat(300))[5..8], [0x0a, 0xac, 0x02]);
        assert_eq!(status(&[0, 0, 0, 0, 0]), Ok(0));
        assert_eq!(status(&[0, 0, 0, 0, 2, 8, 1]), Ok(1));
        assert_eq!(status(&[0, 0, 0, 0, 3, 8, 0x80, 1]), Ok(128));
        for wrong in
            [&[0, 0, 0, 0][..], &[1, 0, 0, 0, 2, 8, 1], &[0, 0, 0, 0, 9, 8], &[0, 0, 0, 0, 2, 8, 0x80]]
        {
            assert!(status(wrong).is_err(), "{wrong:?}");
        }
        let trailers = [("grpc-status", "14"), ("grpc-message", "a%20b%")];
        let trailers =
            trailers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let told = Health::Refused { code: 14, message: "a b%".to_owned() };
        assert_eq!(refused(&trailers.into_iter().collect()), Some(told));
    }
}
