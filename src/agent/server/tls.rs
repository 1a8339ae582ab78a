//! Who may connect, and what the server shows.

use std::sync::Arc;

use anyhow::Context;
use client::Identity;
use parking_lot::RwLock;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The name in the certificate with which masters reach agents: Kubernetes' own.
const MASTERS: &str = "kube-apiserver-kubelet-client";

/// The certificate that is shown now.
#[derive(Debug)]
pub struct Certificates(RwLock<Arc<CertifiedKey>>);

impl Certificates {
    /// Shows this one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(identity: &Identity) -> anyhow::Result<Self> {
        Ok(Self(RwLock::new(certified(identity)?)))
    }

    /// Shows another from now on.
    ///
    /// # Errors
    /// When it cannot be read: the old one stays.
    pub fn replace(&self, identity: &Identity) -> anyhow::Result<()> {
        *self.0.write() = certified(identity)?;
        Ok(())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

fn certified(identity: &Identity) -> anyhow::Result<Arc<CertifiedKey>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect();
    let chain = chain.context("reading the server's certificate")?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).context("reading the server's key")?;
    let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
    Ok(Arc::new(certified.context("using the server's certificate")?))
}

/// Clients may come without a certificate; whether one is a master is asked for each request.
pub fn config(certificates: Arc<Certificates>, authority: &str) -> anyhow::Result<Arc<ServerConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificates);
    Ok(Arc::new(config))
}

/// Whether the certificate that a client proved is that of the masters.
pub fn is_master(connection: &ServerConnection) -> bool {
    let proven = connection.peer_certificates().and_then(|chain| chain.first());
    let Some(certificate) = proven else { return false };
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    let mut names = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    names.next() == Some(MASTERS)
}
