//! The loop of one pod: look, plan, take the steps, wait for whatever comes first.
//!
//! What takes long (pulls, hooks, probes, reports) runs beside the loop and sends its [`Outcome`], so that a pod which
//! is asked to end in the meantime begins to end at once. Everything a worker started ends with it.
//!
//! The engine is asked for the pod's containers when it told of a change, when a step changed them, and now and then.

use std::sync::Arc;
use std::time::Duration;

use base::env::{self, Instant, JoinHandle};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::PodStatus;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tracing::{debug, warn};

use crate::backoff::Waits;
use crate::config::{self, NodeFacts};
use crate::engine::{Container, ContainerEngine, EngineError, LogOptions, Output};
use crate::limits::{
    ENGINE_RETRY, OUTCOMES_MAX, OVERWRITTEN_AFTER_MS, REFUSALS_MAX, RELIST, RETRY_MS, STEPS_IN_A_ROW_MAX,
    TERMINATION_LOG_BYTES_MAX, TERMINATION_LOG_LINES_MAX, TERMINATION_MESSAGE_BYTES_MAX,
};
use crate::names::label;
use crate::outside::{ControlError, ControlPlane, Event, Inputs, PodNetwork};
use crate::plan::{Observed, Step, plan};
use crate::pod::{DesiredPod, Member, PodKey};
use crate::reach::Reach;
use crate::records::{Records, Refusal};
use crate::status;
use outcomes::Outcome;

mod outcomes;
mod steps;

/// What all workers of a node share.
pub(crate) struct Shared {
    pub(crate) node: NodeFacts,
    pub(crate) engine: Arc<dyn ContainerEngine>,
    pub(crate) control: Arc<dyn ControlPlane>,
    pub(crate) network: Arc<dyn PodNetwork>,
    pub(crate) inputs: Arc<dyn Inputs>,
    pub(crate) reach: Arc<dyn Reach>,
    /// See [`crate::limits::STARTS_AT_ONCE_MAX`].
    pub(crate) starts: Semaphore,
    /// See [`crate::limits::PULLS_AT_ONCE_MAX`].
    pub(crate) pulls: Semaphore,
}

/// A task that ends when nobody holds it any more.
pub(crate) struct Task<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One pod.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    mailbox: watch::Receiver<Arc<DesiredPod>>,
    wake: Arc<Notify>,
    key: PodKey,
    desired: Arc<DesiredPod>,
    /// The pod as its volumes show it.
    followed: Option<Arc<DesiredPod>>,
    /// What the engine showed last, and when; `None`: it may show something else since.
    observed: Option<(Observed, Instant)>,
    records: Records,
    outcomes: (mpsc::Sender<Outcome>, mpsc::Receiver<Outcome>),
    tasks: Vec<Task<()>>,
    report: Report,
    /// When the last report was taken, and of which version of the pod it was sent.
    reported_ms: u64,
    reported_of: Option<String>,
    /// When it is looked at whether the pod still shows something else than was reported.
    look_ms: Option<u64>,
    refusals: Refusals,
}

/// How far the report of a status is.
#[derive(Default)]
enum Report {
    /// None is on its way.
    #[default]
    Idle,
    /// One is.
    Sent,
    /// The last one failed; the next goes at this time.
    RetryAt(u64),
}

/// What the control plane says of statuses that it does not take.
#[derive(Default)]
struct Refusals {
    last: Option<String>,
    in_a_row: u32,
    waits: Waits,
}

impl Refusals {
    /// Notes a refusal. How long to wait, and whether it is another one than the last.
    fn note(&mut self, why: &str, now_ms: u64) -> (u64, bool) {
        let is_new = self.last.as_deref() != Some(why);
        self.last = Some(why.to_owned());
        self.in_a_row = self.in_a_row.saturating_add(1);
        (self.waits.fail(now_ms), is_new)
    }
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        mailbox: watch::Receiver<Arc<DesiredPod>>,
        wake: Arc<Notify>,
        refused: Option<Refusal>,
    ) -> Self {
        let desired = Arc::clone(&mailbox.borrow());
        let records = Records { refused, ..Records::new(&desired, shared.node.ips.clone(), env::wall_ms()) };
        Self {
            key: desired.key.clone(),
            shared,
            mailbox,
            wake,
            desired,
            followed: None,
            observed: None,
            records,
            outcomes: mpsc::channel(OUTCOMES_MAX),
            tasks: Vec::new(),
            report: Report::Idle,
            reported_ms: 0,
            reported_of: None,
            look_ms: None,
            refusals: Refusals::default(),
        }
    }

    /// Runs until nothing is left of the pod.
    pub(crate) async fn run(mut self) {
        let mut in_a_row = 0;
        loop {
            self.desired = Arc::clone(&self.mailbox.borrow_and_update());
            while let Ok(outcome) = self.outcomes.1.try_recv() {
                self.absorb(outcome);
            }
            self.tasks.retain(|task| !task.0.is_finished());
            let (observed, seen_at) = match self.seen().await {
                Ok(seen) => seen,
                Err(error) => {
                    debug!(pod = %self.key, %error, "the engine could not be asked");
                    env::sleep(ENGINE_RETRY).await;
                    continue;
                }
            };
            let plan = plan(&self.desired, &observed, &self.records, env::wall_ms());
            for event in plan.events {
                self.tell(event);
            }
            self.records.status.clone_from(&plan.status);
            self.follow(&plan.status);
            self.report(plan.status);
            if plan.is_finished {
                return;
            }
            let is_moving = !plan.steps.is_empty();
            let is_as_seen = plan.steps.iter().all(Step::leaves_containers);
            if let Err(error) = self.take(plan.steps, &observed).await {
                debug!(pod = %self.key, %error, "the engine went away");
                env::sleep(ENGINE_RETRY).await;
            } else if is_as_seen {
                self.observed = Some((observed, seen_at));
            }
            in_a_row = if is_moving { in_a_row + 1 } else { 0 };
            if in_a_row == 0 {
                self.rest(plan.wake_ms).await;
            } else if in_a_row > STEPS_IN_A_ROW_MAX {
                warn!(pod = %self.key, "a pod takes steps without end; it rests");
                env::sleep(Duration::from_millis(RETRY_MS)).await;
                in_a_row = 0;
            }
        }
    }

    /// Waits for whatever comes first. Cancel-safe: an outcome is absorbed in the arm that took it.
    async fn rest(&mut self, wake_ms: Option<u64>) {
        let now_ms = env::wall_ms();
        let mut wait = self.observed.as_ref().map_or(RELIST, |(_, at)| RELIST.saturating_sub(at.elapsed()));
        let report_ms = match self.report {
            Report::RetryAt(at_ms) => Some(at_ms),
            Report::Idle | Report::Sent => None,
        };
        for at_ms in wake_ms.into_iter().chain(report_ms).chain(self.look_ms) {
            wait = wait.min(Duration::from_millis(at_ms.saturating_sub(now_ms)));
        }
        let is_open = tokio::select! {
            biased;
            changed = self.mailbox.changed() => changed.is_ok(),
            Some(outcome) = self.outcomes.1.recv() => {
                self.absorb(outcome);
                true
            }
            () = self.wake.notified() => {
                self.observed = None;
                true
            }
            () = env::sleep(wait) => true,
        };
        if !is_open {
            // The node's loop ended: so does this one, when it is dropped with it.
            std::future::pending::<()>().await;
        }
    }

    /// What the engine shows: what it showed last, unless that is old, or it told of a change since.
    async fn seen(&mut self) -> Result<(Observed, Instant), EngineError> {
        if self.wake.notified().now_or_never().is_some() {
            self.observed = None;
        }
        match self.observed.take() {
            Some((observed, at)) if at.elapsed() < RELIST => Ok((observed, at)),
            _ => {
                let at = env::monotonic();
                Ok((self.observe().await?, at))
            }
        }
    }

    /// What the engine shows, with the last words of what ended.
    async fn observe(&mut self) -> Result<Observed, EngineError> {
        let shared = Arc::clone(&self.shared);
        let mut listed = shared.engine.list(&shared.node.name, Some(&self.key.uid)).await?;
        for container in listed.iter_mut().filter(|container| !container.is_sandbox()) {
            if container.exit().is_some_and(|exit| exit.start_error.is_none()) {
                if !self.records.messages.contains_key(&container.id) {
                    let message = self.last_words(container).await;
                    self.records.messages.insert(container.id.clone(), message);
                }
                container.message = self.records.messages.get(&container.id).cloned();
            }
        }
        self.records.forget(|id| listed.iter().any(|container| container.id == id));
        Ok(Observed::of(listed))
    }

    /// What the container left in its file, or else the end of its log where its policy says so.
    async fn last_words(&self, container: &Container) -> String {
        let root = &self.shared.node.root;
        let path = config::message_file(root, &self.key, container.container_name(), container.attempt());
        let written = env::blocking(move || std::fs::read(path)).await.unwrap_or_default();
        let written = &written[..written.len().min(TERMINATION_MESSAGE_BYTES_MAX)];
        let is_failed = container.exit().is_some_and(|exit| exit.code != 0);
        let asks_log = container.label(label::MESSAGE_POLICY) == Some("FallbackToLogsOnError");
        if !written.is_empty() || !is_failed || !asks_log {
            return String::from_utf8_lossy(written).into_owned();
        }
        let options = LogOptions { tail: Some(TERMINATION_LOG_LINES_MAX), ..LogOptions::default() };
        let Ok(mut log) = self.shared.engine.logs(&container.id, options).await else { return String::new() };
        let mut end = Vec::new();
        while let Some(Ok(Output::Stdout(bytes) | Output::Stderr(bytes))) = log.next().await {
            end.extend_from_slice(&bytes);
        }
        let from = end.len().saturating_sub(TERMINATION_LOG_BYTES_MAX);
        String::from_utf8_lossy(&end[from..]).into_owned()
    }

    /// Has volumes show the pod as it is now, while it runs.
    fn follow(&mut self, status: &PodStatus) {
        let is_ending = self.desired.is_deleted() || status::is_terminal(status);
        if self.records.network.is_none() || is_ending {
            return;
        }
        if self.followed.as_ref().is_none_or(|followed| !Arc::ptr_eq(followed, &self.desired)) {
            self.shared.inputs.follow(&self.desired);
            self.followed = Some(Arc::clone(&self.desired));
        }
    }

    /// Has the control plane show this status, unless it does or a report is on its way.
    fn report(&mut self, status: PodStatus) {
        let now_ms = env::wall_ms();
        match self.report {
            Report::Sent => return,
            Report::RetryAt(at_ms) if now_ms < at_ms && !self.desired.is_gone => return,
            Report::Idle | Report::RetryAt(_) => self.report = Report::Idle,
        }
        self.look_ms = None;
        if self.desired.is_gone {
            return;
        }
        if self.records.reported.as_ref() == Some(&status) {
            let is_as_sent = self.desired.pod.metadata.resource_version == self.reported_of;
            if self.records.is_unknown || is_as_sent || status::is_shown(&self.desired.pod, &status) {
                return;
            }
            // What was reported may not be seen yet; later it is something that another one said.
            self.look_ms = Some(self.reported_ms + OVERWRITTEN_AFTER_MS).filter(|at_ms| now_ms < *at_ms);
            if self.look_ms.is_some() {
                return;
            }
        }
        self.report = Report::Sent;
        self.reported_of.clone_from(&self.desired.pod.metadata.resource_version);
        let (shared, key) = (Arc::clone(&self.shared), self.key.clone());
        self.spawn(async move {
            let result = shared.control.patch_status(&key, &status).await;
            Outcome::Reported { status: Box::new(status), result }
        });
    }

    fn reported(&mut self, status: PodStatus, result: Result<(), ControlError>) {
        self.report = Report::Idle;
        match result {
            Ok(()) => {
                self.records.reported = Some(status);
                self.reported_ms = env::wall_ms();
                self.refusals = Refusals::default();
            }
            Err(ControlError::NotFound(_)) => {
                self.records.is_unknown = true;
                self.records.reported = Some(status);
            }
            Err(ControlError::Refused(why)) => {
                let now_ms = env::wall_ms();
                let (wait_ms, is_new) = self.refusals.note(&why, now_ms);
                if is_new {
                    warn!(pod = %self.key, why, "the masters refuse the status of a pod; it is tried ever more seldom");
                }
                self.report = Report::RetryAt(now_ms + wait_ms);
                if self.refusals.in_a_row >= REFUSALS_MAX {
                    self.records.untold = Some(status);
                }
            }
            Err(error) => {
                debug!(pod = %self.key, %error, "a status could not be reported; trying again later");
                self.report = Report::RetryAt(env::wall_ms() + RETRY_MS);
            }
        }
    }

    fn tell(&self, event: Event) {
        self.shared.control.record_event(&self.key, event);
    }

    fn tell_of(&self, member: &Member, is_warning: bool, reason: &'static str, message: String) {
        self.tell(Event { field_path: Some(DesiredPod::field_path(member)), is_warning, reason, message });
    }

    /// Runs work beside the loop; its outcome wakes the loop.
    fn spawn(&mut self, work: impl Future<Output = Outcome> + Send + 'static) {
        let sender = self.outcomes.0.clone();
        self.tasks.push(Task(env::spawn(async move {
            let outcome = work.await;
            // Nobody receives it when the worker is gone, and nobody needs it then.
            let _ = sender.send(outcome).await;
        })));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_once_for_each_cause() {
        let mut refusals = Refusals::default();
        let causes = ["forbidden", "forbidden", "invalid", "invalid"];
        let noted: Vec<(u64, bool)> = causes.iter().map(|why| refusals.note(why, 1_000_000)).collect();
        assert_eq!(noted, [(10_000, true), (20_000, false), (40_000, true), (80_000, false)]);
    }
}
