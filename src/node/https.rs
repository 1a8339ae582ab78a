//! A small HTTPS client: one request on one connection, bounded in time and size.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base::env;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::address::HostPort;
use crate::pki::{AuthorityHash, Credentials, PkiError};

/// The largest answer read. A join's, the largest expected, is a few KiB.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// A request that got no answer.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {server} failed: {reason}")]
pub struct HttpsError {
    /// What was being done.
    pub operation: Operation,
    /// Who was asked.
    pub server: String,
    /// Why.
    pub reason: String,
}

/// What a request without an answer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The server was not reached.
    Connecting,
    /// The server could not prove who it is: perhaps it can later, or once a clock is set right.
    Verifying,
    /// The server is somebody else's: its certificate comes from another authority. No further try mends it.
    Trusting,
    /// The server was asked.
    Asking,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting to",
            Self::Verifying => "verifying",
            Self::Trusting => "trusting",
            Self::Asking => "asking",
        })
    }
}

/// Which operation a failed handshake was. Only an authority that did not sign makes the server somebody
/// else: what is wrong with a date or a name may be a clock or an address.
fn handshake_step(error: &std::io::Error) -> Operation {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => Operation::Trusting,
        _ => Operation::Verifying,
    }
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// What a `Status` object in the body says, or the body's text.
    pub fn message(&self) -> String {
        let status: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let message = status.as_ref().and_then(|status| status["message"].as_str()).map(str::to_owned);
        message.unwrap_or_else(|| String::from_utf8_lossy(&self.body).trim().to_owned())
    }
}

/// How servers are verified and what is shown to them. Cheap to clone.
#[derive(Clone)]
pub struct Https(Arc<ClientConfig>);

impl fmt::Debug for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Https")
    }
}

impl Https {
    /// Trusts servers of this authority, shows `credentials` if given.
    pub fn trusting(
        authority: &CertificateDer<'_>,
        credentials: Option<&Credentials>,
    ) -> Result<Self, PkiError> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned()).map_err(PkiError::Tls)?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(PkiError::Tls)?
            .with_root_certificates(roots);
        let config = match credentials {
            None => builder.with_no_client_auth(),
            Some(credentials) => {
                let (chain, key) = credentials.der()?;
                builder.with_client_auth_cert(chain, key).map_err(PkiError::Tls)?
            }
        };
        Ok(Self(Arc::new(config)))
    }

    /// Trusts servers whose chain ends in the authority with this hash.
    pub fn pinned(authority: AuthorityHash) -> Result<Self, PkiError> {
        let verifier = PinnedVerifier { authority, provider: provider() };
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(PkiError::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// What connections are made with.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }

    /// Sends one request and reads the whole answer. `body` is JSON; empty for none.
    ///
    /// # Errors
    /// When there is no whole answer within `limit`.
    pub async fn request(
        &self,
        method: Method,
        server: &HostPort,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<Reply, HttpsError> {
        let exchange = async { self.connect(server).await?.request(method, path, body).await };
        env::timeout(limit, exchange).await.unwrap_or_else(|_| {
            let reason = format!("no answer within {} s", limit.as_secs_f32());
            Err(HttpsError { operation: Operation::Asking, server: server.to_string(), reason })
        })
    }

    /// Opens a connection for several requests, one after another.
    pub async fn connect(&self, server: &HostPort) -> Result<Connection, HttpsError> {
        let failed = |operation, reason: String| HttpsError { operation, server: server.to_string(), reason };
        let address = (server.host.as_str(), server.port);
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| failed(Operation::Connecting, error.to_string()))?;
        let name = ServerName::try_from(server.host.clone())
            .map_err(|_| failed(Operation::Connecting, "not a host name or address".to_owned()))?;
        let connector = TlsConnector::from(Arc::clone(&self.0));
        let stream = connector
            .connect(name, stream)
            .await
            .map_err(|error| failed(handshake_step(&error), error.to_string()))?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(Operation::Asking, error.to_string()))?;
        // Ends with the connection; the error that ended it is reported to the request.
        let driver = env::spawn(async move {
            let _ = connection.await;
        });
        Ok(Connection { sender, server: server.clone(), driver })
    }
}

/// An open connection. Closed when dropped.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    server: HostPort,
    driver: env::JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Sends one request and reads the whole answer. Unbounded in time: the caller sets the limit.
    pub async fn request(&mut self, method: Method, path: &str, body: Bytes) -> Result<Reply, HttpsError> {
        let server = self.server.to_string();
        let failed =
            |reason: String| HttpsError { operation: Operation::Asking, server: server.clone(), reason };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &server)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Full::new(body))
            .map_err(|error| failed(error.to_string()))?;
        let response = self.sender.send_request(request).await.map_err(|error| failed(error.to_string()))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), REPLY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| failed(error.to_string()))?.to_bytes();
        Ok(Reply { status, body })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Verifies a server by an authority that only its hash is known of: the server sends it.
#[derive(Debug)]
struct PinnedVerifier {
    authority: AuthorityHash,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let authority = intermediates.iter().find(|sent| AuthorityHash::of(sent) == self.authority);
        let authority = authority.ok_or(CertificateError::UnknownIssuer)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use base::ids::ClusterId;

    use super::*;
    use crate::pki::Authority;

    fn verdict(pinned: &Authority, shown_by: &Authority, name: &str) -> bool {
        let verifier = PinnedVerifier { authority: pinned.hash(), provider: provider() };
        let (chain, _) = shown_by.api_server(&["10.0.0.1".to_owned()]).expect("sign").der().expect("der");
        let name = ServerName::try_from(name.to_owned()).expect("name");
        let now = UnixTime::since_unix_epoch(Duration::from_millis(env::wall_ms()));
        verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], now).is_ok()
    }

    #[test]
    fn a_pinned_authority_vouches_for_its_own_servers_only() {
        let ours = Authority::generate(ClusterId(1)).expect("authority");
        let theirs = Authority::generate(ClusterId(1)).expect("authority");
        assert!(verdict(&ours, &ours, "10.0.0.1"));
        assert!(!verdict(&ours, &ours, "10.0.0.2"), "another name");
        assert!(!verdict(&ours, &theirs, "10.0.0.1"), "another authority");
    }

    #[test]
    fn a_chain_that_only_carries_the_authority_is_refused() {
        let ours = Authority::generate(ClusterId(1)).expect("authority");
        let theirs = Authority::generate(ClusterId(1)).expect("authority");
        let (chain, _) = theirs.api_server(&["10.0.0.1".to_owned()]).expect("sign").der().expect("der");
        let verifier = PinnedVerifier { authority: ours.hash(), provider: provider() };
        let name = ServerName::try_from("10.0.0.1").expect("name");
        let now = UnixTime::since_unix_epoch(Duration::from_millis(env::wall_ms()));
        let sent = [ours.certificate().clone()];
        assert!(verifier.verify_server_cert(&chain[0], &sent, &name, &[], now).is_err());
    }

    /// What a handshake comes to with a server at 10.0.0.1 that shows `chain`, asked under `name`.
    fn step(pinned: &Authority, chain: &[CertificateDer<'_>], name: &str, now: Duration) -> Operation {
        let verifier = PinnedVerifier { authority: pinned.hash(), provider: provider() };
        let name = ServerName::try_from(name.to_owned()).expect("name");
        let now = UnixTime::since_unix_epoch(now);
        let refused = verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], now);
        handshake_step(&std::io::Error::other(refused.expect_err("refused")))
    }

    #[test]
    fn only_another_authority_makes_a_server_somebody_else() {
        let ours = Authority::generate(ClusterId(1)).expect("authority");
        let theirs = Authority::generate(ClusterId(1)).expect("authority");
        let shown_by = |authority: &Authority| {
            authority.api_server(&["10.0.0.1".to_owned()]).expect("sign").der().expect("der").0
        };
        let (own, foreign) = (shown_by(&ours), shown_by(&theirs));
        let borrowed = [foreign[0].clone(), ours.certificate().clone()];
        let now = Duration::from_millis(env::wall_ms());
        let century = Duration::from_secs(100 * 365 * 86_400);
        let cases = [
            ("another authority", &foreign[..], "10.0.0.1", now, Operation::Trusting),
            ("our authority sent along", &borrowed, "10.0.0.1", now, Operation::Trusting),
            ("expired", &own, "10.0.0.1", now + century, Operation::Verifying),
            ("a clock that is behind", &own, "10.0.0.1", Duration::ZERO, Operation::Verifying),
            ("another name", &own, "10.0.0.2", now, Operation::Verifying),
        ];
        for (what, chain, name, now, expected) in cases {
            assert_eq!(step(&ours, chain, name, now), expected, "{what}");
        }
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(handshake_step(&broken), Operation::Verifying);
    }
}
