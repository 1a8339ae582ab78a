//! What would follow: the same controllers, run to a fixed point over a State that goes its own way in memory.
//!
//! Nodes play along: a pod that gets a node is running and ready at once, or ends at once if it is not meant to run on,
//! and one that is deleted goes. Time stands still, but for what waits for it: then it jumps there.

mod kubelet;

use std::collections::BTreeSet;

use api::Key;
use base::env;
use serde_json::Value;
use state::{Change, State};

use crate::controller::{Controller, LastOutcomes, Reason, Refused, Wakes};
use crate::intent::{Intent, Op};
use crate::submit::{NotDone, Submit};
use crate::world::World;

/// Plans after which it is given up: enough for ten thousand pods, a few each.
pub const PLANS_MAX: usize = 100_000;

/// How far time jumps at most, altogether: the progress deadline of a Deployment, by default.
pub const JUMP_MAX_MS: u64 = 600_000;

/// Controllers that would only tell of the time that passes here in jumps: by it nodes would fall silent, for nobody
/// speaks in a fork, and Events would grow old.
pub const LEFT_OUT: &[&str] = &["event-ttl", "node-lifecycle"];

/// How often in a row refused intents of a key are tried again.
const FAILURES_MAX: u32 = 2;

/// A fork: what is submitted to it changes nothing else.
pub trait Forked: Submit {
    /// Takes what was changed since the last call, and the State that it led to.
    fn changes(&self) -> (State, Vec<Change>);
}

/// Something that a controller would do.
#[derive(Clone, Debug)]
pub struct Step {
    /// Which controller.
    pub controller: &'static str,
    /// `create`, `update`, `delete` or `bind`.
    pub verb: &'static str,
    /// Of what.
    pub key: Key,
    /// The object, or the patch, or the node's name.
    pub what: Value,
    /// Why admission refuses it; `None`: it would be done.
    pub refused: Option<String>,
}

/// All that would follow.
#[derive(Clone, Default)]
pub struct Consequences {
    /// In order.
    pub steps: Vec<Step>,
    /// What would be told, by controller.
    pub reasons: Vec<(&'static str, Reason)>,
    /// Whether nothing is left to do: false if it was given up.
    pub is_settled: bool,
    /// The end.
    pub world: World,
}

/// Follows the changes that are in the fork but not in World.
pub async fn follow(world: World, controllers: &[Controller], fork: &dyn Forked) -> Consequences {
    let takes_part = |controller: &&Controller| !LEFT_OUT.contains(&controller.name);
    let mut controllers: Vec<_> = controllers.iter().filter(takes_part).copied().collect();
    controllers.push(kubelet::KUBELET);
    let mut following = Following {
        controllers,
        now_ms: env::wall_ms(),
        waiting: BTreeSet::new(),
        timers: BTreeSet::new(),
        outcomes: std::collections::BTreeMap::new(),
        found: Consequences { world, ..Consequences::default() },
    };
    following.fold(fork);
    following.run(fork).await;
    following.found
}

struct Following {
    controllers: Vec<Controller>,
    now_ms: u64,
    waiting: BTreeSet<(usize, Key)>,
    timers: BTreeSet<(u64, (usize, Key))>,
    outcomes: std::collections::BTreeMap<(usize, Key), LastOutcomes>,
    found: Consequences,
}

impl Following {
    async fn run(&mut self, fork: &dyn Forked) {
        let end_ms = self.now_ms + JUMP_MAX_MS;
        for _ in 0..PLANS_MAX {
            let Some(work) = self.waiting.pop_first() else {
                match self.timers.pop_first() {
                    Some((at_ms, work)) if at_ms <= end_ms => {
                        self.now_ms = self.now_ms.max(at_ms);
                        self.waiting.insert(work);
                        continue;
                    }
                    _ => {
                        self.found.is_settled = true;
                        return;
                    }
                }
            };
            self.plan(work, fork).await;
            // Nothing above waits for anything: others on this thread get their turn.
            tokio::task::yield_now().await;
        }
    }

    /// Takes in what was changed, and wakes whom it concerns.
    fn fold(&mut self, fork: &dyn Forked) {
        let (state, changes) = fork.changes();
        self.found.world.fold(state, &changes);
        for change in &changes {
            let mut wakes = Wakes::default();
            for (index, controller) in self.controllers.iter().enumerate() {
                (controller.wakes)(&self.found.world, change, &mut wakes);
                self.waiting.extend(wakes.take().into_iter().map(|key| (index, key)));
            }
        }
    }

    async fn plan(&mut self, work: (usize, Key), fork: &dyn Forked) {
        let controller = self.controllers[work.0];
        self.timers.retain(|(_, of)| *of != work);
        let last = self.outcomes.remove(&work).unwrap_or_default();
        let plan = (controller.plan)(&self.found.world, &work.1, &last, self.now_ms);
        for reason in plan.reasons {
            if !self.found.reasons.iter().any(|(_, told)| *told == reason) {
                self.found.reasons.push((controller.name, reason));
            }
        }
        if let Some(at_ms) = plan.requeue_ms {
            self.timers.insert((at_ms.max(self.now_ms + 1), work.clone()));
        }
        let mut refused = Vec::new();
        for (index, intent) in plan.intents.iter().enumerate() {
            let term = self.found.world.state.term();
            match fork.submit(controller.actor, term, intent).await {
                Ok(done) => self.note(controller.name, intent, &done.names, None),
                Err(NotDone::Refused(status)) => {
                    if last.failures == 0 {
                        self.note(controller.name, intent, &[], Some(status.message.clone()));
                    }
                    refused.push(Refused { intent: index, status: *status });
                }
                // Another intent of the same plan changed it: planned again.
                Err(NotDone::Stale(_) | NotDone::Unknown(_)) => _ = self.waiting.insert(work.clone()),
            }
        }
        self.fold(fork);
        if !refused.is_empty() && last.failures < FAILURES_MAX {
            let failures = last.failures + 1;
            self.outcomes.insert(work.clone(), LastOutcomes { refused, failures });
            self.waiting.insert(work);
        }
    }

    fn note(&mut self, controller: &'static str, intent: &Intent, names: &[String], refused: Option<String>) {
        // What nodes do is the premise, not a consequence.
        if controller == kubelet::KUBELET.name {
            return;
        }
        for (index, op) in intent.ops.iter().enumerate() {
            let name = names.get(index).map_or("", |name| name);
            let (verb, key, what) = match op {
                Op::Create { row, namespace, object } => ("create", row.key(namespace, name), object.clone()),
                Op::Patch { key, patch, .. } => ("update", key.clone(), patch.clone()),
                Op::Delete { key, .. } => ("delete", key.clone(), Value::Null),
                Op::Bind { pod, node, .. } => ("bind", pod.clone(), node.clone().into()),
            };
            self.found.steps.push(Step { controller, verb, key, what, refused: refused.clone() });
        }
    }
}
