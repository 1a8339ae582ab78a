//! POST to a collection.

use std::sync::Arc;

use api::kinds::namespace;
use api::{Object, Status, time};
use axum::response::Response;
use base::env;
use replica::Moment;
use state::Guard;

use super::given::Given;
use super::managed::{self, Options};
use super::write::{self, Answer, Decision, Plan};
use super::{Call, update};
use crate::chain::admission::{self, Attempt, Operation};
use crate::definitions;
use crate::errors::Failure;
use crate::limits::{GENERATED_CHARS, GENERATED_NAME_BYTES_MAX, GENERATED_NAMES_MAX};
use crate::server::{Context, with_warnings};
use crate::services::Companions;

/// What generated names are made of: no vowels, so that no words come out, and nothing that looks alike.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Creates the object.
pub(super) async fn handle(context: Arc<Context>, call: Call) -> Result<Response, Failure> {
    call.form()?;
    call.format()?;
    managed::check(&call, Options::Create)?;
    let (mut given, mut warnings) = Given::read(&call, place)?;
    warnings.extend(given.object.iter().flat_map(|object| definitions::warnings(&call.row, object)));
    let decide = |moment: &Moment| decide(&call, given.take()?, moment, Owners::Unknown);
    let response = write::run(&*context.backend, &call, decide).await?;
    Ok(with_warnings(response, &warnings))
}

/// Puts the object where the path says, and resets what only the server sets.
pub(super) fn place(object: &mut Object, call: &Call) -> Result<(), Status> {
    update::within(object, call)?;
    let meta = &mut object.meta;
    meta.deletion_timestamp = None;
    meta.deletion_grace_period_seconds = None;
    Ok(())
}

/// Whether the owners of an object's fields are known before it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owners {
    /// It was applied: they are.
    Known,
    /// Whoever creates it owns them.
    Unknown,
}

/// Decides what is created of the object.
pub(super) fn decide(
    call: &Call,
    mut object: Object,
    moment: &Moment,
    owners: Owners,
) -> Result<Decision, Status> {
    let is_versioned = !matches!(&*object.meta.resource_version, "" | "0");
    let is_generated = object.meta.name.is_empty() && !object.meta.generate_name.is_empty();
    let (row, within) = (call.row.stored(), call.path.namespace.as_str());
    if is_generated {
        let is_taken = |name: &String| moment.state.get(row.key(within, name).as_str()).is_some();
        let names = (0..GENERATED_NAMES_MAX).map(|_| generate(&object.meta.generate_name));
        let free = names.reduce(|last, next| if is_taken(&last) { next } else { last });
        object.meta.name = free.unwrap_or_default();
    }
    object.meta.uid = uid(env::random_u128());
    object.meta.creation_timestamp = time::rfc3339(env::wall_ms());
    let name = object.meta.name.clone();
    call.lens.default(&mut object);
    if owners == Owners::Unknown {
        managed::track(call, None, &mut object);
    }
    let mut object =
        call.lens.store(object, None).map_err(|errors| Status::invalid(row.group_kind(), &name, &errors))?;
    let attempt = Attempt {
        operation: Operation::Create,
        resource: row,
        namespace: within,
        name: &name,
        subresource: "",
        old: None,
        user: &call.user,
        state: &moment.state,
        settings: &call.settings,
    };
    let Companions { mut guards, mut writes } = admission::create(&attempt, &mut object)?;
    if owners == Owners::Unknown && is_versioned {
        return Err(Status::unexplained("resourceVersion should not be set on objects to be created"));
    }
    let key = row.key(within, &name);
    if moment.state.get(key.as_str()).is_some() {
        return Err(if is_generated {
            Status::generate_name_conflict(call.row.group_resource(), &name)
        } else {
            Status::already_exists(call.row.group_resource(), &name)
        });
    }
    guards.push(Guard::Absent { key: key.clone() });
    if row.namespaced {
        guards.push(Guard::Live { key: namespace::RESOURCE.key("", within), uid: String::new() });
    }
    let prepared = write::prepare(call, &mut object, row);
    writes.push(write::put_wanted(key, &prepared)?);
    Ok(Decision::Propose(Plan { guards, writes, answer: Answer::Written(201, prepared, 0) }))
}

/// A name that begins with `prefix`, cut so that every kind takes its length.
pub(crate) fn generate(prefix: &str) -> String {
    let mut end = prefix.len().min(GENERATED_NAME_BYTES_MAX - GENERATED_CHARS);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let letter = |_| ALPHABET[(env::random_u64() % ALPHABET.len() as u64) as usize] as char;
    prefix[..end].chars().chain((0..GENERATED_CHARS).map(letter)).collect()
}

/// A random UUID (version 4) of these bits.
pub(crate) fn uid(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_of_version_4() {
        assert_eq!(uid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn generated_names_fit() {
        let name = generate("web-");
        assert!(name.starts_with("web-") && name.len() == 9, "{name}");
        assert_eq!(generate(&"a".repeat(300)).len(), 63);
    }
}
