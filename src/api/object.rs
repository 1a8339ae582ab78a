//! One object as a tree, and as the canonical bytes that are stored.

use serde_json::{Map, Value, json};

use crate::apply::Entry;
use crate::conform::{TypeError, conform};
use crate::decode::{self, DecodeError};
use crate::defaults;
use crate::encode::{self, Members};
use crate::meta::ObjectMeta;
use crate::resource::Resource;
use crate::view::View;

/// An object, decoded: `metadata`, and the other fields of its type by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// `metadata`.
    pub meta: ObjectMeta,
    /// Everything but kind, apiVersion and metadata; conforms to the type.
    pub fields: Map<String, Value>,
}

/// An object ready to be stored: its bytes, and what the state machine decides on, made together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Canonical JSON without `metadata.resourceVersion`.
    pub body: Vec<u8>,
    /// Offset in `body` where `"resourceVersion":"N",` belongs.
    pub splice: u32,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Whether `metadata.finalizers` is not empty.
    pub finalizers: bool,
}

/// Stored bytes that are no object: they were damaged, or written by something else.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not JSON.
    #[error("reading a stored object")]
    Decode(#[from] DecodeError),
    /// Not of its type.
    #[error("reading a stored object's fields")]
    Type(#[from] TypeError),
}

impl Object {
    /// From a decoded tree. Also returns the paths of the fields that the type does not know.
    ///
    /// # Errors
    /// The first value of a wrong type.
    pub fn from_tree(tree: Value, resource: &Resource) -> Result<(Self, Vec<String>), TypeError> {
        let (fields, unknown) = conform(tree, &resource.schema)?;
        Ok((Self::from_fields(fields), unknown))
    }

    fn from_fields(mut fields: Map<String, Value>) -> Self {
        let meta = match fields.shift_remove("metadata") {
            Some(Value::Object(map)) => ObjectMeta::from_map(map),
            _ => ObjectMeta::default(),
        };
        Self { meta, fields }
    }

    /// From the tree of a stored object, which was brought into the form of its type before it was written. Definitions
    /// may describe another type since then.
    fn stored(tree: Value, resource: &Resource) -> Result<Self, TypeError> {
        let mut fields = match tree {
            Value::Object(fields) if resource.custom.is_none() => fields,
            tree => return Ok(Self::from_tree(tree, resource)?.0),
        };
        let conforming = cfg!(debug_assertions).then(|| Self::from_tree(fields.clone().into(), resource));
        fields.retain(|name, _| name != "kind" && name != "apiVersion");
        let object = Self::from_fields(fields);
        if let Some(conforming) = conforming {
            assert_eq!(conforming?.0, object, "what is stored is as it conforms");
        }
        Ok(object)
    }

    /// Fills in what was left out: what the types within say, then what the kind says.
    pub fn default(&mut self, resource: &Resource) {
        if let Some(custom) = &resource.custom {
            return custom.fill(&mut self.fields);
        }
        defaults::fill(&mut self.fields, &resource.schema);
        (resource.strategy().default)(self);
    }

    /// From the bytes of a stored object.
    ///
    /// # Errors
    /// When the bytes are no object, or one of a custom resource that is not of its type.
    pub fn read(bytes: &[u8], resource: &Resource) -> Result<Self, ReadError> {
        // Half of an object are sets of fields, which few that read it look into.
        let Some((rest, entries)) = without_entries(bytes) else {
            return Ok(Self::stored(decode::json(bytes)?.value, resource)?);
        };
        let mut object = Self::stored(decode::json(&rest)?.value, resource)?;
        object.meta.managed_fields = entries;
        Ok(object)
    }

    /// As a tree of its text, but for the owners of its fields.
    pub fn tree(&self, resource: &Resource) -> Value {
        let head = [
            ("kind".to_owned(), resource.kind.clone().into()),
            ("apiVersion".to_owned(), resource.api_version().into()),
            ("metadata".to_owned(), self.meta.members().into()),
        ];
        let fields = self.fields.iter().map(|(name, value)| (name.clone(), value.clone()));
        head.into_iter().chain(fields).collect::<Map<_, _>>().into()
    }

    /// Builds the stored form. The object needs a creationTimestamp: what follows the place of the
    /// resourceVersion.
    pub fn prepare(&self, resource: &Resource) -> Prepared {
        debug_assert!(!self.meta.creation_timestamp.is_empty(), "an object to store has a creationTimestamp");
        let (body, splice) = self.encode(resource);
        Prepared {
            body,
            splice: u32::try_from(splice).expect("bodies are bounded far below 4 GiB"),
            uid: self.meta.uid.clone(),
            generation: self.meta.generation,
            deleting: self.meta.is_deleting(),
            finalizers: !self.meta.finalizers.is_empty(),
        }
    }

    /// Its bytes with its resourceVersion, as they are shown.
    pub fn bytes(&self, resource: &Resource) -> Vec<u8> {
        let (mut body, splice) = self.encode(resource);
        if !self.meta.resource_version.is_empty() {
            let member = format!("\"resourceVersion\":\"{}\",", self.meta.resource_version);
            body.splice(splice..splice, member.bytes());
        }
        body
    }

    fn encode(&self, resource: &Resource) -> (Vec<u8>, usize) {
        let mut body = Vec::with_capacity(512);
        let mut members = Members::open(&mut body);
        members.text("kind", &resource.kind);
        members.text("apiVersion", &resource.api_version());
        let splice = self.meta.encode(members.name("metadata"));
        encode::fields(&mut members, &self.fields, &resource.schema, "metadata");
        members.close();
        (body, splice)
    }

    /// `spec`, if there is one.
    pub fn spec(&self) -> Option<&Map<String, Value>> {
        self.fields.get("spec").and_then(Value::as_object)
    }

    /// The same, to change it.
    pub fn spec_mut(&mut self) -> Option<&mut Map<String, Value>> {
        self.fields.get_mut("spec").and_then(Value::as_object_mut)
    }

    /// Text at a path of members, empty when there is none: `text(&["status", "phase"])`.
    pub fn text(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    fn at(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.fields.get(*first)?, |value, name| value.get(*name))
    }
}

/// Stored bytes without `metadata.managedFields`, and these; `None`: there are none, or not as they are stored.
fn without_entries(bytes: &[u8]) -> Option<(Vec<u8>, Vec<Entry>)> {
    let (head, list, tail) = around_entries(bytes)?;
    let entries = Entry::all_of(list).filter(|entries| !entries.is_empty())?;
    Some(([head, tail].concat(), entries))
}

/// Stored bytes before, in and behind `metadata.managedFields`; `None` as above.
fn around_entries(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    const MEMBER: &[u8] = br#","managedFields":"#;
    let list = View::new(bytes).at(&["metadata", "managedFields"]).bytes();
    if list.is_empty() {
        return None;
    }
    let from = list.as_ptr().addr().checked_sub(bytes.as_ptr().addr())?;
    let head = bytes.get(..from)?.strip_suffix(MEMBER)?;
    Some((head, list, &bytes[from + list.len()..]))
}

/// Whether the bytes of two objects as they are stored have owners of fields, and are the same but for these.
pub fn differ_in_owners_alone(one: &[u8], other: &[u8]) -> bool {
    let Some((head, list, tail)) = around_entries(one) else { return false };
    // Most differ elsewhere.
    let may_be = other.starts_with(head) && other.ends_with(tail);
    let is_it = |other: (&[u8], &[u8], &[u8])| (head, tail) == (other.0, other.2) && list != other.1;
    may_be && around_entries(other).is_some_and(is_it)
}

/// The object that is a member of another; an empty one is put where there is none.
pub fn member<'m>(of: &'m mut Map<String, Value>, name: &str) -> &'m mut Map<String, Value> {
    let value = of.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("an object by now")
}

impl Prepared {
    /// The bytes as they are served once written at `revision`.
    pub fn at_revision(&self, revision: u64) -> Vec<u8> {
        let member = format!("\"resourceVersion\":\"{revision}\",");
        let (head, tail) = self.body.split_at(self.splice as usize);
        [head, member.as_bytes(), tail].concat()
    }
}

/// The `metadata.resourceVersion` of stored bytes: what the state machine spliced in; 0 when there is none.
pub fn revision(stored: &[u8]) -> u64 {
    const MARKER: &[u8] = br#""resourceVersion":""#;
    let found = stored.windows(MARKER.len()).position(|window| window == MARKER);
    let digits = found.map_or(&[][..], |at| &stored[at + MARKER.len()..]);
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u64, byte| number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0')))
}
