//! A log that answers as it is told, and one controller of ConfigMaps.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Key, Status};
use base::env::{self, JoinHandle};
use base::shutdown::{self, Trigger};
use base::telemetry::Metrics;
use parking_lot::Mutex;
use serde_json::{Value, json};
use state::{Batch, Change, Entry};
use tokio::sync::{Notify, mpsc};

use crate::controller::{Controller, LastOutcomes, Plan, Wakes};
use crate::intent::{Intent, Op};
use crate::rules::Rules;
use crate::runner::{Facts, Leadership, Options, Runner, Source};
use crate::submit::{Done, NotDone, Submit};
use crate::testing::put;
use crate::world::World;

const MAPS: &str = "core/configmaps/";

thread_local! {
    static PLANS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The names that were planned since the last call.
pub(super) fn plans() -> Vec<String> {
    PLANS.take()
}

/// What a ConfigMap's data says: `intents`, so many annotations are set, each by an intent of its own, unless they are;
/// `again`, when it is to be looked at again, in milliseconds from now, once; `panics`; `wakes`, that finding whom it
/// wakes panics.
const CONTROLLER: Controller = Controller {
    name: "maps",
    actor: "system:maps",
    component: "maps-controller",
    wakes: |_, change, wakes| {
        assert!(!change.object.view().at(&["data", "wakes"]).is_there(), "as it was told");
        if change.object.key.collection() == MAPS && !change.deleted {
            wakes.add(&change.object.key);
        }
    },
    keys: |world, wakes: &mut Wakes| {
        world.state.range(MAPS).for_each(|found| wakes.add(&found.key));
    },
    plan,
};

fn plan(world: &World, key: &Key, _: &LastOutcomes, now_ms: u64) -> Plan {
    let is_first = PLANS.with_borrow_mut(|plans| {
        let is_first = !plans.iter().any(|name| name == key.name());
        plans.push(key.name().to_owned());
        is_first
    });
    let mut plan = Plan::default();
    let Some(found) = world.state.get(key.as_str()) else { return plan };
    let map: Value = serde_json::from_slice(&found.bytes.to_bytes()).expect("JSON");
    let number = |name: &str| map["data"][name].as_str().and_then(|text| text.parse::<u64>().ok());
    assert!(map["data"]["panics"].is_null(), "as it was told");
    for index in 0..number("intents").unwrap_or(0) {
        let name = format!("set-{index}");
        if map["metadata"]["annotations"][&name].is_null() {
            plan.intents.push(Intent::patch(found, "", json!({"metadata": {"annotations": {name: "x"}}})));
        }
    }
    if let Some(after_ms) = number("again").filter(|_| is_first) {
        plan.requeue_at(now_ms + after_ms);
    }
    plan
}

/// What a proposal about an object is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Admission refuses it.
    Refused,
    /// Nobody knows what comes of it.
    Unknown,
    /// Nothing, until [`Cluster::answer`].
    Nothing,
}

struct Shared {
    world: World,
    /// The term in which this master leads.
    leads: Option<u64>,
    facts: mpsc::UnboundedSender<Facts>,
    /// Facts that are kept back.
    withheld: Option<Vec<Facts>>,
    answers: BTreeMap<String, Answer>,
    /// Whether entries that change nothing are taken.
    takes_entries: bool,
    proposals: usize,
    in_flight: usize,
    in_flight_max: usize,
}

/// A cluster of one master.
#[derive(Clone)]
pub(super) struct Cluster {
    shared: Arc<Mutex<Shared>>,
    receiver: Arc<Mutex<Option<mpsc::UnboundedReceiver<Facts>>>>,
    answered: Arc<Notify>,
    metrics: Metrics,
}

impl Cluster {
    /// Whose master leads in the first term.
    pub(super) fn leading() -> Self {
        let cluster = Self::following();
        cluster.lead(1);
        cluster
    }

    /// Whose master does not lead yet.
    pub(super) fn following() -> Self {
        PLANS.take();
        let (facts, receiver) = mpsc::unbounded_channel();
        let shared = Shared {
            world: World::default(),
            leads: None,
            facts,
            withheld: None,
            answers: BTreeMap::new(),
            takes_entries: true,
            proposals: 0,
            in_flight: 0,
            in_flight_max: 0,
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
            receiver: Arc::new(Mutex::new(Some(receiver))),
            answered: Arc::default(),
            metrics: Metrics::new(),
        }
    }

    /// Lets this master lead in a term, whose first entry is applied.
    pub(super) fn lead(&self, term: u64) {
        let shared = &mut *self.shared.lock();
        shared.leads = Some(term);
        let before = &shared.world.state;
        let batch = Batch { time_ms: env::wall_ms(), txns: Vec::new() };
        let applied = state::apply(before, &Entry { index: before.index() + 1, term, batch: &batch });
        shared.world.fold(applied.state.clone(), &[]);
        shared.tell(Facts::Applied(applied.state, Vec::new()));
    }

    /// Lets another lead.
    pub(super) fn lose(&self) {
        self.shared.lock().leads = None;
    }

    /// Writes a ConfigMap.
    pub(super) fn put(&self, name: &str, data: Value) {
        self.shared.lock().put(name, data, json!({}));
    }

    /// What is answered about an object from now on; `None`: what is proposed is done.
    pub(super) fn answer(&self, name: &str, answer: Option<Answer>) {
        let answers = &mut self.shared.lock().answers;
        match answer {
            Some(answer) => _ = answers.insert(name.to_owned(), answer),
            None => _ = answers.remove(name),
        }
        self.answered.notify_waiters();
    }

    /// Whether the log takes entries that change nothing.
    pub(super) fn take_entries(&self, takes: bool) {
        self.shared.lock().takes_entries = takes;
    }

    /// Applies no more on this master, until [`Self::catch_up`].
    pub(super) fn lag(&self) {
        self.shared.lock().withheld = Some(Vec::new());
    }

    /// Applies what was kept back.
    pub(super) fn catch_up(&self) {
        let mut shared = self.shared.lock();
        let withheld = shared.withheld.take().unwrap_or_default();
        withheld.into_iter().for_each(|facts| shared.tell(facts));
    }

    /// How much was proposed so far.
    pub(super) fn proposals(&self) -> usize {
        self.shared.lock().proposals
    }

    /// How many proposals were on their way at most at a time.
    pub(super) fn in_flight_max(&self) -> usize {
        self.shared.lock().in_flight_max
    }

    /// The runner of its master; once.
    pub(super) fn runner(&self) -> Runner {
        let receiver = self.receiver.lock().take().expect("one runner");
        let first = Facts::Reset(World::default().state);
        let options = Options {
            controllers: vec![CONTROLLER],
            source: Box::new(Applied { first: Some(first), receiver }),
            leadership: Arc::new(self.clone()),
            submit: Arc::new(self.clone()),
            metrics: self.metrics.clone(),
            rules: Rules::default(),
        };
        Runner::new(options).0
    }

    /// What is measured of the controller under this name.
    pub(super) fn measured(&self, name: &str) -> u64 {
        let text = self.metrics.text();
        let start = format!("keelson_{name}_total{{controller=\"maps\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap_or(0)
    }

    /// The same, running until the trigger is dropped or fired.
    pub(super) fn run(&self) -> (Trigger, JoinHandle<()>) {
        let (trigger, shutdown) = shutdown::channel();
        (trigger, env::spawn(self.runner().run(shutdown)))
    }
}

impl Shared {
    fn tell(&mut self, facts: Facts) {
        match &mut self.withheld {
            Some(withheld) => withheld.push(facts),
            None => _ = self.facts.send(facts),
        }
    }

    fn put(&mut self, name: &str, data: Value, annotations: Value) {
        let previous = self.world.state.get(&format!("{MAPS}default/{name}")).cloned();
        let key = put(
            &mut self.world,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
                "metadata": {"name": name, "namespace": "default", "annotations": annotations}}),
        );
        let object = Arc::clone(self.world.state.get(key.as_str()).expect("it was put"));
        let change = Change { revision: object.revision, object, previous, deleted: false };
        self.tell(Facts::Applied(self.world.state.clone(), vec![change]));
    }

    /// Merges the patch of an intent.
    fn carry_out(&mut self, intent: &Intent) -> Done {
        for op in &intent.ops {
            let Op::Patch { key, patch, .. } = op else { continue };
            let found = self.world.state.get(key.as_str()).expect("an object to patch");
            let map: Value = serde_json::from_slice(&found.bytes.to_bytes()).expect("JSON");
            let mut annotations = map["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
            annotations.extend(patch["metadata"]["annotations"].as_object().cloned().unwrap_or_default());
            self.put(key.name(), map["data"].clone(), annotations.into());
        }
        Done { revision: self.world.state.revision(), names: Vec::new() }
    }
}

struct Applied {
    first: Option<Facts>,
    receiver: mpsc::UnboundedReceiver<Facts>,
}

#[async_trait::async_trait]
impl Source for Applied {
    async fn next(&mut self) -> Facts {
        if let Some(first) = self.first.take() {
            return first;
        }
        match self.receiver.recv().await {
            Some(facts) => facts,
            None => std::future::pending().await,
        }
    }
}

#[async_trait::async_trait]
impl Leadership for Cluster {
    fn term(&self) -> Option<u64> {
        self.shared.lock().leads
    }

    async fn confirm(&self) -> bool {
        self.shared.lock().takes_entries
    }
}

#[async_trait::async_trait]
impl Submit for Cluster {
    async fn submit(&self, _: &str, term: u64, intent: &Intent) -> Result<Done, NotDone> {
        let name = match intent.ops.first() {
            Some(Op::Patch { key, .. }) => key.name().to_owned(),
            _ => String::new(),
        };
        {
            let shared = &mut *self.shared.lock();
            shared.proposals += 1;
            shared.in_flight += 1;
            shared.in_flight_max = shared.in_flight_max.max(shared.in_flight);
        }
        // The way to the log and back.
        env::sleep(super::MS).await;
        loop {
            let answered = self.answered.notified();
            let answer = self.shared.lock().answers.get(&name).copied();
            if answer != Some(Answer::Nothing) {
                break;
            }
            answered.await;
        }
        let shared = &mut *self.shared.lock();
        shared.in_flight -= 1;
        if name.is_empty() && !shared.takes_entries {
            return Err(NotDone::Unknown("no quorum".to_owned()));
        }
        match shared.answers.get(&name) {
            _ if shared.leads != Some(term) => Err(NotDone::Unknown("another leads".to_owned())),
            Some(Answer::Refused) => Err(NotDone::Refused(Box::new(Status::bad_request("no")))),
            Some(_) => Err(NotDone::Unknown("lost on its way".to_owned())),
            None => Ok(shared.carry_out(intent)),
        }
    }
}
