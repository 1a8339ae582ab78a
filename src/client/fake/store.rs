//! Objects by their paths, with a history.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::selector::Selector;

/// What a request names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    /// `/api/v1/pods`: the collection in all namespaces.
    pub(super) collection: String,
    /// Empty for all, and without.
    pub(super) namespace: String,
    /// Empty for a collection.
    pub(super) name: String,
    pub(super) subresource: String,
}

impl Path {
    pub(super) fn of(text: &str) -> Option<Self> {
        let mut parts: Vec<&str> = text.strip_prefix('/')?.split('/').collect();
        let group = match *parts.first()? {
            "api" => parts.drain(..2.min(parts.len())).collect::<Vec<_>>().join("/"),
            "apis" => parts.drain(..3.min(parts.len())).collect::<Vec<_>>().join("/"),
            _ => return None,
        };
        let namespace = match parts.as_slice() {
            ["namespaces", namespace, _, ..] => (*namespace).to_owned(),
            _ => String::new(),
        };
        if !namespace.is_empty() {
            parts.drain(..2);
        }
        let mut parts = parts.into_iter().map(str::to_owned);
        let collection = format!("/{group}/{}", parts.next()?);
        let (name, subresource) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        Some(Self { collection, namespace, name, subresource })
    }

    pub(super) fn holds(&self, key: &Key) -> bool {
        key.0 == self.collection && (self.namespace.is_empty() || key.1 == self.namespace)
    }

    fn key(&self) -> Key {
        (self.collection.clone(), self.namespace.clone(), self.name.clone())
    }
}

/// Collection, namespace, name.
pub(super) type Key = (String, String, String);

/// A refusal: its code and its message.
pub(super) struct Failure(pub(super) u16, pub(super) String);

/// One change.
#[derive(Clone)]
pub(super) struct Change {
    pub(super) revision: u64,
    pub(super) key: Key,
    pub(super) before: Option<Arc<Value>>,
    /// `None` when it was deleted.
    pub(super) after: Option<Arc<Value>>,
}

/// Everything there is.
#[derive(Default)]
pub(super) struct Store {
    objects: BTreeMap<Key, Arc<Value>>,
    revision: u64,
    floor: u64,
    history: Vec<Change>,
    /// What the lists that were cut into pages looked at.
    moments: BTreeMap<u64, Vec<Arc<Value>>>,
}

impl Store {
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// The first change after a revision.
    pub(super) fn after(&self, revision: u64) -> Option<&Change> {
        self.history.get(self.history.partition_point(|change| change.revision <= revision))
    }

    /// The revision that lies `count` changes before another, as far as history reaches.
    pub(super) fn before(&self, revision: u64, count: usize) -> u64 {
        let at = self.history.partition_point(|change| change.revision <= revision);
        match at.checked_sub(count + 1) {
            Some(index) => self.history[index].revision,
            None => self.floor.min(revision),
        }
    }

    pub(super) fn compact(&mut self) {
        self.floor = self.revision;
        self.history.clear();
        self.moments.clear();
    }

    pub(super) fn get(&self, path: &Path) -> Option<&Value> {
        self.objects.get(&path.key()).map(Arc::as_ref)
    }

    pub(super) fn objects(&self, path: &Path) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(|(key, _)| path.holds(key)).map(|(_, object)| object.as_ref())
    }

    pub(super) fn put(&mut self, path: &Path, mut object: Value) -> u64 {
        self.revision += 1;
        let key = path.key();
        let before = self.objects.get(&key).cloned();
        let uid = before
            .as_ref()
            .map_or_else(|| format!("uid-{}", self.revision), |old| text(&old["metadata"]["uid"]));
        let metadata = &mut object["metadata"];
        metadata["name"] = key.2.clone().into();
        if !key.1.is_empty() {
            metadata["namespace"] = key.1.clone().into();
        }
        metadata["uid"] = uid.into();
        metadata["resourceVersion"] = self.revision.to_string().into();
        let after = Arc::new(object);
        self.objects.insert(key.clone(), Arc::clone(&after));
        self.history.push(Change { revision: self.revision, key, before, after: Some(after) });
        self.revision
    }

    pub(super) fn remove(&mut self, path: &Path) {
        let key = path.key();
        if let Some(before) = self.objects.remove(&key) {
            self.revision += 1;
            self.history.push(Change { revision: self.revision, key, before: Some(before), after: None });
        }
    }

    pub(super) fn serve(
        &mut self,
        method: &Method,
        path: &Path,
        query: &BTreeMap<String, String>,
        body: &[u8],
    ) -> Result<(u16, Value), Failure> {
        let body: Value = if body.is_empty() { json!({}) } else { decode(body)? };
        match *method {
            Method::GET if path.name.is_empty() => self.list(path, query),
            Method::GET => Ok((200, self.found(path)?)),
            Method::POST => self.create(path, body),
            Method::PATCH => self.patch(path, body),
            Method::DELETE => self.delete(path, &body),
            _ => Err(Failure(405, "the server does not allow this method on the requested resource".into())),
        }
    }

    fn found(&self, path: &Path) -> Result<Value, Failure> {
        let missing = || Failure(404, format!("{} {:?} not found", path.collection, path.name));
        self.get(path).cloned().ok_or_else(missing)
    }

    fn list(&mut self, path: &Path, query: &BTreeMap<String, String>) -> Result<(u16, Value), Failure> {
        let limit = query.get("limit").and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
        let (revision, from) = match query.get("continue").and_then(|token| token.split_once('/')) {
            Some((revision, from)) => (revision.parse().unwrap_or(0), from.parse().unwrap_or(0)),
            None => {
                let selector = Selector::of(query);
                let held =
                    self.objects.iter().filter(|(key, object)| path.holds(key) && selector.matches(object));
                let held = held.map(|(_, object)| Arc::clone(object)).collect();
                self.moments.insert(self.revision, held);
                (self.revision, 0)
            }
        };
        let expired = || Failure(410, "the provided continue parameter is too old".to_owned());
        let all = self.moments.get(&revision).ok_or_else(expired)?;
        let page: Vec<&Value> = all.iter().skip(from).take(limit).map(Arc::as_ref).collect();
        let rest = from + page.len();
        let next = if rest < all.len() { format!("{revision}/{rest}") } else { String::new() };
        let metadata = json!({"resourceVersion": revision.to_string(), "continue": next});
        Ok((200, json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": page})))
    }

    fn create(&mut self, path: &Path, object: Value) -> Result<(u16, Value), Failure> {
        let given = text(&object["metadata"]["name"]);
        let name = match given.is_empty() {
            true => format!("{}{}", text(&object["metadata"]["generateName"]), self.revision + 1),
            false => given,
        };
        let path = Path { name, ..path.clone() };
        if self.get(&path).is_some() {
            return Err(Failure(409, format!("{} {:?} already exists", path.collection, path.name)));
        }
        self.put(&path, object);
        Ok((201, self.found(&path)?))
    }

    fn patch(&mut self, path: &Path, patch: Value) -> Result<(u16, Value), Failure> {
        let mut object = self.found(path)?;
        same_uid(&object, &patch["metadata"]["uid"])?;
        merge(&mut object, &patch);
        self.put(path, object);
        Ok((200, self.found(path)?))
    }

    fn delete(&mut self, path: &Path, options: &Value) -> Result<(u16, Value), Failure> {
        let mut object = self.found(path)?;
        same_uid(&object, &options["preconditions"]["uid"])?;
        let has_node = object["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
        let grace = options["gracePeriodSeconds"].as_u64().unwrap_or(30);
        if !has_node || grace == 0 {
            self.remove(path);
        } else if object["metadata"]["deletionTimestamp"].is_null() {
            object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:30Z".into();
            object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
            self.put(path, object.clone());
        }
        Ok((200, object))
    }
}

fn decode(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure(400, error.to_string()))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A precondition: empty or missing, it holds.
fn same_uid(object: &Value, wanted: &Value) -> Result<(), Failure> {
    match wanted.as_str() {
        Some(uid) if object["metadata"]["uid"] != uid => {
            Err(Failure(409, format!("Precondition failed: UID in precondition: {uid}")))
        }
        _ => Ok(()),
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().and_then(|target| target.remove(name));
        } else {
            merge(&mut target[name], value);
        }
    }
}
