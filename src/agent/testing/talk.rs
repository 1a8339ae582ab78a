//! Servers that say who they are and whom they see, and clients that ask them.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::env;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::namespace::{Namespace, PATIENCE};

/// How long an answer may take before it is called none.
const SILENCE: Duration = Duration::from_secs(3);

/// Answers on a port of TCP and UDP with its name and the client's address, until it is asked to end.
pub struct Server {
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Starts it, and waits until it listens.
    pub fn start(at: &Arc<Namespace>, name: &'static str, port: u16) -> Self {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (end, ended) = tokio::sync::oneshot::channel();
        let thread = at.start(move || async move {
            let tcp = TcpListener::bind(("0.0.0.0", port)).await.expect("bind tcp");
            let udp = UdpSocket::bind(("0.0.0.0", port)).await.expect("bind udp");
            ready.send(()).expect("the test waits");
            tokio::select! {
                biased;
                _ = ended => {}
                () = streams(name, tcp) => {}
                () = datagrams(name, udp) => {}
            }
        });
        is_ready.recv_timeout(PATIENCE).expect("the server listens");
        Self { end: Some(end), thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.end.take());
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()), "a server failed");
    }
}

async fn streams(name: &str, listener: TcpListener) {
    loop {
        let (stream, peer) = listener.accept().await.expect("accept");
        let greeting = format!("{name} {}", peer.ip());
        env::spawn(async move {
            let mut stream = stream;
            let _ = stream.write_all(greeting.as_bytes()).await;
            // Whoever stays sends something and gets it back.
            let mut buffer = [0; 64];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                let _ = stream.write_all(&buffer[..length]).await;
            }
        });
    }
}

async fn datagrams(name: &str, socket: UdpSocket) {
    let mut buffer = [0; 64];
    loop {
        let (_, peer) = socket.recv_from(&mut buffer).await.expect("receive");
        let _ = socket.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer).await;
    }
}

/// What the server at `to` says by TCP, or why it says nothing.
pub fn ask(from: &Arc<Namespace>, to: &str) -> String {
    let to: SocketAddr = to.parse().expect("an address");
    from.within(move || async move {
        let mut stream = match env::timeout(SILENCE, TcpStream::connect(to)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return reason(error.kind()),
            Err(_elapsed) => return "silence".into(),
        };
        greeting(&mut stream).await
    })
}

/// What a server says first.
pub async fn greeting(stream: &mut TcpStream) -> String {
    let mut buffer = [0; 64];
    match env::timeout(SILENCE, stream.read(&mut buffer)).await {
        Ok(Ok(length)) => String::from_utf8_lossy(&buffer[..length]).into_owned(),
        Ok(Err(error)) => reason(error.kind()),
        Err(_elapsed) => "silence".into(),
    }
}

/// What the server at `to` says to a datagram, or why it says nothing.
pub fn ask_udp(from: &Arc<Namespace>, to: &str) -> String {
    let to = to.to_owned();
    from.within(move || async move {
        let socket = UdpSocket::bind("0.0.0.0:0").await.expect("bind");
        exchange(&socket, &to).await
    })
}

/// One question and answer by a socket that stays.
pub async fn exchange(socket: &UdpSocket, to: &str) -> String {
    let to: SocketAddr = to.parse().expect("an address");
    // Connected, so that a refusal is told.
    if let Err(error) = socket.connect(to).await {
        return reason(error.kind());
    }
    let _ = socket.send(b"?").await;
    let mut buffer = [0; 64];
    match env::timeout(SILENCE, socket.recv(&mut buffer)).await {
        Ok(Ok(length)) => String::from_utf8_lossy(&buffer[..length]).into_owned(),
        Ok(Err(error)) => reason(error.kind()),
        Err(_elapsed) => "silence".into(),
    }
}

fn reason(kind: ErrorKind) -> String {
    match kind {
        ErrorKind::ConnectionRefused => "refused".into(),
        other => format!("{other:?}"),
    }
}
