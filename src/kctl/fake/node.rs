//! A node that knows a few commands, and whose ports answer with what they hear.

use std::convert::Infallible;

use base::env;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use streams::remote_command::{self, Options, RemoteCommand, Verb};
use streams::{Refusal, port_forward};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream};

/// Serves one connection; shows the head of each request to `seen`.
pub async fn serve<S>(stream: S, seen: impl Fn(&http::request::Parts))
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|mut request: Request<Incoming>| {
        let upgrade = hyper::upgrade::on(&mut request);
        let head = request.into_parts().0;
        seen(&head);
        let answer = answer(&head, upgrade).map(Full::new);
        async move { Ok::<_, Infallible>(answer) }
    });
    let server = hyper::server::conn::http1::Builder::new();
    // The client's end of it is what is tested.
    let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

fn answer(head: &http::request::Parts, upgrade: OnUpgrade) -> Response<Bytes> {
    let path = head.uri.path().to_owned();
    if path.ends_with("/portforward") {
        let pod = port_forward::Pod { full_name: "web_default".to_owned(), uid: "1".to_owned() };
        let accepted = port_forward::accept(head, upgrade, pod);
        return accepted.map_or_else(Refusal::into_response, |(response, accepted)| {
            env::spawn(accepted.run(Echo));
            response
        });
    }
    let verb = if path.ends_with("/exec") { Verb::Exec } else { Verb::Attach };
    let accepted = Options::parse(head).and_then(|options| {
        if options.command.first().is_some_and(|command| command == "refused") {
            let mut response = Response::new(Bytes::from(
                super::refusal(403, "Forbidden", "pods \"web\" is forbidden: no").to_string(),
            ));
            *response.status_mut() = StatusCode::FORBIDDEN;
            return Ok(response);
        }
        let (response, accepted) = remote_command::accept(head, upgrade, verb, options.clone())?;
        env::spawn(accepted.run(|command| run(command, options)));
        Ok(response)
    });
    accepted.unwrap_or_else(Refusal::into_response)
}

async fn run(command: RemoteCommand, options: Options) -> Result<i32, String> {
    let RemoteCommand { stdin, stdout, stderr, resize: _ } = command;
    let said = |error: std::io::Error| error.to_string();
    let mut words = options.command.iter().map(String::as_str);
    match words.next() {
        None | Some("cat") => {
            if let (Some(mut stdin), Some(mut stdout)) = (stdin, stdout) {
                tokio::io::copy(&mut stdin, &mut stdout).await.map_err(said)?;
            }
            Ok(0)
        }
        Some("echo") => {
            let line = words.collect::<Vec<_>>().join(" ") + "\n";
            stdout.ok_or("no output")?.write_all(line.as_bytes()).await.map_err(said)?;
            Ok(0)
        }
        Some("fail") => {
            stderr.ok_or("no output")?.write_all(b"it fails\n").await.map_err(said)?;
            Ok(words.next().and_then(|code| code.parse().ok()).unwrap_or(1))
        }
        Some("test") => Ok(i32::from(!options.command.iter().any(|word| word.ends_with("dir")))),
        Some("tar") => super::files::tar(&options.command, stdin, stdout, stderr).await,
        Some(other) => Err(format!("{other}: not found")),
    }
}

/// Ports that answer with what they hear; but 81 is closed.
struct Echo;

impl port_forward::Connect for Echo {
    type Connection = DuplexStream;

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
