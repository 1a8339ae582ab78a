//! Questions about names of others: the host's resolvers are asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::{env, resolv_conf};
use hickory_proto::op::{Message, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use crate::cache::{Cache, one_query};

/// How long one resolver may take before the next is asked; a client asks again after five seconds.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Resolvers that are asked for one question, one after the other.
const RESOLVERS_MAX: usize = 3;

/// Questions that may wait for resolvers; more are refused, so that a dead resolver costs no memory.
const WAITING_MAX: usize = 1_024;

/// Answers kept.
const KEPT_MAX: usize = 4_096;

/// The port of DNS.
const PORT: u16 = 53;

/// The largest message that UDP carries.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// How a question came: it goes on in the same way, so that a long answer is cut short for nobody who can
/// take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// The resolvers in a file like `/etc/resolv.conf`; those on loopback, which are others in each network namespace, only
/// if there are none else.
pub fn resolvers(text: &str) -> Vec<SocketAddr> {
    let (here, elsewhere): (Vec<IpAddr>, Vec<IpAddr>) =
        resolv_conf::nameservers(text).partition(IpAddr::is_loopback);
    let found = if elsewhere.is_empty() { here } else { elsewhere };
    found.into_iter().take(RESOLVERS_MAX).map(|address| SocketAddr::new(address, PORT)).collect()
}

/// What is to be said of these resolvers; `None` when nothing is wrong with them.
pub fn complaint(resolvers: &[SocketAddr]) -> Option<&'static str> {
    if resolvers.is_empty() {
        return Some("pods find no names outside the cluster: /etc/resolv.conf names no resolver");
    }
    resolvers.iter().all(|resolver| resolver.ip().is_loopback()).then_some(
        "pods may find no names outside the cluster: /etc/resolv.conf names only resolvers on loopback, which answer \
         only if they listen in the network namespace of this agent",
    )
}

pub(crate) struct Upstream {
    resolvers: Vec<SocketAddr>,
    waiting: Semaphore,
    cache: Mutex<Cache>,
}

impl Upstream {
    pub(crate) fn new(resolvers: Vec<SocketAddr>) -> Self {
        Self { resolvers, waiting: Semaphore::new(WAITING_MAX), cache: Mutex::new(Cache::new(KEPT_MAX)) }
    }

    /// The answer to `question`, of the first resolver that gives one; SERVFAIL if none does.
    pub(crate) async fn ask(&self, question: &Message, transport: Transport) -> Message {
        if let Some(answer) = self.cache().get(question, env::monotonic()) {
            return addressed(answer, question);
        }
        let Ok(_permit) = self.waiting.try_acquire() else { return failure(question) };
        for resolver in &self.resolvers {
            match env::timeout(ANSWER_MAX, ask_one(*resolver, question, transport)).await {
                Ok(Ok(answer)) if answer.metadata.response_code != ResponseCode::ServFail => {
                    self.cache().put(question, answer.clone(), env::monotonic());
                    return addressed(answer, question);
                }
                Ok(Ok(_failed)) => {}
                Ok(Err(error)) => tracing::debug!(%resolver, %error, "a resolver cannot be asked"),
                Err(_elapsed) => tracing::debug!(%resolver, "a resolver is silent"),
            }
        }
        failure(question)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn addressed(mut answer: Message, question: &Message) -> Message {
    answer.metadata.id = question.metadata.id;
    // With the letters as they were asked: some clients check.
    answer.queries.clone_from(&question.queries);
    answer
}

fn failure(question: &Message) -> Message {
    let mut answer =
        Message::error_msg(question.metadata.id, question.metadata.op_code, ResponseCode::ServFail);
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.queries.clone_from(&question.queries);
    answer
}

/// Asks under an id and a port that nobody else knows.
async fn ask_one(resolver: SocketAddr, question: &Message, transport: Transport) -> std::io::Result<Message> {
    let mut asked = question.clone();
    asked.metadata.id = env::random_u64() as u16;
    let bytes = asked.to_vec().map_err(std::io::Error::other)?;
    let answer = match transport {
        Transport::Udp => by_udp(resolver, &bytes, &asked).await?,
        Transport::Tcp => by_tcp(resolver, &bytes).await?,
    };
    if !answers(&answer, &asked) {
        return Err(std::io::Error::other("an answer to another question"));
    }
    Ok(answer)
}

fn answers(answer: &Message, asked: &Message) -> bool {
    let same = match (one_query(answer), one_query(asked)) {
        (Some(answered), Some(asked)) => {
            answered.name() == asked.name() && answered.query_type() == asked.query_type()
        }
        _ => false,
    };
    answer.metadata.id == asked.metadata.id && same
}

async fn by_udp(resolver: SocketAddr, bytes: &[u8], asked: &Message) -> std::io::Result<Message> {
    let any: IpAddr =
        if resolver.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(resolver).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Whatever else comes to this port is forged or late.
        match Message::from_vec(&buffer[..length]) {
            Ok(answer) if answers(&answer, asked) => return Ok(answer),
            _ => {}
        }
    }
}

async fn by_tcp(resolver: SocketAddr, bytes: &[u8]) -> std::io::Result<Message> {
    let mut stream = TcpStream::connect(resolver).await?;
    write_message(&mut stream, bytes).await?;
    let answer = read_message(&mut stream).await?;
    Message::from_vec(&answer).map_err(std::io::Error::other)
}

/// Reads one message with its length before it.
pub(crate) async fn read_message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Writes one message with its length before it.
pub(crate) async fn write_message(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(bytes.len()).map_err(std::io::Error::other)?;
    // In one piece: some clients read no more than that.
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await
}
