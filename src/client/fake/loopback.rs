//! The same masters behind real connections.

use std::convert::Infallible;
use std::sync::Arc;

use base::env;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::Fake;

impl Fake {
    /// Listens on loopback, a port for each master, with TLS or without; returns where.
    ///
    /// # Errors
    /// When a port cannot be had.
    pub async fn listen(&self, tls: Option<Arc<ServerConfig>>) -> std::io::Result<Vec<crate::Server>> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let masters = self.servers().len();
        for master in 0..masters {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            let address = format!("{scheme}://{}", listener.local_addr()?);
            let server = address.parse().map_err(std::io::Error::other)?;
            self.0.world.lock().servers[master] = server;
            env::spawn(accept(self.clone(), master, listener, tls.clone()));
        }
        Ok(self.servers())
    }
}

async fn accept(fake: Fake, master: usize, listener: TcpListener, tls: Option<Arc<ServerConfig>>) {
    while let Ok((stream, _)) = listener.accept().await {
        if !fake.0.world.lock().is_alive[master] {
            continue;
        }
        env::spawn(connection(fake.clone(), master, stream, tls.clone()));
    }
}

async fn connection(
    fake: Fake,
    master: usize,
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
) -> std::io::Result<()> {
    let Some(tls) = tls else { return serve(fake, master, stream).await };
    let stream = TlsAcceptor::from(tls).accept(stream).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    if let Some(certificate) = shown {
        fake.0.world.lock().certificates.push(certificate.to_vec());
    }
    serve(fake, master, stream).await
}

async fn serve<S>(fake: Fake, master: usize, stream: S) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut changed = fake.0.changed.subscribe();
    let asked = fake.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let fake = asked.clone();
        async move {
            let (mut parts, body) = request.into_parts();
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            parts.uri = path.parse().map_err(std::io::Error::other)?;
            let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
            let answer = fake.respond(master, Request::from_parts(parts, body)).await;
            answer.map_err(std::io::Error::other)
        }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let connection = builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    let killed = async {
        while fake.0.world.lock().is_alive[master] {
            if changed.changed().await.is_err() {
                break;
            }
        }
        Ok::<(), Infallible>(())
    };
    tokio::select! {
        biased;
        served = connection => served.map_err(std::io::Error::other),
        _ = killed => Ok(()),
    }
}
