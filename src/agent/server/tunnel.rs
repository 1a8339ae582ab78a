//! `CONNECT HOST:PORT`: bytes between a master and a pod of this node, and nothing else that the node reaches.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base::env;
use http::request::Parts;
use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use kubelet::engine::Container;
use kubelet::outside::PodNetwork;
use tokio::net::TcpStream;

use super::{Body, Node, text};

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens the connection, then carries bytes.
pub async fn serve(node: &Node, head: &Parts, upgrade: OnUpgrade) -> Response<Body> {
    let target = head.uri.authority().and_then(|to| to.as_str().parse::<SocketAddr>().ok());
    let Some(target) = target else {
        return text(StatusCode::BAD_REQUEST, "a tunnel leads to an address and a port: CONNECT 10.0.0.1:80");
    };
    if !leads_to_a_pod(node, target.ip()).await {
        let why = format!("dial tcp {target}: no pod of node {} has this address", node.name);
        return text(StatusCode::FORBIDDEN, &why);
    }
    let stream = match env::timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return text(StatusCode::BAD_GATEWAY, &format!("dial tcp {target}: connect: {}", reason(&error)));
        }
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

/// Whether an address is a pod's of this node: one of its own, or the node's where a pod shares it.
async fn leads_to_a_pod(node: &Node, address: IpAddr) -> bool {
    if node.pods.is_pods(address).await {
        return true;
    }
    if address != node.address {
        return false;
    }
    let Ok(containers) = node.engine.list(&node.name, None).await else { return false };
    let with_address = node.pods.pods().await;
    let running = containers.iter().filter(|container| container.is_sandbox() && container.is_running());
    running.filter_map(Container::pod_key).any(|pod| !with_address.contains(&pod.uid))
}

/// Go's words, which users of Kubernetes know.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::HostUnreachable => "no route to host".to_owned(),
        ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        _ => error.to_string(),
    }
}
