//! Ports of pods, reached from inside their network namespaces: what listens on their loopback is reached as well.

use std::sync::Arc;

use base::env;
use http::Response;
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use kubelet::engine::State;
use streams::Refusal;
use streams::port_forward::{self, Connect, Pod};
use tokio::net::TcpStream;

use super::{Body, Node, not_found, of_pod};

/// Answers a port-forward.
pub async fn serve(
    node: &Arc<Node>,
    head: &Parts,
    upgrade: OnUpgrade,
    [namespace, pod]: [&str; 2],
) -> Result<Response<Body>, Refusal> {
    let all = of_pod(node, namespace, pod).await?;
    let sandbox = all.iter().find(|container| container.is_sandbox() && container.is_running());
    let Some(sandbox) = sandbox else {
        return Err(not_found(&format!("pod {pod}_{namespace} does not run")));
    };
    let State::Running { pid, .. } = sandbox.state else { return Err(not_found("the pod does not run")) };
    let uid = sandbox.pod_key().map(|key| key.uid).unwrap_or_default();
    let forwarded = Pod { full_name: format!("{pod}_{namespace}"), uid };
    let (response, accepted) = port_forward::accept(head, upgrade, forwarded)?;
    env::spawn(async move {
        if let Err(error) = accepted.run(Inside(pid)).await {
            tracing::debug!(%error, "a port-forward ended");
        }
    });
    Ok(response.map(super::whole))
}

/// The network namespace of a process.
struct Inside(u32);

impl Connect for Inside {
    type Connection = TcpStream;

    async fn connect(&self, port: u16) -> Result<TcpStream, String> {
        network::connect_inside(self.0, port).await.map_err(|error| error.to_string())
    }
}
