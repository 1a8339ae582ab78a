//! The client below `kube::Client`.

use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use kube::client::Body as KubeBody;

use crate::Client;
use crate::send::{Repeat, Shape, send};
use crate::transport::Body;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Sends what `kube` asks for.
pub(crate) struct Service {
    client: Client,
    repeat: Repeat,
}

impl Service {
    pub(crate) fn new(client: Client, repeat: Repeat) -> Self {
        Self { client, repeat }
    }
}

impl tower::Service<Request<KubeBody>> for Service {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<KubeBody>) -> Self::Future {
        let (client, repeat) = (self.client.clone(), self.repeat);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body: Bytes = body.collect_bytes().await?;
            let shape =
                if is_stream(parts.uri.query().unwrap_or_default()) { Shape::Stream } else { Shape::Whole };
            let reply = send(&client.0, Request::from_parts(parts, body), repeat, shape).await?;
            Ok(reply.response)
        })
    }
}

/// Whether the answer to a query has no end that it is worth to wait for.
fn is_stream(query: &str) -> bool {
    let parameters = query.split('&').filter_map(|pair| pair.split_once('='));
    parameters
        .into_iter()
        .any(|(name, value)| ["watch", "follow"].contains(&name) && ["true", "1"].contains(&value))
}
