//! Who this master is, and how it checks who another is.

use std::sync::Arc;

use base::ids::{ClusterId, NodeId};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The organization of every master's peer certificate.
pub const PEER_ORGANIZATION: &str = "keelson:masters";

/// What a peer certificate's common name begins with; the node id follows.
const PEER_NAME_PREFIX: &str = "keelson:master:";

/// The common name of a master's peer certificate.
pub fn peer_common_name(node: NodeId) -> String {
    format!("{PEER_NAME_PREFIX}{node}")
}

/// Who this master is. Its certificate must allow both server and client authentication.
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// This master's id.
    pub node: NodeId,
    /// Its certificate, then what leads to the CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// The certificate's key.
    pub key: PrivateKeyDer<'static>,
    /// The cluster's CA, which must have signed every master's certificate.
    pub ca: CertificateDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        let key = self.key.clone_key();
        Self { cluster: self.cluster, node: self.node, chain: self.chain.clone(), key, ca: self.ca.clone() }
    }
}

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The certificate, its key or the CA is refused.
    #[error("this master's peer certificate cannot be used: {0}")]
    Refused(String),
    /// The certificate is not this master's.
    #[error("this master's peer certificate is for {found:?}, but the master is {node}")]
    OtherNode {
        /// The id it should name.
        node: NodeId,
        /// What it names.
        found: Option<NodeId>,
    },
}

fn refused(error: impl std::fmt::Display) -> IdentityError {
    IdentityError::Refused(error.to_string())
}

impl Identity {
    /// Configures the side that accepts: clients need a certificate of the CA.
    pub(super) fn server_config(&self) -> Result<Arc<ServerConfig>, IdentityError> {
        self.check()?;
        let provider = provider();
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots()?, Arc::clone(&provider));
        let verifier = verifier.build().map_err(refused)?;
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(refused)?;
        let builder = builder.with_client_cert_verifier(verifier);
        builder.with_single_cert(self.chain.clone(), self.key.clone_key()).map(Arc::new).map_err(refused)
    }

    /// Configures the side that connects: a server is known by its id, not by its address.
    pub(super) fn client_config(&self) -> Result<Arc<ClientConfig>, IdentityError> {
        self.check()?;
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let verifier = Arc::new(SignedByAuthority { roots: self.roots()?, algorithms });
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(refused)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        builder.with_client_auth_cert(self.chain.clone(), self.key.clone_key()).map(Arc::new).map_err(refused)
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, IdentityError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).map_err(refused)?;
        Ok(Arc::new(roots))
    }

    fn check(&self) -> Result<(), IdentityError> {
        match node_of(self.chain.first()) {
            Some(node) if node == self.node => Ok(()),
            found => Err(IdentityError::OtherNode { node: self.node, found }),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The id that a certificate names; `None` when it is not a master's.
pub(super) fn node_of(certificate: Option<&CertificateDer<'_>>) -> Option<NodeId> {
    let (_, parsed) = X509Certificate::from_der(certificate?).ok()?;
    let subject = parsed.subject();
    let organization = subject.iter_organization().next()?.as_str().ok()?;
    let name = subject.iter_common_name().next()?.as_str().ok()?;
    let digits = name.strip_prefix(PEER_NAME_PREFIX)?;
    let node: NodeId = digits.parse().ok()?;
    // One spelling per id: `+7` and `007` parse as well.
    (organization == PEER_ORGANIZATION && peer_common_name(node) == name).then_some(node)
}

/// Checks that a server's certificate comes from the cluster's CA. Whose it is is checked after the
/// handshake, against the id that was called.
#[derive(Debug)]
struct SignedByAuthority {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for SignedByAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
