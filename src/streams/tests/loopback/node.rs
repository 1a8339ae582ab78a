//! A node in memory, and the ways to it.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::env;
use http::Request;
use streams::client::Dial;
use streams::remote_command::{Options, RemoteCommand, TerminalSize};
use tokio::io::{AsyncWriteExt, DuplexStream};

use crate::{between, common};

/// A node whose commands are a few words that it knows itself.
#[derive(Clone, Default)]
pub struct Words {
    /// How many commands are sleeping.
    pub sleeping: Arc<AtomicUsize>,
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
pub enum Way {
    /// As it is.
    Direct,
    /// Past somebody who knows no WebSocket.
    WithoutWebSocket,
    /// Through an API server that only passes on.
    Proxied,
}

/// All of them.
pub const WAYS: [Way; 3] = [Way::Direct, Way::WithoutWebSocket, Way::Proxied];

impl Dial for Way {
    type Stream = DuplexStream;

    async fn dial(&self) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(3000);
        match self {
            Self::Direct => drop(env::spawn(common::serve(far, Words::default()))),
            Self::WithoutWebSocket => drop(env::spawn(between::serve_spdy_only(far, Words::default()))),
            Self::Proxied => drop(env::spawn(between::serve_proxied(far, Words::default()))),
        }
        Ok(near)
    }
}

/// To one node that the test looks into.
pub struct To(pub Words);

impl Dial for To {
    type Stream = DuplexStream;

    async fn dial(&self) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(3000);
        env::spawn(common::serve(far, self.0.clone()));
        Ok(near)
    }
}

/// To a node, without more than a path.
pub fn request(path: &str) -> Request<()> {
    Request::get(path).header("host", "node").body(()).expect("a request")
}

/// Runs on virtual time, and for no longer than a day of it: pings would keep what hangs alive for ever.
pub fn simulate<F: Future>(future: F) -> F::Output {
    let day = Duration::from_secs(24 * 60 * 60);
    env::simulate(1, async { env::timeout(day, future).await.expect("it ends") })
}
