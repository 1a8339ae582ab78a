//! Probes of real servers on loopback.

use std::sync::Arc;
use std::time::Duration;

use base::env;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, crypto::ring};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Health, HttpCall, Network, Reach};

const LIMIT: Duration = Duration::from_secs(20);

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// A certificate that nobody vouches for, of another name, and out of date.
fn acceptor() -> TlsAcceptor {
    let mut parameters = rcgen::CertificateParams::new(vec!["elsewhere.example".to_owned()]).expect("a name");
    parameters.not_after = rcgen::date_time_ymd(2001, 1, 1);
    parameters.not_before = rcgen::date_time_ymd(2000, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key);
    TlsAcceptor::from(Arc::new(config.expect("a certificate with its key")))
}

#[tokio::test]
async fn https_asks_whoever_answers() {
    let (listener, port) = listener().await;
    let acceptor = acceptor();
    let server = env::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            // One of the calls speaks no TLS.
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let answer = service_fn(|request: Request<hyper::body::Incoming>| async move {
                let code = if request.uri().path() == "/well" { 200 } else { 500 };
                let agent = request.headers()["user-agent"].clone();
                Response::builder()
                    .status(code)
                    .header("location", agent)
                    .body(Full::new(Bytes::from("body")))
            });
            let served =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            let _ = served.await;
        }
    });
    let call = |path: &str, is_tls| HttpCall {
        host: "127.0.0.1".to_owned(),
        port,
        is_tls,
        path: path.to_owned(),
        headers: Vec::new(),
    };
    let well = Network.get(&call("/well", true)).await.expect("an answer");
    assert_eq!((well.code, &*well.body, well.location.as_deref()), (200, "body", Some("kube-probe/1.37")));
    assert_eq!(Network.get(&call("/ill", true)).await.expect("an answer").code, 500);
    let plain = Network.get(&call("/well", false)).await.expect_err("no answer without TLS");
    assert!(plain.starts_with(&format!("Get \"http://127.0.0.1:{port}/well\": ")), "{plain}");
    server.abort();
}

/// A gRPC server that says of each service what its name orders.
async fn serve_health(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let answer = service_fn(|request: Request<hyper::body::Incoming>| async move {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            assert_eq!(request.headers()["content-type"], "application/grpc");
            let body = request.into_body().collect().await?.to_bytes();
            let service = String::from_utf8_lossy(body.get(7..).unwrap_or_default()).into_owned();
            let answer = Response::builder().header("content-type", "application/grpc");
            let (message, status) = match &*service {
                "" => (&[0, 0, 0, 0, 2, 8, 1][..], "0"),
                "ill" => (&[0, 0, 0, 0, 2, 8, 2][..], "0"),
                "slow" => std::future::pending().await,
                _ => (&[][..], "5"),
            };
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", status.parse().expect("a header"));
            trailers.insert("grpc-message", "unknown%20service".parse().expect("a header"));
            let body =
                Full::new(Bytes::from_static(message)).with_trailers(async move { Some(Ok(trailers)) });
            Ok::<_, hyper::Error>(answer.body(body).expect("an answer"))
        });
        env::spawn(
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), answer),
        );
    }
}

#[tokio::test]
async fn grpc_servers_are_asked_for_their_health() {
    let (listener, port) = listener().await;
    let server = env::spawn(serve_health(listener));
    let health = async |service: &str, limit| Network.health("127.0.0.1", port, service, limit).await;
    assert_eq!(health("", LIMIT).await, Health::Answered(1));
    assert_eq!(health("ill", LIMIT).await, Health::Answered(2));
    let refused = Health::Refused { code: 5, message: "unknown service".to_owned() };
    assert_eq!(health("other", LIMIT).await, refused);
    assert_eq!(health("slow", Duration::from_millis(500)).await, Health::TimedOut);
    server.abort();
    let _ = server.await;
    assert_eq!(health("", Duration::from_millis(300)).await, Health::NotConnected);
}
