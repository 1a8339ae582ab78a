//! Clients and servers of every protocol against each other, in memory and on virtual time.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::env;
use expect_test::expect;
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, Request};
use streams::client::{Dial, Forwarder, Session};
use streams::remote_command::{Options, RemoteCommand, TerminalSize};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

mod common;

/// A node whose commands are a few words that it knows itself.
#[derive(Clone, Default)]
struct Words {
    /// How many commands are sleeping.
    sleeping: Arc<AtomicUsize>,
}

/// One command that sleeps.
struct Asleep(Arc<AtomicUsize>);

impl Drop for Asleep {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl common::Node for Words {
    async fn run(&self, command: RemoteCommand, options: Options) -> Result<i32, String> {
        let RemoteCommand { stdin, stdout, stderr, mut resize } = command;
        let argument = options.command.get(1).cloned().unwrap_or_default();
        match options.command.first().map(String::as_str) {
            // Attached.
            None | Some("cat") => {
                tokio::io::copy(&mut stdin.expect("asked for"), &mut stdout.expect("asked for"))
                    .await
                    .map_err(|error| error.to_string())?;
                Ok(0)
            }
            Some("both") => {
                stdout.expect("asked for").write_all(b"out").await.map_err(|error| error.to_string())?;
                stderr.expect("asked for").write_all(b"err").await.map_err(|error| error.to_string())?;
                Ok(0)
            }
            Some("print") => {
                let bytes = vec![b'x'; argument.parse().expect("a number")];
                stdout.expect("asked for").write_all(&bytes).await.map_err(|error| error.to_string())?;
                Ok(0)
            }
            Some("size") => {
                let mut stdout = stdout.expect("asked for");
                while let Some(TerminalSize { width, height }) = resize.next().await {
                    let line = format!("{width}x{height}\n");
                    stdout.write_all(line.as_bytes()).await.map_err(|error| error.to_string())?;
                }
                Ok(0)
            }
            Some("exit") => Ok(argument.parse().expect("a number")),
            Some("sleep") => {
                self.sleeping.fetch_add(1, Ordering::Relaxed);
                let _asleep = Asleep(Arc::clone(&self.sleeping));
                std::future::pending().await
            }
            _ => Err(format!("{argument}: not found")),
        }
    }

    /// Every port but 81 echoes.
    async fn connect(&self, port: u16) -> Result<DuplexStream, String> {
        if port == 81 {
            return Err("connection refused".to_owned());
        }
        let (near, far) = tokio::io::duplex(4096);
        env::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(far);
            tokio::io::copy(&mut reader, &mut writer).await?;
            writer.shutdown().await
        });
        Ok(near)
    }
}

/// How a client reaches the node.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// As it is.
    Direct,
    /// Past somebody who knows no WebSocket.
    WithoutWebSocket,
    /// Through an API server that only passes on.
    Proxied,
}

const WAYS: [Way; 3] = [Way::Direct, Way::WithoutWebSocket, Way::Proxied];

impl Dial for Way {
    type Stream = DuplexStream;

    async fn dial(&self) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(3000);
        match self {
            Self::Direct => drop(env::spawn(common::serve(far, Words::default()))),
            Self::WithoutWebSocket => drop(env::spawn(common::serve_spdy_only(far, Words::default()))),
            Self::Proxied => drop(env::spawn(common::serve_proxied(far, Words::default()))),
        }
        Ok(near)
    }
}

/// To one node that the test looks into.
struct To(Words);

impl Dial for To {
    type Stream = DuplexStream;

    async fn dial(&self) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(3000);
        env::spawn(common::serve(far, self.0.clone()));
        Ok(near)
    }
}

fn request(path: &str) -> Request<()> {
    Request::get(path).header("host", "node").body(()).expect("a request")
}

async fn begin(way: Way, options: &Options) -> Session {
    begin_at(&way, options).await
}

async fn begin_at<D: Dial>(dial: &D, options: &Options) -> Session {
    let path = format!("/api/v1/namespaces/default/pods/web/exec?{}", options.query());
    Session::begin(dial, &request(&path), options).await.expect("it is served")
}

fn command(words: &[&str]) -> Options {
    let command = words.iter().map(|word| (*word).to_owned()).collect();
    Options { stdout: true, stderr: true, command, ..Options::default() }
}

/// Runs a command with nothing to read: what it prints and complains, and how it ends.
async fn run(way: Way, words: &[&str]) -> (String, String, Result<i32, String>) {
    let session = begin(way, &command(words)).await;
    let (mut out, mut err) = (String::new(), String::new());
    let (mut stdout, mut stderr) = (session.stdout.expect("wanted"), session.stderr.expect("wanted"));
    let (outcome, printed, complained) = tokio::join!(
        session.outcome.wait(),
        stdout.read_to_string(&mut out),
        stderr.read_to_string(&mut err),
    );
    assert!(printed.is_ok() && complained.is_ok(), "{printed:?} {complained:?}");
    (out, err, outcome)
}

fn simulate<F: Future>(future: F) -> F::Output {
    env::simulate(1, future)
}

#[test]
fn commands_end_with_their_output_and_their_exit_code() {
    simulate(async {
        for way in WAYS {
            let ended = run(way, &["both"]).await;
            assert_eq!(ended, ("out".into(), "err".into(), Ok(0)), "{way:?}");
            assert_eq!(run(way, &["exit", "7"]).await.2, Ok(7), "{way:?}");
            let why = run(way, &["look", "ls"]).await.2.expect_err("no such command");
            assert_eq!(
                why, "Internal error occurred: error executing command in container: ls: not found",
                "{way:?}"
            );
            let (out, ..) = run(way, &["print", "1000000"]).await;
            assert_eq!(out.len(), 1_000_000, "{way:?}");
        }
    });
}

#[test]
fn input_is_read_to_its_end() {
    simulate(async {
        for way in WAYS {
            let options = Options { stdin: true, stderr: false, ..command(&["cat"]) };
            let session = begin(way, &options).await;
            let (mut stdin, mut stdout) = (session.stdin.expect("wanted"), session.stdout.expect("wanted"));
            let sent: Vec<u8> = (0..500_000_u32).map(|byte| byte as u8).collect();
            let mut received = Vec::new();
            let (written, read) = tokio::join!(
                async {
                    stdin.write_all(&sent).await?;
                    stdin.shutdown().await
                },
                stdout.read_to_end(&mut received),
            );
            assert!(written.is_ok() && read.is_ok(), "{way:?}: {written:?} {read:?}");
            assert!(received == sent, "{way:?}: {} of {} bytes", received.len(), sent.len());
            assert_eq!(session.outcome.wait().await, Ok(0));
        }
    });
}

#[test]
fn a_terminal_tells_its_sizes() {
    simulate(async {
        for way in WAYS {
            let options = Options { tty: true, stderr: false, ..command(&["size"]) };
            let session = begin(way, &options).await;
            let (mut resize, mut stdout) = (session.resize.expect("wanted"), session.stdout.expect("wanted"));
            for (width, height) in [(80, 24), (132, 50)] {
                resize.send(TerminalSize { width, height }).await.expect("it is there");
            }
            drop(resize);
            let mut text = String::new();
            stdout.read_to_string(&mut text).await.expect("ends in order");
            assert_eq!(text, "80x24\n132x50\n", "{way:?}");
        }
    });
}

#[test]
fn a_command_whose_client_goes_is_dropped() {
    simulate(async {
        let words = Words::default();
        let sleeping = |count: usize| {
            let now = Arc::clone(&words.sleeping);
            let tick = Duration::from_millis(10);
            env::wait_until(Duration::from_secs(60), tick, move || now.load(Ordering::Relaxed) == count)
        };
        let session = begin_at(&To(words.clone()), &command(&["sleep"])).await;
        assert!(sleeping(1).await, "it was started");
        drop(session);
        assert!(sleeping(0).await, "it sleeps for nobody");
    });
}

#[test]
fn what_is_refused_says_why() {
    simulate(async {
        for way in WAYS {
            let begun = Session::begin(&way, &request("/x/exec?command=ls"), &command(&["ls"])).await;
            let why = begun.expect_err("no stream is asked for").to_string();
            assert_eq!(
                why,
                "unable to upgrade streaming request: 400 Bad Request: you must specify at least 1 of stdin, stdout, stderr",
                "{way:?}"
            );
        }
    });
}

async fn forwarder(way: Way) -> Forwarder {
    let path = "/api/v1/namespaces/default/pods/web/portforward";
    Forwarder::begin(&way, &request(path)).await.expect("it is served")
}

/// Sends this through a forwarded port and returns what comes back.
async fn echoed(forwarder: &Forwarder, port: u16, sent: &[u8]) -> (Vec<u8>, Result<(), String>) {
    let (near, far) = tokio::io::duplex(1000);
    let (mut reader, mut writer) = tokio::io::split(near);
    let mut received = Vec::new();
    let (_, _, forwarded) = tokio::join!(
        async {
            // Where nothing listens nobody takes it.
            let _ = writer.write_all(sent).await;
            let _ = writer.shutdown().await;
        },
        reader.read_to_end(&mut received),
        forwarder.forward(port, far),
    );
    (received, forwarded)
}

#[test]
fn connections_are_forwarded_side_by_side() {
    simulate(async {
        for way in WAYS {
            let forwarder = forwarder(way).await;
            let (large, small) = (vec![5; 300_000], b"hello".to_vec());
            let (first, second, third) = tokio::join!(
                echoed(&forwarder, 80, &large),
                echoed(&forwarder, 80, &small),
                echoed(&forwarder, 80, &[]),
            );
            assert!(first == (large, Ok(())), "{way:?}: {} bytes", first.0.len());
            assert_eq!((second, third), ((small, Ok(())), (Vec::new(), Ok(()))), "{way:?}");
        }
    });
}

#[test]
fn a_port_that_nothing_listens_on_is_an_error_of_its_connection_alone() {
    simulate(async {
        for way in WAYS {
            let forwarder = forwarder(way).await;
            let why = echoed(&forwarder, 81, b"hello").await.1.expect_err("nothing listens");
            assert_eq!(
                why, "error forwarding port 81 to pod web_default, uid 1-2-3: connection refused",
                "{way:?}"
            );
            assert_eq!(echoed(&forwarder, 80, b"hello").await, (b"hello".to_vec(), Ok(())), "{way:?}");
        }
    });
}

/// A WebSocket that names this protocol, or none.
async fn web_socket(path: &str, protocol: &str) -> (WebSocketStream<DuplexStream>, HeaderMap) {
    let stream = Way::Direct.dial().await.expect("in memory");
    let mut request = format!("ws://node{path}").into_client_request().expect("a request");
    if !protocol.is_empty() {
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().expect("a value"));
    }
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await.expect("it is served");
    (socket, response.into_parts().0.headers)
}

/// All messages until the end, one a line.
async fn messages(mut socket: WebSocketStream<DuplexStream>) -> String {
    let mut lines = String::new();
    while let Some(message) = socket.next().await {
        let line = match message.expect("a message") {
            Message::Binary(bytes) => format!("binary {}", bytes.escape_ascii()),
            Message::Text(text) => format!("text {text}"),
            Message::Close(reason) => format!("close {:?}", reason.map(|reason| u16::from(reason.code))),
            other => format!("{other:?}"),
        };
        lines += &(line + "\n");
    }
    lines
}

#[test]
fn every_protocol_over_web_socket_has_its_own_messages() {
    simulate(async {
        let path = "/x/exec?stdout=true&stderr=true&command=both";
        let mut shown = String::new();
        for protocol in [
            "",
            "channel.k8s.io",
            "base64.channel.k8s.io",
            "v4.channel.k8s.io",
            "v4.base64.channel.k8s.io",
            "v5.channel.k8s.io",
            "unheard, v5.channel.k8s.io, v4.channel.k8s.io",
        ] {
            let (socket, headers) = web_socket(path, protocol).await;
            shown += &format!("{protocol:?} -> {:?}\n", headers.get("sec-websocket-protocol"));
            shown += &messages(socket).await;
        }
        expect![[r#"
        "#]]
        .assert_eq(&shown);
    });
}

#[test]
fn failures_over_web_socket_are_told_as_their_protocol_does() {
    simulate(async {
        let mut shown = String::new();
        for (protocol, words) in [
            ("channel.k8s.io", "command=exit&command=3"),
            ("v5.channel.k8s.io", "command=exit&command=3"),
            ("channel.k8s.io", "command=look&command=ls"),
        ] {
            let (socket, _) = web_socket(&format!("/x/exec?stdout=true&{words}"), protocol).await;
            shown += &messages(socket).await;
        }
        expect![[r#"
        "#]]
        .assert_eq(&shown);
    });
}

#[test]
fn input_over_web_socket_ends_with_a_signal_only_where_there_is_one() {
    simulate(async {
        let path = "/x/exec?stdin=true&stdout=true&command=cat";
        let (mut socket, _) = web_socket(path, "v5.channel.k8s.io").await;
        for message in [&b"\x00some input"[..], b"\x09ignored", b"", &[255, 0]] {
            socket.send(Message::binary(message.to_vec())).await.expect("open");
        }
        expect![[r#"
        "#]]
        .assert_eq(&messages(socket).await);

        let (mut socket, _) = web_socket(path, "v4.base64.channel.k8s.io").await;
        socket.send(Message::text("0c29tZSBpbnB1dA==")).await.expect("open");
        // The greeting, then what came back; the end never comes.
        let first = socket.next().await.expect("open").expect("a message");
        let second = socket.next().await.expect("open").expect("a message");
        assert_eq!((first, second), (Message::text("1"), Message::text("1c29tZSBpbnB1dA==")));
        let third = env::timeout(Duration::from_secs(60), socket.next()).await;
        assert!(third.is_err(), "{third:?}");

        let (mut socket, _) = web_socket(path, "v4.base64.channel.k8s.io").await;
        socket.send(Message::text("0***")).await.expect("open");
        let _greeting = socket.next().await;
        assert!(!matches!(socket.next().await, Some(Ok(_))), "what is not base64 ends the connection");
    });
}

#[test]
fn a_web_socket_forwards_the_ports_of_its_query() {
    simulate(async {
        let (mut socket, _) = web_socket("/x/portforward?ports=80&ports=81", "v4.channel.k8s.io").await;
        let mut channels = vec![Vec::new(); 4];
        socket.send(Message::binary(&b"\x00hello"[..])).await.expect("open");
        while channels[0].len() < 7 || channels[3].len() < 3 {
            let message = socket.next().await.expect("open").expect("a message").into_data();
            channels[usize::from(message[0])].extend_from_slice(&message[1..]);
        }
        let shown: Vec<_> = channels.iter().map(|bytes| bytes.escape_ascii().to_string()).collect();
        expect![[r#"
        "#]]
        .assert_eq(&(shown.join("\n") + "\n"));
    });
}

#[test]
fn logs_come_as_messages_and_end() {
    simulate(async {
        let mut shown = String::new();
        for protocol in ["", "binary.k8s.io", "base64.binary.k8s.io"] {
            let (socket, headers) = web_socket("/x/log", protocol).await;
            shown += &format!("{protocol:?} -> {:?}\n", headers.get("sec-websocket-protocol"));
            shown += &messages(socket).await;
        }
        expect![[r#"
        "#]]
        .assert_eq(&shown);
    });
}

/// What a server that must not be trusted with the client's connection answers, and what the proxy makes
/// of it. Then whether the backend can still be reached through the client's connection.
async fn proxied(answer: &'static str) -> String {
    let (near, far) = tokio::io::duplex(1 << 20);
    let (mut backend, dialed) = tokio::io::duplex(1 << 20);
    let seen = env::spawn(async move {
        let mut bytes = vec![0; 4096];
        let count = backend.read(&mut bytes).await.expect("a request");
        backend.write_all(answer.as_bytes()).await.expect("it is read");
        bytes.truncate(count);
        // What else arrives came past whoever stands between.
        let mut rest = Vec::new();
        let _ = backend.read_to_end(&mut rest).await;
        (String::from_utf8_lossy(&bytes).into_owned(), rest)
    });
    env::spawn(common::pass_on(far, dialed));
    let (mut reader, mut writer) = tokio::io::split(near);
    let request = "GET /x/exec HTTP/1.1\r\nhost: node\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    writer.write_all(request.as_bytes()).await.expect("open");
    let mut bytes = vec![0; 1 << 18];
    let count = reader.read(&mut bytes).await.expect("an answer");
    writer
        .write_all(b"GET /secrets HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n")
        .await
        .expect("open");
    writer.shutdown().await.expect("open");
    let (request, rest) = seen.await.expect("ends");
    assert!(request.starts_with("GET /x/exec HTTP/1.1\r\n"), "{request}");
    assert!(!rest.windows(8).any(|window| window == b"/secrets"), "it reached the backend");
    let answer = String::from_utf8_lossy(&bytes[..count]);
    let lines = answer.lines().filter(|line| !line.starts_with("date:"));
    lines.map(|line| format!("{}\n", line.chars().take(100).collect::<String>())).collect()
}

#[test]
fn only_an_upgrade_connects_a_client_to_its_backend() {
    simulate(async {
        expect![[r#"
        "#]]
        .assert_eq(
            &proxied("HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\nx-why: because\r\n\r\nno! ").await,
        );
        expect![[r#"
        "#]]
        .assert_eq(
            &proxied("HTTP/1.1 302 Found\r\nlocation: http://elsewhere/\r\ncontent-length: 0\r\n\r\n").await,
        );
        expect![[r#"
        "#]]
        .assert_eq(&proxied("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await);
    });
}
