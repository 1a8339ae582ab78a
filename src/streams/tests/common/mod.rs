//! A node that answers exec, attach, port-forward and logs, behind the paths of an API server.

use std::future::Future;

use base::env;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use streams::remote_command::{Options, RemoteCommand, Verb};
use streams::{Refusal, logs, port_forward, remote_command};
use tokio::io::{AsyncRead, AsyncWrite};

/// What commands do in the pods of a node.
pub trait Node: Clone + Send + Sync + 'static {
    /// Runs a command.
    fn run(
        &self,
        command: RemoteCommand,
        options: Options,
    ) -> impl Future<Output = Result<i32, String>> + Send;
    /// Learns what a client asks to go over to.
    fn asked(&self, _upgrade: &str) {}
    /// Connects to a port.
    fn connect(&self, port: u16) -> impl Future<Output = Result<tokio::io::DuplexStream, String>> + Send;
}

/// Serves one connection.
pub async fn serve<S, N>(stream: S, node: N)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    N: Node,
{
    let service = service_fn(move |request| {
        let node = node.clone();
        async move { Ok::<_, std::convert::Infallible>(answer(request, node).map(Full::new)) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ = connection.with_upgrades().await;
}

/// Answers one request.
pub fn answer<N: Node>(mut request: Request<Incoming>, node: N) -> Response<Bytes> {
    let upgrade = hyper::upgrade::on(&mut request);
    let head = request.into_parts().0;
    let path = head.uri.path().to_owned();
    head.headers.get("upgrade").into_iter().for_each(|to| node.asked(to.to_str().expect("text")));
    let answered = match path.rsplit('/').next() {
        Some("exec" | "attach") => {
            let verb = if path.ends_with("exec") { Verb::Exec } else { Verb::Attach };
            Options::parse(&head)
                .and_then(|options| remote_command::accept(&head, upgrade, verb, options))
                .map(|(response, accepted)| {
                    let options = accepted.options().clone();
                    end(async move { accepted.run(|command| node.run(command, options)).await });
                    response
                })
        }
        Some("portforward") => {
            let pod = port_forward::Pod { full_name: "web_default".into(), uid: "1-2-3".into() };
            port_forward::accept(&head, upgrade, pod).map(|(response, accepted)| {
                end(accepted.run(Connector(node)));
                response
            })
        }
        Some("log") => logs::accept(&head, upgrade).map(|(response, accepted)| {
            end(accepted.run(&b"first\nsecond\n"[..]));
            response
        }),
        _ => Ok(object(&head.method, &path)),
    };
    answered.unwrap_or_else(Refusal::into_response)
}

/// Runs what an upgraded connection is for.
pub fn end(work: impl Future<Output = Result<(), streams::Error>> + Send + 'static) {
    env::spawn(async move {
        if let Err(error) = work.await {
            tracing::debug!(%error, "a stream ended early");
        }
    });
}

struct Connector<N>(N);

impl<N: Node> port_forward::Connect for Connector<N> {
    type Connection = tokio::io::DuplexStream;

    fn connect(&self, port: u16) -> impl Future<Output = Result<Self::Connection, String>> + Send {
        self.0.connect(port)
    }
}

/// The little of an API that kubectl asks for before it streams.
fn object(method: &Method, path: &str) -> Response<Bytes> {
    let text = match (method, path) {
        (&Method::GET, "/api") => r#"{"kind":"APIVersions","versions":["v1"]}"#,
        (&Method::GET, "/apis") => r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[]}"#,
        (&Method::GET, "/api/v1") => {
            r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"v1","resources":[
                {"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get"],"shortNames":["po"]},
                {"name":"pods/exec","singularName":"","namespaced":true,"kind":"PodExecOptions","verbs":["create","get"]}]}"#
        }
        (&Method::GET, "/api/v1/namespaces/default/pods/web") => {
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","namespace":"default","uid":"1-2-3"},
                "spec":{"containers":[{"name":"main","image":"none","stdin":true}]},
                "status":{"phase":"Running"}}"#
        }
        _ => "",
    };
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    response.headers_mut().insert("content-type", "application/json".parse().expect("a value"));
    if text.is_empty() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}
