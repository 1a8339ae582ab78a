//! Which master a connection goes to, and its bytes on the way.
//!
//! A connection may go on to the next master until one has answered: before that no request can have been
//! understood, because TLS begins with a question and an answer. A master that is killed still takes
//! connections for a moment, and then gives them up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::env;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::address::HostPort;

/// How long a master may take to accept a connection before the next one is tried.
const CONNECT_DEADLINE: Duration = Duration::from_secs(1);
/// How long a master may take to end a connection without an answer for the next one to be tried. Well below what
/// masters grant clients that say nothing: then another one would do the same.
const OPENING_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes that a client may say before it is answered, to be said again to another master: the beginning of TLS,
/// which fits into one record.
const OPENING_BYTES_MAX: usize = 16 << 10;

/// A master, and whether it is fit to serve.
pub struct Target {
    /// Its API.
    pub address: HostPort,
    /// Kept up to date by a prober.
    pub healthy: watch::Receiver<bool>,
}

/// The masters, and whose turn it is.
pub struct Turn {
    targets: Vec<Target>,
    next: AtomicUsize,
}

impl Turn {
    /// Begins with the first.
    pub fn new(targets: Vec<Target>) -> Self {
        Self { targets, next: AtomicUsize::new(0) }
    }

    /// All masters in the order in which the next connection tries them.
    fn order(&self) -> Vec<&Target> {
        let healthy: Vec<bool> = self.targets.iter().map(|target| *target.healthy.borrow()).collect();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        order(&healthy, first).into_iter().map(|at| &self.targets[at]).collect()
    }
}

/// The healthy ones in turn, starting with number `first`; then the others, since a prober may be late.
fn order(healthy: &[bool], first: usize) -> Vec<usize> {
    let count = healthy.len();
    let fit: Vec<usize> = (0..count).filter(|at| healthy[*at]).collect();
    let unfit = (0..count).filter(|at| !healthy[*at]);
    let start = if fit.is_empty() { 0 } else { first % fit.len() };
    fit[start..].iter().chain(&fit[..start]).copied().chain(unfit).collect()
}

/// Serves one client to its end. Without any master the connection is closed at once.
pub async fn serve(mut client: TcpStream, turn: &Turn) {
    // Small requests and answers: waiting to fill a packet would only add delay.
    let _ = client.set_nodelay(true);
    let mut said = Vec::new();
    for target in turn.order() {
        let Some(mut master) = connect(&target.address).await else { continue };
        let _ = master.set_nodelay(true);
        let mut healthy = target.healthy.clone();
        let mut ill = std::pin::pin!(falls_ill(&mut healthy));
        let opening = tokio::select! {
            biased;
            // Cancel-safe: what was said is kept, and another master hears all of it.
            opening = open(&mut client, &mut master, &mut said) => opening,
            () = &mut ill => Opening::GivenUp,
        };
        match opening {
            Opening::Answered => {}
            Opening::GivenUp => continue,
            Opening::Over => return,
        }
        tokio::select! {
            biased;
            // Not cancel-safe, and need not be: both connections end here.
            _ = copy_bidirectional(&mut client, &mut master) => {}
            () = &mut ill => {}
        }
        return;
    }
}

/// How the beginning of a connection went.
enum Opening {
    /// The master said something.
    Answered,
    /// It ended without a word, or fell ill: another one may be asked.
    GivenUp,
    /// There is nobody to be answered any more, or nothing.
    Over,
}

/// Passes on what the client says, and keeps it in `said`, until the master's first byte is there.
async fn open(client: &mut TcpStream, master: &mut TcpStream, said: &mut Vec<u8>) -> Opening {
    let began = env::monotonic();
    let given_up = || if began.elapsed() < OPENING_DEADLINE { Opening::GivenUp } else { Opening::Over };
    let (mut passed_on, mut first) = (0, [0]);
    loop {
        if master.write_all(&said[passed_on..]).await.is_err() {
            return given_up();
        }
        passed_on = said.len();
        tokio::select! {
            biased;
            // Cancel-safe, both: a look takes nothing, and what was read is in `said`.
            answer = master.peek(&mut first) => {
                return if matches!(answer, Ok(1..)) { Opening::Answered } else { given_up() };
            }
            heard = client.read_buf(said), if passed_on < OPENING_BYTES_MAX => {
                if !matches!(heard, Ok(1..)) {
                    return Opening::Over;
                }
            }
        }
    }
}

async fn connect(address: &HostPort) -> Option<TcpStream> {
    let connecting = TcpStream::connect((address.host.as_str(), address.port));
    env::timeout(CONNECT_DEADLINE, connecting).await.ok()?.ok()
}

/// Resolves when a healthy master turns unhealthy. One that was tried in spite of its probes gets its
/// chance: it is given up only after it was seen healthy once.
async fn falls_ill(healthy: &mut watch::Receiver<bool>) {
    let well = healthy.wait_for(|healthy| *healthy).await.is_ok();
    if well && healthy.wait_for(|healthy| !*healthy).await.is_ok() {
        return;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn healthy_masters_take_turns_and_the_others_come_last() {
        let cases: [(&[bool], usize, &[usize]); 6] = [
            (&[true, true, true], 0, &[0, 1, 2]),
            (&[true, true, true], 4, &[1, 2, 0]),
            (&[true, false, true], 1, &[2, 0, 1]),
            (&[false, true, false], 5, &[1, 0, 2]),
            (&[false, false], 1, &[0, 1]),
            (&[], 3, &[]),
        ];
        for (healthy, first, expected) in cases {
            assert_eq!(order(healthy, first), expected, "{healthy:?} {first}");
        }
    }

    /// A server that says its name to each client and then echoes.
    async fn server(name: u8) -> HostPort {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let port = listener.local_addr().expect("address").port();
        env::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                env::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = write.write_all(&[name]).await;
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        HostPort { host: "127.0.0.1".to_owned(), port }
    }

    /// A client whose other end is served by `turn`.
    async fn client(turn: std::sync::Arc<Turn>) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let address = listener.local_addr().expect("address");
        let accepted = env::spawn(async move { listener.accept().await.expect("accept").0 });
        let client = TcpStream::connect(address).await.expect("connect");
        let served = accepted.await.expect("accept");
        env::spawn(async move { serve(served, &turn).await });
        client
    }

    async fn dead() -> HostPort {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        HostPort { host: "127.0.0.1".to_owned(), port: listener.local_addr().expect("address").port() }
    }

    #[tokio::test]
    async fn bytes_pass_both_ways_and_a_dead_master_is_passed_over() {
        let (_keep, healthy) = watch::channel(true);
        let targets = vec![
            Target { address: dead().await, healthy: healthy.clone() },
            Target { address: server(b'b').await, healthy },
        ];
        let mut client = client(std::sync::Arc::new(Turn::new(targets))).await;
        client.write_all(b"hello").await.expect("write");
        let mut said = [0; 6];
        client.read_exact(&mut said).await.expect("read");
        assert_eq!(&said, b"bhello");
    }

    /// A server that takes each client's connection and first words, and says nothing.
    async fn dying() -> HostPort {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let port = listener.local_addr().expect("address").port();
        env::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 5]).await;
            }
        });
        HostPort { host: "127.0.0.1".to_owned(), port }
    }

    #[tokio::test]
    async fn a_master_that_ends_without_an_answer_is_passed_over() {
        let (_keep, healthy) = watch::channel(true);
        let targets = vec![
            Target { address: dying().await, healthy: healthy.clone() },
            Target { address: server(b'b').await, healthy },
        ];
        let turn = std::sync::Arc::new(Turn::new(targets));
        // Whoever has the first turn, and whether it hears all or only the beginning.
        for said in [&b"hello"[..], b"hello", b"hello, all of you"] {
            let mut client = client(std::sync::Arc::clone(&turn)).await;
            client.write_all(said).await.expect("write");
            let mut heard = vec![0; 1 + said.len()];
            client.read_exact(&mut heard).await.expect("read");
            assert_eq!(heard, [b"b", said].concat());
        }
    }

    #[tokio::test]
    async fn connections_to_a_master_that_falls_ill_are_closed() {
        let (health, healthy) = watch::channel(true);
        let targets = vec![Target { address: server(b'a').await, healthy }];
        let mut client = client(std::sync::Arc::new(Turn::new(targets))).await;
        assert_eq!(client.read_u8().await.expect("read"), b'a');
        health.send_replace(false);
        assert_eq!(client.read(&mut [0; 1]).await.expect("closed in order"), 0);
    }

    #[tokio::test]
    async fn without_any_master_the_client_is_told_at_once() {
        let mut client = client(std::sync::Arc::new(Turn::new(vec![]))).await;
        assert_eq!(client.read(&mut [0; 1]).await.expect("closed in order"), 0);
    }
}
