//! What every cluster has from its first moment: the system's namespaces and PriorityClasses, and ranges for Services.

use std::sync::Arc;

use api::kinds::namespace::{self, SYSTEM_NAMESPACES};
use api::kinds::priority_class::SYSTEM_CLASSES;
use api::{Key, Object, ObjectMeta, Resource, time, write};
use base::env;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use state::{Guard, State, Txn, Write};

use crate::services::{Cidr, NodePorts, default_cidr, first_range, node_port_record};
use crate::tokens::bootstrap::{SECRET_PREFIX, SECRET_TYPE};
use crate::verbs::create::uid;
use crate::verbs::write::{put, transaction};

/// On whose behalf they are made.
pub(crate) const ACTOR: &str = "system:apiserver";

/// What a new cluster is told once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Where addresses of Services come from: one range, or one of each family.
    pub service_cidrs: Vec<Cidr>,
    /// Where their node ports come from.
    pub node_ports: NodePorts,
}

impl Settings {
    /// The same with the default range where none is given.
    ///
    /// # Errors
    /// When there are several ranges of a family.
    pub fn checked(mut self) -> Result<Self, SettingsError> {
        if self.service_cidrs.is_empty() {
            self.service_cidrs.push(default_cidr());
        }
        let families: Vec<_> = self.service_cidrs.iter().map(|cidr| cidr.family()).collect();
        if families.len() > 2 || families.len() == 2 && families[0] == families[1] {
            return Err(SettingsError::Families);
        }
        Ok(self)
    }
}

/// Settings that no cluster can have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// More than one range of a family.
    #[error(
        "Services get addresses from one range, or from one of IPv4 and one of IPv6; more are ServiceCIDRs"
    )]
    Families,
}

impl Default for Settings {
    fn default() -> Self {
        Self { service_cidrs: vec![default_cidr()], node_ports: NodePorts::default() }
    }
}

/// One transaction for each thing that is missing: to be proposed by the first master, and harmless when somebody was
/// faster.
pub fn missing(state: &State, settings: &Settings) -> Vec<Txn> {
    let is_missing = |key: &Key| state.get(key.as_str()).is_none();
    let objects = first_objects().into_iter().filter(|(row, name, _)| is_missing(&row.key("", name)));
    let mut txns: Vec<_> = objects.map(|(row, name, fields)| create(&row, name, fields)).collect();
    let (key, write) = node_port_record(settings.node_ports);
    // The record tells that there was a first time: a range that was deleted later does not come back.
    if is_missing(&key) {
        let (range, written) = first_range(&settings.service_cidrs);
        let guards = vec![Guard::Absent { key }, Guard::Absent { key: range }];
        txns.push(transaction(ACTOR, guards, vec![write, written]));
    }
    txns
}

/// The objects that are there again whenever a master starts: the namespaces first.
fn first_objects() -> Vec<(Arc<Resource>, &'static str, Value)> {
    let namespaces =
        SYSTEM_NAMESPACES.iter().map(|name| (Arc::clone(&namespace::RESOURCE), *name, json!({})));
    let classes = Resource::builtin("scheduling.k8s.io", "v1", "priorityclasses");
    let class = |(name, value, description): &(&'static str, i64, &str)| {
        (Arc::clone(&classes), *name, json!({"value": value, "description": description}))
    };
    namespaces.chain(SYSTEM_CLASSES.iter().map(class)).collect()
}

fn create(row: &Resource, name: &str, fields: Value) -> Txn {
    let (key, write) = created(row, "", name, fields);
    transaction(ACTOR, vec![Guard::Absent { key }], vec![write])
}

/// The write that makes an object, and its key.
pub(crate) fn created(row: &Resource, namespace: &str, name: &str, fields: Value) -> (Key, Write) {
    let meta = ObjectMeta { name: name.to_owned(), namespace: namespace.to_owned(), ..ObjectMeta::default() };
    made(row, meta, fields)
}

/// The same with more of its metadata.
pub(crate) fn made(row: &Resource, meta: ObjectMeta, fields: Value) -> (Key, Write) {
    let key = row.key(&meta.namespace, &meta.name);
    let meta = ObjectMeta {
        uid: uid(env::random_u128()),
        creation_timestamp: time::rfc3339(env::wall_ms()),
        ..meta
    };
    let fields = if let Value::Object(fields) = fields { fields } else { Map::new() };
    let mut object = Object { meta, fields };
    object.default(row);
    write::create(&mut object, row);
    let write = put(key.clone(), &object.prepare(row));
    (key, write)
}

/// A token for agents that join: the Secret that makes it one, in `kube-system`, until `ends_ms`.
pub fn agent_token(id: &str, secret: &str, ends_ms: u64) -> Txn {
    let row = Resource::builtin("", "v1", "secrets");
    let fields = json!({
        "type": SECRET_TYPE,
        "stringData": {
            "description": "Lets agents join.",
            "expiration": time::rfc3339(ends_ms),
            "token-id": id,
            "token-secret": secret,
            "usage-bootstrap-authentication": "true",
        },
    });
    let (key, write) = created(&row, "kube-system", &format!("{SECRET_PREFIX}{id}"), fields);
    transaction(ACTOR, vec![Guard::Absent { key }], vec![write])
}
