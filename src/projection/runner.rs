//! The loop that plans keys and carries the plans out.
//!
//! # Flow
//! Facts are folded on every master, some at a time where it does not lead. On the leader, once every entry of earlier
//! terms is applied, woken keys are planned one after the other and their intents are submitted, some at a time; what came
//! of them decides when a key is planned again. A new leader plans first what changed of late, then every key there is.
//!
//! # Guarantees
//! - Two plans of one key never overlap, and the second sees what the first did.
//! - After a proposal of unknown outcome nothing of that key is planned before a later entry of this leader was applied:
//!   the proposal is in World then, or will never be applied.

mod submission;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use base::env::{self, Instant};
use base::shutdown::Shutdown;
use base::telemetry::Metrics;
use futures::FutureExt;
use state::{Change, State};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::behind::Behind;
use crate::controller::{Controller, LastOutcomes, Plan, Reason, Refused, Wakes};
use crate::intent::{Intent, Told};
use crate::limits::{
    EVENTS_PAUSE, FACTS_TOGETHER_MAX, KEYS_SUBMITTING_MAX, OFFICE_GAP_MAX, OFFICE_INTERVAL, PLAN_REST_FACTOR,
    PLAN_REST_MAX, SUBMISSIONS_MAX, SWEEP_INTERVAL, SWEEP_STEP,
};
use crate::metrics::RunnerMetrics;
use crate::queue::{Ended, Queue, Work};
use crate::recent::Recent;
use crate::recorder::Recorder;
use crate::rules::Rules;
use crate::submit::{Done, NotDone, Submit};
use crate::world::World;
use submission::Submission;

/// What was applied on this master.
#[derive(Debug)]
pub enum Facts {
    /// Changes, and the State that they led to; also for entries without changes.
    Applied(State, Vec<Change>),
    /// Another State: the first one, or after a snapshot or a gap.
    Reset(State),
}

/// Where facts come from.
#[async_trait::async_trait]
pub trait Source: Send + 'static {
    /// Waits for the next facts; the first are a reset. Cancel-safe.
    async fn next(&mut self) -> Facts;
}

/// What the runner asks of this master.
#[async_trait::async_trait]
pub trait Leadership: Send + Sync + 'static {
    /// The term in which this master leads; `None` while it does not.
    fn term(&self) -> Option<u64>;

    /// Whether a quorum confirms it, now.
    async fn confirm(&self) -> bool;
}

/// What a runner needs.
pub struct Options {
    /// The table.
    pub controllers: Vec<Controller>,
    /// What is applied.
    pub source: Box<dyn Source>,
    /// Whether this master acts.
    pub leadership: Arc<dyn Leadership>,
    /// Where intents go.
    pub submit: Arc<dyn Submit>,
    /// Where it writes what it measures.
    pub metrics: Metrics,
    /// By which numbers the table acts.
    pub rules: Rules,
}

/// What a task tells the loop.
enum Report {
    /// The intents of a key of that term have their outcomes. `ended`: what is known without these.
    Ended { term: u64, work: Work, outcomes: Vec<(Option<Told>, Result<Done, NotDone>)>, ended: Ended },
    /// Events were written, or not.
    Recorded,
    /// Time passed in office.
    Office { term: u64, elapsed_ms: u64 },
}

/// The runner of one master.
pub struct Runner {
    controllers: Vec<Controller>,
    source: Box<dyn Source>,
    leadership: Arc<dyn Leadership>,
    submit: Arc<dyn Submit>,
    metrics: RunnerMetrics,
    world: World,
    shown: watch::Sender<World>,
    /// Whether `shown` lacks what was folded since.
    is_unshown: bool,
    queue: Queue,
    recorder: Recorder,
    is_recording: bool,
    record_at: Instant,
    /// The term in which this master acts.
    acting: Option<u64>,
    /// What changed of late, while others act.
    recent: Recent,
    /// The newest of it, which is not folded yet.
    behind: Behind,
    /// When everything is planned again.
    sweep_at: Instant,
    places: Arc<Semaphore>,
    /// Keys whose intents are on their way, those of an office that ended included.
    submitting: usize,
    reports: (mpsc::UnboundedSender<Report>, mpsc::UnboundedReceiver<Report>),
}

impl Runner {
    /// Prepares to run; the receiver shows World as it is folded.
    pub fn new(options: Options) -> (Self, watch::Receiver<World>) {
        let world = World::under(options.rules);
        let (shown, seen) = watch::channel(world.clone());
        let runner = Self {
            controllers: options.controllers,
            source: options.source,
            leadership: options.leadership,
            submit: options.submit,
            metrics: RunnerMetrics::new(&options.metrics),
            world,
            shown,
            is_unshown: false,
            queue: Queue::default(),
            recorder: Recorder::default(),
            is_recording: false,
            record_at: env::monotonic(),
            acting: None,
            recent: Recent::default(),
            behind: Behind::default(),
            sweep_at: env::monotonic(),
            places: Arc::new(Semaphore::new(SUBMISSIONS_MAX)),
            submitting: 0,
            // Bounded by the keys that are submitting: each has one report on its way.
            reports: mpsc::unbounded_channel(),
        };
        (runner, seen)
    }

    /// Runs until the shutdown.
    pub async fn run(mut self, mut shutdown: Shutdown) {
        let office = env::spawn(hold_office(Arc::clone(&self.leadership), self.reports.0.clone()));
        loop {
            let more = self.act();
            let wake_at = self.next_wake(more);
            // All arms may be dropped without losing anything: both receivers are cancel-safe, and timers are made anew.
            tokio::select! {
                biased;
                () = shutdown.wait() => break,
                facts = self.source.next() => self.take_all(facts),
                Some(report) = self.reports.1.recv() => self.hear(report),
                () = env::sleep_until(wake_at) => {}
            }
        }
        office.abort();
    }

    /// When the loop looks again though nothing happens.
    fn next_wake(&self, more: bool) -> Instant {
        let now = env::monotonic();
        if more {
            return now;
        }
        let mut at = self.sweep_at.max(now + Duration::from_millis(1));
        if self.acting.is_none() {
            let at = at.max(now + OFFICE_INTERVAL);
            return self.behind.due_at(now).map_or(at, |due| due.min(at));
        }
        if let Some(timer_ms) = self.queue.next_timer() {
            at = at.min(now + Duration::from_millis(timer_ms.saturating_sub(env::wall_ms()).max(1)));
        }
        if self.recorder.has_some() && !self.is_recording {
            at = at.min(self.record_at);
        }
        at
    }

    /// Takes in what was applied, and what waits behind it: plans on an old World are refused, and take the time in
    /// which it would catch up.
    fn take_all(&mut self, first: Facts) {
        self.take(first);
        for _ in 1..FACTS_TOGETHER_MAX {
            let Some(facts) = self.source.next().now_or_never() else { break };
            self.take(facts);
        }
    }

    /// Takes in what was applied.
    fn take(&mut self, facts: Facts) {
        let now_ms = env::wall_ms();
        match facts {
            Facts::Reset(state) => {
                self.world.reset(state);
                self.is_unshown = true;
                (self.recent, self.behind) = (Recent::default(), Behind::default());
                self.resign();
            }
            Facts::Applied(state, changes) if self.acting.is_some() => {
                self.fold(state, &changes);
                changes.iter().for_each(|change| self.wake(change, now_ms));
            }
            Facts::Applied(state, changes) => {
                self.behind.add(state, &changes);
                // Nobody asks which keys they are about until this master leads.
                self.recent.add(changes);
            }
        }
        self.catch_up();
        self.queue.reached(self.world.state.revision(), now_ms);
        self.take_office(now_ms);
    }

    fn fold(&mut self, state: State, changes: &[Change]) {
        self.world.fold(state, changes);
        self.is_unshown = true;
    }

    /// Folds what waits, where it waited long enough or this master is to lead.
    fn catch_up(&mut self) {
        let now = env::monotonic();
        let Some(due) = self.behind.due_at(now) else { return };
        if due <= now || self.leadership.term().is_some() {
            let waited = self.behind.take(now);
            waited.into_iter().for_each(|(state, changes)| self.fold(state, &changes));
        }
    }

    fn wake(&mut self, change: &Change, now_ms: u64) {
        for (index, controller) in self.controllers.iter().enumerate() {
            for key in self.find(controller, |wakes| (controller.wakes)(&self.world, change, wakes)).take() {
                self.queue.wake((index, key), now_ms);
            }
        }
    }

    /// Begins to act when this master leads and all entries of earlier terms are applied; ends when it does not.
    fn take_office(&mut self, now_ms: u64) {
        let term = self.leadership.term();
        if self.acting == term {
            return;
        }
        self.resign();
        let Some(term) = term.filter(|term| self.world.state.term() == *term) else { return };
        tracing::info!(term, "controllers act on this master");
        self.acting = Some(term);
        // Nobody was heard by this leader yet.
        self.world.office = crate::office::Office::default();
        for change in self.recent.take() {
            self.wake(&change, now_ms);
        }
        self.sweep_at = env::monotonic();
    }

    fn resign(&mut self) {
        if self.acting.take().is_some() {
            tracing::info!("controllers no longer act on this master");
        }
        self.queue = Queue::default();
        self.recorder.clear();
    }

    /// Plans what waits, as long as submissions have places. Returns whether there is more that can be done at once.
    fn act(&mut self) -> bool {
        let now_ms = env::wall_ms();
        self.catch_up();
        if std::mem::take(&mut self.is_unshown) {
            self.shown.send_replace(self.world.clone());
        }
        self.take_office(now_ms);
        let Some(term) = self.acting else { return false };
        if env::monotonic() >= self.sweep_at {
            self.sweep(now_ms);
        }
        self.queue.tick(now_ms);
        for _ in 0..SWEEP_STEP {
            if !self.has_places() {
                break;
            }
            let Some((work, last)) = self.queue.next() else { break };
            self.plan(term, work, last, now_ms);
        }
        if self.recorder.has_some() && !self.is_recording && env::monotonic() >= self.record_at {
            self.record(term);
        }
        self.metrics.waiting.set(self.queue.len() as i64);
        self.queue.len() > 0 && self.has_places()
    }

    /// Whether another key may be planned.
    fn has_places(&self) -> bool {
        self.submitting < KEYS_SUBMITTING_MAX && self.places.available_permits() > 0
    }

    fn sweep(&mut self, now_ms: u64) {
        self.sweep_at = env::monotonic() + SWEEP_INTERVAL;
        for (index, controller) in self.controllers.iter().enumerate() {
            for key in self.find(controller, |wakes| (controller.keys)(&self.world, wakes)).take() {
                self.queue.sweep((index, key), now_ms);
            }
        }
    }

    /// The keys that a controller finds. Those that it did not come to for a panic wait for the next sweep.
    fn find(&self, controller: &Controller, find: impl FnOnce(&mut Wakes)) -> Wakes {
        let mut wakes = Wakes::default();
        if catch_unwind(AssertUnwindSafe(|| find(&mut wakes))).is_err() {
            self.metrics.panicked(controller.name);
            tracing::error!(
                controller = controller.name,
                "finding keys panicked: some wait for the next sweep"
            );
        }
        wakes
    }

    fn plan(&mut self, term: u64, work: Work, last: LastOutcomes, now_ms: u64) {
        let controller = self.controllers[work.0];
        let started = env::monotonic();
        let plan = || (controller.plan)(&self.world, &work.1, &last, now_ms);
        let Ok(Plan { intents, requeue_ms, reasons }) = catch_unwind(AssertUnwindSafe(plan)) else {
            self.metrics.panicked(controller.name);
            tracing::error!(controller = controller.name, key = %work.1, "a plan panicked: this key is left alone for a while");
            return self.queue.panicked(&work, now_ms);
        };
        let took = started.elapsed();
        self.metrics.planned(controller.name, intents.len(), took);
        let mut ended = Ended { requeue_ms, rest_until_ms: rest_until_ms(took), ..Ended::default() };
        for reason in reasons {
            self.tell(work.0, reason, now_ms);
        }
        if intents.is_empty() {
            return self.queue.ended(&work, ended, self.world.state.revision(), now_ms);
        }
        let submission = Submission {
            submit: Arc::clone(&self.submit),
            places: Arc::clone(&self.places),
            actor: controller.actor,
            term,
        };
        let reports = self.reports.0.clone();
        ended.last.failures = last.failures;
        self.submitting += 1;
        env::spawn(async move {
            let outcomes = submission.run(intents).await;
            let _ = reports.send(Report::Ended { term, work, outcomes, ended });
        });
    }

    fn tell(&mut self, controller: usize, reason: Reason, now_ms: u64) {
        let component = self.controllers[controller].component;
        if !self.recorder.has_some() {
            self.record_at = env::monotonic() + EVENTS_PAUSE;
        }
        self.recorder.note(&self.world, (controller, component), reason, now_ms);
    }

    /// Writes Events, one transaction at a time.
    fn record(&mut self, term: u64) {
        let Some((controller, intent)) = self.recorder.next(&self.world) else { return };
        self.is_recording = true;
        let (submit, reports) = (Arc::clone(&self.submit), self.reports.0.clone());
        let actor = self.controllers[controller].actor;
        env::spawn(async move {
            if let Err(NotDone::Refused(status)) = submit.submit(actor, term, &intent).await {
                tracing::debug!(?status, "events were refused together: each is tried alone");
                for op in intent.ops {
                    let _ = submit.submit(actor, term, &Intent::one(op)).await;
                }
            }
            let _ = reports.send(Report::Recorded);
        });
    }

    fn hear(&mut self, report: Report) {
        let now_ms = env::wall_ms();
        if matches!(report, Report::Ended { .. }) {
            self.submitting -= 1;
        }
        match report {
            Report::Ended { term, work, outcomes, mut ended } if self.acting == Some(term) => {
                self.judge(&work, outcomes, &mut ended, now_ms);
                self.queue.ended(&work, ended, self.world.state.revision(), now_ms);
            }
            // Of an office that ended: whoever acts now plans the key anew.
            Report::Ended { .. } => {}
            Report::Recorded => self.is_recording = false,
            Report::Office { term, elapsed_ms } if self.acting == Some(term) => {
                self.world.office.advance(elapsed_ms);
            }
            Report::Office { .. } => {}
        }
    }

    /// Adds what came of a key's intents; tells it.
    fn judge(
        &mut self,
        work: &Work,
        outcomes: Vec<(Option<Told>, Result<Done, NotDone>)>,
        ended: &mut Ended,
        now_ms: u64,
    ) {
        let controller = self.controllers[work.0];
        for (intent, (told, outcome)) in outcomes.into_iter().enumerate() {
            match &outcome {
                Ok(done) => ended.revision = ended.revision.max(done.revision),
                Err(NotDone::Refused(status)) => {
                    self.metrics.refused(controller.name);
                    ended.last.refused.push(Refused { intent, status: (**status).clone() });
                }
                Err(NotDone::Stale(revision)) => {
                    self.metrics.stale(controller.name);
                    ended.revision = ended.revision.max(*revision);
                    ended.is_stale = true;
                }
                Err(NotDone::Unknown(why)) => {
                    tracing::warn!(controller = controller.name, key = %work.1, why, "looked at again later");
                    ended.is_unknown = true;
                }
            }
            if let Some(reason) = told.and_then(|told| reason(told, &outcome)) {
                self.tell(work.0, reason, now_ms);
            }
        }
        let has_failed = !ended.last.refused.is_empty() || ended.is_unknown;
        ended.last.failures = if has_failed { ended.last.failures.saturating_add(1) } else { 0 };
    }
}

/// Until when a key rests whose plan took so long up to now; 0, where that is not worth a timer.
fn rest_until_ms(took: Duration) -> u64 {
    match (took * PLAN_REST_FACTOR).min(PLAN_REST_MAX).as_millis() as u64 {
        0 => 0,
        rest_ms => env::wall_ms() + rest_ms,
    }
}

/// What is told of an outcome.
fn reason(told: Told, outcome: &Result<Done, NotDone>) -> Option<Reason> {
    match outcome {
        Ok(done) => {
            let (reason, message) = told.done?;
            let name = done.names.first().map_or("", |name| name);
            Some(Reason {
                about: told.about,
                is_warning: false,
                reason,
                message: message.replace("{}", name),
            })
        }
        Err(NotDone::Refused(status)) => {
            let (reason, beginning) = told.refused?;
            let message = format!("{beginning}{}", status.message);
            Some(Reason { about: told.about, is_warning: true, reason, message })
        }
        Err(NotDone::Stale(_) | NotDone::Unknown(_)) => None,
    }
}

/// Counts the time in which nodes could have been heard: between two confirmations of one leadership that are not far
/// apart.
async fn hold_office(leadership: Arc<dyn Leadership>, reports: mpsc::UnboundedSender<Report>) {
    let mut before: Option<(u64, Instant)> = None;
    loop {
        env::sleep(OFFICE_INTERVAL).await;
        let Some(term) = leadership.term() else {
            before = None;
            continue;
        };
        if !leadership.confirm().await || leadership.term() != Some(term) {
            before = None;
            continue;
        }
        let now = env::monotonic();
        if let Some((of, at)) = before
            && of == term
            && now - at <= OFFICE_GAP_MAX
        {
            let elapsed_ms = (now - at).as_millis() as u64;
            if reports.send(Report::Office { term, elapsed_ms }).is_err() {
                return;
            }
        }
        before = Some((term, now));
    }
}
