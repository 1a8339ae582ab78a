//! Certificates on both sides, on loopback.

use std::sync::Arc;
use std::time::Duration;

use base::env;
use k8s_openapi::api::core::v1::ConfigMap;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::{numbered, path};
use crate::fake::Fake;
use crate::{Client, Error, Event, Identity, Options, Selection};

/// Above the limits of a connection.
const LIMIT: Duration = Duration::from_secs(30);

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    fn sign(&self, name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// What a server of this authority needs, which lets in only clients of the same.
    fn server(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("an authority");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let Identity { certificate, key } = self.sign("127.0.0.1");
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier.build().expect("a verifier"))
            .with_single_cert(
                vec![der(&certificate)],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key"),
            )
            .expect("a certificate");
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

#[tokio::test]
async fn certificates_are_shown_verified_and_replaced() {
    let authority = Authority::new();
    let fake = Fake::new(2);
    fake.put(&path("a"), numbered(1));
    let servers = fake.listen(Some(authority.server())).await.expect("ports");
    let (first, second) = (authority.sign("node-1"), authority.sign("node-1"));
    let options = Options {
        servers: servers.clone(),
        authority: authority.0.pem(),
        identity: Some(first.clone()),
        token: None,
    };
    let client = Client::new(options.clone()).expect("a client");
    let mut watch = client.watch::<ConfigMap>(Selection::namespace("default"));
    let next = env::timeout(LIMIT, watch.next()).await.expect("in time");
    assert!(matches!(next, Some(Event::Restarted(all)) if all.len() == 1));
    assert_eq!(fake.certificates(), [der(&first.certificate).to_vec()], "one connection for all");

    client.set_identity(Some(&second)).expect("a certificate");
    client.get(&path("a")).await.expect("read");
    assert_eq!(fake.certificates()[1..], [der(&second.certificate).to_vec()], "a new connection");
    fake.put(&path("b"), numbered(2));
    let next = env::timeout(LIMIT, watch.next()).await.expect("in time");
    assert!(matches!(next, Some(Event::Applied(_))), "{next:?}");

    let stranger = Options { authority: Authority::new().0.pem(), ..options.clone() };
    let error =
        Client::new(stranger).expect("a client").get(&path("a")).await.expect_err("not to be trusted");
    assert!(
        matches!(&error, Error::Unavailable { tried, .. } if tried[0].contains("invalid peer certificate")),
        "{error}"
    );
    let broken = Options { identity: Some(Identity { key: "?".into(), ..first }), ..options };
    let error = Client::new(broken).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.starts_with("reading the client's credentials failed: the client's key: "), "{error}");
}

#[tokio::test]
async fn a_killed_master_is_noticed_and_left() {
    let fake = Fake::new(2);
    fake.put(&path("a"), numbered(1));
    let servers = fake.listen(None).await.expect("ports");
    let client = Client::new(Options { servers, ..Options::default() }).expect("a client");
    client.get(&path("a")).await.expect("read");
    fake.set_alive(0, false);
    client.get(&path("a")).await.expect("read elsewhere");
    assert_eq!(fake.asked().last().map(|ask| ask.master), Some(1));
}
