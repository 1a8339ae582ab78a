//! The cluster's certificate authority, and what it signs.
//!
//! # Guarantees
//! - There is one authority per cluster. Every master holds its key: it came with the join, over a
//!   connection verified by the authority's hash.
//! - What masters show is signed anew at each start and kept in memory, so nothing of theirs on disk can
//!   expire while one is down or be half-written by a crash. Administrators' certificates are on disk: a
//!   kubeconfig holds one, written whole by `keelson up`, and by each master when it starts and when the
//!   members change.
//!
//! # Caveats
//! A process that runs longer than [`LEAF_DAYS`] must be restarted before they end; a kubeconfig older than
//! that must be made anew.

use std::fmt;
use std::time::Duration;

use apiserver::certificates::{Order, Usage};
use base::env;
use base::ids::{ClusterId, NodeId};
use raft::transport::tls::{PEER_ORGANIZATION, peer_common_name};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// How long the authority is valid.
pub const AUTHORITY_DAYS: u64 = 3650;
/// How long a signed certificate is valid.
pub const LEAF_DAYS: u64 = 3 * 365;
/// How far a certificate's start lies in the past, for clocks that differ.
const BACKDATE: Duration = Duration::from_secs(3600);

/// The user that `keelson up` and `--init` leave credentials for.
pub const ADMIN_USER: &str = "kubernetes-admin";
/// The group that may do everything.
pub const ADMIN_GROUP: &str = "system:masters";

/// Names that every API server certificate holds: how pods and local clients reach it. The address is
/// the first of the service range 10.96.0.0/12, kubeadm's default.
pub const API_NAMES: [&str; 7] = [
    "localhost",
    "127.0.0.1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "10.96.0.1",
];

/// Making or reading a certificate failed.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// Key generation or signing failed.
    #[error("{operation} failed")]
    Sign {
        /// What was being made.
        operation: &'static str,
        /// Why.
        source: rcgen::Error,
    },
    /// PEM that holds no such thing.
    #[error("reading the {what} failed: it is not the PEM that was written")]
    Read {
        /// What was expected.
        what: &'static str,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// Keys or certificates that rustls does not accept.
    #[error("setting up TLS failed")]
    Tls(#[source] rustls::Error),
}

fn signing(operation: &'static str) -> impl FnOnce(rcgen::Error) -> PkiError {
    move |source| PkiError::Sign { operation, source }
}

/// SHA-256 of the authority's certificate: what a token pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorityHash(pub [u8; 32]);

impl AuthorityHash {
    /// Of a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }

    /// From its text, 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut hash = [0; 32];
        if digits.len() != 2 * hash.len() {
            return None;
        }
        for (byte, digits) in hash.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for AuthorityHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A certificate with its key, and the chain up to the authority. PEM.
#[derive(Clone)]
pub struct Credentials {
    /// The certificate, then the authority's.
    pub chain_pem: String,
    /// PKCS#8.
    pub key_pem: String,
}

impl Credentials {
    /// As rustls takes them.
    pub fn der(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), PkiError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.chain_pem.as_bytes()).collect();
        let chain = chain.map_err(|source| PkiError::Read { what: "certificate chain", source })?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes());
        Ok((chain, key.map_err(|source| PkiError::Read { what: "private key", source })?))
    }
}

impl fmt::Debug for Credentials {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("chain_pem", &self.chain_pem).finish_non_exhaustive()
    }
}

/// The authority of one cluster.
pub struct Authority {
    certificate_pem: String,
    certificate: CertificateDer<'static>,
    key_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A fresh authority.
    pub fn generate(cluster: ClusterId) -> Result<Self, PkiError> {
        let key = KeyPair::generate().map_err(signing("generating the authority's key"))?;
        let mut params = params(&format!("keelson:{cluster}"), "keelson", AUTHORITY_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(signing("signing the authority"))?;
        Self::from_pem(&certificate.pem(), &key.serialize_pem())
    }

    /// One that was stored or received.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, PkiError> {
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|source| PkiError::Read { what: "authority's certificate", source })?;
        let key = KeyPair::from_pem(key_pem).map_err(signing("reading the authority's key"))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(signing("reading the authority"))?;
        Ok(Self {
            certificate_pem: certificate_pem.to_owned(),
            certificate,
            key_pem: key_pem.to_owned(),
            issuer,
        })
    }

    /// The certificate. PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, PKCS#8 PEM: to be stored, or handed to a master that joins.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The certificate. DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What tokens pin.
    pub fn hash(&self) -> AuthorityHash {
        AuthorityHash::of(&self.certificate)
    }

    /// For an API server reached by `names` (host names and addresses) and by [`API_NAMES`].
    pub fn api_server(&self, names: &[String]) -> Result<Credentials, PkiError> {
        let mut params = params("kube-apiserver", "keelson", LEAF_DAYS);
        params.subject_alt_names = alternative_names(names.iter().map(String::as_str).chain(API_NAMES))?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params, "signing the API server's certificate")
    }

    /// For a master towards other masters, as server and as client: its id is its common name.
    pub fn peer(&self, node: NodeId, names: &[String]) -> Result<Credentials, PkiError> {
        let mut params = params(&peer_common_name(node), PEER_ORGANIZATION, LEAF_DAYS);
        params.subject_alt_names = alternative_names(names.iter().map(String::as_str).chain(["localhost"]))?;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, "signing the peer certificate")
    }

    /// For a client of the API: the user and its group.
    pub fn client(&self, user: &str, group: &str) -> Result<Credentials, PkiError> {
        let mut params = params(user, group, LEAF_DAYS);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, "signing a client certificate")
    }

    /// A certificate as somebody ordered it and was approved to, and the authority's: PEM.
    pub fn ordered(&self, order: &Order, now_ms: u64) -> Result<String, PkiError> {
        let failed = signing("signing a requested certificate");
        let der = CertificateSigningRequestDer::from(order.request.as_slice());
        let request = CertificateSigningRequestParams::from_der(&der);
        let mut request = request.map_err(signing("reading a request for a certificate"))?;
        let (from_ms, until_ms) = order.validity_ms(now_ms);
        let moment = |epoch_ms: u64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(epoch_ms);
        let params = &mut request.params;
        params.is_ca = IsCa::ExplicitNoCa;
        params.not_before = moment(from_ms);
        params.not_after = moment(until_ms.min(self.ends_ms()));
        params.use_authority_key_identifier_extension = true;
        (params.key_usages, params.extended_key_usages) = usages(&order.usages);
        let certificate = request.signed_by(&self.issuer).map_err(failed)?;
        Ok(format!("{}{}", certificate.pem(), self.certificate_pem))
    }

    /// When the authority itself ends. Milliseconds since the epoch.
    fn ends_ms(&self) -> u64 {
        let read = X509Certificate::from_der(&self.certificate);
        let ends = read.map(|(_, certificate)| certificate.validity().not_after.timestamp());
        u64::try_from(ends.unwrap_or_default()).unwrap_or_default() * 1000
    }

    fn sign(&self, mut params: CertificateParams, operation: &'static str) -> Result<Credentials, PkiError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(signing("generating a key"))?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(signing(operation))?;
        let chain_pem = format!("{}{}", certificate.pem(), self.certificate_pem);
        Ok(Credentials { chain_pem, key_pem: key.serialize_pem() })
    }
}

/// What a certificate with these usages says of itself.
fn usages(usages: &[Usage]) -> (Vec<KeyUsagePurpose>, Vec<ExtendedKeyUsagePurpose>) {
    let (mut own, mut extended) = (Vec::new(), Vec::new());
    for usage in usages {
        match usage {
            Usage::ClientAuth => extended.push(ExtendedKeyUsagePurpose::ClientAuth),
            Usage::DigitalSignature => own.push(KeyUsagePurpose::DigitalSignature),
            Usage::KeyEncipherment => own.push(KeyUsagePurpose::KeyEncipherment),
            Usage::ServerAuth => extended.push(ExtendedKeyUsagePurpose::ServerAuth),
        }
    }
    (own, extended)
}

fn params(common_name: &str, organization: &str, days: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(env::wall_ms());
    params.not_before = now - BACKDATE;
    params.not_after = now + Duration::from_secs(days * 86_400);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn alternative_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<rcgen::SanType>, PkiError> {
    let unique: std::collections::BTreeSet<String> = names.map(str::to_owned).collect();
    let params = CertificateParams::new(unique.into_iter().collect::<Vec<_>>());
    Ok(params.map_err(signing("reading a host name"))?.subject_alt_names)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::{ServerName, UnixTime};
    use rustls::server::WebPkiClientVerifier;

    use super::*;

    fn authority() -> Authority {
        Authority::generate(ClusterId(7)).expect("authority")
    }

    fn roots(authority: &Authority) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone()).expect("root");
        Arc::new(roots)
    }

    fn now() -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_millis(env::wall_ms()))
    }

    fn accepts_server(authority: &Authority, shown: &Credentials, name: &str) -> bool {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = WebPkiServerVerifier::builder_with_provider(roots(authority), provider);
        let verifier = builder.build().expect("verifier");
        let (chain, _) = shown.der().expect("credentials");
        let name = ServerName::try_from(name.to_owned()).expect("name");
        verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], now()).is_ok()
    }

    fn accepts_client(authority: &Authority, shown: &Credentials) -> bool {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(roots(authority), provider);
        let verifier = builder.build().expect("verifier");
        let (chain, _) = shown.der().expect("credentials");
        verifier.verify_client_cert(&chain[0], &chain[1..], now()).is_ok()
    }

    #[test]
    fn an_api_server_is_known_by_its_names_and_no_other() {
        let authority = authority();
        let server = authority.api_server(&["10.1.2.3".to_owned(), "master-1".to_owned()]).expect("sign");
        for name in ["10.1.2.3", "master-1"].into_iter().chain(API_NAMES) {
            assert!(accepts_server(&authority, &server, name), "{name}");
        }
        for name in ["10.1.2.4", "example.org"] {
            assert!(!accepts_server(&authority, &server, name), "{name}");
        }
    }

    #[test]
    fn each_certificate_serves_its_purpose_only() {
        let authority = authority();
        let server = authority.api_server(&[]).expect("sign");
        let peer = authority.peer(3, &["10.1.2.3".to_owned()]).expect("sign");
        let admin = authority.client(ADMIN_USER, ADMIN_GROUP).expect("sign");
        let accepted =
            |shown| (accepts_server(&authority, shown, "localhost"), accepts_client(&authority, shown));
        assert_eq!([&server, &peer, &admin].map(accepted), [(true, false), (true, true), (false, true)]);
    }

    #[test]
    fn another_clusters_certificate_is_refused() {
        let (ours, theirs) = (authority(), authority());
        assert_ne!(ours.hash(), theirs.hash());
        let admin = theirs.client(ADMIN_USER, ADMIN_GROUP).expect("sign");
        assert!(!accepts_client(&ours, &admin));
    }

    #[test]
    fn an_authority_survives_being_stored() {
        let authority = authority();
        let again = Authority::from_pem(authority.certificate_pem(), authority.key_pem()).expect("read");
        assert_eq!(again.hash(), authority.hash());
        let peer = again.peer(9, &[]).expect("sign");
        assert!(accepts_client(&authority, &peer));
    }

    #[test]
    fn a_peer_is_named_by_its_id() {
        let (chain, _) = authority().peer(42, &[]).expect("sign").der().expect("der");
        let (_, certificate) = X509Certificate::from_der(&chain[0]).expect("parse");
        assert_eq!(certificate.subject().to_string(), "O=keelson:masters, CN=keelson:master:42");
    }

    #[test]
    fn what_is_ordered_is_signed_and_no_more() {
        let (authority, now_ms) = (authority(), env::wall_ms());
        // It asks to be an authority, and to sign.
        let mut asked = CertificateParams::new(vec!["10.1.2.3".to_owned()]).expect("names");
        asked.distinguished_name = rcgen::DistinguishedName::new();
        asked.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        asked.distinguished_name.push(DnType::CommonName, "system:node:n");
        asked.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        asked.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        asked.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let request = asked.serialize_request(&key).expect("a request").der().to_vec();
        let usages = vec![Usage::DigitalSignature, Usage::ServerAuth];
        let order = Order { request, usages, lifetime: None };
        let chain_pem = authority.ordered(&order, now_ms).expect("signed");
        let shown = Credentials { chain_pem, key_pem: key.serialize_pem() };
        assert!(accepts_server(&authority, &shown, "10.1.2.3") && !accepts_client(&authority, &shown));
        let (chain, _) = shown.der().expect("der");
        assert_eq!(chain.len(), 2, "the authority comes along");
        let (_, certificate) = X509Certificate::from_der(&chain[0]).expect("parse");
        assert!(!certificate.is_ca());
        let signs = certificate.key_usage().expect("usages").expect("there are some").value.key_cert_sign();
        let (from, until) = (certificate.validity().not_before, certificate.validity().not_after);
        let days = (until.timestamp() - from.timestamp()) / 86_400;
        assert_eq!(
            (signs, days, certificate.subject().to_string().as_str()),
            (false, 365, "O=system:nodes, CN=system:node:n")
        );
        // The authority ends first.
        let late_ms = now_ms + (AUTHORITY_DAYS - 1) * 86_400_000;
        let shown = Credentials { chain_pem: authority.ordered(&order, late_ms).expect("signed"), ..shown };
        let (chain, _) = shown.der().expect("der");
        let ends =
            |der: &[u8]| X509Certificate::from_der(der).expect("parse").1.validity().not_after.timestamp();
        assert_eq!(ends(&chain[0]), ends(&chain[1]));
    }

    #[test]
    fn debug_output_never_shows_a_key() {
        let shown = format!("{:?}", authority().client("a", "b").expect("sign"));
        assert!(!shown.contains("PRIVATE KEY"), "{shown}");
    }
}
