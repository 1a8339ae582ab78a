//! Empties namespaces that are going, then lets them go.
//!
//! Runs on the leader; every step is repeatable, so a new leader just goes on. Decides from State alone,
//! then does: [`plan`] is pure.

use std::sync::Arc;
use std::time::Duration;

use api::deletion::mark;
use api::kinds::{custom_resource_definition, namespace};
use api::{Object, RESOURCES, Resource};
use base::env;
use base::shutdown::Shutdown;
use state::{Guard, State, Write};

use crate::backend::Backend;
use crate::definitions::{self, Definitions, Registry};
use crate::leader::{Chore, again_and_again, take};
use crate::limits::{NAMESPACE_SWEEP_BYTES, NAMESPACE_SWEEP_INTERVAL, NAMESPACE_SWEEP_OBJECTS};
use crate::protection::{CLAIMS, VOLUMES};
use crate::services;
use crate::verbs::write::put;

/// On whose behalf content is deleted.
const ACTOR: &str = "system:serviceaccount:kube-system:namespace-controller";

/// On whose behalf the objects of definitions are.
const DEFINITIONS_ACTOR: &str = "system:apiserver";

/// One step towards the end of a namespace: these writes, if the guards hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// What was read.
    pub guards: Vec<Guard>,
    /// What to do.
    pub writes: Vec<Write>,
}

/// What is swept: the objects of one resource that are going.
struct Sweep {
    prefix: String,
    actor: &'static str,
    waiting: fn(&State) -> Vec<String>,
    plan: fn(&State, &Definitions, &str, u64) -> Option<Step>,
    registry: Registry,
}

/// Runs until the shutdown. A change of any namespace or definition wakes it; so does time, for what was missed.
pub async fn run(backend: Arc<dyn Backend>, mut shutdown: Shutdown) {
    tokio::select! {
        biased;
        () = shutdown.wait() => {}
        // May be dropped anywhere: each step is a transaction, and the next leader goes on from State.
        () = all_sweeps(&*backend) => {}
    }
}

async fn all_sweeps(backend: &dyn Backend) {
    let namespaces = Sweep {
        prefix: namespace::RESOURCE.prefix(""),
        actor: ACTOR,
        waiting: going,
        plan,
        registry: Registry::default(),
    };
    let definitions = Sweep {
        prefix: custom_resource_definition::RESOURCE.prefix(""),
        actor: DEFINITIONS_ACTOR,
        waiting: definitions::waiting,
        plan: definitions::plan,
        registry: Registry::default(),
    };
    let claims = Sweep {
        prefix: CLAIMS.row.prefix(""),
        actor: CLAIMS.actor,
        waiting: |state| CLAIMS.waiting(state),
        plan: |state, _, key, _| CLAIMS.plan(state, key),
        registry: Registry::default(),
    };
    let volumes = Sweep {
        prefix: VOLUMES.row.prefix(""),
        actor: VOLUMES.actor,
        waiting: |state| VOLUMES.waiting(state),
        plan: |state, _, key, _| VOLUMES.plan(state, key),
        registry: Registry::default(),
    };
    tokio::join!(
        again_and_again(backend, &namespaces),
        again_and_again(backend, &definitions),
        again_and_again(backend, &claims),
        again_and_again(backend, &volumes),
    );
}

#[async_trait::async_trait]
impl Chore for Sweep {
    fn prefix(&self) -> String {
        self.prefix.clone()
    }

    fn interval(&self) -> Duration {
        NAMESPACE_SWEEP_INTERVAL
    }

    /// Takes one step of each namespace in turn, as long as any succeeds: one that cannot go on holds up no
    /// other. Ends when the log takes no steps or this master no longer leads in `term`: what is left is
    /// planned anew by the next sweep, here or elsewhere.
    async fn run(&self, backend: &dyn Backend, term: u64) {
        let now_ms = env::wall_ms();
        let mut goes_on = true;
        while goes_on {
            goes_on = false;
            let names = (self.waiting)(&backend.moment().state);
            for name in names {
                if backend.leading_term() != Some(term) {
                    return;
                }
                // Not before its turn: a step may hold a megabyte and more.
                let state = &backend.moment().state;
                let Some(step) = (self.plan)(state, &self.registry.at(state), &name, now_ms) else {
                    continue;
                };
                match take(backend, self.actor, step, term).await {
                    Ok(taken) => goes_on |= taken,
                    Err(error) => return tracing::info!(%error, "emptying namespaces: tried again later"),
                }
            }
        }
    }
}

/// The names of the namespaces that are going.
fn going(state: &State) -> Vec<String> {
    let all = state.range(&namespace::RESOURCE.prefix(""));
    all.filter(|found| found.meta.deleting).map(|found| found.key.name().to_owned()).collect()
}

/// The next step for the namespace `name`, when it is going and does not wait for somebody else. What the
/// step marks is marked as deleted at `now_ms`.
pub fn plan(state: &State, definitions: &Definitions, name: &str, now_ms: u64) -> Option<Step> {
    let found = state.get(namespace::RESOURCE.key("", name).as_str())?;
    if !found.meta.deleting {
        return None;
    }
    let mut guards = Vec::new();
    let builtin = RESOURCES.iter().map(|row| &**row).filter(|row| row.is_stored() && row.storage.is_none());
    for row in builtin.chain(definitions.stored()).filter(|row| row.namespaced) {
        let prefix = row.prefix(name);
        if state.count(&prefix) > 0 {
            // What waits for its own finalizers keeps the namespace; other kinds may go meanwhile.
            if let Some(step) = empty(state, row, &prefix, now_ms) {
                return Some(step);
            }
            guards.push(None);
        } else {
            guards.push(Some(Guard::Unwritten { prefix, since: state.revision() }));
        }
    }
    let guards: Option<Vec<Guard>> = guards.into_iter().collect();
    finish(found, guards?)
}

/// Deletes some of what a namespace holds of one resource, or marks it as going.
pub(crate) fn empty(state: &State, row: &Resource, prefix: &str, now_ms: u64) -> Option<Step> {
    let mut step = Step { guards: Vec::new(), writes: Vec::new() };
    let mut bytes = 0;
    let waiting = state.range(prefix).filter(|object| !(object.meta.deleting && object.meta.finalizers));
    for object in waiting.take(NAMESPACE_SWEEP_OBJECTS) {
        if bytes >= NAMESPACE_SWEEP_BYTES || step.writes.len() >= NAMESPACE_SWEEP_OBJECTS {
            break;
        }
        let key = object.key.clone();
        let write = if object.meta.finalizers {
            let Ok(mut marked) = Object::read(&object.bytes.to_bytes(), row) else { continue };
            mark(&mut marked, row, now_ms);
            let prepared = marked.prepare(row);
            bytes += prepared.body.len();
            put(key.clone(), &prepared)
        } else {
            if services::holds(row) {
                let Ok(read) = Object::read(&object.bytes.to_bytes(), row) else { continue };
                let held = services::release(state, row, &read);
                step.guards.extend(held.guards);
                step.writes.extend(held.writes);
            }
            Write::Delete { key: key.clone() }
        };
        step.guards.push(Guard::AtRevision { key, revision: object.revision });
        step.writes.push(write);
    }
    (!step.writes.is_empty()).then_some(step)
}

/// The namespace is empty: it goes, unless finalizers of its own keep it.
fn finish(found: &state::Object, mut guards: Vec<Guard>) -> Option<Step> {
    let row = &namespace::RESOURCE;
    let mut object = Object::read(&found.bytes.to_bytes(), row).ok()?;
    let before = namespace::finalizers(&object).len();
    namespace::release(&mut object);
    let is_held = (row.strategy().is_held)(&object) || !object.meta.finalizers.is_empty();
    if is_held && namespace::finalizers(&object).len() == before {
        return None;
    }
    let key = found.key.clone();
    guards.push(Guard::AtRevision { key: key.clone(), revision: found.revision });
    let write = if is_held { put(key, &object.prepare(row)) } else { Write::Delete { key } };
    Some(Step { guards, writes: vec![write] })
}
