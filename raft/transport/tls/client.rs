//! The connecting side.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::backoff::Backoff;
use base::env::{self, Instant};
use base::ids::{ClusterId, NodeId};
use bytes::Bytes;
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{BufReader, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::SILENCE_MAX;
use super::frame::{self, Frame, Outbox, Outgoing};
use super::hello::{Hello, Verdict};
use super::identity::{Identity, IdentityError, node_of};
use crate::limits::{CONNECT_DEADLINE, FRAME_BYTES_MAX, RECONNECT_MAX, RECONNECT_MIN};
use crate::member::Member;
use crate::transport::{Lane, Transport, TransportError};

/// Speaks TLS to other masters.
pub struct TlsTransport {
    cluster: ClusterId,
    node: NodeId,
    config: Arc<ClientConfig>,
    slots: Mutex<BTreeMap<(NodeId, Lane), Arc<Slot>>>,
}

impl TlsTransport {
    /// A transport that is this master.
    ///
    /// # Errors
    /// When the identity's certificate or key cannot be used.
    pub fn new(identity: &Identity) -> Result<Self, IdentityError> {
        Ok(Self {
            cluster: identity.cluster,
            node: identity.node,
            config: identity.client_config()?,
            slots: Mutex::default(),
        })
    }

    fn slot(&self, to: NodeId, lane: Lane) -> Arc<Slot> {
        let hello = Hello { cluster: self.cluster, from: self.node, to, lane };
        let config = Arc::clone(&self.config);
        Arc::clone(self.slots.lock().entry((to, lane)).or_insert_with(|| Arc::new(Slot::new(hello, config))))
    }
}

#[async_trait::async_trait]
impl Transport for TlsTransport {
    async fn call(
        &self,
        to: NodeId,
        member: &Member,
        lane: Lane,
        frame: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, TransportError> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(TransportError::TooLarge { size_bytes: frame.len() });
        }
        let slot = self.slot(to, lane);
        let ends = env::monotonic() + deadline;
        let timeout = TransportError::Timeout { node: to, after_ms: deadline.as_millis() as u64 };
        let connecting = env::timeout_at(ends, Slot::connection(&slot, &member.peer)).await;
        let connection =
            connecting.map_err(|_| unreachable(to, &member.peer, "connecting takes too long"))??;
        match env::timeout_at(ends, connection.request(frame)).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                connection.close_if_silent();
                Err(timeout)
            }
        }
    }

    fn forget(&self, node: NodeId) {
        let dropped: Vec<_> = {
            let mut slots = self.slots.lock();
            Lane::ALL.iter().filter_map(|lane| slots.remove(&(node, *lane))).collect()
        };
        dropped.iter().for_each(|slot| slot.state.lock().close());
    }
}

fn unreachable(node: NodeId, peer: &str, reason: impl Into<String>) -> TransportError {
    TransportError::Unreachable { node, peer: peer.to_owned(), reason: reason.into() }
}

/// The place of one connection: to one master, for one lane.
struct Slot {
    hello: Hello,
    config: Arc<ClientConfig>,
    state: Mutex<SlotState>,
}

struct SlotState {
    peer: String,
    link: Link,
    backoff: Backoff,
}

/// How a try to connect ended, for all who wait for it.
type Attempt = Option<Result<Arc<Connection>, String>>;

/// What stands in a slot.
enum Link {
    /// Nothing was tried, or the last connection ended.
    Down,
    /// A task connects.
    Connecting(watch::Receiver<Attempt>),
    /// In use, unless it ended meanwhile.
    Up(Arc<Connection>),
    /// The last try failed; the next comes at `retry`.
    Refused { reason: String, retry: Instant },
}

impl SlotState {
    fn close(&mut self) {
        if let Link::Up(connection) = std::mem::replace(&mut self.link, Link::Down) {
            connection.close("the master left");
        }
    }

    /// Notes how a try to connect to `peer` ended. One that was overtaken, by another address or because
    /// the master left meanwhile, ends here: nobody could close its connection any more.
    fn settle(
        &mut self,
        peer: &str,
        connected: Result<Arc<Connection>, String>,
    ) -> Result<Arc<Connection>, String> {
        if self.peer != peer || !matches!(self.link, Link::Connecting(_)) {
            if let Ok(connection) = &connected {
                connection.close("the master left");
            }
            return Err("the try to connect was overtaken".to_owned());
        }
        self.link = match &connected {
            Ok(connection) => {
                self.backoff.reset();
                Link::Up(Arc::clone(connection))
            }
            Err(reason) => {
                let retry = env::monotonic() + self.backoff.next_delay();
                Link::Refused { reason: reason.clone(), retry }
            }
        };
        connected
    }
}

impl Slot {
    fn new(hello: Hello, config: Arc<ClientConfig>) -> Self {
        let backoff = Backoff::new(RECONNECT_MIN, RECONNECT_MAX);
        let state = SlotState { peer: String::new(), link: Link::Down, backoff };
        Self { hello, config, state: Mutex::new(state) }
    }

    /// The connection in use, or a new one. A caller that gives up leaves the try to those who come
    /// after it: a heartbeat's deadline is shorter than a handshake on a busy machine.
    async fn connection(slot: &Arc<Self>, peer: &str) -> Result<Arc<Connection>, TransportError> {
        let mut attempt = match slot.look(peer) {
            Look::Use(connection) => return Ok(connection),
            Look::Refused(reason) => return Err(unreachable(slot.hello.to, peer, reason)),
            Look::Wait(attempt) => attempt,
            Look::Connect(told) => {
                let attempt = told.subscribe();
                env::spawn(Self::connect(Arc::clone(slot), peer.to_owned(), told));
                attempt
            }
        };
        let ended = attempt.wait_for(Option::is_some).await;
        match ended.ok().and_then(|ended| (*ended).clone()) {
            Some(Ok(connection)) => Ok(connection),
            Some(Err(reason)) => Err(unreachable(slot.hello.to, peer, reason)),
            None => Err(unreachable(slot.hello.to, peer, "the try to connect was given up")),
        }
    }

    /// Decides what to do, and notes it.
    fn look(&self, peer: &str) -> Look {
        let mut state = self.state.lock();
        if state.peer != peer {
            state.close();
            peer.clone_into(&mut state.peer);
        }
        match &state.link {
            Link::Up(connection) if !connection.is_closed() => return Look::Use(Arc::clone(connection)),
            // A task that ended without a word belonged to a runtime that is gone.
            Link::Connecting(attempt) if attempt.has_changed().is_ok() => return Look::Wait(attempt.clone()),
            Link::Refused { reason, retry } if env::monotonic() < *retry => {
                return Look::Refused(reason.clone());
            }
            _ => {}
        }
        let told = watch::Sender::new(None);
        state.link = Link::Connecting(told.subscribe());
        Look::Connect(told)
    }

    async fn connect(slot: Arc<Self>, peer: String, told: watch::Sender<Attempt>) {
        let connected = match env::timeout(CONNECT_DEADLINE, open(&slot.hello, &slot.config, &peer)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_elapsed) => Err("connecting takes too long".to_owned()),
        };
        let connected = slot.state.lock().settle(&peer, connected);
        told.send_replace(Some(connected));
    }
}

/// What a caller does with a slot.
enum Look {
    Use(Arc<Connection>),
    Wait(watch::Receiver<Attempt>),
    Connect(watch::Sender<Attempt>),
    Refused(String),
}

fn other(reason: impl Into<String>) -> io::Error {
    io::Error::other(reason.into())
}

/// Connects, proves who is who, and starts the tasks of a connection.
async fn open(hello: &Hello, config: &Arc<ClientConfig>, peer: &str) -> io::Result<Arc<Connection>> {
    let tcp = TcpStream::connect(peer).await?;
    tcp.set_nodelay(true)?;
    // Peers are known by id, so no name is checked; TLS wants one all the same.
    let name = ServerName::IpAddress(tcp.peer_addr()?.ip().into());
    let mut tls = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?;
    let certificate = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    match node_of(certificate) {
        Some(node) if node == hello.to => {}
        Some(node) => return Err(other(format!("the certificate there is master {node}'s"))),
        None => return Err(other("the certificate there is not a master's")),
    }
    hello.write(&mut tls).await?;
    match Verdict::read(&mut tls).await? {
        Verdict::Welcome => Ok(Connection::start(hello.to, tls)),
        refused => Err(other(refused.to_string())),
    }
}

/// Requests and answers over one stream.
struct Connection {
    to: NodeId,
    next: AtomicU64,
    outbox: Outbox,
    waiting: Mutex<Waiting>,
    /// Fires when the connection ends.
    closing: watch::Sender<bool>,
}

#[derive(Default)]
struct Waiting {
    /// Answers that are due.
    answers: BTreeMap<u64, oneshot::Sender<Result<Bytes, String>>>,
    /// Since when the other side owes an answer without having sent anything.
    silent_since: Option<Instant>,
    /// Why the connection ended.
    ended: Option<String>,
}

impl Connection {
    fn start(to: NodeId, tls: TlsStream<TcpStream>) -> Arc<Self> {
        let (read, write) = tokio::io::split(tls);
        let (outbox, frames) = frame::outbox();
        let connection = Arc::new(Self {
            to,
            next: AtomicU64::new(0),
            outbox,
            waiting: Mutex::default(),
            closing: watch::Sender::new(false),
        });
        env::spawn(Arc::clone(&connection).run(read, write, frames));
        connection
    }

    /// Carries frames both ways until either side ends.
    async fn run(
        self: Arc<Self>,
        read: ReadHalf<TlsStream<TcpStream>>,
        mut write: WriteHalf<TlsStream<TcpStream>>,
        mut frames: Outgoing,
    ) {
        let mut closing = self.closing.subscribe();
        let mut read = BufReader::with_capacity(64 << 10, read);
        let reason = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => "it was closed here".to_owned(),
            ended = self.receive(&mut read) => ended.map_or_else(|error| error.to_string(), |()| "it was closed there".to_owned()),
            ended = frame::write_all(&mut write, &mut frames) => ended.map_or_else(|error| error.to_string(), |()| "nothing more to say".to_owned()),
        };
        self.close(&reason);
    }

    async fn receive(&self, read: &mut BufReader<ReadHalf<TlsStream<TcpStream>>>) -> io::Result<()> {
        while let Some(frame) = frame::read(read).await? {
            let answer = {
                let mut waiting = self.waiting.lock();
                let answer = waiting.answers.remove(&frame.number);
                waiting.silent_since = (!waiting.answers.is_empty()).then(env::monotonic);
                answer
            };
            let outcome = match frame.is_refused {
                false => Ok(frame.body),
                true => Err(String::from_utf8_lossy(&frame.body).into_owned()),
            };
            // Nobody waits any more for what came after its deadline.
            let _ = answer.map(|answer| answer.send(outcome));
        }
        Ok(())
    }

    async fn request(self: &Arc<Self>, body: Bytes) -> Result<Bytes, TransportError> {
        // No answer is due before: whoever waits here was not heard yet.
        let room = self.outbox.room(body.len()).await;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, told) = oneshot::channel();
        self.expect(number, answer)?;
        let _forget = ForgetOnDrop { connection: self, number };
        if !self.outbox.send(Frame { number, is_refused: false, body }, room).await {
            return Err(self.broken());
        }
        match told.await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(reason)) => Err(TransportError::Refused { node: self.to, reason }),
            Err(_dropped) => Err(self.broken()),
        }
    }

    fn expect(
        &self,
        number: u64,
        answer: oneshot::Sender<Result<Bytes, String>>,
    ) -> Result<(), TransportError> {
        let mut waiting = self.waiting.lock();
        if waiting.ended.is_some() {
            drop(waiting);
            return Err(self.broken());
        }
        waiting.silent_since.get_or_insert_with(env::monotonic);
        waiting.answers.insert(number, answer);
        Ok(())
    }

    fn broken(&self) -> TransportError {
        let ended = self.waiting.lock().ended.clone();
        TransportError::Broken { node: self.to, reason: ended.unwrap_or_else(|| "it ended".to_owned()) }
    }

    fn is_closed(&self) -> bool {
        self.waiting.lock().ended.is_some()
    }

    /// After a deadline passed: whoever says nothing at all is gone, or not reachable any more.
    fn close_if_silent(&self) {
        let since = self.waiting.lock().silent_since;
        if since.is_some_and(|since| since.elapsed() >= SILENCE_MAX) {
            self.close("nothing came back for too long");
        }
    }

    fn close(&self, reason: &str) {
        let answers = {
            let mut waiting = self.waiting.lock();
            waiting.ended.get_or_insert_with(|| reason.to_owned());
            std::mem::take(&mut waiting.answers)
        };
        drop(answers);
        self.closing.send_replace(true);
    }
}

/// Takes a request off the books when its caller goes away.
struct ForgetOnDrop<'a> {
    connection: &'a Arc<Connection>,
    number: u64,
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        self.connection.waiting.lock().answers.remove(&self.number);
    }
}
