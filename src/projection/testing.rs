//! For tests of plans: a World from objects as YAML users know them, and a plan as text.

use std::fmt::Write as _;

use api::{Key, Object, RESOURCES, Resource, time};
use serde_json::Value;
use state::{Batch, Entry, Meta, Outcome, Stamp, State, Txn, Write};

use crate::controller::{LastOutcomes, Plan};
use crate::intent::{Intent, Op};
use crate::world::World;

/// The time at which tests plan, in milliseconds since the epoch: 2026-01-01T00:00:00Z.
pub const NOW_MS: u64 = 1_767_225_600_000;

/// A World that holds these objects: defaulted like stored ones, each with a uid (`uid-NAME`) and a time of creation
/// unless it brings its own. Revisions follow the order.
///
/// # Panics
/// When an object is of no known kind.
pub fn world(objects: impl IntoIterator<Item = Value>) -> World {
    let mut world = World::default();
    for object in objects {
        put(&mut world, object);
    }
    world
}

/// Puts an object into a World, new or in the place of the one with its name.
///
/// # Panics
/// As [`world`].
pub fn put(world: &mut World, object: Value) -> Key {
    let row = row(&object);
    let (mut object, _) = Object::from_tree(object, row.stored()).expect("an object of its kind");
    object.default(row.stored());
    let meta = &mut object.meta;
    if meta.namespace.is_empty() && row.namespaced {
        "default".clone_into(&mut meta.namespace);
    }
    if meta.uid.is_empty() {
        meta.uid = format!("uid-{}", meta.name);
    }
    if meta.creation_timestamp.is_empty() {
        meta.creation_timestamp = time::rfc3339(NOW_MS);
    }
    let key = row.key(&object.meta.namespace, &object.meta.name);
    let prepared = object.prepare(row.stored());
    let meta = Meta {
        uid: prepared.uid,
        generation: prepared.generation,
        deleting: prepared.deleting,
        finalizers: prepared.finalizers,
        charges: Vec::new(),
    };
    let body = prepared.body.into();
    apply(world, Write::Put { key: key.clone(), body, splice: Some(prepared.splice), meta });
    key
}

/// Puts an internal record into a World.
pub fn put_record(world: &mut World, key: &Key, record: &Value) {
    let body = record.to_string().into_bytes().into();
    apply(world, Write::Put { key: key.clone(), body, splice: None, meta: Meta::default() });
}

/// Takes an object out of a World.
///
/// # Panics
/// When there is none.
pub fn remove(world: &mut World, key: &Key) {
    apply(world, Write::Delete { key: key.clone() });
}

fn apply(world: &mut World, write: Write) {
    let state = &world.state;
    let request = u128::from(state.revision()) + 1;
    let txn =
        Txn { stamp: Stamp { request, actor: "test".to_owned() }, guards: Vec::new(), writes: vec![write] };
    let batch = Batch { time_ms: NOW_MS, txns: vec![txn] };
    let applied =
        state::apply(state, &Entry { index: state.index() + 1, term: state.term().max(1), batch: &batch });
    assert!(matches!(applied.outcomes[0].1, Outcome::Committed { .. }), "{:?}", applied.outcomes);
    let next: State = applied.state;
    world.fold(next, &applied.changes);
}

fn row(object: &Value) -> std::sync::Arc<Resource> {
    let (api_version, kind) = (object["apiVersion"].as_str().unwrap_or("v1"), object["kind"].as_str());
    let is_it =
        |row: &&std::sync::Arc<Resource>| row.api_version() == api_version && Some(&*row.kind) == kind;
    let found = RESOURCES.iter().find(is_it);
    std::sync::Arc::clone(found.unwrap_or_else(|| panic!("no kind {kind:?} of {api_version}")))
}

/// What a controller plans about a key when nothing was refused before.
pub fn plan(world: &World, key: &Key, plan: fn(&World, &Key, &LastOutcomes, u64) -> Plan) -> Plan {
    plan(world, key, &LastOutcomes::default(), NOW_MS)
}

/// A plan as text: a line for each intent with its guards, one for each reason, one for the next look.
pub fn shown(plan: &Plan) -> String {
    let mut text = String::new();
    for intent in &plan.intents {
        line(&mut text, &intent_line(intent));
    }
    for reason in &plan.reasons {
        let sort = if reason.is_warning { "Warning" } else { "Normal" };
        line(&mut text, &format!("{sort} {}: {}: {}", reason.about, reason.reason, reason.message));
    }
    if let Some(at) = plan.requeue_ms {
        line(&mut text, &format!("again in {} ms", at.saturating_sub(NOW_MS)));
    }
    text
}

fn line(text: &mut String, line: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "{line}");
}

fn intent_line(intent: &Intent) -> String {
    let ops: Vec<String> = intent.ops.iter().map(op).collect();
    let guards: Vec<String> = intent.guards.iter().map(|guard| format!("{guard:?}")).collect();
    let mut text = ops.join(" + ");
    if !guards.is_empty() {
        text = format!("{text} if {}", guards.join(", "));
    }
    text
}

fn op(op: &Op) -> String {
    match op {
        Op::Create { row, namespace, object } => format!("create {}/{namespace} {object}", row.plural),
        Op::Patch { key, subresource: "", patch, .. } => format!("patch {key} {patch}"),
        Op::Patch { key, subresource, patch, .. } => format!("patch {key}/{subresource} {patch}"),
        Op::Delete { key, options } => {
            let grace = options.grace_seconds.map(|seconds| format!(" grace {seconds}")).unwrap_or_default();
            let what = options.propagation.map(|what| format!(" {what:?}")).unwrap_or_default();
            format!("delete {key}{grace}{what}")
        }
        Op::Bind { pod, node, .. } => format!("bind {pod} to {node}"),
    }
}
