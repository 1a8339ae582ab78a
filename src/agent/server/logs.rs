//! What a container wrote.

use std::sync::Arc;

use base::env;
use bytes::Bytes;
use futures::StreamExt;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use kubelet::engine::{Container, EngineError, LogOptions, Output};
use streams::Refusal;
use tokio_util::io::StreamReader;

use super::{Body, Node, container, failed, of_pod, parameter, streamed};

/// Answers with the log of a container, or of the one before it.
pub async fn serve(
    node: &Arc<Node>,
    head: &Parts,
    upgrade: OnUpgrade,
    of: [&str; 3],
) -> Result<Response<Body>, Refusal> {
    let is_asked = |name| parameter(head, name).is_some_and(|value| value == "true");
    let found = if is_asked("previous") { previous(node, of).await? } else { container(node, of).await? };
    let number = |name: &str| parameter(head, name).and_then(|value| value.parse::<i64>().ok());
    let since_s = match (number("sinceSeconds"), parameter(head, "sinceTime")) {
        (Some(seconds), _) => Some((env::wall_ms() / 1000) as i64 - seconds),
        (None, Some(time)) => api::time::parse_rfc3339(&time).map(|ms| (ms / 1000) as i64),
        (None, None) => None,
    };
    let options = LogOptions {
        follow: is_asked("follow"),
        tail: number("tailLines").and_then(|lines| u64::try_from(lines).ok()),
        since_s,
        timestamps: is_asked("timestamps"),
    };
    let written = node.engine.logs(&found.id, options).await.map_err(failed)?;
    let wanted = parameter(head, "stream").unwrap_or_default();
    let pieces = written.filter_map(move |piece| {
        let piece = match piece {
            Ok(Output::Stdout(_)) if wanted == "Stderr" => None,
            Ok(Output::Stderr(_)) if wanted == "Stdout" => None,
            Ok(Output::Stdout(bytes) | Output::Stderr(bytes)) => Some(Ok(bytes)),
            Err(error) => Some(Err(std::io::Error::other(error.to_string()))),
        };
        std::future::ready(piece)
    });
    let pieces = limited(pieces.boxed(), number("limitBytes"));
    if streams::logs::is_wanted(head) {
        let (response, accepted) = streams::logs::accept(head, upgrade)?;
        env::spawn(async move {
            if let Err(error) = accepted.run(StreamReader::new(pieces)).await {
                tracing::debug!(%error, "a log over WebSocket ended");
            }
        });
        return Ok(response.map(super::whole));
    }
    let mut response = Response::new(streamed(pieces));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// Only so many bytes.
fn limited(
    pieces: futures::stream::BoxStream<'static, std::io::Result<Bytes>>,
    limit: Option<i64>,
) -> futures::stream::BoxStream<'static, std::io::Result<Bytes>> {
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return pieces };
    let cut = pieces.scan(limit, |left, piece| {
        let piece = piece.map(|bytes| bytes.slice(..bytes.len().min(*left)));
        let is_over = *left == 0;
        *left -= piece.as_ref().map_or(0, Bytes::len);
        std::future::ready((!is_over).then_some(piece))
    });
    cut.boxed()
}

/// The container before the newest of its name.
async fn previous(node: &Node, of: [&str; 3]) -> Result<Container, Refusal> {
    let [namespace, pod, name] = of;
    let mut named: Vec<Container> = of_pod(node, namespace, pod).await?;
    named.retain(|container| container.container_name() == name);
    named.sort_by_key(|container| std::cmp::Reverse(container.attempt()));
    // Without a newer one, one that ended is the previous of what will be.
    let at = usize::from(named.first().is_some_and(Container::is_running) || named.len() > 1);
    let message = format!("previous terminated container {name:?} in pod {pod:?} not found");
    named.into_iter().nth(at).ok_or_else(|| failed(EngineError::NotFound(message)))
}
