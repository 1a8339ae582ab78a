//! Sockets, TLS and who is it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use base::env;
use base::shutdown::{self, Shutdown, Trigger};
use base::telemetry::Metrics;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};

use crate::backend::memory::Memory;
use crate::{Options, Service, tls};

/// A CA and what it signs.
pub(super) struct Authority {
    pub(super) certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a CA").der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate with its key: for localhost, and for a user in a group.
    pub(super) fn sign(&self, name: &str, group: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, group);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").der().clone();
        (certificate, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }

    pub(super) fn client(
        &self,
        identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
        alpn: &[u8],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a CA");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = builder.with_root_certificates(roots);
        let mut config = match identity {
            Some((certificate, key)) => {
                builder.with_client_auth_cert(vec![certificate], key).expect("an identity")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        config
    }
}

async fn get(config: ClientConfig, port: u16, path: &str) -> (u16, http::Version, String) {
    let is_http2 = config.alpn_protocols == [b"h2".to_vec()];
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS");
    let request = http::Request::get(format!("https://localhost{path}")).header("host", "localhost");
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    let response = if is_http2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("HTTP/2");
        env::spawn(connection);
        sender.send_request(request).await.expect("an answer")
    } else {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        env::spawn(connection);
        sender.send_request(request).await.expect("an answer")
    };
    let (code, version) = (response.status().as_u16(), response.version());
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (code, version, String::from_utf8_lossy(&body).into_owned())
}

/// A server on a port of its own, and what ends it.
async fn service(authority: &Authority, connections_max: usize) -> (Service, u16, Trigger, Shutdown) {
    let (certificate, key) = authority.sign("master", "");
    let tls = tls::config(vec![certificate], key, authority.certificate.clone()).expect("a config");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (trigger, signal) = shutdown::channel();
    let open = Router::new().route("/open", axum::routing::get(|| async { "open" }));
    let (telemetry, guarded) = (Metrics::new(), Router::new());
    let around = crate::server::Around::nothing();
    let options = Options { listener, tls, connections_max, telemetry, around, guarded, open };
    (Service::new(options, Arc::new(Memory::new()), signal.clone()), port, trigger, signal)
}

#[tokio::test]
async fn certificates_say_who_it_is() {
    let authority = Authority::new();
    let (service, port, trigger, signal) = service(&authority, 10).await;
    let running = env::spawn(service.run(signal));

    let list = "/api/v1/configmaps";
    let admin = || Some(authority.sign("admin", "system:masters"));
    let (code, version, _) = get(authority.client(admin(), b"h2"), port, list).await;
    assert_eq!((code, version), (200, http::Version::HTTP_2));
    let (code, version, _) = get(authority.client(admin(), b"http/1.1"), port, list).await;
    assert_eq!((code, version), (200, http::Version::HTTP_11));
    let (code, _, body) = get(authority.client(Some(authority.sign("jane", "dev")), b"h2"), port, list).await;
    assert_eq!(code, 403);
    assert!(body.contains(r#"User \"jane\" cannot list resource \"configmaps\""#), "{body}");
    assert_eq!(get(authority.client(None, b"h2"), port, list).await.0, 403);
    assert_eq!(get(authority.client(None, b"h2"), port, "/open").await.2, "open");
    assert_eq!(get(authority.client(None, b"h2"), port, "/livez").await.2, "ok");

    trigger.fire();
    running.await.expect("the server ends");
}

#[tokio::test]
async fn a_connection_beyond_the_limit_waits_for_one_to_end() {
    let authority = Authority::new();
    let (service, port, _trigger, signal) = service(&authority, 1).await;
    env::spawn(service.run(signal));
    let first = TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
    let second = TcpStream::connect(("127.0.0.1", port)).await.expect("in the queue");
    let connect = async |stream| {
        let connector = tokio_rustls::TlsConnector::from(Arc::new(authority.client(None, b"h2")));
        connector.connect(ServerName::try_from("localhost").expect("a name"), stream).await.expect("TLS")
    };
    let first = connect(first).await;
    let mut second = std::pin::pin!(connect(second));
    // What the second asks for stays unanswered for as long as the first is there.
    let answered = env::timeout(Duration::from_millis(200), second.as_mut()).await;
    assert!(answered.is_err(), "a second connection is served");
    drop(first);
    second.await;
}
