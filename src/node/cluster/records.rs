//! The internal objects of State that the masters keep for themselves.

use api::Key;
use base::ids::NodeId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use state::{Meta, Object, State, Write};

use crate::address::HostPort;

/// The family of member records, by name.
pub const MEMBERS: &str = "members";
/// The family of token records, by id.
pub const TOKENS: &str = "tokens";

/// The id of the master that makes a cluster. Later ids are revisions of records written after its own,
/// so they are larger.
pub const FIRST_NODE: NodeId = 1;

/// A master that was given an id, whether it ever came or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Its id, if it was not allocated by this record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<NodeId>,
    /// The attempt that it was given to.
    pub attempt: String,
    /// `HOST:PORT` of its API.
    pub api: HostPort,
    /// `HOST:PORT` of its peer transport.
    pub peer: HostPort,
}

/// A record as State holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownMember {
    /// Its name.
    pub name: String,
    /// Its id in Raft.
    pub node: NodeId,
    /// The revision of the record.
    pub revision: u64,
    /// The rest.
    pub record: MemberRecord,
}

/// The key of a record, and the write that stores it.
pub fn put(family: &str, name: &str, record: &impl Serialize) -> (Key, Write) {
    let key = Key::internal(family, name);
    let body = serde_json::to_vec(record).expect("records have only text keys and cannot fail to serialize");
    let write = Write::Put { key: key.clone(), body: body.into(), splice: None, meta: Meta::default() };
    (key, write)
}

/// The record under a key; `None` also when it is of a form that this version does not know.
pub fn get<T: DeserializeOwned>(state: &State, family: &str, name: &str) -> Option<T> {
    let object = state.get(Key::internal(family, name).as_str())?;
    serde_json::from_slice(&object.bytes).ok()
}

/// The members that have a record, by name.
pub fn members(state: &State) -> Vec<KnownMember> {
    let prefix = format!("{}{MEMBERS}/", api::key::INTERNAL);
    state.range(&prefix).filter_map(|object| known_member(object)).collect()
}

/// One of them.
pub fn member(state: &State, name: &str) -> Option<KnownMember> {
    known_member(state.get(Key::internal(MEMBERS, name).as_str())?)
}

fn known_member(object: &Object) -> Option<KnownMember> {
    let record: MemberRecord = serde_json::from_slice(&object.bytes).ok()?;
    Some(KnownMember {
        name: object.key.name().to_owned(),
        node: record.node.unwrap_or(object.revision),
        revision: object.revision,
        record,
    })
}
