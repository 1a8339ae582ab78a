//! Programs run in containers, and containers' own processes, over streams.

use std::sync::Arc;

use base::env;
use futures::StreamExt;
use http::request::Parts;
use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use kubelet::engine::{Container, ContainerEngine, EngineError, Output, Session, SessionOptions};
use streams::Refusal;
use streams::remote_command::{self, Options, RemoteCommand, Verb};
use tokio::io::AsyncWriteExt;

use super::{Body, Node, container, not_found};

/// Answers an exec or attach.
pub async fn serve(
    node: &Arc<Node>,
    head: &Parts,
    upgrade: OnUpgrade,
    verb: Verb,
    of: [&str; 3],
) -> Result<Response<Body>, Refusal> {
    let absent = || not_found(&format!("container not found ({:?})", of[2]));
    let found = container(node, of)
        .await
        .map_err(|refusal| if refusal.status == StatusCode::NOT_FOUND { absent() } else { refusal })?;
    if !found.is_running() {
        return Err(absent());
    }
    let (response, accepted) = remote_command::accept(head, upgrade, verb, Options::parse(head)?)?;
    let engine = Arc::clone(&node.engine);
    env::spawn(async move {
        let options = accepted.options().clone();
        let run = accepted.run(|command| async move {
            let session = begin(&*engine, &found, verb, &options).await.map_err(|error| error.to_string())?;
            let code = talk(session, command).await.map_err(|error| error.to_string())?;
            // How a container itself ended is its pod's status to tell: an attach that went well went well.
            Ok(if verb == Verb::Attach { 0 } else { code })
        });
        if let Err(error) = run.await {
            tracing::debug!(%error, "a session ended");
        }
    });
    Ok(response.map(super::whole))
}

async fn begin(
    engine: &dyn ContainerEngine,
    found: &Container,
    verb: Verb,
    options: &Options,
) -> Result<Session, EngineError> {
    let wanted = SessionOptions {
        command: if verb == Verb::Exec { options.command.clone() } else { Vec::new() },
        stdin: options.stdin,
        stdout: options.stdout,
        stderr: options.stderr && !options.tty,
        tty: options.tty,
    };
    match verb {
        Verb::Exec => engine.exec(&found.id, wanted).await,
        Verb::Attach => engine.attach(&found.id, wanted).await,
    }
}

/// Carries bytes between a client and a process until the process ended.
async fn talk(session: Session, mut command: RemoteCommand) -> Result<i32, EngineError> {
    let Session { mut stdin, mut output, control } = session;
    let input = command.stdin.take();
    let feeding = env::spawn(async move {
        if let Some(mut input) = input {
            let _ = tokio::io::copy(&mut input, &mut stdin).await;
            let _ = stdin.shutdown().await;
        } else {
            std::future::pending::<()>().await;
        }
    });
    let resizing = {
        let (control, mut sizes) = (Arc::clone(&control), command.resize);
        env::spawn(async move {
            while let Some(size) = sizes.next().await {
                if let Err(error) = control.resize(size.width, size.height).await {
                    tracing::debug!(%error, "a terminal was not resized");
                }
            }
        })
    };
    while let Some(piece) = output.next().await {
        let written = match (piece?, &mut command.stdout, &mut command.stderr) {
            (Output::Stdout(bytes), Some(out), _) | (Output::Stderr(bytes), _, Some(out)) => {
                out.write_all(&bytes).await
            }
            _ => Ok(()),
        };
        // The client took no more of it: the process may go on.
        if written.is_err() {
            break;
        }
    }
    feeding.abort();
    resizing.abort();
    // Told as a success it would be taken for one.
    control.exit_code().await?.ok_or_else(|| EngineError::Refused("the exit code is not known".to_owned()))
}
