//! What controllers intend, decided as requests are: the same steps of a write, the same refusals.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use api::lens::Lens;
use api::patch::{Patch, PatchKind};
use api::{Key, Object, RESOURCES, Resource, Status};
use bytes::Bytes;
use projection::{Intent, Op};
use replica::Moment;
use state::{Guard, State, Write};

use super::create::Owners;
use super::patch::Attempt;
use super::write::{Decision, Plan};
use super::{Call, Upgrade, create, delete, update};
use crate::acts::binding;
use crate::chain::admission::Settings;
use crate::definitions::{self, Registry};
use crate::request::{Query, ResourcePath};
use crate::user::User;

/// The manager of fields that controllers write.
const CONTROLLERS: &str = "kube-controller-manager";

/// The user that the scheduler acts as; also the manager of fields that it writes.
const SCHEDULER: (&str, &str) = ("system:kube-scheduler", "kube-scheduler");

/// What an intent writes, seen from one moment.
pub(crate) struct Decided {
    pub(crate) guards: Vec<Guard>,
    pub(crate) writes: Vec<Write>,
    /// The names of what its operations are about.
    pub(crate) names: Vec<String>,
}

/// On whose behalf intents are decided, and how.
pub(crate) struct Actor {
    pub(crate) user: User,
    pub(crate) settings: Arc<Settings>,
}

/// Why there is nothing to propose.
pub(crate) enum Undecided {
    /// Admission refused an operation.
    Refused(Status),
    /// The moment is not the one that the plan saw.
    Stale,
}

impl From<Status> for Undecided {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

/// Decides all operations of an intent.
///
/// # Errors
/// The first that is refused, or came too late.
pub(crate) fn decide(
    intent: &Intent,
    actor: &Actor,
    moment: &Moment,
    registry: &Registry,
) -> Result<Decided, Undecided> {
    let mut decided = Decided { guards: intent.guards.clone(), writes: Vec::new(), names: Vec::new() };
    for op in &intent.ops {
        let (call, decision) = one(op, actor, moment, registry)?;
        let Decision::Propose(Plan { guards, writes, .. }) = decision else {
            decided.names.push(call.path.name);
            continue;
        };
        let name = writes.last().and_then(name).unwrap_or(call.path.name);
        decided.names.push(name);
        decided.guards.extend(guards);
        decided.guards.extend(definitions::guards(&call.row, call.is_create));
        decided.writes.extend(writes);
    }
    Ok(decided)
}

/// The name of what a write is about.
fn name(write: &Write) -> Option<String> {
    match write {
        Write::Put { key, .. } | Write::Delete { key } => Some(key.name().to_owned()),
        Write::Limit { .. } | Write::FeatureLevel { .. } => None,
    }
}

fn one(op: &Op, actor: &Actor, moment: &Moment, registry: &Registry) -> Result<(Call, Decision), Undecided> {
    match op {
        Op::Create { row, namespace, object } => {
            let call = Call { is_create: true, ..call(actor, row, namespace, "", "") };
            let read = Object::from_tree(object.clone(), row);
            let (mut object, _) = read.map_err(|error| Status::bad_request(error.to_string()))?;
            create::place(&mut object, &call)?;
            let decision = create::decide(&call, object, moment, Owners::Unknown)?;
            Ok((call, decision))
        }
        Op::Patch { key, revision, subresource, patch } => {
            let call = existing(actor, key, subresource, moment, registry)?;
            if moment.state.get(key.as_str()).is_none_or(|found| found.revision != *revision) {
                return Err(Undecided::Stale);
            }
            let bytes = serde_json::to_vec(patch).map_err(|error| Status::internal(&error.to_string()))?;
            let patch = Patch::read(PatchKind::Merge, &bytes);
            let decision = update::decide(&call, moment, |before| {
                let patch = patch.as_ref().map_err(super::patch::refusal)?;
                let attempt = Attempt { call: &call, patch, before };
                Ok(attempt.patched(api::codec::FieldValidation::Ignore)?.0)
            })?;
            Ok((call, decision))
        }
        Op::Delete { key, options } => {
            let call = existing(actor, key, "", moment, registry)?;
            let found = moment.state.get(key.as_str());
            let is_it =
                |found: &Arc<state::Object>| options.uid.as_ref().is_none_or(|uid| *uid == found.meta.uid);
            if !found.is_some_and(is_it) {
                return Err(Undecided::Stale);
            }
            let decision = delete::decide(&call, options, moment)?;
            Ok((call, decision))
        }
        Op::Bind { pod, uid, node } => {
            let call = existing(actor, pod, "", moment, registry)?;
            if moment.state.get(pod.as_str()).is_none_or(|found| found.meta.uid != *uid) {
                return Err(Undecided::Stale);
            }
            // Whatever stands in the way came after the plan.
            let decision = binding::place(&call, node, moment).map_err(|_| Undecided::Stale)?;
            Ok((call, decision))
        }
    }
}

/// A call about an object that is there, in the form in which it is stored.
fn existing(
    actor: &Actor,
    key: &Key,
    subresource: &str,
    moment: &Moment,
    registry: &Registry,
) -> Result<Call, Undecided> {
    let row = row(key, &moment.state, registry).ok_or(Undecided::Stale)?;
    Ok(call(actor, &row, key.namespace(), key.name(), subresource))
}

/// The row of the resource in a key, in the version in which its objects are stored.
fn row(key: &Key, state: &State, registry: &Registry) -> Option<Arc<Resource>> {
    static BUILTIN: LazyLock<BTreeMap<String, Arc<Resource>>> = LazyLock::new(|| {
        let stored = RESOURCES.iter().filter(|row| row.is_stored() && row.storage.is_none());
        stored.map(|row| (row.prefix(""), Arc::clone(row))).collect()
    });
    let builtin = BUILTIN.get(key.collection()).cloned();
    builtin.or_else(|| registry.at(state).stored_row(key.collection()))
}

fn call(actor: &Actor, row: &Arc<Resource>, namespace: &str, name: &str, subresource: &str) -> Call {
    let manager = if actor.user.name == SCHEDULER.0 { SCHEDULER.1 } else { CONTROLLERS };
    Call {
        user: actor.user.clone(),
        settings: Arc::clone(&actor.settings),
        lens: Lens::of(row, subresource),
        path: ResourcePath {
            group: row.group.clone(),
            version: row.version.clone(),
            namespace: namespace.to_owned(),
            resource: row.plural.clone(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        },
        row: Arc::clone(row),
        query: Query::parse(""),
        accept: String::new(),
        content_type: "application/json".to_owned(),
        user_agent: manager.to_owned(),
        body: Bytes::new(),
        is_create: false,
        head: Arc::default(),
        upgrade: Upgrade::default(),
    }
}
