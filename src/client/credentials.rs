//! What a client shows: a certificate, a token, both or none.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::error::Error;

/// A client certificate and its key.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, and what leads to the authority. PEM.
    pub certificate: String,
    /// PEM.
    pub key: String,
}

impl fmt::Debug for Identity {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Trusts servers of the authorities in `authority` (PEM) and shows `identity`.
pub(crate) fn tls(authority: &str, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, Error> {
    let failed = |what: &str, why: &dyn fmt::Display| Error::Credentials { reason: format!("{what}: {why}") };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        let certificate = certificate.map_err(|error| failed("the authority's certificate", &error))?;
        roots.add(certificate).map_err(|error| failed("the authority's certificate", &error))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed("TLS", &error))?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key }) => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
            let chain = chain.map_err(|error| failed("the client's certificate", &error))?;
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
            let key = key.map_err(|error| failed("the client's key", &error))?;
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|error| failed("the client's certificate with its key", &error))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}
