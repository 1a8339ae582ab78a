//! Real questions on the loopback interface, with an upstream server of the test's own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::{env, shutdown};
use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::{query, service, slice, text, zone};
use crate::server::{Dns, DnsEvent};
use crate::upstream::{complaint, read_message, resolvers, write_message};

const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    dns: Dns,
    upstream: Arc<AtomicUsize>,
    _end: shutdown::Trigger,
}

/// An upstream server that answers everything with one address, and counts; names with `silent` with nothing.
async fn upstream() -> (SocketAddr, Arc<AtomicUsize>) {
    let tcp = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = tcp.local_addr().expect("address");
    let udp = UdpSocket::bind(address).await.expect("bind");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    env::spawn(async move {
        let mut buffer = [0; 1024];
        loop {
            let (length, client) = udp.recv_from(&mut buffer).await.expect("receive");
            count.fetch_add(1, Ordering::Relaxed);
            let question = Message::from_vec(&buffer[..length]).expect("a question");
            if !question.queries[0].name().to_string().contains("silent") {
                let answer = answer_to(&question, false).to_vec().expect("an answer");
                udp.send_to(&answer, client).await.expect("send");
            }
        }
    });
    env::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.expect("accept");
            let question =
                Message::from_vec(&read_message(&mut stream).await.expect("read")).expect("a question");
            let answer = answer_to(&question, true).to_vec().expect("an answer");
            write_message(&mut stream, &answer).await.expect("write");
        }
    });
    (address, asked)
}

fn answer_to(question: &Message, whole: bool) -> Message {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.queries.clone_from(&question.queries);
    let name = question.queries[0].name().clone();
    let is_long = name.to_string().contains("long");
    answer.metadata.truncation = is_long && !whole;
    let data = RData::A(A([192, 0, 2, 1].into()));
    answer.answers.push(Record::from_rdata(name, 60, data));
    answer
}

async fn running() -> Running {
    let (resolver, upstream) = upstream().await;
    let address = "127.0.0.1:0".parse().expect("an address");
    let (dns, server) = Dns::bind(address, zone(), vec![resolver]).await.expect("bind");
    let (end, shutdown) = shutdown::channel();
    env::spawn(server.run(shutdown));
    Running { dns, upstream, _end: end }
}

fn tell(dns: &Dns) {
    let spec = json!({ "clusterIP": "10.96.0.1", "ports": [{ "port": 443 }] });
    dns.handle(DnsEvent::Service(Box::new(service("kubernetes", spec))));
    dns.handle(DnsEvent::Service(Box::new(service("many", json!({ "clusterIP": "None" })))));
    let alias = json!({ "type": "ExternalName", "externalName": "example.com" });
    dns.handle(DnsEvent::Service(Box::new(service("outside", alias))));
    let endpoints: Vec<_> =
        (0..200).map(|number| json!({ "addresses": [format!("10.1.1.{number}")] })).collect();
    dns.handle(DnsEvent::EndpointSlice(Box::new(slice("many", json!([]), json!(endpoints)))));
    dns.handle(DnsEvent::Synced);
}

fn message(question: &str) -> Message {
    let mut message = Message::query();
    message.add_query(query(question));
    message
}

async fn udp(to: SocketAddr, question: &[u8]) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
    socket.send_to(question, to).await.expect("send");
    let mut buffer = vec![0; 65_535];
    let length =
        env::timeout(PATIENCE, socket.recv(&mut buffer)).await.expect("an answer").expect("received");
    Message::from_vec(&buffer[..length]).expect("an answer")
}

async fn ask(to: SocketAddr, question: &str) -> Message {
    let asked = message(question);
    let answer = udp(to, &asked.to_vec().expect("bytes")).await;
    assert_eq!((answer.metadata.id, &answer.queries), (asked.metadata.id, &asked.queries));
    answer
}

async fn ask_tcp(stream: &mut TcpStream, question: &str) -> Message {
    write_message(stream, &message(question).to_vec().expect("bytes")).await.expect("write");
    let bytes = env::timeout(PATIENCE, read_message(stream)).await.expect("an answer").expect("read");
    Message::from_vec(&bytes).expect("an answer")
}

fn answers(message: &Message) -> String {
    message.answers.iter().map(text).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn names_of_the_cluster_by_udp_and_tcp() {
    let running = running().await;
    let to = running.dns.address();
    let name = "kubernetes.default.svc.cluster.local A";
    assert_eq!(ask(to, name).await.metadata.response_code, ResponseCode::ServFail, "not known yet");
    tell(&running.dns);
    let answer = ask(to, name).await;
    assert!(answer.metadata.authoritative && answer.metadata.recursion_available);
    assert_eq!(answers(&answer), "kubernetes.default.svc.cluster.local. 5 A 10.96.0.1");
    let mut stream = TcpStream::connect(to).await.expect("connect");
    for _ in 0..2 {
        assert_eq!(answers(&ask_tcp(&mut stream, name).await), answers(&answer));
    }
    let gone = DnsEvent::ServiceDeleted { namespace: "default".into(), name: "kubernetes".into() };
    running.dns.handle(gone);
    let none = ask(to, name).await;
    assert_eq!((none.metadata.response_code, none.authorities.len()), (ResponseCode::NXDomain, 1));
    assert_eq!(running.upstream.load(Ordering::Relaxed), 0, "nobody else was asked");
}

#[tokio::test]
async fn what_is_too_long_for_a_datagram_is_cut_and_whole_by_tcp() {
    let running = running().await;
    tell(&running.dns);
    let to = running.dns.address();
    let name = "many.default.svc.cluster.local A";
    let cut = ask(to, name).await;
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    let mut large = message(name);
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    large.set_edns(edns);
    let cut = udp(to, &large.to_vec().expect("bytes")).await;
    assert!(cut.metadata.truncation, "no larger than what passes every network");
    assert!(cut.edns.is_some());
    let mut stream = TcpStream::connect(to).await.expect("connect");
    assert_eq!(ask_tcp(&mut stream, name).await.answers.len(), 200);
}

#[tokio::test]
async fn names_of_others_are_asked_for_once() {
    let running = running().await;
    tell(&running.dns);
    let to = running.dns.address();
    let first = ask(to, "example.com A").await;
    assert_eq!(answers(&first), "example.com. 60 A 192.0.2.1");
    let again = ask(to, "EXAMPLE.com A").await;
    assert_eq!(again.answers.len(), 1);
    assert_eq!(running.upstream.load(Ordering::Relaxed), 1);
    // An alias goes on with what others say, which is known by now.
    let alias = ask(to, "outside.default.svc.cluster.local A").await;
    assert_eq!(alias.answers.len(), 2, "{}", answers(&alias));
    assert_eq!(running.upstream.load(Ordering::Relaxed), 1);
    assert!(ask(to, "long.example A").await.metadata.truncation);
    let mut stream = TcpStream::connect(to).await.expect("connect");
    assert!(!ask_tcp(&mut stream, "long.example A").await.metadata.truncation);
}

#[tokio::test]
async fn a_silent_resolver_is_a_failure_and_holds_up_nobody() {
    let running = running().await;
    tell(&running.dns);
    let to = running.dns.address();
    let silent = env::spawn(async move { ask(to, "silent.example A").await.metadata.response_code });
    assert_eq!(ask(to, "example.com A").await.answers.len(), 1);
    assert!(!silent.is_finished());
    assert_eq!(silent.await.expect("asked"), ResponseCode::ServFail);
}

#[tokio::test]
async fn nonsense_gets_an_error_or_nothing() {
    let running = running().await;
    tell(&running.dns);
    let to = running.dns.address();
    let cut = &message("example.com A").to_vec().expect("bytes")[..20];
    assert_eq!(udp(to, cut).await.metadata.response_code, ResponseCode::FormErr);
    let mut update = message("example.com A");
    update.metadata.op_code = hickory_proto::op::OpCode::Update;
    assert_eq!(udp(to, &update.to_vec().expect("bytes")).await.metadata.response_code, ResponseCode::NotImp);
}

#[test]
fn resolvers_are_read_from_the_hosts_file() {
    let text = "# nameserver 9.9.9.9\nsearch a b\nnameserver 192.0.2.1\n nameserver\tfe80::1%eth0 x\nnameserverx 1.1.1.1\n";
    let expected: Vec<SocketAddr> =
        ["192.0.2.1:53", "[fe80::1]:53"].map(|of| of.parse().expect("address")).into();
    assert_eq!(resolvers(text), expected);
}

#[test]
fn resolvers_on_loopback_count_only_alone_and_that_is_said() {
    let address = |of: &str| of.parse::<SocketAddr>().expect("address");
    for (text, expected, is_told) in [
        ("nameserver 127.0.0.53\nnameserver 192.0.2.1\n", vec![address("192.0.2.1:53")], false),
        ("nameserver 127.0.0.53\n", vec![address("127.0.0.53:53")], true),
        ("search a\n", vec![], true),
    ] {
        let found = resolvers(text);
        assert_eq!(complaint(&found).is_some(), is_told, "{text:?}");
        assert_eq!(found, expected, "{text:?}");
    }
}
