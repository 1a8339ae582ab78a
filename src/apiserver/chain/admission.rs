//! What a write's object passes, filled in: mutate, prepare, validate, admit.
//!
//! Pure but for the clock: an old object, a new one and a moment in, a refusal or the object to store out.

pub(crate) mod node_restriction;
mod priority;
mod runtime_class;
mod service_account;
pub mod settings;
mod taints;

use api::kinds::namespace;
use api::parts::Part;
use api::status::Cause;
use api::{Object, Resource, Status, time, validate, write};
use base::env;
use serde_json::{Value, json};
use state::State;

pub use settings::Settings;

use crate::definitions;
use crate::protection;
use crate::services::{self, Companions};
use crate::user::User;

/// What is being done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Operation {
    Create,
    Update,
    Delete,
}

/// What the steps of a write see.
pub struct Attempt<'a> {
    /// What is being done.
    pub operation: Operation,
    /// The object's resource.
    pub resource: &'a Resource,
    /// Its namespace, or empty.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What below it is written; empty for the object itself.
    pub subresource: &'a str,
    /// The object before an update.
    pub old: Option<&'a Object>,
    /// On whose behalf.
    pub user: &'a User,
    /// The cluster as the attempt sees it.
    pub state: &'a State,
    /// What this master was told.
    pub settings: &'a Settings,
}

impl Attempt<'_> {
    /// Whether it is about a whole object of this kind.
    fn is_whole(&self, group: &str, kind: &str) -> bool {
        self.subresource.is_empty() && self.resource.is_one_of(&[(group, kind)])
    }

    /// An object that lives in no namespace.
    fn read(&self, row: &Resource, name: &str) -> Option<Object> {
        let found = self.state.get(row.key("", name).as_str())?;
        Object::read(&found.bytes.to_bytes(), row).ok()
    }

    fn forbidden(&self, why: &str) -> Status {
        Status::forbidden(self.resource.group_resource(), self.name, why)
    }
}

/// A step that may change an object that is filled in, and leaves it so.
pub type MutatingStep = fn(&Attempt<'_>, &mut Object) -> Result<(), Status>;

/// A step that may only refuse. A delete has no new object.
pub type ValidatingStep = fn(&Attempt<'_>, Option<&Object>) -> Result<(), Status>;

/// Steps that change objects, in this order.
pub static MUTATING_STEPS: &[(&str, MutatingStep)] = &[
    ("TaintNodesByCondition", taints::taint),
    ("Priority", priority::fill),
    ("DefaultTolerationSeconds", taints::tolerate),
    ("ServiceAccount", service_account::fill),
    ("StorageObjectInUseProtection", protection::keep),
    ("RuntimeClass", runtime_class::fill),
];

/// Steps that refuse before an object is looked at, in this order.
pub static FIRST_STEPS: &[(&str, ValidatingStep)] = &[
    ("NamespaceLifecycle", namespace_lifecycle),
    ("NodeRestriction", node_restriction::check),
    ("CertificateSubjectRestriction", node_restriction::check_request),
];

/// Steps that refuse, in this order: the last word before the log. Quota comes last.
pub static VALIDATING_STEPS: &[(&str, ValidatingStep)] =
    &[("Priority", priority::check), ("RuntimeClass", runtime_class::check)];

/// Takes a new object through all stages of a create.
///
/// # Errors
/// The first refusal.
pub(crate) fn create(attempt: &Attempt<'_>, object: &mut Object) -> Result<Companions, Status> {
    ask(FIRST_STEPS, attempt, Some(object))?;
    mutate(attempt, object, MUTATING_STEPS)?;
    let mut companions = services::reserve(attempt, object, None)?;
    write::create(object, attempt.resource);
    if attempt.resource.strategy().fills_again {
        object.default(attempt.resource);
    }
    services::complete(attempt.resource, object);
    name_requester(attempt, object);
    refuse_if(attempt, &validate::create(object, attempt.resource))?;
    companions.guards.extend(definitions::settle(attempt, object)?);
    ask(VALIDATING_STEPS, attempt, Some(object))?;
    Ok(companions)
}

/// A request for a certificate says who made it: whoever makes it.
fn name_requester(attempt: &Attempt<'_>, object: &mut Object) {
    if (&*attempt.resource.group, &*attempt.resource.kind)
        != ("certificates.k8s.io", "CertificateSigningRequest")
    {
        return;
    }
    if let Some(spec) = object.fields.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("username".to_owned(), attempt.user.name.as_str().into());
        spec.insert("groups".to_owned(), attempt.user.groups.clone().into());
        if !attempt.user.uid.is_empty() {
            spec.insert("uid".to_owned(), attempt.user.uid.as_str().into());
        }
        if !attempt.user.extra.is_empty() {
            spec.insert("extra".to_owned(), json!(attempt.user.extra));
        }
    }
}

/// Takes a changed object through all stages of an update.
///
/// # Errors
/// The first refusal.
pub(crate) fn update(attempt: &Attempt<'_>, new: &mut Object, old: &Object) -> Result<Companions, Status> {
    ask(FIRST_STEPS, attempt, Some(new))?;
    mutate(attempt, new, MUTATING_STEPS)?;
    let mut companions = services::reserve(attempt, new, Some(old))?;
    write::update(new, old, attempt.resource);
    refuse_if(attempt, &validate::update(new, old, attempt.resource))?;
    companions.guards.extend(definitions::settle(attempt, new)?);
    ask(VALIDATING_STEPS, attempt, Some(new))?;
    Ok(companions)
}

/// Takes an object of which a part changed through all stages: whatever else the client changed stays as it was.
///
/// # Errors
/// The first refusal.
pub fn update_part(attempt: &Attempt<'_>, part: &Part, new: &mut Object, old: &Object) -> Result<(), Status> {
    ask(FIRST_STEPS, attempt, Some(new))?;
    mutate(attempt, new, MUTATING_STEPS)?;
    write::update_part(new, old, attempt.resource, part);
    (attempt.resource.strategy().stamp)(new, old, &time::rfc3339(env::wall_ms()));
    refuse_if(attempt, &validate::update_part(new, old, attempt.resource, part))?;
    ask(VALIDATING_STEPS, attempt, Some(new))
}

/// Asks whether an object may be deleted.
///
/// # Errors
/// The first refusal.
pub fn delete(attempt: &Attempt<'_>) -> Result<(), Status> {
    ask(FIRST_STEPS, attempt, None)?;
    services::refuse_delete(attempt)?;
    ask(VALIDATING_STEPS, attempt, None)
}

fn mutate(attempt: &Attempt<'_>, object: &mut Object, steps: &[(&str, MutatingStep)]) -> Result<(), Status> {
    let mut taken = steps.iter().filter(|(name, _)| attempt.settings.has(name));
    taken.try_for_each(|(_, step)| step(attempt, object))
}

fn refuse_if(attempt: &Attempt<'_>, errors: &[api::FieldError]) -> Result<(), Status> {
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(attempt.resource.group_kind(), attempt.name, errors))
    }
}

fn ask(
    steps: &[(&str, ValidatingStep)],
    attempt: &Attempt<'_>,
    object: Option<&Object>,
) -> Result<(), Status> {
    let mut taken = steps.iter().filter(|(name, _)| attempt.settings.has(name));
    taken.try_for_each(|(_, step)| step(attempt, object))
}

/// Nothing is created where there is no namespace, or in one that is going; and some never go.
fn namespace_lifecycle(attempt: &Attempt<'_>, _: Option<&Object>) -> Result<(), Status> {
    let Attempt { operation, resource, namespace: within, name, state, .. } = attempt;
    let namespaces = namespace::RESOURCE.group_resource();
    if *operation == Operation::Delete
        && resource.plural == namespaces.resource
        && namespace::UNDELETABLE.contains(name)
    {
        return Err(Status::forbidden(namespaces, name, "this namespace may not be deleted"));
    }
    if *operation != Operation::Create || !resource.namespaced {
        return Ok(());
    }
    match state.get(namespace::RESOURCE.key("", within).as_str()) {
        None => Err(Status::not_found(namespaces, within)),
        Some(found) if found.meta.deleting => {
            let why =
                format!("unable to create new content in namespace {within} because it is being terminated");
            let message = format!("namespace {within} is being terminated");
            let cause = Cause { reason: "NamespaceTerminating", message, field: "metadata.namespace".into() };
            Err(Status::forbidden(resource.group_resource(), name, &why).with_cause(cause))
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meddle(_: &Attempt<'_>, secret: &mut Object) -> Result<(), Status> {
        secret.fields.insert("type".into(), "Meddled".into());
        Ok(())
    }

    fn refuse(attempt: &Attempt<'_>, secret: &mut Object) -> Result<(), Status> {
        Err(attempt.forbidden(secret.text(&["type"])))
    }

    #[test]
    fn mutating_steps_run_in_order_until_one_refuses() {
        let (user, state) = (User::anonymous(), State::default());
        let row = Resource::builtin("", "v1", "secrets");
        let attempt = Attempt {
            operation: Operation::Create,
            resource: &row,
            namespace: "default",
            name: "x",
            subresource: "",
            old: None,
            user: &user,
            state: &state,
            settings: &Settings::default(),
        };
        let mut object = Object::from_tree(json!({}), &row).expect("conforms").0;
        mutate(&attempt, &mut object, &[("Meddle", meddle)]).expect("allowed");
        assert_eq!(json!(object.fields), json!({"type": "Meddled"}));
        let refused =
            mutate(&attempt, &mut object, &[("Meddle", meddle), ("Refuse", refuse), ("Refuse", refuse)]);
        let refused = refused.expect_err("refused");
        assert_eq!(
            (refused.code, refused.message.ends_with("is forbidden: Meddled")),
            (403, true),
            "{refused:?}"
        );
    }

    #[test]
    fn the_steps_that_run() {
        fn names<S>(steps: &[(&'static str, S)]) -> Vec<&'static str> {
            steps.iter().map(|(name, _)| *name).collect()
        }
        let mutating = [
            "TaintNodesByCondition",
            "Priority",
            "DefaultTolerationSeconds",
            "ServiceAccount",
            "StorageObjectInUseProtection",
            "RuntimeClass",
        ];
        assert_eq!(names(MUTATING_STEPS), mutating);
        let first = ["NamespaceLifecycle", "NodeRestriction", "CertificateSubjectRestriction"];
        assert_eq!(names(FIRST_STEPS), first);
        assert_eq!(names(VALIDATING_STEPS), ["Priority", "RuntimeClass"]);
    }
}
