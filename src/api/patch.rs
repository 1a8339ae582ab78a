//! The ways to say a change instead of the whole object.

mod json;
mod merge;
mod restore;
mod strategic;
mod touched;

use serde_json::{Map, Value};

pub use json::json;
pub use merge::merge;

use crate::schema::Type;
use crate::{conform, decode};

/// Why a patch cannot be applied. What each becomes in an answer is Kubernetes' choice, not always a wise one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// It is no patch of its kind.
    #[error("{0}")]
    Malformed(String),
    /// It asks for more than one patch may.
    #[error("{0}")]
    TooLarge(String),
    /// It is one, and does not fit the object; clients are not told why.
    #[error("{0}")]
    Mismatch(String),
    /// It is one, and cannot be followed; clients are told as if the fault were the server's.
    #[error("{0}")]
    Failed(String),
}

/// The kinds of patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own: a merge patch whose lists merge as their types say.
    Strategic,
}

/// A patch that was read.
#[derive(Clone, Debug)]
pub struct Patch {
    change: Change,
    odd: Vec<String>,
}

#[derive(Clone, Debug)]
enum Change {
    Json(Vec<Value>),
    Merge(Map<String, Value>),
    Strategic(Map<String, Value>),
}

/// Where the owners of fields are.
const OWNERS: &str = "/metadata/managedFields";

impl Patch {
    /// Whether it looks at the owners of fields, or may change them.
    pub fn touches_owners(&self) -> bool {
        match &self.change {
            Change::Json(operations) => {
                let place = |operation: &Value, name| {
                    let place = operation.get(name).and_then(Value::as_str)?;
                    // What comes before the first slash is not looked at.
                    let place = place.find('/').map_or("", |at| &place[at..]);
                    Some(OWNERS.starts_with(place) || place.starts_with(OWNERS))
                };
                let is_there =
                    |operation| [place(operation, "path"), place(operation, "from")].contains(&Some(true));
                operations.iter().any(is_there)
            }
            Change::Merge(change) | Change::Strategic(change) => {
                change.get("metadata").is_some_and(|metadata| metadata.get("managedFields").is_some())
            }
        }
    }

    /// Reads the body of a request.
    ///
    /// # Errors
    /// Says why it is no patch of this kind.
    pub fn read(kind: PatchKind, body: &[u8]) -> Result<Self, PatchError> {
        let malformed = |why: &str| PatchError::Malformed(why.to_owned());
        let decoded = decode::json(body).map_err(|_| malformed("invalid JSON patch"))?;
        let mut odd: Vec<_> =
            decoded.duplicates.iter().map(|path| format!("duplicate field {path:?}")).collect();
        let undecodable = |why| PatchError::Malformed(format!("error decoding patch: {why}"));
        let change = match kind {
            PatchKind::Json => {
                let operations = json::operations(decoded.value)?;
                odd.extend(json::unknown(&operations));
                odd.iter_mut().for_each(|one| one.insert_str(0, "json patch "));
                Change::Json(operations)
            }
            PatchKind::Merge => Change::Merge(map(decoded.value).map_err(undecodable)?),
            PatchKind::Strategic => Change::Strategic(map(decoded.value).map_err(PatchError::Malformed)?),
        };
        Ok(Self { change, odd })
    }

    /// Changes the tree of an object of this type.
    ///
    /// # Errors
    /// Says what about the patch does not fit; then `tree` is half changed.
    pub fn apply(&self, tree: &mut Value, of: &Type) -> Result<(), PatchError> {
        match (&self.change, tree) {
            (Change::Json(operations), tree) => json::apply(tree, operations),
            (Change::Merge(changes), tree) => {
                merge::members(tree, changes);
                Ok(())
            }
            (Change::Strategic(changes), Value::Object(map)) => strategic(map, changes.clone(), of),
            (Change::Strategic(_), _) => Err(PatchError::Malformed("invalid JSON document".to_owned())),
        }
    }

    /// What is odd about its text, and about what came of it: fields that the type does not know.
    pub fn oddities(&self, mut unknown: Vec<String>) -> Vec<String> {
        if matches!(self.change, Change::Strategic(_)) {
            unknown.sort();
        }
        let unknown = unknown.into_iter().map(|path| format!("unknown field {path:?}"));
        self.odd.iter().cloned().chain(unknown).collect()
    }

    /// How a refusal of what the patch made of an object shows it.
    pub fn shown(&self, mut made: Value) -> String {
        match &self.change {
            Change::Json(operations) => touched::by_operations(&mut made, operations),
            Change::Merge(changes) => touched::by_members(&mut made, changes),
            Change::Strategic(changes) => return strategic::go_members(changes),
        }
        made.to_string()
    }

    /// Why what the patch made is of a wrong type, where Kubernetes finds that in another way than it reads bodies.
    pub fn mistyped(&self, made: &Value, of: &Type) -> Option<String> {
        matches!(self.change, Change::Strategic(_)).then(|| restore::mistake(made, of)).flatten()
    }
}

/// What merges is an object; null says nothing.
fn map(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        other => Err(conform::bare_mismatch(&other, "map[string]interface {}").to_string()),
    }
}

/// Applies a strategic merge patch (Kubernetes' own): objects merge member by member, lists as `of` says.
///
/// # Errors
/// Says what about the patch does not fit; then `target` is half changed.
pub fn strategic(
    target: &mut Map<String, Value>,
    patch: Map<String, Value>,
    of: &Type,
) -> Result<(), PatchError> {
    strategic::object(target, patch, Some(of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_at_the_owners_of_fields() {
        let json = |path: &str| format!(r#"[{{"op":"test","path":"{path}","value":"m"}}]"#);
        let copy = r#"[{"op":"copy","from":"/metadata","path":"/data/a"}]"#;
        let cases = [
            (PatchKind::Json, json(""), true),
            (PatchKind::Json, json("/metadata"), true),
            (PatchKind::Json, json("/metadata/managedFields/0/manager"), true),
            (PatchKind::Json, json("x/metadata/managedFields"), true),
            (PatchKind::Json, copy.to_owned(), true),
            (PatchKind::Json, json("/metadata/labels/a"), false),
            (PatchKind::Json, json("/spec"), false),
            (PatchKind::Merge, r#"{"metadata":{"managedFields":[{}]}}"#.to_owned(), true),
            (PatchKind::Strategic, r#"{"metadata":{"managedFields":null}}"#.to_owned(), true),
            (PatchKind::Merge, r#"{"metadata":null}"#.to_owned(), false),
            (PatchKind::Strategic, r#"{"metadata":{"labels":{"a":"b"}}}"#.to_owned(), false),
        ];
        for (kind, body, expect) in cases {
            let patch = Patch::read(kind, body.as_bytes()).expect("a patch");
            assert_eq!(patch.touches_owners(), expect, "{body}");
        }
    }
}
