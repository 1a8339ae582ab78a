//! TCP connections into a pod, carried by one connection to its node.
//!
//! # Flow
//! [`accept`] agrees on a protocol. [`Accepted::run`] asks a [`Connect`] for a connection for each pair of
//! streams that the client opens, and copies between the two until both have ended. Why a connection was not
//! to be had is told on the error stream of its pair; the other connections go on.

use std::future::Future;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::driver::Role;
use crate::error::Error;
use crate::limits::WEBSOCKET_PORTS_MAX;
use crate::pipe::{Pipe, PipeWriter};
use crate::upgrade::{self, Refusal, Wanted};
use crate::websocket::{Codec, Tunnel};

mod channels;
mod pairs;

/// The only protocol over SPDY.
pub(crate) const PROTOCOL: &str = "portforward.k8s.io";
/// The same in a WebSocket.
pub(crate) const TUNNELLED: &str = "SPDY/3.1+portforward.k8s.io";
const BINARY: &str = "v4.channel.k8s.io";
const BASE64: &str = "v4.base64.channel.k8s.io";

/// Headers of a SPDY stream: which port it is for, and which other stream it makes a pair with.
pub(crate) const PORT: &str = "port";
pub(crate) const REQUEST_ID: &str = "requestID";
pub(crate) const DATA: &str = "data";
pub(crate) const ERROR: &str = "error";

/// The pod whose ports are forwarded, as errors name it.
#[derive(Clone, Debug)]
pub struct Pod {
    /// `NAME_NAMESPACE`, as kubelets print it.
    pub full_name: String,
    /// Its uid.
    pub uid: String,
}

/// Opens connections to the ports of one pod.
pub trait Connect {
    /// What an open connection is.
    type Connection: AsyncRead + AsyncWrite + Unpin + Send;

    /// Connects to a port; the error is told to the client.
    fn connect(&self, port: u16) -> impl Future<Output = Result<Self::Connection, String>> + Send;
}

/// What was agreed on with a client.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Protocol {
    Spdy,
    Tunnel,
    Channels { codec: Codec, ports: Vec<u16> },
}

/// A client whose request is being upgraded.
#[derive(Debug)]
pub struct Accepted {
    protocol: Protocol,
    pod: Pod,
    upgrade: OnUpgrade,
}

/// Agrees with a client on how streams are carried.
///
/// # Errors
/// When the request asks for no upgrade, for none that is spoken here, or names no port where it must.
pub fn accept(head: &Parts, upgrade: OnUpgrade, pod: Pod) -> Result<(Response<Bytes>, Accepted), Refusal> {
    let (protocol, response) = match upgrade::wanted(&head.headers)? {
        Wanted::Spdy => (Protocol::Spdy, upgrade::spdy(&head.headers, &[PROTOCOL])?.1),
        Wanted::WebSocket => {
            let (name, response) = upgrade::web_socket(&head.headers, &["", BINARY, BASE64, TUNNELLED])?;
            let protocol = match name {
                TUNNELLED => Protocol::Tunnel,
                BASE64 => Protocol::Channels { codec: Codec::Base64, ports: ports(head)? },
                _ => Protocol::Channels { codec: Codec::Binary, ports: ports(head)? },
            };
            (protocol, response)
        }
    };
    Ok((response, Accepted { protocol, pod, upgrade }))
}

impl Accepted {
    /// Runs once the answer is sent, until the client goes.
    ///
    /// # Errors
    /// When the connection ended otherwise than by being closed.
    pub async fn run<C: Connect>(self, connect: C) -> Result<(), Error> {
        let Self { protocol, pod, upgrade } = self;
        let stream = TokioIo::new(upgrade.await?);
        match protocol {
            Protocol::Spdy => pairs::serve(stream, &pod, &connect).await,
            Protocol::Tunnel => pairs::serve(Tunnel::begin(stream, Role::Server).await, &pod, &connect).await,
            Protocol::Channels { codec, ports } => {
                channels::serve(stream, codec, &ports, &pod, &connect).await
            }
        }
    }
}

/// The ports that a query names.
fn ports(head: &Parts) -> Result<Vec<u16>, Refusal> {
    let mut ports = Vec::new();
    let query = head.uri.query().unwrap_or_default();
    for (_, value) in form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "ports") {
        if value.is_empty() {
            return Err(Refusal::bad_request("query parameter \"ports\" cannot be empty"));
        }
        for port in value.split(',') {
            ports.push(parse_port(port).map_err(Refusal::bad_request)?);
        }
    }
    match ports.len() {
        0 => Err(Refusal::bad_request("query parameter \"ports\" is required")),
        1..=WEBSOCKET_PORTS_MAX => Ok(ports),
        count => {
            let why =
                format!("{count} ports: at most {WEBSOCKET_PORTS_MAX} can be forwarded by one WebSocket");
            Err(Refusal::bad_request(why))
        }
    }
}

/// A port as Kubernetes reads it, with its errors.
fn parse_port(text: &str) -> Result<u16, String> {
    let why = match text.parse::<u64>() {
        Ok(0) => return Err(format!("port {text:?} must be > 0")),
        Ok(port) => match u16::try_from(port) {
            Ok(port) => return Ok(port),
            Err(_) => "value out of range",
        },
        Err(error) if *error.kind() == std::num::IntErrorKind::PosOverflow => "value out of range",
        Err(_) => "invalid syntax",
    };
    Err(format!("unable to parse {text:?} as a port: strconv.ParseUint: parsing {text:?}: {why}"))
}

/// Forwards one connection, from the opening to its end.
async fn forward<C: Connect>(connect: &C, pod: &Pod, port: u16, (data, mut error): (Pipe, PipeWriter)) {
    match connect.connect(port).await {
        Ok(connection) => {
            // A client takes whatever stands on the error stream for the end of all connections, so what
            // breaks one in the middle is not told there.
            if let Err(error) = copy(data, connection).await {
                tracing::debug!(%error, port, "a forwarded connection broke");
            }
        }
        Err(why) => {
            let Pod { full_name, uid } = pod;
            let message = format!("error forwarding port {port} to pod {full_name}, uid {uid}: {why}");
            // Whoever cannot be told has gone.
            let _ = error.write_all(message.as_bytes()).await;
        }
    }
}

/// Copies until the pod's side has ended: kubectl goes on reading until its streams are closed, and a client of its that
/// waits for the end would never send its own. What the client still sends then, nobody reads.
async fn copy<S>(data: Pipe, connection: S) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from_client, mut to_client) = data.into_split();
    let (mut from_pod, mut to_pod) = tokio::io::split(connection);
    let inwards = async {
        tokio::io::copy(&mut from_client, &mut to_pod).await?;
        to_pod.shutdown().await
    };
    let outwards = async {
        tokio::io::copy(&mut from_pod, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::select! {
        biased;
        ended = outwards => ended,
        Err(error) = inwards => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(query: &str, expected: Expect) {
        let request = http::Request::get(format!("/portforward{query}")).body(()).expect("a request");
        let found = ports(&request.into_parts().0);
        let shown = found.map_or_else(|refusal| refusal.to_string(), |ports| format!("{ports:?}"));
        expected.assert_eq(&shown);
    }

    #[test]
    fn a_query_names_ports() {
        check("?ports=80&ports=8080,443", expect!["[80, 8080, 443]"]);
        check("", expect![[r#"query parameter "ports" is required"#]]);
        check("?ports=", expect![[r#"query parameter "ports" cannot be empty"#]]);
        check("?ports=0", expect![[r#"port "0" must be > 0"#]]);
        check(
            "?ports=http",
            expect![[
                r#"unable to parse "http" as a port: strconv.ParseUint: parsing "http": invalid syntax"#
            ]],
        );
        check(
            "?ports=65536",
            expect![[
                r#"unable to parse "65536" as a port: strconv.ParseUint: parsing "65536": value out of range"#
            ]],
        );
        check(
            &format!("?ports=1{}", ",2".repeat(WEBSOCKET_PORTS_MAX)),
            expect!["128 ports: at most 127 can be forwarded by one WebSocket"],
        );
    }
}
