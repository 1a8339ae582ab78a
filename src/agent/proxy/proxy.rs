//! The loop: events in, transactions out.

use std::sync::Arc;
use std::time::Duration;

use base::backoff::Backoff;
use base::env;
use base::shutdown::Shutdown;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio::sync::mpsc;

use crate::difference::{Batch, Command, difference, replacement};
use crate::flows;
use crate::packets::{Packets, PacketsError};
use crate::plan::{Ruleset, plan, replan};
use crate::world::{Node, World};

/// Events that may wait; whoever tells more waits himself.
const EVENTS_WAITING_MAX: usize = 4_096;

/// Events taken together into one transaction.
const EVENTS_TOGETHER_MAX: usize = 65_536;

/// How long after a failure it is tried again, at first and at last.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// How often it is looked whether the table is still there, as kube-proxy brings everything up to date now and then.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// What happened in the cluster.
#[derive(Clone, Debug)]
pub enum ProxyEvent {
    /// A Service came or changed.
    Service(Box<Service>),
    /// A Service went.
    ServiceDeleted {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// An EndpointSlice came or changed.
    EndpointSlice(Box<EndpointSlice>),
    /// An EndpointSlice went.
    EndpointSliceDeleted {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Everything that there was at the start has been told. No rule is touched before.
    Synced,
}

/// Tells a [`Proxy`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle(mpsc::Sender<ProxyEvent>);

impl Handle {
    /// Tells what happened; waits while too much is untold. Nothing happens after the proxy's end.
    pub async fn handle(&self, event: ProxyEvent) {
        // The other end is gone only when the process ends.
        let _ = self.0.send(event).await;
    }
}

/// Services on this node.
///
/// # Flow
/// Events are folded into a [`World`]; whatever came meanwhile is one transaction, as small as the
/// difference. The first one replaces the table of an earlier process, which is not read.
///
/// # Guarantees
/// Packets meet the rules of one moment, never half of a change. After a failure the whole table is
/// replaced, so that whatever was found there cannot make the next try fail too. A table that somebody removed is
/// there again within half a minute.
pub struct Proxy {
    events: mpsc::Receiver<ProxyEvent>,
    packets: Arc<dyn Packets>,
    world: World,
    synced: bool,
    /// What the kernel has; `None` while that is not known.
    applied: Option<Ruleset>,
}

impl Proxy {
    /// A proxy, and the way to tell it.
    pub fn new(node: Node, packets: Arc<dyn Packets>) -> (Self, Handle) {
        let (sender, events) = mpsc::channel(EVENTS_WAITING_MAX);
        let proxy = Self { events, packets, world: World::new(node), synced: false, applied: None };
        (proxy, Handle(sender))
    }

    /// Runs until the shutdown, or until every [`Handle`] is gone. The rules stay, as connections do.
    pub async fn run(mut self, mut shutdown: Shutdown) {
        let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
        let mut retry_at = None;
        let mut look_at = env::monotonic() + LOOK_INTERVAL;
        loop {
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                // Cancel-safe: an event is taken or it is not.
                event = self.events.recv() => match event {
                    Some(event) => self.take_waiting(event),
                    None => return,
                },
                () = until(retry_at) => retry_at = None,
                () = env::sleep_until(look_at) => {
                    look_at = env::monotonic() + LOOK_INTERVAL;
                    self.look().await;
                }
            }
            // Between a failure and the next try, events are only folded.
            if !self.synced || retry_at.is_some() {
                continue;
            }
            match self.reconcile().await {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    let delay = backoff.next_delay();
                    tracing::warn!(%error, ?delay, "rules of services are not up to date, trying again");
                    retry_at = Some(env::monotonic() + delay);
                }
            }
        }
    }

    /// What is gone has to be made anew.
    async fn look(&mut self) {
        let Some(applied) = &self.applied else { return };
        match self.packets.is_there(applied.family).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!("somebody removed the rules of services: they are made anew");
                self.applied = None;
            }
            Err(error) => tracing::debug!(%error, "whether the rules of services are there is not known"),
        }
    }

    fn take_waiting(&mut self, first: ProxyEvent) {
        self.fold(first);
        for _ in 1..EVENTS_TOGETHER_MAX {
            match self.events.try_recv() {
                Ok(event) => self.fold(event),
                Err(_none_waits) => return,
            }
        }
    }

    fn fold(&mut self, event: ProxyEvent) {
        match event {
            ProxyEvent::Service(service) => self.world.put_service(&service),
            ProxyEvent::ServiceDeleted { namespace, name } => self.world.remove_service(&namespace, &name),
            ProxyEvent::EndpointSlice(slice) => self.world.put_slice(&slice),
            ProxyEvent::EndpointSliceDeleted { namespace, name } => {
                self.world.remove_slice(&namespace, &name)
            }
            ProxyEvent::Synced => self.synced = true,
        }
    }

    /// Brings the kernel to what is known. What the kernel has is unknown until it succeeds.
    async fn reconcile(&mut self) -> Result<(), PacketsError> {
        let touched = self.world.take_touched();
        let old = self.applied.take();
        let (new, batch) = match &old {
            Some(old) => {
                let new = replan(&self.world, old, &touched);
                let batch = difference(old, &new);
                (new, batch)
            }
            None => {
                let new = plan(&self.world);
                let batch = replacement(&new);
                (new, batch)
            }
        };
        if !batch.commands.is_empty() {
            self.packets.apply(&batch).await?;
        }
        // Only now: until the rules are in place, the next datagram would find its old way again.
        let expected = flows::to_check(old.as_ref(), &new);
        if !expected.is_empty() {
            let forgotten = self.packets.forget(new.family, expected).await?;
            tracing::debug!(forgotten, "flows of datagrams begin anew");
        }
        self.applied = Some(new);
        Ok(())
    }
}

/// Takes everything of ours away: no Service can be reached from this node any more.
///
/// # Errors
/// When nothing was done.
pub async fn remove(node: &Node, packets: &dyn Packets) -> Result<(), PacketsError> {
    let commands = vec![Command::AddTable, Command::DeleteTable];
    packets.apply(&Batch { family: node.family, commands }).await
}

async fn until(at: Option<env::Instant>) {
    match at {
        Some(at) => env::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
