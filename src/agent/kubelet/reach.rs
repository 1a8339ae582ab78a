//! How probes and hooks reach a pod over the network, with what went wrong in the words that Go has for it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use base::env;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::limits::PROBE_OUTPUT_BYTES_MAX;

mod grpc;
#[cfg(test)]
mod tests;
mod tls;

/// How long to wait before a server that is not there is dialled again.
const DIAL_AGAIN: Duration = Duration::from_millis(100);

/// A request of a probe or a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Over TLS, whatever certificate is shown.
    pub is_tls: bool,
    /// With the query.
    pub path: String,
    /// In the order of the object.
    pub headers: Vec<(String, String)>,
}

/// What a server says of its health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// This `HealthCheckResponse.ServingStatus`.
    Answered(u64),
    /// gRPC's code and message of why not.
    Refused {
        /// The code.
        code: u32,
        /// For people.
        message: String,
    },
    /// There was no connection in time.
    NotConnected,
    /// There was no answer in time.
    TimedOut,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub code: u16,
    /// Its beginning.
    pub body: String,
    /// Where it leads, if it is a redirect.
    pub location: Option<String>,
}

impl HttpCall {
    /// `host:port`, with brackets around an IPv6 address.
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }

    /// The whole address.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.path)
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The network between the kubelet and its pods. Errors are texts of failed probes.
#[async_trait]
pub trait Reach: Send + Sync {
    /// One GET.
    async fn get(&self, call: &HttpCall) -> Result<HttpAnswer, String>;
    /// Opens a connection and closes it.
    async fn connect(&self, host: &str, port: u16) -> Result<(), String>;
    /// Asks a gRPC server for the health of a service of its, within a time.
    async fn health(&self, host: &str, port: u16, service: &str, limit: Duration) -> Health;
}

/// The real one.
pub struct Network;

async fn dial(host: &str, port: u16) -> Result<TcpStream, String> {
    let target = authority(host, port);
    let connected = match host.parse() {
        Ok(ip) => TcpStream::connect(SocketAddr::new(ip, port)).await,
        Err(_) => TcpStream::connect(&target).await,
    };
    connected.map_err(|error| {
        let what = match error.kind() {
            ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
            ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
            _ => error.to_string(),
        };
        format!("dial tcp {target}: {what}")
    })
}

#[async_trait]
impl Reach for Network {
    async fn get(&self, call: &HttpCall) -> Result<HttpAnswer, String> {
        let failed = |what: String| format!("Get {:?}: {what}", call.url());
        let stream = dial(&call.host, call.port).await.map_err(failed)?;
        if call.is_tls {
            let stream = tls::connect(stream, &call.host).await.map_err(failed)?;
            return exchange(stream, call).await.map_err(failed);
        }
        exchange(stream, call).await.map_err(failed)
    }

    async fn connect(&self, host: &str, port: u16) -> Result<(), String> {
        dial(host, port).await.map(drop)
    }

    async fn health(&self, host: &str, port: u16, service: &str, limit: Duration) -> Health {
        let deadline = env::monotonic() + limit;
        let dialled = async {
            loop {
                match dial(host, port).await {
                    Ok(stream) => return stream,
                    Err(_) => env::sleep(DIAL_AGAIN).await,
                }
            }
        };
        let Ok(stream) = env::timeout_at(deadline, dialled).await else { return Health::NotConnected };
        let authority = authority(host, port);
        let checked = env::timeout_at(deadline, grpc::check(stream, &authority, service)).await;
        checked.unwrap_or(Health::TimedOut)
    }
}

async fn exchange<S>(stream: S, call: &HttpCall) -> Result<HttpAnswer, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let opened = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(|error| error.to_string())?;
    let connection = env::spawn(connection);
    let answer = ask(&mut sender, call).await;
    connection.abort();
    answer
}

async fn ask(
    sender: &mut hyper::client::conn::http1::SendRequest<Empty<Bytes>>,
    call: &HttpCall,
) -> Result<HttpAnswer, String> {
    let mut request = Request::get(&call.path);
    let has = |name: &str| call.headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
    let authority = call.authority();
    for (name, value) in [("Host", authority.as_str()), ("User-Agent", "kube-probe/1.37"), ("Accept", "*/*")]
    {
        if !has(name) {
            request = request.header(name, value);
        }
    }
    for (name, value) in &call.headers {
        // An empty value takes a header away that would be sent otherwise.
        if !value.is_empty() || !name.eq_ignore_ascii_case("accept") {
            request = request.header(name, value);
        }
    }
    let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let location = answer.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let code = answer.status().as_u16();
    // A longer body is no failure: its end is not read.
    let mut body = Limited::new(answer.into_body(), PROBE_OUTPUT_BYTES_MAX);
    let mut text = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        text.extend(frame.into_data().unwrap_or_default());
    }
    Ok(HttpAnswer { code, body: String::from_utf8_lossy(&text).into_owned(), location })
}

/// A network in memory: what is not set refuses.
#[derive(Default)]
pub struct FakeReach {
    healths: Mutex<BTreeMap<String, Health>>,
    answers: Mutex<BTreeMap<String, HttpAnswer>>,
    calls: Mutex<Vec<String>>,
}

impl FakeReach {
    /// From now on a GET of this address is answered so; a connection to its authority works as well.
    pub fn answer(&self, url: &str, code: u16) {
        self.answers.lock().insert(url.to_owned(), HttpAnswer { code, ..HttpAnswer::default() });
    }

    /// From now on the gRPC server at an address says this of a service, as `host:port/service`.
    pub fn say(&self, place: &str, health: Health) {
        self.healths.lock().insert(place.to_owned(), health);
    }

    /// Every address that was asked.
    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().clone()
    }
}

#[async_trait]
impl Reach for FakeReach {
    async fn get(&self, call: &HttpCall) -> Result<HttpAnswer, String> {
        let url = call.url();
        self.calls.lock().push(url.clone());
        let answer = self.answers.lock().get(&url).cloned();
        answer
            .ok_or_else(|| format!("Get {url:?}: dial tcp {}: connect: connection refused", call.authority()))
    }

    async fn connect(&self, host: &str, port: u16) -> Result<(), String> {
        let target = authority(host, port);
        self.calls.lock().push(target.clone());
        let begin = format!("http://{target}/");
        let is_open = self.answers.lock().keys().any(|url| url.starts_with(&begin));
        if is_open { Ok(()) } else { Err(format!("dial tcp {target}: connect: connection refused")) }
    }

    async fn health(&self, host: &str, port: u16, service: &str, limit: Duration) -> Health {
        let place = format!("{}/{service}", authority(host, port));
        self.calls.lock().push(place.clone());
        let health = self.healths.lock().get(&place).cloned();
        match health {
            Some(health) => health,
            None => {
                env::sleep(limit).await;
                Health::NotConnected
            }
        }
    }
}
