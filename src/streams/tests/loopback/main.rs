//! Clients and servers of every protocol against each other, in memory and on virtual time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::env;
use node::{To, WAYS, Way, Words, request, simulate};
use streams::client::{Dial, Forwarder, Session};
use streams::remote_command::{Options, TerminalSize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

mod between;
#[path = "../common/mod.rs"]
mod common;
mod node;
mod proxy;
mod web_socket;

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
    assert!(printed.is_ok() && complained.is_ok(), "{way:?} {words:?}: {printed:?} {complained:?}");
    (out, err, outcome)
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
