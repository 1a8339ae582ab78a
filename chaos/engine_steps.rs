//! The way between an agent and its engine, on which the agent can be killed between any two things that it does there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use base::env;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::cluster::Cluster;
use crate::process::{self, Signal};

/// Bytes that are carried at a time; the head of a request comes in one piece.
const PIECE_BYTES: usize = 64 << 10;

/// How long a process that was killed may be there.
const GONE_TIMEOUT: Duration = Duration::from_secs(10);

/// At which moment of a step an agent dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The engine never hears of it.
    Before,
    /// The engine did it, and the agent never hears of that.
    After,
}

/// What happens at which request.
#[derive(Default)]
struct Due {
    /// After so many requests that change something, this process is killed.
    armed: Option<(usize, Moment, u32)>,
    /// The request at which that happened.
    struck: Option<String>,
}

impl Due {
    /// Counts a request; whether it is the one, and when who dies then.
    fn count(&mut self) -> Option<(Moment, u32)> {
        let (left, moment, pid) = self.armed.as_mut()?;
        *left -= 1;
        if *left > 0 {
            return None;
        }
        let struck = (*moment, *pid);
        self.armed = None;
        Some(struck)
    }
}

/// Stands between the agent of a node and its engine.
pub struct EngineSteps {
    due: Arc<Mutex<Due>>,
}

impl EngineSteps {
    /// Takes its place. An agent that runs keeps the way that it had: it is to be started anew.
    ///
    /// # Errors
    /// When the engine's socket cannot be moved.
    pub fn between(cluster: &Cluster, node: &str) -> Result<Self> {
        let socket = cluster.nodes().engine_directory(node)?.join("docker.sock");
        let behind = socket.with_extension("behind");
        std::fs::rename(&socket, &behind).context("moving the engine's socket")?;
        let listener = UnixListener::bind(&socket).context("listening in its place")?;
        let due = Arc::<Mutex<Due>>::default();
        let shared = Arc::clone(&due);
        env::spawn(async move {
            while let Ok((agent, _)) = listener.accept().await {
                // A connection that breaks is the agent's and the engine's to notice.
                env::spawn(carry(agent, behind.clone(), Arc::clone(&shared)));
            }
        });
        Ok(Self { due })
    }

    /// Kills the agent of the node at the request of this number, from 1 on, that is to change something.
    ///
    /// # Errors
    /// When no agent runs.
    pub fn arm(&self, cluster: &Cluster, node: &str, number: usize, moment: Moment) -> Result<()> {
        *self.due.lock() = Due { armed: Some((number, moment, cluster.pid(node)?)), struck: None };
        Ok(())
    }

    /// Takes that back, and tells at which request the agent was killed, if it was.
    pub fn disarm(&self) -> Option<String> {
        std::mem::take(&mut *self.due.lock()).struck
    }

    /// Whether the agent was killed since it was armed, and is gone.
    pub fn has_struck(&self) -> bool {
        self.due.lock().struck.is_some()
    }
}

/// Kills an agent, and notes where once it is gone.
async fn strike(pid: u32, request: String, due: &Mutex<Due>) -> Result<()> {
    process::signal(pid, Signal::KILL)?;
    process::wait_gone(pid, GONE_TIMEOUT).await?;
    due.lock().struck = Some(request);
    Ok(())
}

/// The first line of a piece that begins a request to change something.
fn change(piece: &[u8]) -> Option<String> {
    let line = piece.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    (line.starts_with("POST /") || line.starts_with("DELETE /")).then(|| line.to_owned())
}

async fn carry(mut agent: UnixStream, behind: PathBuf, due: Arc<Mutex<Due>>) -> Result<()> {
    let mut engine = UnixStream::connect(behind).await?;
    let (mut asked, mut answered) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    // Who dies before the next piece of an answer is handed over.
    let mut dies = None;
    loop {
        tokio::select! {
            biased;
            count = agent.read(&mut asked) => {
                let piece = &asked[..count?];
                if piece.is_empty() {
                    return Ok(engine.shutdown().await?);
                }
                let struck = change(piece).and_then(|request| Some((due.lock().count()?, request)));
                match struck {
                    Some(((Moment::Before, pid), request)) => return strike(pid, request, &due).await,
                    Some(((Moment::After, pid), request)) => dies = Some((pid, request)),
                    None => {}
                }
                engine.write_all(piece).await?;
            }
            count = engine.read(&mut answered) => {
                let piece = &answered[..count?];
                if let Some((pid, request)) = dies {
                    return strike(pid, request, &due).await;
                }
                if piece.is_empty() {
                    return Ok(agent.shutdown().await?);
                }
                agent.write_all(piece).await?;
            }
        }
    }
}
