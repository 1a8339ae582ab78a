//! What every cluster has from its first moment: the system namespaces.

use api::kinds::namespace::{self, SYSTEM_NAMESPACES};
use api::{Object, ObjectMeta, time};
use base::env;
use serde_json::Map;
use state::{Guard, State, Txn};

use crate::verbs::create::uid;
use crate::verbs::write::{put, transaction};

/// On whose behalf they are made.
const ACTOR: &str = "system:apiserver";

/// One transaction for each system namespace that is missing: to be proposed by the first master, and
/// harmless when somebody was faster.
pub fn missing(state: &State) -> Vec<Txn> {
    let row = &namespace::RESOURCE;
    let names = SYSTEM_NAMESPACES.iter().filter(|name| state.get(row.key("", name).as_str()).is_none());
    names.map(|name| create(name)).collect()
}

fn create(name: &str) -> Txn {
    let row = &namespace::RESOURCE;
    let meta = ObjectMeta {
        name: name.to_owned(),
        uid: uid(env::random_u128()),
        creation_timestamp: time::rfc3339(env::wall_ms()),
        ..ObjectMeta::default()
    };
    let mut object = Object { meta, fields: Map::new() };
    (row.strategy.default)(&mut object);
    (row.strategy.prepare_create)(&mut object);
    let key = row.key("", name);
    let write = put(key.clone(), &object.prepare(row));
    transaction(ACTOR, vec![Guard::Absent { key }], vec![write])
}
