//! What a plan wants done.

use api::codec::DeleteOptions;
use api::{Key, Resource};
use serde_json::Value;
use state::Guard;
use std::sync::Arc;

/// Changes that happen together or not at all: one transaction.
#[derive(Clone, Debug)]
pub struct Intent {
    /// What to do, in order. No two may write the same object.
    pub ops: Vec<Op>,
    /// What must hold beside what the operations themselves rely on: the owners and targets that the plan counts on,
    /// never everything that it read.
    pub guards: Vec<Guard>,
    /// What is told of its outcome.
    pub told: Option<Told>,
}

/// One change of one object. It passes the admission that a request of the same sort passes.
#[derive(Clone, Debug)]
pub enum Op {
    /// Creates an object; its name may be generated.
    Create {
        /// Of which resource.
        row: Arc<Resource>,
        /// Where; empty: in no namespace.
        namespace: String,
        /// The object, as a request's body would hold it.
        object: Value,
    },
    /// Changes an object by a JSON merge patch.
    Patch {
        /// Which.
        key: Key,
        /// The revision that the plan saw: another one refuses it.
        revision: u64,
        /// `status`; empty: the object itself.
        subresource: &'static str,
        /// The patch.
        patch: Value,
    },
    /// Deletes an object, or marks it as going.
    Delete {
        /// Which.
        key: Key,
        /// With which preconditions, and what becomes of what belongs to it.
        options: DeleteOptions,
    },
    /// Gives a pod its node.
    Bind {
        /// Which.
        pod: Key,
        /// The uid that the plan saw.
        uid: String,
        /// The node's name.
        node: String,
    },
}

/// What is told of an intent's outcome, as Events about an object.
#[derive(Clone, Debug)]
pub struct Told {
    /// The object.
    pub about: Key,
    /// Reason and message when it was done; `{}` in the message stands for the name of what was created.
    pub done: Option<(&'static str, String)>,
    /// Reason and beginning of the message when it was refused; the refusal follows.
    pub refused: Option<(&'static str, &'static str)>,
}

impl Intent {
    /// One operation, guarded by nothing else.
    pub fn one(op: Op) -> Self {
        Self { ops: vec![op], guards: Vec::new(), told: None }
    }

    /// Creates an object.
    pub fn create(row: &Arc<Resource>, namespace: &str, object: Value) -> Self {
        Self::one(Op::Create { row: Arc::clone(row), namespace: namespace.to_owned(), object })
    }

    /// Changes what was seen of an object.
    pub fn patch(seen: &state::Object, subresource: &'static str, patch: Value) -> Self {
        Self::one(Op::Patch { key: seen.key.clone(), revision: seen.revision, subresource, patch })
    }

    /// Deletes exactly this object, whatever its version is by then.
    pub fn delete(seen: &state::Object) -> Self {
        Self::delete_with(seen, DeleteOptions { cascades: true, ..DeleteOptions::default() })
    }

    /// The same, with options; its uid is added.
    pub fn delete_with(seen: &state::Object, options: DeleteOptions) -> Self {
        let options = DeleteOptions { uid: Some(seen.meta.uid.clone()), ..options };
        Self::one(Op::Delete { key: seen.key.clone(), options })
    }

    /// Only while an object lives with the uid that was seen.
    #[must_use]
    pub fn while_live(mut self, seen: &state::Object) -> Self {
        self.guards.push(Guard::Live { key: seen.key.clone(), uid: seen.meta.uid.clone() });
        self
    }

    /// Only while the spec of an object is the one that was seen.
    #[must_use]
    pub fn at_generation(mut self, seen: &state::Object) -> Self {
        self.guards.push(Guard::AtGeneration { key: seen.key.clone(), generation: seen.meta.generation });
        self
    }

    /// What is told of its outcome.
    #[must_use]
    pub fn telling(mut self, told: Told) -> Self {
        self.told = Some(told);
        self
    }
}
