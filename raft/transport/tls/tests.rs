use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::env;
use base::ids::{ClusterId, NodeId};
use base::shutdown;
use bytes::Bytes;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_rustls::client::TlsStream;

use super::frame::{self, Frame};
use super::hello::{Hello, Verdict};
use super::server::Host;
use super::{Identity, IdentityError, PEER_ORGANIZATION, TlsTransport, peer_common_name, serve};
use crate::limits::{ANSWER_STALL_MAX, FRAME_BYTES_MAX, REQUEST_BYTES_PER_CONNECTION_MAX};
use crate::member::Member;
use crate::transport::{FrameService, Lane, Transport, TransportError};

const LIMIT: Duration = Duration::from_secs(20);
const CLUSTER: ClusterId = ClusterId(0xc1);

/// A CA of a test.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate").der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn identity_named(&self, node: NodeId, organization: &str, name: &str) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, organization);
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity {
            cluster: CLUSTER,
            node,
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            ca: self.certificate.clone(),
        }
    }

    fn identity(&self, node: NodeId) -> Identity {
        self.identity_named(node, PEER_ORGANIZATION, &peer_common_name(node))
    }
}

/// Answers with who asked and how much; "hold" waits for a permit, "refuse" is refused.
struct Echo {
    held: Semaphore,
}

#[async_trait::async_trait]
impl FrameService for Echo {
    async fn serve(&self, from: NodeId, lane: Lane, frame: Bytes) -> Result<Bytes, String> {
        match &frame[..] {
            b"hold" => {
                let permit = self.held.acquire().await.map_err(|error| error.to_string())?;
                permit.forget();
                Ok(frame)
            }
            b"refuse" => Err("as you wish".to_owned()),
            b"whole" => Ok(Bytes::from(vec![7; FRAME_BYTES_MAX])),
            _ => Ok(format!("{from}:{lane:?}:{}", frame.len()).into()),
        }
    }
}

/// A master that listens.
struct Listening {
    member: Member,
    echo: Arc<Echo>,
    _stop: shutdown::Trigger,
}

fn listen_at(address: &str, identity: Identity) -> Listening {
    let listener = std::net::TcpListener::bind(address).expect("a port");
    let bound: SocketAddr = listener.local_addr().expect("bound");
    let (stop, stopped) = shutdown::channel();
    let echo = Arc::new(Echo { held: Semaphore::new(0) });
    env::spawn(serve(listener, identity, echo.clone(), stopped));
    let member = Member { peer: bound.to_string(), ..Member::default() };
    Listening { member, echo, _stop: stop }
}

fn listen(identity: Identity) -> Listening {
    listen_at("127.0.0.1:0", identity)
}

fn transport(identity: &Identity) -> TlsTransport {
    TlsTransport::new(identity).expect("a usable identity")
}

async fn ask(
    from: &TlsTransport,
    to: NodeId,
    member: &Member,
    lane: Lane,
    body: &'static str,
) -> Result<Bytes, TransportError> {
    from.call(to, member, lane, Bytes::from_static(body.as_bytes()), LIMIT).await
}

#[tokio::test]
async fn every_lane_carries_requests_and_answers() {
    let authority = Authority::new();
    let there = listen(authority.identity(2));
    let here = transport(&authority.identity(1));
    for lane in Lane::ALL {
        let answer = ask(&here, 2, &there.member, lane, "hello").await;
        assert_eq!(answer, Ok(format!("1:{lane:?}:5").into()));
    }
    let refused = ask(&here, 2, &there.member, Lane::Call, "refuse").await;
    assert_eq!(refused, Err(TransportError::Refused { node: 2, reason: "as you wish".into() }));
}

#[tokio::test]
async fn frames_are_carried_up_to_the_limit_and_not_beyond() {
    let authority = Authority::new();
    let there = listen(authority.identity(2));
    let here = transport(&authority.identity(1));
    let whole = Bytes::from(vec![7; FRAME_BYTES_MAX]);
    let sent = here.call(2, &there.member, Lane::Bulk, whole.clone(), LIMIT).await;
    assert_eq!(sent, Ok(format!("1:Bulk:{}", whole.len()).into()));
    assert_eq!(ask(&here, 2, &there.member, Lane::Bulk, "whole").await, Ok(whole.clone()));
    let larger = Bytes::from([&whole[..], b"!"].concat());
    let refused = here.call(2, &there.member, Lane::Bulk, larger, LIMIT).await;
    assert_eq!(refused, Err(TransportError::TooLarge { size_bytes: whole.len() + 1 }));
}

#[tokio::test]
async fn a_slow_request_holds_up_no_other() {
    let authority = Authority::new();
    let there = listen(authority.identity(2));
    let here = Arc::new(transport(&authority.identity(1)));
    let (slow, member) = (Arc::clone(&here), there.member.clone());
    let held = env::spawn(async move { ask(&slow, 2, &member, Lane::Call, "hold").await });
    for _ in 0..100 {
        assert!(ask(&here, 2, &there.member, Lane::Call, "quick").await.is_ok());
    }
    assert!(!held.is_finished());
    there.echo.held.add_permits(1);
    assert_eq!(held.await.expect("no panic"), Ok("hold".into()));
}

#[tokio::test]
async fn a_deadline_ends_a_request_and_the_connection_goes_on() {
    let authority = Authority::new();
    let there = listen(authority.identity(2));
    let here = transport(&authority.identity(1));
    assert!(ask(&here, 2, &there.member, Lane::Call, "first").await.is_ok());
    let hold = Bytes::from_static(b"hold");
    let late = here.call(2, &there.member, Lane::Call, hold, Duration::from_millis(20)).await;
    assert_eq!(late, Err(TransportError::Timeout { node: 2, after_ms: 20 }));
    there.echo.held.add_permits(1);
    assert!(ask(&here, 2, &there.member, Lane::Call, "next").await.is_ok());
}

async fn refusal(from: &Identity, to: NodeId, there: &Listening) -> String {
    match ask(&transport(from), to, &there.member, Lane::Call, "hello").await {
        Err(TransportError::Unreachable { reason, .. } | TransportError::Broken { reason, .. }) => reason,
        other => panic!("was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn whoever_is_not_who_he_should_be_is_refused() {
    let authority = Authority::new();
    let there = listen(authority.identity(2));

    let other_node = refusal(&authority.identity(1), 3, &there).await;
    assert!(other_node.contains("is master 2's"), "{other_node}");

    let other_cluster = Identity { cluster: ClusterId(9), ..authority.identity(1) };
    let other_cluster = refusal(&other_cluster, 2, &there).await;
    assert!(other_cluster.contains("belongs to another cluster"), "{other_cluster}");

    let foreign = refusal(&Authority::new().identity(1), 2, &there).await;
    assert!(foreign.contains("certificate"), "{foreign}");

    // Trusts the right CA, but its own certificate is of another.
    let mut stranger = Authority::new().identity(1);
    stranger.ca = authority.certificate.clone();
    let stranger = refusal(&stranger, 2, &there).await;
    assert!(!stranger.is_empty());
}

#[tokio::test]
async fn a_certificate_of_the_cluster_that_is_not_a_masters_opens_nothing() {
    let authority = Authority::new();
    for (organization, name) in [
        ("system:nodes", "keelson:master:2"),
        (PEER_ORGANIZATION, "keelson:master:+2"),
        (PEER_ORGANIZATION, "keelson:master:02"),
        (PEER_ORGANIZATION, "keelson:node:2"),
        (PEER_ORGANIZATION, "keelson:master:3"),
    ] {
        let identity = authority.identity_named(2, organization, name);
        let refused = TlsTransport::new(&identity).err();
        assert!(matches!(refused, Some(IdentityError::OtherNode { node: 2, .. })), "{organization} {name}");
    }
}

/// A connection to whoever listens behind `stream`, as master `from`.
async fn greeted<S>(config: Arc<rustls::ClientConfig>, stream: S, hello: Hello) -> (TlsStream<S>, Verdict)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = rustls::pki_types::ServerName::try_from("master").expect("a name");
    let mut tls = tokio_rustls::TlsConnector::from(config).connect(name, stream).await.expect("same CA");
    hello.write(&mut tls).await.expect("writes");
    let verdict = Verdict::read(&mut tls).await.expect("answers");
    (tls, verdict)
}

/// A caller that skips its own checks is checked by the other side.
#[tokio::test]
async fn a_caller_that_lies_about_its_id_is_refused() {
    let authority = Authority::new();
    let there = listen(authority.identity(2));
    let config = authority.identity(1).client_config().expect("usable");
    for (from, to, expect) in
        [(3, 2, Verdict::NotYourId), (1, 4, Verdict::OtherNode), (1, 2, Verdict::Welcome)]
    {
        let tcp = tokio::net::TcpStream::connect(&there.member.peer).await.expect("listens");
        let hello = Hello { cluster: CLUSTER, from, to, lane: Lane::Call };
        assert_eq!(greeted(config.clone(), tcp, hello).await.1, expect);
    }
}

#[tokio::test]
async fn an_absent_master_is_unreachable_and_found_when_it_comes() {
    let authority = Authority::new();
    let gone = listen(authority.identity(2));
    let member = gone.member.clone();
    let here = transport(&authority.identity(1));
    assert!(ask(&here, 2, &member, Lane::Call, "hello").await.is_ok());
    drop(gone);
    let mut last = Ok(Bytes::new());
    while last.is_ok() {
        last = ask(&here, 2, &member, Lane::Call, "hello").await;
    }
    let _back = loop {
        // The old listener is closed by its task, a moment after it was told to stop.
        match std::net::TcpListener::bind(&member.peer) {
            Ok(free) => {
                drop(free);
                break listen_at(&member.peer, authority.identity(2));
            }
            Err(_) => env::sleep(Duration::from_millis(5)).await,
        }
    };
    while ask(&here, 2, &member, Lane::Call, "hello").await.is_err() {
        env::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_connection_that_ends_fails_its_requests() {
    let authority = Authority::new();
    let there = listen(authority.identity(2));
    let here = Arc::new(transport(&authority.identity(1)));
    assert!(ask(&here, 2, &there.member, Lane::Call, "hello").await.is_ok());
    let (slow, member) = (Arc::clone(&here), there.member.clone());
    let held = env::spawn(async move { ask(&slow, 2, &member, Lane::Call, "hold").await });
    while !held.is_finished() {
        here.forget(2);
        env::sleep(Duration::from_millis(1)).await;
    }
    let broken = held.await.expect("no panic");
    assert!(
        matches!(broken, Err(TransportError::Broken { node: 2, .. } | TransportError::Unreachable { .. })),
        "{broken:?}"
    );
}

/// Time is virtual.
#[test]
fn a_master_that_takes_no_answers_is_let_go_with_all_that_waits_for_it() {
    /// What a socket holds for a master that does not read.
    const SOCKET_BYTES: usize = 64 << 10;
    env::simulate(1, async {
        let authority = Authority::new();
        let echo = Arc::new(Echo { held: Semaphore::new(0) });
        let host = Host::new(authority.identity(2), echo.clone()).expect("usable");
        let (near, far) = tokio::io::duplex(SOCKET_BYTES);
        let served = env::spawn(async move { host.run(far).await });
        let config = authority.identity(1).client_config().expect("usable");
        let hello = Hello { cluster: CLUSTER, from: 1, to: 2, lane: Lane::Call };
        let (tls, verdict) = greeted(config, near, hello).await;
        assert_eq!(verdict, Verdict::Welcome);
        let (unread, mut write) = tokio::io::split(tls);
        let (requests, mut frames) = frame::outbox();
        for number in 0..3 {
            let request = Frame { number, is_refused: false, body: Bytes::from_static(b"whole") };
            assert!(requests.send(request, requests.room(5).await).await);
        }
        let asking = env::spawn(async move { frame::write_all(&mut write, &mut frames).await });
        let began = env::monotonic();
        env::timeout(10 * ANSWER_STALL_MAX, served).await.expect("let go at all").expect("no panic");
        assert_eq!(began.elapsed(), ANSWER_STALL_MAX);
        assert_eq!(Arc::strong_count(&echo), 1, "nothing works for it any more");
        drop((requests, unread));
        let _ = asking.await.expect("no panic");
    });
}

/// Gives every request back, once there is a permit for it.
struct Mirror {
    served: AtomicUsize,
    held: Semaphore,
}

#[async_trait::async_trait]
impl FrameService for Mirror {
    async fn serve(&self, _from: NodeId, _lane: Lane, frame: Bytes) -> Result<Bytes, String> {
        self.served.fetch_add(1, Ordering::SeqCst);
        self.held.acquire().await.map_err(|error| error.to_string())?.forget();
        Ok(frame)
    }
}

/// Time is virtual: after a second of it, whatever can go on has gone on.
#[test]
fn requests_of_one_connection_are_bounded_in_bytes_until_their_answers_leave() {
    const REQUESTS: usize = 8;
    const AT_A_TIME: usize = 4;
    /// What a socket holds.
    const SOCKET_BYTES: usize = 64 << 10;
    const SECOND: Duration = Duration::from_secs(1);
    env::simulate(1, async {
        let authority = Authority::new();
        let mirror = Arc::new(Mirror { served: AtomicUsize::new(0), held: Semaphore::new(0) });
        let host = Host::new(authority.identity(2), mirror.clone()).expect("usable");
        let (near, far) = tokio::io::duplex(SOCKET_BYTES);
        env::spawn(async move { host.run(far).await });
        let config = authority.identity(1).client_config().expect("usable");
        let hello = Hello { cluster: CLUSTER, from: 1, to: 2, lane: Lane::Call };
        let (tls, _welcome) = greeted(config, near, hello).await;
        let (mut read, mut write) = tokio::io::split(tls);
        let (requests, mut frames) = frame::outbox();
        env::spawn(async move { frame::write_all(&mut write, &mut frames).await });
        let body = Bytes::from(vec![7; REQUEST_BYTES_PER_CONNECTION_MAX / AT_A_TIME]);
        let asking = async move {
            for number in 0..REQUESTS as u64 {
                let room = requests.room(body.len()).await;
                let request = Frame { number, is_refused: false, body: body.clone() };
                assert!(requests.send(request, room).await);
            }
            requests
        };
        let asking = env::spawn(asking);
        let served = || mirror.served.load(Ordering::SeqCst);

        env::sleep(SECOND).await;
        assert_eq!(served(), AT_A_TIME, "the others wait in the socket");
        mirror.held.add_permits(REQUESTS);
        env::sleep(SECOND).await;
        assert_eq!(served(), AT_A_TIME + 1, "only one answer is on its way out, and nobody takes it");
        for _ in 0..REQUESTS {
            let answer = frame::read(&mut read).await.expect("whole").expect("an answer");
            assert_eq!(answer.body.len(), REQUEST_BYTES_PER_CONNECTION_MAX / AT_A_TIME);
        }
        assert_eq!(served(), REQUESTS);
        drop(asking.await.expect("no panic"));
    });
}
