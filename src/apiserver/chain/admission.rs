//! What a write's object passes, filled in: mutate, prepare, validate, admit.
//!
//! Pure: an old object, a new one and a moment in, a refusal or the object to store out.

use api::kinds::namespace;
use api::parts::Part;
use api::status::Cause;
use api::{Object, Resource, Status, validate, write};
use serde_json::Value;
use state::State;

use crate::definitions;
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
    /// On whose behalf.
    pub user: &'a User,
    /// The cluster as the attempt sees it.
    pub state: &'a State,
}

/// A step that may change the object. Defaults are filled in again after each.
pub type MutatingStep = fn(&Attempt<'_>, &mut Object) -> Result<(), Status>;

/// A step that may only refuse. A delete has no new object.
pub type ValidatingStep = fn(&Attempt<'_>, Option<&Object>) -> Result<(), Status>;

/// Steps that change objects, in this order.
pub static MUTATING_STEPS: &[(&str, MutatingStep)] = &[];

/// Steps that refuse, in this order: the last word before the log. Quota comes last.
pub static VALIDATING_STEPS: &[(&str, ValidatingStep)] = &[("NamespaceLifecycle", namespace_lifecycle)];

/// Takes a new object through all stages of a create.
///
/// # Errors
/// The first refusal.
pub(crate) fn create(attempt: &Attempt<'_>, object: &mut Object) -> Result<Companions, Status> {
    mutate(attempt, object, MUTATING_STEPS)?;
    let mut companions = services::reserve(attempt, object, None)?;
    write::create(object, attempt.resource);
    services::complete(attempt.resource, object);
    name_requester(attempt, object);
    companions.guards.extend(definitions::settle(attempt, object)?);
    refuse_if(attempt, &validate::create(object, attempt.resource))?;
    admit(attempt, Some(object))?;
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
    }
}

/// Takes a changed object through all stages of an update.
///
/// # Errors
/// The first refusal.
pub(crate) fn update(attempt: &Attempt<'_>, new: &mut Object, old: &Object) -> Result<Companions, Status> {
    mutate(attempt, new, MUTATING_STEPS)?;
    let mut companions = services::reserve(attempt, new, Some(old))?;
    write::update(new, old, attempt.resource);
    companions.guards.extend(definitions::settle(attempt, new)?);
    refuse_if(attempt, &validate::update(new, old, attempt.resource))?;
    admit(attempt, Some(new))?;
    Ok(companions)
}

/// Takes an object of which a part changed through all stages: whatever else the client changed stays as it was.
///
/// # Errors
/// The first refusal.
pub fn update_part(attempt: &Attempt<'_>, part: &Part, new: &mut Object, old: &Object) -> Result<(), Status> {
    mutate(attempt, new, MUTATING_STEPS)?;
    write::update_part(new, old, attempt.resource, part);
    refuse_if(attempt, &validate::update_part(new, old, attempt.resource, part))?;
    admit(attempt, Some(new))
}

/// Asks whether an object may be deleted.
///
/// # Errors
/// The first refusal.
pub fn delete(attempt: &Attempt<'_>) -> Result<(), Status> {
    services::refuse_delete(attempt)?;
    admit(attempt, None)
}

/// Takes an object that is filled in through the steps.
fn mutate(attempt: &Attempt<'_>, object: &mut Object, steps: &[(&str, MutatingStep)]) -> Result<(), Status> {
    for (_, step) in steps {
        step(attempt, object)?;
        object.default(attempt.resource);
    }
    Ok(())
}

fn refuse_if(attempt: &Attempt<'_>, errors: &[api::FieldError]) -> Result<(), Status> {
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(attempt.resource.group_kind(), attempt.name, errors))
    }
}

fn admit(attempt: &Attempt<'_>, object: Option<&Object>) -> Result<(), Status> {
    VALIDATING_STEPS.iter().try_for_each(|(_, step)| step(attempt, object))
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
    use serde_json::json;

    use super::*;

    /// Takes away what defaulting filled in, and adds what only defaulting understands.
    fn meddle(_: &Attempt<'_>, secret: &mut Object) -> Result<(), Status> {
        assert_eq!(secret.fields.shift_remove("type"), Some("Opaque".into()), "defaulted before");
        secret.fields.insert("stringData".into(), json!({"key": "text"}));
        Ok(())
    }

    fn refuse(attempt: &Attempt<'_>, secret: &mut Object) -> Result<(), Status> {
        assert!(!secret.fields.contains_key("stringData"), "defaulted in between");
        Err(Status::forbidden(attempt.resource.group_resource(), attempt.name, "no"))
    }

    #[test]
    fn mutating_steps_run_in_order_and_what_they_leave_out_is_filled_in() {
        let (user, state) = (User { name: "somebody".to_owned(), groups: Vec::new() }, State::default());
        let attempt = Attempt {
            operation: Operation::Create,
            resource: &Resource::builtin("", "v1", "secrets"),
            namespace: "default",
            name: "x",
            user: &user,
            state: &state,
        };
        let filled = || {
            let row = Resource::builtin("", "v1", "secrets");
            let mut object = Object::from_tree(json!({}), &row).expect("conforms").0;
            object.default(&row);
            object
        };
        let mut object = filled();
        mutate(&attempt, &mut object, &[("Meddle", meddle)]).expect("allowed");
        let expected = json!({"type": "Opaque", "data": {"key": "dGV4dA=="}});
        assert_eq!(json!(object.fields), expected);

        let mut object = filled();
        let refused = mutate(&attempt, &mut object, &[("Meddle", meddle), ("Refuse", refuse)]);
        assert_eq!(refused.expect_err("refused").code, 403);
    }

    #[test]
    fn the_steps_that_run() {
        assert!(MUTATING_STEPS.is_empty());
        assert_eq!(
            VALIDATING_STEPS.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["NamespaceLifecycle"]
        );
    }
}
