//! TLS of the API's port.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// Certificates that do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The cluster's CA cannot be trusted with clients.
    #[error("the cluster CA certificate cannot be used to verify clients")]
    ClientCa(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Certificate and key are not a pair, or cannot be used.
    #[error("the API server's certificate and key cannot be used")]
    Identity(#[source] rustls::Error),
}

/// A server with this certificate, that asks clients for one of the cluster CA's and takes them without.
/// HTTP/2 is preferred over HTTP/1.1.
///
/// # Errors
/// See [`TlsError`].
pub fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_ca: CertificateDer<'static>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(client_ca).map_err(|error| TlsError::ClientCa(Box::new(error)))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| TlsError::ClientCa(Box::new(error)))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Identity)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(TlsError::Identity)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
