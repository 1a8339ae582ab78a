//! A gRPC client for etcd: unary calls over HTTP/2 without TLS, as lean as the protocol allows, so
//! that the load does not take the CPU that etcd needs.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Uri};
use tokio::net::TcpStream;

use super::proto;
use crate::load::Target;

/// Larger than anything the benchmark reads in one call, so the window never stops an answer.
const WINDOW_BYTES: u32 = 1 << 20;

/// One connection; calls on it run side by side.
pub struct Connection {
    requests: h2::client::SendRequest<Bytes>,
    put: Uri,
    status: Uri,
}

impl Connection {
    /// Connects to a member's client address.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let tcp =
            TcpStream::connect(address).await.with_context(|| format!("connecting to etcd at {address}"))?;
        tcp.set_nodelay(true).context("setting TCP_NODELAY")?;
        let (requests, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .handshake(tcp)
            .await
            .with_context(|| format!("HTTP/2 handshake with etcd at {address}"))?;
        // Ends with the connection; its error reaches every call in flight.
        base::env::spawn(connection);
        let uri =
            |method: &str| -> Result<Uri> { Ok(format!("http://{address}/etcdserverpb.{method}").parse()?) };
        Ok(Self { requests, put: uri("KV/Put")?, status: uri("Maintenance/Status")? })
    }

    /// Stores a value; resolves once a quorum has it.
    pub async fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.call(&self.put, &proto::put_request(key, value)).await.map(drop).context("etcd Put")
    }

    /// Asks the member who it is and who leads.
    pub async fn status(&self) -> Result<proto::Status> {
        let message = self.call(&self.status, &[]).await.context("etcd Status")?;
        proto::status_response(&message).context("etcd Status: the answer is no StatusResponse")
    }

    async fn call(&self, method: &Uri, message: &[u8]) -> Result<Bytes> {
        let request = Request::post(method.clone())
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let mut requests = self.requests.clone().ready().await?;
        let (response, mut upload) = requests.send_request(request, false)?;
        upload.send_data(framed(message), true)?;
        let (head, mut body) = response.await?.into_parts();
        let mut answer = BytesMut::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            answer.extend_from_slice(&chunk);
        }
        let trailers = body.trailers().await?;
        accepted(trailers.as_ref().unwrap_or(&head.headers))?;
        Ok(unframed(answer.freeze()))
    }
}

/// Bytes before each gRPC message: a flag for compression and the length.
const FRAME_HEADER_BYTES: usize = 5;

fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(FRAME_HEADER_BYTES + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

/// A unary answer is one frame (or none, with an error in the trailers).
fn unframed(mut answer: Bytes) -> Bytes {
    answer.split_off(FRAME_HEADER_BYTES.min(answer.len()))
}

fn accepted(trailers: &HeaderMap) -> Result<()> {
    match trailers.get("grpc-status").map(http::HeaderValue::as_bytes) {
        Some(b"0") => Ok(()),
        status => bail!(
            "refused with grpc-status {:?}: {:?}",
            status.map(String::from_utf8_lossy),
            trailers.get("grpc-message")
        ),
    }
}

/// Clients that put values, spread evenly over connections to one member.
pub struct Putters {
    connections: Vec<Connection>,
    value: Vec<u8>,
}

impl Putters {
    /// `connections` connections to one member, and values of `value_bytes`.
    pub async fn open(address: SocketAddr, connections: usize, value_bytes: usize) -> Result<Self> {
        let opening = (0..connections).map(|_| Connection::open(address));
        let connections = futures::future::try_join_all(opening).await?;
        Ok(Self { connections, value: vec![b'v'; value_bytes] })
    }
}

impl Target for Putters {
    async fn call(&self, client: usize, sequence: u64) -> Result<()> {
        let key = format!("bench/{client:04}/{sequence:08}");
        self.connections[client % self.connections.len()].put(key.as_bytes(), &self.value).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_frame() {
        assert_eq!(&framed(b"abc")[..], b"\x00\x00\x00\x00\x03abc");
        assert_eq!(&unframed(framed(b"abc"))[..], b"abc");
        assert!(unframed(Bytes::new()).is_empty());
    }

    #[test]
    fn only_status_zero_is_accepted() {
        let check = |status: Option<&'static str>, expect: bool| {
            let mut trailers = HeaderMap::new();
            status.map(|status| trailers.insert("grpc-status", http::HeaderValue::from_static(status)));
            assert_eq!(accepted(&trailers).is_ok(), expect, "{status:?}");
        };
        check(Some("0"), true);
        check(Some("14"), false);
        check(None, false);
    }
}
