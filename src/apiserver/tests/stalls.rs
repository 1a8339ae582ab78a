//! Clients that stop reading, and clients that have nothing to read. Time is virtual.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use base::env::{self, JoinHandle};
use base::shutdown::{self, Trigger};
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::transport::Authority;
use super::{Api, MAPS};
use crate::connection::{Connection, Error};
use crate::limits::{HANDSHAKE_TIMEOUT, KEEP_ALIVE_INTERVAL, WRITE_STALL_MAX};
use crate::tls;

/// What a socket holds for a client that does not read.
const SOCKET_BYTES: usize = 64 << 10;

/// A client's end of a connection, and the server's task.
struct Client {
    stream: TlsStream<DuplexStream>,
    served: JoinHandle<Result<(), Error>>,
    _trigger: Trigger,
}

impl Client {
    /// An administrator who speaks `alpn`.
    async fn connect(api: &Api, alpn: &[u8]) -> Self {
        let authority = Authority::new();
        let (certificate, key) = authority.sign("master", "");
        let config = tls::config(vec![certificate], key, authority.certificate.clone()).expect("a config");
        let (trigger, shutdown) = shutdown::channel();
        let connection = Connection {
            acceptor: TlsAcceptor::from(config),
            router: api.router.clone(),
            shutdown,
            client: None,
        };
        let (near, far) = tokio::io::duplex(SOCKET_BYTES);
        let served = env::spawn(connection.serve(far));
        let config = authority.client(Some(authority.sign("admin", "system:masters")), alpn);
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, near).await.expect("TLS");
        Self { stream, served, _trigger: trigger }
    }

    /// How long the server bears with it, from now.
    async fn until_let_go(self) -> Duration {
        let began = env::monotonic();
        let served = env::timeout(10 * WRITE_STALL_MAX, self.served).await.expect("let go at all");
        assert!(served.expect("no panic").is_err(), "the server ended the connection");
        began.elapsed()
    }
}

fn get(path: &str) -> Request<Body> {
    let request = Request::get(format!("https://localhost{path}")).header("host", "localhost");
    request.body(Body::empty()).expect("a request")
}

/// Objects whose list is far larger than all buffers between a server and a client.
async fn large_list(api: &Api) {
    let large = "x".repeat(1_000_000);
    for at in 0..8 {
        let object = json!({"metadata": {"name": format!("x{at}")}, "data": {"a": large}});
        assert_eq!(api.post(MAPS, object).await.code, 201);
    }
}

#[test]
fn a_client_of_http_1_that_reads_nothing_is_let_go() {
    env::simulate(1, async {
        let api = Api::new();
        large_list(&api).await;
        let watch = format!("{MAPS}?watch=true");
        for path in [MAPS, &watch, &format!("{MAPS}/x1")] {
            let mut client = Client::connect(&api, b"http/1.1").await;
            let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            client.stream.write_all(head.as_bytes()).await.expect("sent");
            assert_eq!(client.until_let_go().await, WRITE_STALL_MAX, "{path}");
        }
    });
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("short");
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A GET over HTTP/2 by hand, since no client can be told to leave its socket alone: all of the answer may
/// be sent ahead, so that it is the socket that is full.
fn get_by_hand(path: &str) -> Vec<u8> {
    const WINDOW: [u8; 4] = [0x01, 0, 0, 0];
    let length = u8::try_from(path.len()).expect("short");
    // The method and the scheme by their numbers, path and authority as text.
    let head = [&[0x82, 0x87, 0x04, length], path.as_bytes(), &[0x01, 9], b"localhost"].concat();
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[&[0, 4], &WINDOW[..]].concat()),
        frame(8, 0, 0, &WINDOW),
        frame(1, 5, 1, &head),
    ]
    .concat()
}

#[test]
fn a_client_of_http_2_that_reads_nothing_is_let_go() {
    env::simulate(1, async {
        let api = Api::new();
        large_list(&api).await;
        for path in [MAPS, &format!("{MAPS}/x1")] {
            let mut client = Client::connect(&api, b"h2").await;
            client.stream.write_all(&get_by_hand(path)).await.expect("sent");
            assert_eq!(client.until_let_go().await, WRITE_STALL_MAX, "{path}");
        }
    });
}

/// Speaks HTTP/2; streams may be sent `window` bytes ahead.
async fn speak_http_2(
    stream: TlsStream<DuplexStream>,
    window: u32,
) -> (http2::SendRequest<Body>, JoinHandle<hyper::Result<()>>) {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).initial_stream_window_size(window);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.expect("HTTP/2");
    (sender, env::spawn(connection))
}

#[test]
fn a_stream_of_http_2_that_is_not_read_is_reset_and_its_connection_goes_on() {
    env::simulate(1, async {
        let api = Api::new();
        large_list(&api).await;
        for path in [MAPS.to_owned(), format!("{MAPS}?watch=true"), format!("{MAPS}/x1")] {
            for window in [0, 65_535] {
                let Client { stream, served, _trigger } = Client::connect(&api, b"h2").await;
                let (mut sender, _connection) = speak_http_2(stream, window).await;
                let unread = sender.send_request(get(&path)).await.expect("a head");
                env::sleep(WRITE_STALL_MAX + Duration::from_secs(1)).await;
                let rest = env::timeout(WRITE_STALL_MAX, unread.into_body().collect()).await;
                let error = rest.expect("it ends").expect_err("the stream was reset");
                assert!(format!("{error:?}").contains("Reset"), "{error:?}");
                let other = sender.send_request(get("/version")).await.expect("the connection goes on");
                assert_eq!(other.status(), 200);
                assert!(!served.is_finished());
            }
        }
    });
}

/// The next bytes of a body.
async fn next(body: &mut Incoming) -> Bytes {
    body.frame().await.expect("more").expect("no error").into_data().expect("bytes")
}

#[test]
fn a_watch_without_changes_stays() {
    env::simulate(1, async {
        let api = Api::new();
        let watch = format!("{MAPS}?watch=true&timeoutSeconds=100000");
        let one = Client::connect(&api, b"http/1.1").await;
        let (mut sender, connection) = http1::handshake(TokioIo::new(one.stream)).await.expect("HTTP/1.1");
        env::spawn(connection);
        let mut first = sender.send_request(get(&watch)).await.expect("a head").into_body();
        let two = Client::connect(&api, b"h2").await;
        let (mut sender, _connection) = speak_http_2(two.stream, 65_535).await;
        let mut second = sender.send_request(get(&watch)).await.expect("a head").into_body();
        for at in 0..3 {
            env::sleep(20 * WRITE_STALL_MAX.max(KEEP_ALIVE_INTERVAL)).await;
            api.config_map(&format!("x{at}"), json!({})).await;
            for body in [&mut first, &mut second] {
                let frame = String::from_utf8(next(body).await.to_vec()).expect("text");
                assert!(frame.contains(&format!(r#""name":"x{at}""#)), "{frame}");
            }
        }
    });
}

#[test]
fn a_client_that_asks_for_nothing_is_let_go() {
    env::simulate(1, async {
        let api = Api::new();
        for alpn in [b"http/1.1".as_slice(), b"h2"] {
            for begun in ["", "PRI * HTTP/2.0\r\n", "GET / HT"] {
                let mut client = Client::connect(&api, alpn).await;
                client.stream.write_all(begun.as_bytes()).await.expect("sent");
                client.stream.flush().await.expect("sent");
                assert_eq!(client.until_let_go().await, HANDSHAKE_TIMEOUT, "{begun:?}");
            }
        }
    });
}
