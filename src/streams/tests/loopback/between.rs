//! Those who stand between a client and a node.

use base::env;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use streams::Proxied;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::common::{Node, answer, end, serve};

/// Serves one connection as somebody does who knows no WebSocket.
pub async fn serve_spdy_only<S, N>(stream: S, node: N)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    N: Node,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let is_web_socket = request.headers().contains_key("sec-websocket-key");
        let node = node.clone();
        async move {
            let mut refused = Response::new(Bytes::from_static(b"SPDY only"));
            *refused.status_mut() = StatusCode::FORBIDDEN;
            let response = if is_web_socket { refused } else { answer(request, node) };
            Ok::<_, std::convert::Infallible>(response.map(Full::new))
        }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ = connection.with_upgrades().await;
}

/// Serves one connection by passing its request on to the node.
pub async fn serve_proxied<S, N>(stream: S, node: N)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    N: Node,
{
    let (near, far) = tokio::io::duplex(2000);
    env::spawn(serve(far, node));
    pass_on(stream, near).await;
}

/// Serves one connection by passing its first request on.
pub async fn pass_on<S, B>(stream: S, backend: B)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let backend = std::sync::Mutex::new(Some(backend));
    let service = service_fn(move |mut request: Request<Incoming>| {
        let backend = backend.lock().expect("one thread").take();
        async move {
            let client = hyper::upgrade::on(&mut request);
            let mut gone = Response::new(Bytes::from_static(b"there is one backend for one request"));
            *gone.status_mut() = StatusCode::BAD_GATEWAY;
            let Some(backend) = backend else { return Ok(gone.map(Full::new)) };
            let response = match streams::proxy_upgrade(request.into_parts().0, client, backend).await {
                Ok(Proxied::Switched(response, passage)) => {
                    end(passage.run());
                    response
                }
                Ok(Proxied::Refused(response)) => response,
                Err(error) => {
                    *gone.body_mut() = error.to_string().into();
                    gone
                }
            };
            Ok::<_, std::convert::Infallible>(response.map(Full::new))
        }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ = connection.with_upgrades().await;
}
