//! Requests to Services from inside a node's network. They are made by a process of its own there, which tells what it
//! saw line by line.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use base::env::{self, Instant};
use chaos::process;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use crate::procfs::Pid;
use crate::stats::Latencies;

/// The subcommand that [`first`] stands behind.
pub const FIRST: &str = "probe-first";
/// The subcommand that [`follow`] stands behind.
pub const FOLLOW: &str = "probe-follow";
/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Between two requests of [`follow`].
const EVERY: Duration = Duration::from_millis(1);
/// How long all first packets may take.
const ALL_MAX: Duration = Duration::from_secs(120);

/// Opens a connection to each address of a file, line by line, and tells how many microseconds each took. Each is used
/// to its end before the next, so that none waits in a queue of the server's.
pub async fn first(addresses: &Path) -> Result<()> {
    let text = std::fs::read_to_string(addresses)?;
    for address in text.lines() {
        let started = env::monotonic();
        let late = || format!("{address} does not answer within {ANSWER_MAX:?}");
        let stream = env::timeout(ANSWER_MAX, TcpStream::connect(address)).await.with_context(late)??;
        println!("{}", started.elapsed().as_micros());
        env::timeout(ANSWER_MAX, read(stream)).await.with_context(late)??;
    }
    Ok(())
}

/// Asks an address again and again, and tells what answers whenever that changes. Ends when nobody listens any more.
pub async fn follow(address: &str) -> Result<()> {
    let (mut last, mut out) = (String::new(), tokio::io::stdout());
    loop {
        let answer = match env::timeout(ANSWER_MAX, page(address)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if answer != last {
            out.write_all(format!("{answer}\n").as_bytes()).await?;
            out.flush().await?;
            last = answer;
        }
        env::sleep(EVERY).await;
    }
}

/// The last line of a page.
async fn page(address: &str) -> std::io::Result<String> {
    read(TcpStream::connect(address).await?).await
}

async fn read(mut stream: TcpStream) -> std::io::Result<String> {
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text.lines().last().unwrap_or_default().to_owned())
}

/// The network of a process.
#[derive(Clone, Copy, Debug)]
pub struct Inside(pub Pid);

impl Inside {
    fn command(self, subcommand: &str, argument: &str) -> Result<Command> {
        let program: PathBuf = std::env::current_exe().context("finding this program")?;
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.0.to_string(), "--net"]).arg(program).args([subcommand, argument]);
        Ok(command)
    }

    /// How long it takes to connect to each address.
    pub async fn first(self, addresses: &[String]) -> Result<Latencies> {
        let directory = tempfile::tempdir().context("making a directory for addresses")?;
        let file = directory.path().join("addresses");
        std::fs::write(&file, addresses.join("\n"))?;
        let file = file.to_str().context("a path of text")?;
        let text = process::run(&mut self.command(FIRST, file)?, ALL_MAX).await?;
        let mut latencies = Latencies::default();
        for line in text.lines() {
            latencies.record(Duration::from_micros(line.parse().with_context(|| line.to_owned())?));
        }
        Ok(latencies)
    }

    /// Follows what answers at an address.
    pub fn follow(self, address: &str) -> Result<Follower> {
        let mut command = self.command(FOLLOW, address)?;
        let mut child =
            command.stdout(Stdio::piped()).kill_on_drop(true).spawn().context("running nsenter")?;
        let output = child.stdout.take().context("a pipe")?;
        Ok(Follower { lines: BufReader::new(output).lines(), _child: child })
    }
}

/// What answers at an address, whenever that changes. Ends when dropped.
pub struct Follower {
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Follower {
    /// Waits for an answer that ends with one of these; returns when it came.
    ///
    /// # Errors
    /// When none does within `limit`.
    pub async fn answers(&mut self, endings: &[&str], limit: Duration) -> Result<Instant> {
        let mut last = "nothing".to_owned();
        let answered = async {
            while let Some(line) = self.lines.next_line().await? {
                if endings.iter().any(|ending| line.ends_with(ending)) {
                    return Ok(Some(env::monotonic()));
                }
                last = line;
            }
            anyhow::Ok(None)
        };
        match env::timeout(limit, answered).await {
            Ok(answered) => answered?.context("the probe ended"),
            Err(_) => anyhow::bail!("{endings:?} do not answer within {limit:?}, but {last}"),
        }
    }
}
