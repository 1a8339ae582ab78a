//! The accepting side.

use std::io;
use std::sync::Arc;

use base::env;
use base::ids::NodeId;
use base::shutdown::Shutdown;
use base::stall::StallLimit;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::IDLE_MAX;
use super::frame::{self, Frame, Outbox, Room};
use super::hello::{Hello, Verdict};
use super::identity::{Identity, node_of};
use crate::limits::{
    ANSWER_STALL_MAX, CONNECT_DEADLINE, CONNECTIONS_MAX, RECONNECT_MAX, REQUESTS_PER_CONNECTION_MAX,
};
use crate::transport::{FrameService, Lane};

/// Serves other masters on `listener` until `shutdown`. To be spawned on [`crate::Handle::runtime`], so
/// that load elsewhere in the process does not delay heartbeats.
///
/// # Errors
/// When the identity cannot be used or the listener is not one.
pub async fn serve(
    listener: std::net::TcpListener,
    identity: Identity,
    service: Arc<dyn FrameService>,
    mut shutdown: Shutdown,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let host = Arc::new(Host::new(identity, service)?);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        // Cancel-safe: neither loses a connection.
        let tcp = tokio::select! {
            biased;
            () = shutdown.wait() => return Ok(()),
            Some(_ended) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((tcp, _address)) = tcp else {
            // Out of file descriptors, mostly: trying again at once would spin.
            env::sleep(RECONNECT_MAX).await;
            continue;
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let host = Arc::clone(&host);
                connections.spawn(async move {
                    // Without it small answers only come later.
                    let _ = tcp.set_nodelay(true);
                    host.run(tcp).await;
                    drop(place);
                });
            }
            Err(_) => tracing::warn!("too many connections of masters; one more was refused"),
        }
    }
}

/// What every connection needs.
pub(super) struct Host {
    identity: Identity,
    config: Arc<ServerConfig>,
    service: Arc<dyn FrameService>,
}

impl Host {
    pub(super) fn new(identity: Identity, service: Arc<dyn FrameService>) -> io::Result<Self> {
        let config = identity.server_config().map_err(io::Error::other)?;
        Ok(Self { identity, config, service })
    }

    /// Serves one connection to its end.
    pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) {
        // Below TLS, so that whatever is to be sent has a deadline.
        let stream = StallLimit::new(stream, ANSWER_STALL_MAX);
        match env::timeout(CONNECT_DEADLINE, self.greet(stream)).await {
            Ok(Ok(Some((hello, tls)))) => {
                if let Err(error) = self.exchange(hello, tls).await {
                    tracing::debug!(from = hello.from, %error, "a connection of a master ended");
                }
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a connection was not a master's"),
            Err(_elapsed) => tracing::debug!("a connection did not say who it is"),
        }
    }

    /// TLS and hello; `None` when the caller was refused.
    async fn greet<S>(&self, stream: S) -> io::Result<Option<(Hello, TlsStream<S>)>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut tls = TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).await?;
        let certified = node_of(tls.get_ref().1.peer_certificates().and_then(|chain| chain.first()));
        let hello = Hello::read(&mut tls).await?;
        match hello.and_then(|hello| self.judge(hello, certified)) {
            Ok(hello) => {
                Verdict::Welcome.write(&mut tls).await?;
                Ok(Some((hello, tls)))
            }
            Err(refused) => {
                tracing::warn!(caller = ?certified, %refused, "a master was refused");
                refused.write(&mut tls).await?;
                Ok(None)
            }
        }
    }

    fn judge(&self, hello: Hello, certified: Option<NodeId>) -> Result<Hello, Verdict> {
        match hello {
            _ if certified != Some(hello.from) => Err(Verdict::NotYourId),
            _ if hello.cluster != self.identity.cluster => Err(Verdict::OtherCluster),
            _ if hello.to != self.identity.node => Err(Verdict::OtherNode),
            hello => Ok(hello),
        }
    }

    /// Serves requests until either side ends.
    async fn exchange<S>(&self, hello: Hello, tls: TlsStream<S>) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (read, mut write) = tokio::io::split(tls);
        let mut read = BufReader::with_capacity(64 << 10, read);
        let (answers, mut outgoing) = frame::outbox();
        tokio::select! {
            biased;
            ended = frame::write_all(&mut write, &mut outgoing) => ended,
            ended = self.requests(hello, &mut read, answers) => ended,
        }
    }

    async fn requests(
        &self,
        hello: Hello,
        read: &mut (impl tokio::io::AsyncRead + Unpin),
        answers: Outbox,
    ) -> io::Result<()> {
        // Ends with the connection: nobody is left to be answered.
        let mut serving = JoinSet::new();
        loop {
            let request = match env::timeout(IDLE_MAX, frame::read(read)).await {
                Ok(request) => request?,
                Err(_elapsed) => return Ok(()),
            };
            let Some(request) = request else { return Ok(()) };
            let room = answers.room(request.body.len()).await;
            let work = answer(Arc::clone(&self.service), hello, request, room, answers.clone());
            if is_ordered(hello.lane) {
                work.await;
                continue;
            }
            while serving.len() >= REQUESTS_PER_CONNECTION_MAX {
                serving.join_next().await;
            }
            while serving.try_join_next().is_some() {}
            serving.spawn(work);
        }
    }
}

/// Requests of these lanes come one after another anyway, and must not overtake each other.
fn is_ordered(lane: Lane) -> bool {
    matches!(lane, Lane::Bulk | Lane::Snapshot)
}

/// Answers one request, which holds its room until the answer leaves.
async fn answer(service: Arc<dyn FrameService>, hello: Hello, request: Frame, room: Room, answers: Outbox) {
    let answer = match service.serve(hello.from, hello.lane, request.body).await {
        Ok(body) => Frame { number: request.number, is_refused: false, body },
        Err(reason) => Frame { number: request.number, is_refused: true, body: reason.into() },
    };
    // Nobody is left to be told when the connection ended meanwhile.
    let _ = answers.send(answer, room).await;
}
