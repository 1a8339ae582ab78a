//! The same HTTP stack as the masters' (hyper, tokio-rustls, ring), serving bytes that cost nothing
//! to make: what Keelson's own work is held against. Runs as a process of its own, as a master does.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base::env;
use bytes::Bytes;
use chaos::kubeconfig::Endpoint;
use futures::stream;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::process::Process;
use crate::procfs::Pid;

/// The body of `/static`.
const BODY_FILE: &str = "body";
/// Written by the server when it listens.
const ADDRESS_FILE: &str = "address";
const CERTIFICATE_FILE: &str = "server.crt";
const KEY_FILE: &str = "server.key";
/// The only name in the certificate.
const SERVER_NAME: &str = "reference.bench";
/// The subcommand that [`run`] stands behind.
pub const SUBCOMMAND: &str = "serve-reference";
/// A server that does not listen by then never will.
const START_MAX: Duration = Duration::from_secs(10);

/// A running reference server; ends when dropped.
pub struct Server {
    process: Process,
    endpoint: Endpoint,
    _directory: tempfile::TempDir,
}

impl Server {
    /// Starts a server whose `/static` is `body`.
    pub async fn start(body: &[u8]) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("keelson-bench-reference-").tempdir();
        let directory = directory.context("making a directory for the reference server")?;
        let path = directory.path();
        let certified = rcgen::generate_simple_self_signed(vec![SERVER_NAME.to_owned()])?;
        fs::write(path.join(BODY_FILE), body)?;
        fs::write(path.join(CERTIFICATE_FILE), certified.cert.pem())?;
        fs::write(path.join(KEY_FILE), certified.signing_key.serialize_pem())?;
        let program = std::env::current_exe().context("finding this program")?;
        let arguments = [SUBCOMMAND.as_ref(), path.as_os_str()];
        let process = Process::start(&program, &arguments, &path.join("log"))?;
        let address_file = path.join(ADDRESS_FILE);
        if !env::wait_until(START_MAX, Duration::from_millis(5), || address_file.exists()).await {
            let log = fs::read_to_string(path.join("log")).unwrap_or_default();
            bail!("the reference server does not listen after {START_MAX:?}: {log}");
        }
        let endpoint = Endpoint {
            address: fs::read_to_string(address_file)?,
            server_name: ServerName::try_from(SERVER_NAME)?,
            tls: Arc::new(trusting(certified.cert.der().clone())?),
        };
        Ok(Self { process, endpoint, _directory: directory })
    }

    /// Where it listens, and whom to trust.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }
}

fn trusting(certificate: CertificateDer<'static>) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Serves until the process is ended.
///
/// - `/static`: the file's bytes with their length, from memory.
/// - `/frames/SIZE`: frames of SIZE bytes without end, each handed to the connection by itself as a
///   watch event is, as fast as the client takes them.
pub async fn run(directory: PathBuf) -> Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(server_tls(&directory)?));
    let body = Bytes::from(fs::read(directory.join(BODY_FILE))?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let written = directory.join("address.partial");
    fs::write(&written, listener.local_addr()?.to_string())?;
    fs::rename(written, directory.join(ADDRESS_FILE))?;
    loop {
        let (tcp, _) = listener.accept().await?;
        env::spawn(serve(tcp, acceptor.clone(), body.clone()));
    }
}

fn server_tls(directory: &Path) -> Result<rustls::ServerConfig> {
    let certificate = CertificateDer::from_pem_file(directory.join(CERTIFICATE_FILE))?;
    let key = PrivateKeyDer::from_pem_file(directory.join(KEY_FILE))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_no_client_auth().with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

async fn serve(tcp: TcpStream, acceptor: TlsAcceptor, body: Bytes) {
    // A client that goes away is how each of these connections ends.
    let _ = tcp.set_nodelay(true);
    let Ok(stream) = acceptor.accept(tcp).await else { return };
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(request.uri().path(), &body);
        async move { Ok::<_, Infallible>(answer) }
    });
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

fn answer(path: &str, body: &Bytes) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    if path == "/static" {
        return Response::new(Full::new(body.clone()).boxed_unsync());
    }
    let size = path.strip_prefix("/frames/").and_then(|size| size.parse::<usize>().ok());
    if let Some(size_bytes) = size.filter(|size| *size > 0) {
        return Response::new(endless(size_bytes).boxed_unsync());
    }
    let mut absent = Response::new(Full::default().boxed_unsync());
    *absent.status_mut() = StatusCode::NOT_FOUND;
    absent
}

fn endless(size_bytes: usize) -> impl hyper::body::Body<Data = Bytes, Error = Infallible> + Send + 'static {
    let mut frame = vec![b'x'; size_bytes];
    frame[size_bytes - 1] = b'\n';
    let frame = Bytes::from(frame);
    StreamBody::new(stream::unfold(frame, |frame| async move {
        // A body that always has more would be gathered into writes of hundreds of frames; R is the rate
        // at one frame size, an event's: the pause lets each one be flushed by itself.
        tokio::task::yield_now().await;
        Some((Ok(Frame::data(frame.clone())), frame))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_paths_are_answered() {
        let check = |path: &str, expect: u16| {
            assert_eq!(answer(path, &Bytes::from_static(b"x")).status().as_u16(), expect, "{path}");
        };
        check("/static", 200);
        check("/frames/512", 200);
        check("/frames/0", 404);
        check("/frames/x", 404);
        check("/", 404);
    }

    #[test]
    fn frames_have_the_size_asked_for_and_end_a_line() {
        let first = env::simulate(1, async {
            let mut frames = Box::pin(endless(7));
            frames.frame().await.expect("endless").expect("infallible").into_data().expect("data")
        });
        assert_eq!(&first[..], b"xxxxxx\n");
    }
}
