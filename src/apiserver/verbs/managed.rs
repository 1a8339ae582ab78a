//! Who owns the fields of what is written.

use api::apply::{self, By, Entry};
use api::codec::{self, FieldValidation};
use api::{FieldError, GroupResource, Object, Status, time};
use base::env;
use serde_json::Value;

use super::Call;
use crate::limits::MANAGER_BYTES_MAX;

/// What the options of each verb are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Options {
    Apply,
    Create,
    Patch,
    Update,
}

/// Checks the options of a write: who manages what it writes, whether it writes at all, and what is said of the fields
/// that nobody knows.
///
/// # Errors
/// 422 with all that is wrong.
pub(crate) fn check(call: &Call, options: Options) -> Result<(), Status> {
    let manager = call.query.get("fieldManager");
    let mut errors = Vec::new();
    if options == Options::Apply && manager.is_empty() {
        errors.push(FieldError::required("fieldManager", "is required for apply patch"));
    }
    if options == Options::Patch && call.query.has("force") {
        errors.push(FieldError::forbidden("force", "may not be specified for non-apply patch"));
    }
    if manager.len() > MANAGER_BYTES_MAX {
        errors.push(FieldError::too_long("fieldManager", MANAGER_BYTES_MAX));
    }
    for (at, letter) in manager.char_indices().filter(|(_, letter)| !is_printable(*letter)) {
        let why = format!("invalid character U+{:04X} (at position {at})", u32::from(letter));
        errors.push(FieldError::invalid("fieldManager", manager, &why));
    }
    errors.extend(codec::dry_run_error(&call.query.values("dryRun")));
    errors.extend(FieldValidation::parse(call.query.get("fieldValidation")).err());
    if errors.is_empty() {
        return Ok(());
    }
    let resource = match options {
        Options::Create => "CreateOptions",
        Options::Update => "UpdateOptions",
        Options::Apply | Options::Patch => "PatchOptions",
    };
    Err(Status::invalid(GroupResource { group: "meta.k8s.io", resource }, "", &errors))
}

/// Whether Go would print it: neither control nor format, and of all spaces only the plain one.
fn is_printable(letter: char) -> bool {
    let is_space = letter.is_whitespace() && letter != ' ';
    let is_format = matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}');
    !letter.is_control() && !is_space && !is_format
}

/// The manager that a request names, or the first word of what its client calls itself.
fn manager(call: &Call) -> String {
    match call.query.get("fieldManager") {
        "" => {
            let word = call.user_agent.split('/').next().unwrap_or_default();
            let mut name = String::new();
            for letter in word.chars().filter(|letter| is_printable(*letter)) {
                if name.len() + letter.len_utf8() > MANAGER_BYTES_MAX {
                    break;
                }
                name.push(letter);
            }
            name
        }
        named => named.to_owned(),
    }
}

/// Gives what differs between two objects, both as they are shown and filled in, to the manager of the request: what
/// was left out is nobody's to take away.
pub(super) fn track(call: &Call, old: Option<&Object>, new: &mut Object) {
    let (manager, now) = (manager(call), time::rfc3339(env::wall_ms()));
    let by = By { manager: &manager, subresource: &call.path.subresource, now: &now };
    apply::update(&call.lens.shown, old, new, &by);
}

/// The object that comes of applying `wanted` to what is shown of the old one, but for the owners of its fields.
///
/// # Errors
/// 409 for conflicts, and what else is wrong with what is wanted.
pub(super) fn applied(
    call: &Call,
    live: &Value,
    known: &[Entry],
    wanted: &Value,
) -> Result<(Value, Vec<Entry>), Status> {
    let (manager, now) = (manager(call), time::rfc3339(env::wall_ms()));
    let by = By { manager: &manager, subresource: &call.path.subresource, now: &now };
    let force = call.query.is_true("force");
    let made = apply::apply(&call.lens.shown, live, known, wanted, &by, force)?;
    Ok((made.object, made.managed_fields))
}

/// What a scale shows of the owners of its object.
pub(super) fn of_scale(call: &Call, old: &Object) -> Vec<Entry> {
    with_mappings(call, |mappings| apply::of_parent(&old.meta.managed_fields, mappings)).unwrap_or_default()
}

/// The owners of an object after those of its scale became `scale`.
pub(super) fn of_scaled(call: &Call, old: &Object, scale: &[Entry]) -> Vec<Entry> {
    let known = &old.meta.managed_fields;
    let version = call.row.api_version();
    let owners = with_mappings(call, |mappings| apply::to_parent(known, scale, &version, mappings));
    owners.unwrap_or_else(|_| known.clone())
}

fn with_mappings<R>(call: &Call, run: impl FnOnce(apply::Mappings<'_>) -> R) -> R {
    let paths = call.row.scale.as_ref();
    let path: Vec<_> = paths.into_iter().flat_map(|paths| &paths.spec).map(String::as_str).collect();
    run(&[(&call.row.api_version(), &path)])
}

/// Puts back when managers last wrote, if nothing else about them differs from before. Returns whether that was so.
pub(super) fn keep_times(old: &Object, new: &mut Object) -> bool {
    let (known, now) = (&old.meta.managed_fields, &mut new.meta.managed_fields);
    let is_same = known.len() == now.len() && known.iter().zip(now.iter()).all(|(a, b)| a.is_as_of(b));
    if is_same {
        for (entry, known) in now.iter_mut().zip(known) {
            entry.time.clone_from(&known.time);
        }
    }
    is_same
}
