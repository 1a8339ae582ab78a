//! A command in a container, with this process's input and output for its own.

use serde_json::Value;
use streams::client::Session;
use streams::remote_command::{Options, TerminalSize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;
use crate::manifest::{name, namespace};
use crate::screen::{Screen, complain, warn};
use crate::server::Server;
use crate::terminal::{self, Raw};

/// How much output is taken at a time.
const PIECE_BYTES: usize = 32 * 1024;

/// What a process ends with whom SIGTERM ends.
const TERMINATED: u8 = 128 + 15;

/// Starts `exec` or joins `attach`.
///
/// # Errors
/// When the server refuses.
pub async fn begin(server: &Server, pod: &Value, verb: &str, options: &Options) -> Result<Session, Failure> {
    let path = format!("/api/v1/namespaces/{}/pods/{}/{verb}?{}", namespace(pod), name(pod), options.query());
    let request = server.request(&path).await?;
    let begun = Session::begin(server.dialer(), &request, options).await;
    begun.map_err(|error| server.stream_failure(&path, error))
}

/// What is typed goes to the command, what it prints here, and its exit code becomes this process's. With a terminal
/// every key goes there, until it ends. `sizes` are told to it before the size that the terminal has.
///
/// # Errors
/// When it ends with another code than 0, or is not run at all.
pub async fn run(
    server: &Server,
    pod: &Value,
    verb: &str,
    options: &Options,
    sizes: Vec<TerminalSize>,
    screen: Screen,
) -> Result<(), Failure> {
    let mut session = begin(server, pod, verb, options).await?;
    let lent = options.tty.then(Lent::begin).transpose();
    let mut lent = lent.map_err(|error| Failure::Refused(format!("using the terminal failed: {error}")))?;
    let (mut resized, terminated) =
        lent.as_mut().map(|lent| (&mut lent.resized, &mut lent.terminated)).unzip();
    let (stdin, stdout, stderr) = (session.stdin.take(), session.stdout.take(), session.stderr.take());
    let input = async {
        if let Some(mut stdin) = stdin {
            let mut pieces = terminal::input();
            while let Some(piece) = pieces.recv().await {
                if stdin.write_all(&piece).await.is_err() {
                    break;
                }
            }
        }
        std::future::pending::<()>().await;
    };
    let resizer = session.resize.take();
    let resizing = async {
        if let Some(mut resizer) = resizer {
            let mut next: Vec<TerminalSize> = sizes.into_iter().chain(terminal::size()).collect();
            loop {
                for size in next {
                    // The command has ended: that is told elsewhere.
                    let _ = resizer.send(size).await;
                }
                heard(resized.as_deref_mut()).await;
                next = terminal::size().into_iter().collect();
            }
        }
        std::future::pending::<()>().await;
    };
    let output = async {
        let out = copied(stdout, |bytes| screen.write(bytes));
        let err = copied(stderr, |bytes| {
            complain(bytes);
            Ok(())
        });
        futures::try_join!(out, err)?;
        Ok(session.outcome.wait().await)
    };
    let outcome = tokio::select! {
        biased;
        outcome = output => outcome,
        // Both go on until nobody needs them.
        () = input => Ok(Ok(0)),
        () = resizing => Ok(Ok(0)),
        () = heard(terminated) => Err(Failure::Exit(TERMINATED)),
    };
    drop(lent);
    ended(outcome?)
}

/// The terminal while it is the command's. Whatever ends that gives it back.
struct Lent {
    resized: Signal,
    terminated: Signal,
    _raw: Raw,
}

impl Lent {
    fn begin() -> std::io::Result<Self> {
        let resized = signal(SignalKind::window_change())?;
        let terminated = signal(SignalKind::terminate())?;
        Ok(Self { resized, terminated, _raw: Raw::begin()? })
    }
}

/// Waits for a signal; without one for ever.
async fn heard(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// What becomes of an exit code.
///
/// # Errors
/// Unless it is 0.
pub fn ended(outcome: Result<i32, String>) -> Result<(), Failure> {
    match outcome {
        Ok(0) => Ok(()),
        Ok(code) => {
            warn(&format!("command terminated with exit code {code}"));
            Err(Failure::Exit(u8::try_from(code).unwrap_or(u8::MAX)))
        }
        Err(why) => Err(Failure::Refused(why)),
    }
}

/// Copies what a command prints.
async fn copied(
    from: Option<impl AsyncRead + Unpin>,
    mut to: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Some(mut from) = from else { return Ok(()) };
    let mut piece = vec![0; PIECE_BYTES];
    // Why a connection broke is told by the outcome.
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        to(&piece[..count])?;
    }
    Ok(())
}
