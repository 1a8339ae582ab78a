//! Questions in, answers out, by UDP and TCP.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base::env;
use base::shutdown::Shutdown;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use crate::answer::{Answer, Reply, Zone};
use crate::cache::one_query;
use crate::records::Records;
use crate::upstream::{Transport, Upstream, read_message, write_message};

/// Connections at a time; more wait.
const CONNECTIONS_MAX: usize = 256;

/// Questions by UDP that wait for other servers; more are dropped, and asked again by who needs them.
const DATAGRAMS_WAITING_MAX: usize = 2_048;

/// How long a connection may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// The largest answer by UDP: it passes every network in one piece.
const DATAGRAM_BYTES_MAX: u16 = 1_232;

/// How long to wait when the system refuses a connection.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// What happened in the cluster.
#[derive(Clone, Debug)]
pub enum DnsEvent {
    /// A Service came or changed.
    Service(Box<Service>),
    /// A Service went.
    ServiceDeleted {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// An EndpointSlice came or changed.
    EndpointSlice(Box<EndpointSlice>),
    /// An EndpointSlice went.
    EndpointSliceDeleted {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Everything that there was at the start has been told. Before, no name of the cluster is said not to be.
    Synced,
}

#[derive(Default)]
struct Known {
    records: Records,
    synced: bool,
}

/// Tells the server, and may be asked where it is. Cheap to clone.
#[derive(Clone)]
pub struct Dns {
    shared: Arc<Shared>,
    address: SocketAddr,
}

struct Shared {
    zone: Zone,
    known: RwLock<Known>,
    upstream: Upstream,
}

/// The two sockets, before they are served.
pub struct Server {
    shared: Arc<Shared>,
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
}

impl Dns {
    /// Listens at `address` by UDP and TCP, for the names of `zone`; other questions go to `resolvers`.
    ///
    /// # Errors
    /// When the address is not this host's or not free.
    pub async fn bind(
        address: SocketAddr,
        zone: Zone,
        resolvers: Vec<SocketAddr>,
    ) -> std::io::Result<(Self, Server)> {
        let tcp = TcpListener::bind(address).await?;
        let address = tcp.local_addr()?;
        let udp = Arc::new(UdpSocket::bind(address).await?);
        let known = RwLock::new(Known::default());
        let shared = Arc::new(Shared { zone, known, upstream: Upstream::new(resolvers) });
        Ok((Self { shared: Arc::clone(&shared), address }, Server { shared, udp, tcp }))
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells what happened; the next question is answered with it.
    pub fn handle(&self, event: DnsEvent) {
        let mut known = self.shared.known.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            DnsEvent::Service(service) => known.records.put_service(&service),
            DnsEvent::ServiceDeleted { namespace, name } => known.records.remove_service(&namespace, &name),
            DnsEvent::EndpointSlice(slice) => known.records.put_slice(&slice),
            DnsEvent::EndpointSliceDeleted { namespace, name } => {
                known.records.remove_slice(&namespace, &name)
            }
            DnsEvent::Synced => known.synced = true,
        }
    }
}

impl Server {
    /// Answers until the shutdown.
    pub async fn run(self, mut shutdown: Shutdown) {
        tokio::select! {
            biased;
            () = shutdown.wait() => {}
            () = serve_datagrams(&self.shared, &self.udp) => {}
            () = serve_connections(&self.shared, &self.tcp) => {}
        }
    }
}

async fn serve_datagrams(shared: &Arc<Shared>, socket: &Arc<UdpSocket>) {
    let waiting = Arc::new(Semaphore::new(DATAGRAMS_WAITING_MAX));
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                // What a client's host answers to an answer that came too late.
                tracing::debug!(%error, "receiving questions");
                continue;
            }
        };
        let Some(question) = read(&buffer[..length]) else { continue };
        if let Some(answer) = shared.answer_here(&question) {
            send(socket, client, &question, &answer).await;
            continue;
        }
        let Ok(permit) = Arc::clone(&waiting).try_acquire_owned() else { continue };
        let (shared, socket) = (Arc::clone(shared), Arc::clone(socket));
        env::spawn(async move {
            let answer = shared.answer(&question, Transport::Udp).await;
            send(&socket, client, &question, &answer).await;
            drop(permit);
        });
    }
}

async fn send(socket: &UdpSocket, client: SocketAddr, question: &Message, answer: &Message) {
    let bytes_max = usize::from(question.max_payload().min(DATAGRAM_BYTES_MAX));
    let bytes = match answer.to_vec() {
        Ok(bytes) if bytes.len() > bytes_max => answer.truncate().to_vec(),
        other => other,
    };
    match bytes {
        // A client that is gone gets nothing.
        Ok(bytes) => drop(socket.send_to(&bytes, client).await),
        Err(error) => tracing::warn!(%error, "an answer cannot be written"),
    }
}

async fn serve_connections(shared: &Arc<Shared>, listener: &TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(shared);
                env::spawn(async move {
                    serve_connection(&shared, stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "taking a connection");
                env::sleep(REFUSED_PAUSE).await;
            }
        }
    }
}

/// One question after the other, until the client has none for a while.
async fn serve_connection(shared: &Shared, mut stream: TcpStream) {
    while let Ok(Ok(bytes)) = env::timeout(SILENCE_MAX, read_message(&mut stream)).await {
        let Some(question) = read(&bytes) else { return };
        let answer = shared.answer(&question, Transport::Tcp).await;
        let Ok(bytes) = answer.to_vec() else { return };
        match env::timeout(SILENCE_MAX, write_message(&mut stream, &bytes)).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    }
}

/// `None` for what deserves no answer: an answer itself, or nothing that can be read.
fn read(bytes: &[u8]) -> Option<Message> {
    match Message::from_vec(bytes) {
        Ok(message) => (message.metadata.message_type == MessageType::Query).then_some(message),
        Err(_unreadable) => {
            // Its id and that it is a question can be read, if anything.
            let header = bytes.first_chunk::<12>()?;
            let is_question = header[2] & 0x80 == 0;
            let mut message = Message::query();
            message.metadata.id = u16::from_be_bytes([header[0], header[1]]);
            is_question.then_some(message)
        }
    }
}

impl Shared {
    async fn answer(&self, question: &Message, transport: Transport) -> Message {
        match self.answer_here(question) {
            Some(answer) => answer,
            None => match self.reply(question) {
                Some(Reply::Answer(answer)) => self.chased(question, answer, transport).await,
                _ => self.upstream.ask(question, transport).await,
            },
        }
    }

    /// The answer, if no other server has to be asked for it.
    fn answer_here(&self, question: &Message) -> Option<Message> {
        if question.metadata.op_code != OpCode::Query {
            return Some(response(question, ResponseCode::NotImp));
        }
        let Some(query) = one_query(question) else { return Some(response(question, ResponseCode::FormErr)) };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if !known.synced && self.zone.has(query) {
            return Some(response(question, ResponseCode::ServFail));
        }
        match self.zone.answer(&known.records, query) {
            Reply::Answer(answer) if answer.chase.is_none() => Some(spoken(question, answer)),
            _ => None,
        }
    }

    fn reply(&self, question: &Message) -> Option<Reply> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        Some(self.zone.answer(&known.records, one_query(question)?))
    }

    /// An answer that ends at a name of others goes on with what they say.
    async fn chased(&self, question: &Message, answer: Answer, transport: Transport) -> Message {
        let (Some(target), Some(query)) = (answer.chase.clone(), one_query(question)) else {
            return spoken(question, answer);
        };
        let mut further = question.clone();
        further.queries = vec![Query::query(target, query.query_type())];
        let rest = self.upstream.ask(&further, transport).await;
        let mut whole = spoken(question, answer);
        whole.answers.extend(rest.answers);
        whole.metadata.truncation = rest.metadata.truncation;
        whole
    }
}

fn spoken(question: &Message, answer: Answer) -> Message {
    let mut message = response(question, answer.code);
    message.metadata.authoritative = true;
    message.answers = answer.answers;
    message.authorities = answer.authorities;
    message.additionals = answer.additionals;
    message
}

fn response(question: &Message, code: ResponseCode) -> Message {
    let mut message = Message::error_msg(question.metadata.id, question.metadata.op_code, code);
    message.metadata.recursion_desired = question.metadata.recursion_desired;
    message.metadata.recursion_available = true;
    message.queries.clone_from(&question.queries);
    if question.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(DATAGRAM_BYTES_MAX);
        message.set_edns(edns);
    }
    message
}
