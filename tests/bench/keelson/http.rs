//! A lean HTTPS client: one connection, requests whose answers are counted and not parsed, so that
//! the load leaves the CPU to the masters.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use chaos::kubeconfig::Endpoint;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

/// The version of HTTP that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// One request at a time on a connection.
    Http1,
    /// Many requests at a time on a connection.
    Http2,
}

impl Protocol {
    /// How many connections `clients` clients use.
    pub fn connections(self, clients: usize) -> usize {
        match self {
            Self::Http1 => clients,
            Self::Http2 => clients.min(crate::scale::CONNECTIONS),
        }
    }

    fn alpn(self) -> Vec<u8> {
        match self {
            Self::Http1 => b"http/1.1".to_vec(),
            Self::Http2 => b"h2".to_vec(),
        }
    }
}

/// What a request's body is, and what its answer shall be.
#[derive(Clone, Copy, Debug)]
pub struct Media {
    /// Content-Type; of a request without a body it says nothing.
    pub content: &'static str,
    /// Accept.
    pub accept: &'static str,
}

impl Media {
    /// JSON both ways.
    pub const JSON: Self = Self { content: "application/json", accept: "application/json" };
}

/// A merge patch.
pub const MERGE_PATCH: Media = Media { content: "application/merge-patch+json", ..Media::JSON };

/// Receive windows of HTTP/2, as Go's client (and so kubectl) sets them.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 30;
/// Of a refusal's text, what an error message shows.
const REFUSAL_SHOWN_BYTES: usize = 300;

/// One connection to one address.
pub struct Connection {
    authority: String,
    sender: Sender,
}

enum Sender {
    Http1(Mutex<http1::SendRequest<Full<Bytes>>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Connects as `endpoint` says.
    pub async fn open(endpoint: &Endpoint, protocol: Protocol) -> Result<Self> {
        let opening = Self::connect(endpoint, protocol).await;
        opening.with_context(|| format!("connecting to {}", endpoint.address))
    }

    async fn connect(endpoint: &Endpoint, protocol: Protocol) -> Result<Self> {
        let tcp = TcpStream::connect(&endpoint.address).await?;
        tcp.set_nodelay(true)?;
        let mut tls = (*endpoint.tls).clone();
        tls.alpn_protocols = vec![protocol.alpn()];
        let connector = TlsConnector::from(Arc::new(tls));
        let stream = TokioIo::new(connector.connect(endpoint.server_name.clone(), tcp).await?);
        // The tasks below end with the connection; its error reaches every request in flight.
        let sender = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await?;
                base::env::spawn(connection);
                Sender::Http1(Mutex::new(sender))
            }
            Protocol::Http2 => {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.timer(TokioTimer::new()).initial_stream_window_size(STREAM_WINDOW_BYTES);
                builder.initial_connection_window_size(CONNECTION_WINDOW_BYTES);
                let (sender, connection) = builder.handshake(stream).await?;
                base::env::spawn(connection);
                Sender::Http2(sender)
            }
        };
        Ok(Self { authority: endpoint.address.clone(), sender })
    }

    /// Sends a request in JSON; resolves with the head of the answer, whatever its status.
    pub async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>> {
        self.send_as(Media::JSON, method, path, body).await
    }

    /// Sends a request; resolves with the head of the answer, whatever its status.
    pub async fn send_as(
        &self,
        media: Media,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>> {
        let request = Request::builder().method(method).header("accept", media.accept);
        let request = if body.is_empty() { request } else { request.header("content-type", media.content) };
        match &self.sender {
            Sender::Http1(sender) => {
                let request = request.uri(path).header("host", &self.authority).body(Full::new(body))?;
                let mut sender = sender.lock().await;
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
            Sender::Http2(sender) => {
                let uri = format!("https://{}{path}", self.authority);
                let request = request.uri(uri).body(Full::new(body))?;
                let mut sender = sender.clone();
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
        }
    }

    /// Sends a request and counts the bytes of its answer.
    ///
    /// # Errors
    /// When the status is not 2xx; the text holds the status and the beginning of the answer.
    pub async fn accepted(&self, method: Method, path: &str, body: Bytes) -> Result<u64> {
        self.accepted_as(Media::JSON, method, path, body).await
    }

    /// The same in other forms than JSON.
    ///
    /// # Errors
    /// As [`Connection::accepted`].
    pub async fn accepted_as(&self, media: Media, method: Method, path: &str, body: Bytes) -> Result<u64> {
        let mut answer = succeeded(self.send_as(media, method, path, body).await?).await?.into_body();
        let mut size_bytes = 0;
        while let Some(frame) = answer.frame().await {
            size_bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
        Ok(size_bytes)
    }

    /// Sends a GET and returns its answer whole.
    ///
    /// # Errors
    /// As [`Connection::accepted`].
    pub async fn get(&self, path: &str) -> Result<Bytes> {
        let answer = succeeded(self.send(Method::GET, path, Bytes::new()).await?).await?;
        Ok(answer.into_body().collect().await?.to_bytes())
    }
}

/// The answer itself when its status is 2xx.
///
/// # Errors
/// Otherwise; the text holds the status and the beginning of the answer.
pub async fn succeeded(answer: Response<Incoming>) -> Result<Response<Incoming>> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let text = answer.into_body().collect().await?.to_bytes();
    bail!("{status}: {}", String::from_utf8_lossy(&text[..text.len().min(REFUSAL_SHOWN_BYTES)]))
}

/// `count` connections, opened a few at a time.
pub async fn open_many(endpoint: &Endpoint, protocol: Protocol, count: usize) -> Result<Vec<Connection>> {
    use futures::{StreamExt, TryStreamExt};
    /// Handshakes at a time: more would only wait for the masters' CPU.
    const OPENING_MAX: usize = 32;
    let opening = futures::stream::iter((0..count).map(|_| Connection::open(endpoint, protocol)));
    opening.buffered(OPENING_MAX).try_collect().await
}
