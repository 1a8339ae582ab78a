//! The loop of the node: orders in, a worker per pod, the engine's events to whom they concern, orphans out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::backoff::Backoff;
use base::env;
use base::shutdown::Shutdown;
use futures::stream::{BoxStream, FuturesUnordered, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tracing::{info, warn};

use crate::config::NodeFacts;
use crate::engine::{ContainerEngine, EngineError, EngineEvent};
use crate::limits::{ENGINE_RETRY, ORDERS_MAX, PODS_MAX, PULLS_AT_ONCE_MAX, RELIST, STARTS_AT_ONCE_MAX};
use crate::outside::{ControlPlane, Inputs, PodNetwork};
use crate::pause;
use crate::pod::{DesiredPod, NotAPod, PodKey};
use crate::reach::{Network, Reach};
use crate::records::Refusal;
use crate::status;
use crate::worker::{Shared, Task, Worker};

mod orphans;
#[cfg(test)]
mod tests;

/// The longest wait for an engine that went away.
const ENGINE_RETRY_MAX: Duration = Duration::from_secs(10);

/// How a kubelet is set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The node it runs on.
    pub node: NodeFacts,
}

/// What it is told.
enum Order {
    Desired(Box<DesiredPod>),
    Gone(PodKey),
    Synced,
}

/// Tells a kubelet what should run. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    orders: mpsc::Sender<Order>,
}

impl Handle {
    /// This pod should run, or end if it was asked to. Later words about it replace earlier ones.
    ///
    /// # Errors
    /// When the object lacks what every stored pod has.
    pub async fn desired(&self, pod: Pod) -> Result<(), NotAPod> {
        let desired = DesiredPod::new(pod)?;
        self.order(Order::Desired(Box::new(desired))).await;
        Ok(())
    }

    /// This pod is not there any more, whether it had ended or not.
    pub async fn gone(&self, key: PodKey) {
        self.order(Order::Gone(key)).await;
    }

    /// Every pod of the node was named: what else runs is nobody's, and ends.
    pub async fn synced(&self) {
        self.order(Order::Synced).await;
    }

    async fn order(&self, order: Order) {
        // A kubelet that ended takes no orders, and the process ends with it.
        let _ = self.orders.send(order).await;
    }
}

/// The worker of one pod, as the node sees it.
struct Entry {
    mailbox: watch::Sender<Arc<DesiredPod>>,
    wake: Arc<Notify>,
}

/// The kubelet of one node.
pub struct Kubelet {
    shared: Arc<Shared>,
    orders: mpsc::Receiver<Order>,
    workers: BTreeMap<String, Entry>,
    /// Pods that are over, until their objects go: nothing is done for them again.
    finished: BTreeSet<String>,
    ended: FuturesUnordered<futures::future::BoxFuture<'static, (String, bool)>>,
    is_synced: bool,
}

impl Kubelet {
    /// A kubelet and the handle that it is told through. It does nothing before [`Kubelet::run`].
    pub fn new(
        options: Options,
        engine: Arc<dyn ContainerEngine>,
        control: Arc<dyn ControlPlane>,
        network: Arc<dyn PodNetwork>,
        inputs: Arc<dyn Inputs>,
    ) -> (Self, Handle) {
        Self::with_reach(options, engine, control, network, inputs, Arc::new(Network))
    }

    /// The same, with another way to reach pods for probes and hooks.
    pub fn with_reach(
        options: Options,
        engine: Arc<dyn ContainerEngine>,
        control: Arc<dyn ControlPlane>,
        network: Arc<dyn PodNetwork>,
        inputs: Arc<dyn Inputs>,
        reach: Arc<dyn Reach>,
    ) -> (Self, Handle) {
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        let shared = Shared {
            node: options.node,
            engine,
            control,
            network,
            inputs,
            reach,
            starts: Semaphore::new(STARTS_AT_ONCE_MAX),
            pulls: Semaphore::new(PULLS_AT_ONCE_MAX),
        };
        let kubelet = Self {
            shared: Arc::new(shared),
            orders,
            workers: BTreeMap::new(),
            finished: BTreeSet::new(),
            ended: FuturesUnordered::new(),
            is_synced: false,
        };
        (kubelet, Handle { orders: sender })
    }

    /// Runs until the shutdown. Containers run on: the next kubelet adopts them.
    pub async fn run(mut self, mut shutdown: Shutdown) {
        tokio::select! {
            biased;
            () = shutdown.wait() => return,
            () = load_pause(&*self.shared.engine) => {}
        }
        let mut retry = Backoff::new(ENGINE_RETRY, ENGINE_RETRY_MAX);
        let mut events = self.shared.engine.events(&self.shared.node.name);
        let mut relist = env::interval(RELIST);
        loop {
            // Each arm takes one thing, and nothing is lost when another one wins.
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                order = self.orders.recv() => match order {
                    Some(order) => self.take(order).await,
                    None => return,
                },
                Some((uid, is_finished)) = self.ended.next() => self.worker_ended(uid, is_finished),
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        retry.reset();
                        self.wake(&event.pod_uid);
                    }
                    broken => events = self.follow_again(broken, retry.next_delay()),
                },
                _ = relist.tick() => self.sweep().await,
            }
        }
    }

    /// The engine's events after they broke off. What happened in between is seen by looking.
    fn follow_again(
        &self,
        broken: Option<Result<EngineEvent, EngineError>>,
        delay: Duration,
    ) -> BoxStream<'static, Result<EngineEvent, EngineError>> {
        if let Some(Err(error)) = broken {
            info!(%error, "the engine's events broke off; following them again");
        }
        let shared = Arc::clone(&self.shared);
        let wakes: Vec<Arc<Notify>> = self.workers.values().map(|entry| Arc::clone(&entry.wake)).collect();
        let opened = async move {
            env::sleep(delay).await;
            let events = shared.engine.events(&shared.node.name);
            for wake in wakes {
                wake.notify_one();
            }
            events
        };
        futures::stream::once(opened).flatten().boxed()
    }

    async fn take(&mut self, order: Order) {
        match order {
            Order::Desired(desired) => self.desire(*desired),
            Order::Gone(key) => self.gone(&key),
            Order::Synced => {
                self.is_synced = true;
                self.sweep().await;
            }
        }
    }

    fn desire(&mut self, desired: DesiredPod) {
        let uid = desired.key.uid.clone();
        if self.finished.contains(&uid) {
            return;
        }
        match self.workers.get(&uid) {
            Some(entry) => {
                entry.mailbox.send_replace(Arc::new(desired));
            }
            None => self.start(desired),
        }
    }

    fn gone(&mut self, key: &PodKey) {
        self.finished.remove(&key.uid);
        if let Some(entry) = self.workers.get(&key.uid) {
            entry.mailbox.send_modify(|desired| {
                *desired = Arc::new(DesiredPod { is_gone: true, ..DesiredPod::clone(desired) });
            });
        }
    }

    fn start(&mut self, desired: DesiredPod) {
        let refused = self.refusal(&desired);
        let uid = desired.key.uid.clone();
        let wake = Arc::new(Notify::new());
        let (sender, mailbox) = watch::channel(Arc::new(desired));
        let worker = Worker::new(Arc::clone(&self.shared), mailbox, Arc::clone(&wake), refused);
        let mut task = Task(env::spawn(worker.run()));
        self.workers.insert(uid.clone(), Entry { mailbox: sender, wake });
        self.ended.push(Box::pin(async move {
            let is_finished = (&mut task.0).await.is_ok();
            (uid, is_finished)
        }));
    }

    /// Why the node does not take this pod: it has as many as it may. One that runs here already is not asked.
    fn refusal(&self, desired: &DesiredPod) -> Option<Refusal> {
        let is_new = desired.pod.status.as_ref().is_none_or(|status| status.start_time.is_none());
        let is_active = |entry: &&Entry| {
            let pod = entry.mailbox.borrow();
            !pod.pod.status.as_ref().is_some_and(status::is_terminal)
        };
        let used = self.workers.values().filter(is_active).count();
        (is_new && !desired.is_deleted() && used >= PODS_MAX).then(|| Refusal {
            reason: "OutOfpods",
            message: format!(
                "Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: {used}, \
                 capacity: {PODS_MAX}"
            ),
        })
    }

    fn worker_ended(&mut self, uid: String, is_finished: bool) {
        let Some(entry) = self.workers.remove(&uid) else { return };
        let desired = DesiredPod::clone(&entry.mailbox.borrow());
        if !is_finished {
            // Only this pod suffers from a mistake that it brought to light.
            warn!(pod = %desired.key, "the worker of a pod panicked; it starts over");
            self.start(desired);
        } else if !desired.is_gone {
            self.finished.insert(uid);
        }
    }

    fn wake(&self, uid: &str) {
        if let Some(entry) = self.workers.get(uid) {
            entry.wake.notify_one();
        }
    }

    /// Ends what runs for pods that nobody wants. Before every pod was named, nobody knows.
    async fn sweep(&mut self) {
        if !self.is_synced {
            return;
        }
        // An engine out of reach is asked again at the next sweep.
        let Ok(listed) = self.shared.engine.list(&self.shared.node.name, None).await else { return };
        for orphan in orphans::of(&listed, |uid| self.workers.contains_key(uid)) {
            info!(pod = %orphan.key, "containers of a pod that is not wanted any more end");
            self.finished.remove(&orphan.key.uid);
            self.start(orphan);
        }
        // Of some there is not even a container: an agent was killed at the end of their end.
        let mut left = self.shared.network.pods().await;
        left.extend(self.shared.inputs.pods().await);
        left.retain(|uid| !self.workers.contains_key(uid) && !self.finished.contains(uid));
        for remains in left.into_iter().map(orphans::remains) {
            info!(pod = remains.key.uid, "what is left of a pod that is not wanted any more is taken back");
            self.start(remains);
        }
    }
}

/// Has the image of sandboxes in the engine, however long the engine takes to come.
async fn load_pause(engine: &dyn ContainerEngine) {
    let mut retry = Backoff::new(ENGINE_RETRY, ENGINE_RETRY_MAX);
    loop {
        let loaded = match engine.image(pause::IMAGE).await {
            Ok(Some(_)) => return,
            Ok(None) => engine.load(pause::archive()).await,
            Err(error) => Err(error),
        };
        match loaded {
            Ok(()) => return,
            Err(error) => warn!(%error, "the image of sandboxes cannot be loaded; trying again"),
        }
        env::sleep(retry.next_delay()).await;
    }
}
