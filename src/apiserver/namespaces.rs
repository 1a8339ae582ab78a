//! Empties namespaces that are going, then lets them go.
//!
//! Runs on the leader; every step is repeatable, so a new leader just goes on. Decides from State alone,
//! then does: [`plan`] is pure.

use std::sync::Arc;

use api::kinds::namespace;
use api::{Object, RESOURCES, Resource};
use base::env;
use base::shutdown::Shutdown;
use state::{Guard, State, Write};

use crate::backend::Backend;
use crate::limits::{NAMESPACE_SWEEP_BYTES, NAMESPACE_SWEEP_INTERVAL, NAMESPACE_SWEEP_OBJECTS};
use crate::verbs::delete::mark;
use crate::verbs::write::{put, transaction};

/// On whose behalf content is deleted.
const ACTOR: &str = "system:serviceaccount:kube-system:namespace-controller";

/// One step towards the end of a namespace: these writes, if the guards hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// What was read.
    pub guards: Vec<Guard>,
    /// What to do.
    pub writes: Vec<Write>,
}

/// Runs until the shutdown. A change of any namespace wakes it; so does time, for what was missed.
pub async fn run(backend: Arc<dyn Backend>, mut shutdown: Shutdown) {
    let prefix = namespace::RESOURCE.prefix("");
    let mut changes = backend.watch(&prefix, backend.moment().revision()).ok();
    loop {
        if let Some(term) = backend.leading_term() {
            sweep(&*backend, term).await;
        }
        let changed = async {
            match &mut changes {
                Some(changes) => changes.next().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        // All arms may be dropped and taken up again without losing anything.
        tokio::select! {
            biased;
            () = shutdown.wait() => return,
            alive = changed => if !alive {
                changes = backend.watch(&prefix, backend.moment().revision()).ok();
            },
            () = env::sleep(NAMESPACE_SWEEP_INTERVAL) => {}
        }
    }
}

/// Takes steps as long as any succeeds; what failed is planned anew by the next sweep. One namespace that
/// cannot go on holds up no other.
async fn sweep(backend: &dyn Backend, term: u64) {
    let now_ms = env::wall_ms();
    let mut goes_on = true;
    while goes_on {
        goes_on = false;
        for step in plan(&backend.moment().state, now_ms) {
            goes_on |= take(backend, step, term).await;
        }
    }
}

/// Whether the step was taken.
async fn take(backend: &dyn Backend, Step { mut guards, writes }: Step, term: u64) -> bool {
    guards.push(Guard::LeaderTerm { term });
    match backend.propose(transaction(ACTOR, guards, writes)).await {
        Ok(committed) if matches!(committed.outcome, state::Outcome::Committed { .. }) => true,
        Ok(committed) => {
            tracing::debug!(outcome = ?committed.outcome, "emptying a namespace: looked at again later");
            false
        }
        Err(error) => {
            tracing::info!(%error, "emptying a namespace: tried again later");
            false
        }
    }
}

/// The next step for each namespace that is going and does not wait for somebody else. What it marks is
/// marked as deleted at `now_ms`.
pub fn plan(state: &State, now_ms: u64) -> Vec<Step> {
    let row = &namespace::RESOURCE;
    let going = state.range(&row.prefix("")).filter(|found| found.meta.deleting);
    going.filter_map(|found| step(state, found, now_ms)).collect()
}

fn step(state: &State, found: &state::Object, now_ms: u64) -> Option<Step> {
    let name = found.key.name();
    let mut guards = Vec::new();
    for row in RESOURCES.iter().filter(|row| row.namespaced) {
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
fn empty(state: &State, row: &'static Resource, prefix: &str, now_ms: u64) -> Option<Step> {
    let mut step = Step { guards: Vec::new(), writes: Vec::new() };
    let mut bytes = 0;
    let waiting = state.range(prefix).filter(|object| !(object.meta.deleting && object.meta.finalizers));
    for object in waiting.take(NAMESPACE_SWEEP_OBJECTS) {
        if bytes >= NAMESPACE_SWEEP_BYTES {
            break;
        }
        let key = object.key.clone();
        let write = if object.meta.finalizers {
            let Ok(mut marked) = Object::read(&object.bytes, row) else { continue };
            mark(&mut marked, row, now_ms);
            let prepared = marked.prepare(row);
            bytes += prepared.body.len();
            put(key.clone(), &prepared)
        } else {
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
    let mut object = Object::read(&found.bytes, row).ok()?;
    let before = namespace::finalizers(&object).len();
    namespace::release(&mut object);
    let is_held = (row.strategy.is_held)(&object) || !object.meta.finalizers.is_empty();
    if is_held && namespace::finalizers(&object).len() == before {
        return None;
    }
    let key = found.key.clone();
    guards.push(Guard::AtRevision { key: key.clone(), revision: found.revision });
    let write = if is_held { put(key, &object.prepare(row)) } else { Write::Delete { key } };
    Some(Step { guards, writes: vec![write] })
}
