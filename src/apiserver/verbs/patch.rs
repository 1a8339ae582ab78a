//! PATCH of one object: a change said in one of several ways, applied to whichever version there is.

use std::sync::Arc;

use api::codec::FieldValidation;
use api::patch::{Patch, PatchError, PatchKind};
use api::{FieldError, GroupResource, Object, Resource, Status, foreign};
use axum::response::Response;
use replica::Moment;
use serde_json::Value;

use super::managed::{self, Options};
use super::update::Before;
use super::{Call, apply, update, write};
use crate::errors::Failure;
use crate::server::{Context, with_warnings};

/// The kinds of patches by their media types.
static KINDS: &[(&str, PatchKind)] = &[
    ("application/json-patch+json", PatchKind::Json),
    ("application/merge-patch+json", PatchKind::Merge),
    ("application/strategic-merge-patch+json", PatchKind::Strategic),
];

/// Applies the patch.
pub(super) async fn handle(context: Arc<Context>, call: Call) -> Result<Response, Failure> {
    let media = call.content_type.split(';').next().unwrap_or_default().trim();
    if media == apply::MEDIA_TYPE {
        return apply::handle(context, call).await;
    }
    // Strategies are of types that Kubernetes brings.
    let is_known =
        |(_, kind): &&(&str, PatchKind)| call.row.custom.is_none() || *kind != PatchKind::Strategic;
    let Some((_, kind)) = KINDS.iter().filter(is_known).find(|(known, _)| *known == media) else {
        let known = KINDS.iter().filter(is_known).map(|(known, _)| *known);
        let kinds: Vec<_> = known.chain([apply::MEDIA_TYPE]).collect();
        return Err(Status::unsupported_media_type(&kinds).into());
    };
    managed::check(&call, Options::Patch)?;
    let validation = call.field_validation();
    let patch = Patch::read(*kind, &call.body);
    let mut warnings = Vec::new();
    let decide = |moment: &Moment| {
        update::decide(&call, moment, |before| {
            let attempt = Attempt { call: &call, patch: patch.as_ref().map_err(refusal)?, before };
            let (object, odd) = attempt.patched(validation)?;
            warnings = odd;
            Ok(object)
        })
    };
    let response = write::run(&*context.backend, &call, decide).await?;
    Ok(with_warnings(response, &warnings))
}

/// A patch, and what it is applied to.
pub(super) struct Attempt<'a> {
    pub(super) call: &'a Call,
    pub(super) patch: &'a Patch,
    pub(super) before: &'a Before<'a>,
}

impl Attempt<'_> {
    /// The patched object, and what is odd about the patch.
    pub(super) fn patched(&self, validation: FieldValidation) -> Result<(Object, Vec<String>), Status> {
        let row = &*self.call.lens.shown;
        // Without owners: whoever sends none leaves them as they are.
        let before = match self.patch.touches_owners() {
            true => self.before.whole_tree()?,
            false => self.before.object.tree(row),
        };
        let tree = self.applied(before)?;
        if let Some(why) = foreign::mistake(&tree, row) {
            return Err(self.unusable(&why));
        }
        let (mut object, unknown) = Object::from_tree(tree, row).map_err(|error| self.mistyped(&error))?;
        let odd = match validation {
            FieldValidation::Ignore => Vec::new(),
            FieldValidation::Strict | FieldValidation::Warn => self.patch.oddities(unknown),
        };
        if validation == FieldValidation::Strict && !odd.is_empty() {
            return Err(self.unusable(&format!("strict decoding error: {}", odd.join(", "))));
        }
        update::place(&mut object, self.call)?;
        self.call.lens.default(&mut object);
        managed::track(self.call, Some(self.before.object), &mut object);
        Ok((object, odd))
    }

    fn applied(&self, mut tree: Value) -> Result<Value, Status> {
        self.patch.apply(&mut tree, &self.call.lens.shown.schema).map_err(|error| refusal(&error))?;
        Ok(tree)
    }

    /// What the patch makes of all that is stored.
    fn made(&self) -> Result<Value, Status> {
        self.applied(self.before.whole_tree()?)
    }

    /// Something that the patch made is of a wrong type.
    fn mistyped(&self, why: &dyn std::fmt::Display) -> Status {
        let row: &Resource = &self.call.lens.shown;
        let in_words = self.made().ok().and_then(|made| self.patch.mistyped(&made, &row.schema));
        self.unusable(&in_words.unwrap_or_else(|| why.to_string()))
    }

    /// What the patch made is no object of its kind.
    fn unusable(&self, why: &str) -> Status {
        match self.made() {
            Ok(made) => {
                let error = FieldError::invalid("patch", self.patch.shown(made), why);
                Status::invalid(GroupResource { group: "", resource: "" }, "", &[error])
            }
            Err(refusal) => refusal,
        }
    }
}

pub(super) fn refusal(error: &PatchError) -> Status {
    match error {
        PatchError::Malformed(why) => Status::bad_request(why.clone()),
        PatchError::Mismatch(_) => Status::rejected(),
        PatchError::TooLarge(why) => Status::too_large(why),
        PatchError::Failed(why) => Status::unexplained(why.clone()),
    }
}
