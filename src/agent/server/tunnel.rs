//! `CONNECT HOST:PORT`: bytes between a master and an address that this node reaches: a pod's, mostly.

use std::net::SocketAddr;
use std::time::Duration;

use base::env;
use http::request::Parts;
use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Body, text};

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens the connection, then carries bytes.
pub async fn serve(head: &Parts, upgrade: OnUpgrade) -> Response<Body> {
    let target = head.uri.authority().and_then(|to| to.as_str().parse::<SocketAddr>().ok());
    let Some(target) = target else {
        return text(StatusCode::BAD_REQUEST, "a tunnel leads to an address and a port: CONNECT 10.0.0.1:80");
    };
    let stream = match env::timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return text(StatusCode::BAD_GATEWAY, &format!("dial tcp {target}: {error}")),
        Err(_) => return text(StatusCode::GATEWAY_TIMEOUT, &format!("dial tcp {target}: i/o timeout")),
    };
    env::spawn(async move {
        let carried = async {
            let _ = stream.set_nodelay(true);
            let (mut inside, mut outside) =
                (stream, TokioIo::new(upgrade.await.map_err(std::io::Error::other)?));
            tokio::io::copy_bidirectional(&mut outside, &mut inside).await
        };
        if let Err(error) = carried.await {
            tracing::debug!(%error, %target, "a tunnel ended");
        }
    });
    text(StatusCode::OK, "")
}
