//! The types of the API: which fields they have, in what order, in which form, and how they merge.
//!
//! The types of Kubernetes come as data (`schema/types.json`, made by `schema/generate`). A
//! CustomResourceDefinition compiles into the same [`Type`], so every walker below serves both.

mod builtin;

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

pub use builtin::{builtin, find, types};

/// What a value looks like in JSON, and by that in protobuf.
#[derive(Clone, Debug)]
pub enum Shape {
    /// Any JSON, kept as it is.
    Any,
    /// True or false.
    Bool,
    /// Bytes, in base64.
    Bytes,
    /// A span of time in Go's words: `1h30m0s`.
    Duration,
    /// A set of fields, as server-side apply keeps it: JSON in a message of its own.
    Fields,
    /// A number.
    Float,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// A whole number of 32 bits, or text.
    IntOrString,
    /// A list of one shape.
    List(Box<Item>),
    /// Text keys to one shape.
    Map(Box<Item>),
    /// RFC 3339 with six decimals.
    MicroTime,
    /// Any JSON of whose objects no members are known: conforming prunes them, so objects in it are empty.
    Opaque,
    /// An amount: `500m`, `2Gi`.
    Quantity,
    /// Any object, in protobuf as JSON bytes.
    Raw,
    /// A schema, or something simpler in its place.
    SchemaOr(Arc<Type>, Instead),
    /// An object of known fields.
    Struct(Arc<Type>),
    /// Text.
    Text,
    /// RFC 3339 to the second.
    Time,
}

/// What stands in a list or map.
#[derive(Clone, Debug)]
pub struct Item {
    /// What each is.
    pub shape: Shape,
    /// How server-side apply merges it.
    pub merge: Merge,
}

impl Item {
    /// An item of which nothing more is said: a list is one value, and a struct as its type says.
    pub fn of(shape: Shape) -> Self {
        let merge = match &shape {
            Shape::Raw | Shape::List(_) => Merge::Atomic,
            Shape::Struct(of) if of.is_atomic() => Merge::Atomic,
            _ => Merge::ByMember,
        };
        Self { shape, merge }
    }
}

/// Most only ask what it is.
impl Deref for Item {
    type Target = Shape;

    fn deref(&self) -> &Shape {
        &self.shape
    }
}

/// What may stand where a JSON schema may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// True: anything; false: nothing.
    Bool,
    /// A list of schemas, one for each item.
    List,
    /// A list of names.
    Names,
}

/// When a field appears in canonical JSON. Null never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// Always, with its zero value if need be.
    Always,
    /// Unless it is empty or zero.
    NonEmpty,
    /// If it was given, empty or not.
    Given,
}

/// How two lists or maps become one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Merge {
    /// As one value: the later replaces the earlier.
    #[default]
    Atomic,
    /// Item by item, where the item's fields of these names are its key.
    ByKeys(Box<[String]>),
    /// Member by member.
    ByMember,
    /// As a set of scalars.
    Set,
}

/// What a strategic merge patch does with a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// Items merge by the item's field of this name; empty: as scalars.
    pub merge_by: Option<String>,
    /// An object of the patch replaces the one that is there.
    pub replace: bool,
    /// Members that the patch does not name go.
    pub retain_keys: bool,
}

/// One field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name in JSON.
    pub name: String,
    /// Its number in protobuf; 0: it is not sent.
    pub number: u32,
    /// Numbers of the messages that it stands in, outermost first: types that Go embeds.
    pub inside: Box<[u32]>,
    /// What it holds.
    pub shape: Shape,
    /// What Go calls its type, where the shape does not tell; empty elsewhere.
    pub go: String,
    /// When it appears.
    pub presence: Presence,
    /// Whether Kubernetes shows null where there is nothing. We never do; but a list that is null is there.
    pub null: bool,
    /// Whether the documentation calls it required.
    pub required: bool,
    /// What it is when it is not given.
    pub default: Option<Value>,
    /// The words that the documentation knows for it, or for its items; none: any.
    pub words: Box<[&'static str]>,
    /// How server-side apply merges it.
    pub merge: Merge,
    /// How a strategic merge patch merges it.
    pub patch: PatchStrategy,
}

/// What objects of a definition do and those of Kubernetes' own types do not. Values of a wrong type stay until they
/// are validated, and so does null.
#[derive(Clone, Debug, Default)]
pub struct Custom {
    /// What becomes of members that are no field.
    pub rest: Rest,
    /// Whether it is an object of Kubernetes of its own, with kind, apiVersion and metadata.
    pub is_embedded: bool,
}

/// What becomes of members that are no field.
#[derive(Clone, Debug, Default)]
pub enum Rest {
    /// They go.
    #[default]
    Dropped,
    /// They stay as they are.
    Kept,
    /// They are all of one shape.
    Shaped(Item),
}

/// A named object of fields.
#[derive(Debug)]
pub struct Type {
    /// Its name in OpenAPI: `io.k8s.api.core.v1.Pod`.
    pub model: String,
    /// Set for what a definition describes.
    pub custom: Option<Custom>,
    /// Whether server-side apply takes it as one value, where the field that holds it does not say otherwise.
    is_atomic: bool,
    /// Set once all types exist: types may hold each other.
    fields: OnceLock<Fields>,
}

#[derive(Debug)]
struct Fields {
    /// In Go's order, without kind and apiVersion of objects.
    rows: Box<[Field]>,
    /// How long names are, and their places in `rows`, the shortest first: few names are looked at to find one.
    by_length: Box<[(usize, u16)]>,
    /// Places in `rows` of what Go shows even where nothing is given.
    standing: Box<[u16]>,
    /// Of those, what is there as zero, in the order of `rows`.
    always: Box<[u16]>,
}

impl Type {
    /// A type whose fields are still to come.
    fn named(model: &str) -> Self {
        Self { model: model.to_owned(), custom: None, is_atomic: false, fields: OnceLock::new() }
    }

    /// The same as one value.
    #[must_use]
    pub fn atomic(self) -> Self {
        Self { is_atomic: true, ..self }
    }

    /// A type of these fields, in the order in which they are written.
    pub fn new(model: &str, rows: Vec<Field>) -> Self {
        let of = Self::named(model);
        of.fill(rows);
        of
    }

    /// The same for what a definition describes.
    pub fn custom(model: &str, rows: Vec<Field>, custom: Custom) -> Self {
        let of = Self { custom: Some(custom), ..Self::named(model) };
        of.fill(rows);
        of
    }

    fn fill(&self, rows: Vec<Field>) {
        let mut by_name: Vec<u16> = (0..).take(rows.len()).collect();
        by_name.sort_by(|a, b| rows[usize::from(*a)].name.cmp(&rows[usize::from(*b)].name));
        let is_standing =
            |at: &u16| rows[usize::from(*at)].null || rows[usize::from(*at)].presence == Presence::Always;
        let standing = by_name.iter().copied().filter(is_standing).collect();
        let is_always = |at: &u16| rows[usize::from(*at)].presence == Presence::Always;
        let always = (0..).take(rows.len()).filter(is_always).collect();
        let mut by_length: Vec<_> = (0..).zip(&rows).map(|(at, row)| (row.name.len(), at)).collect();
        by_length.sort_unstable();
        let fields = Fields { rows: rows.into(), by_length: by_length.into(), standing, always };
        assert!(self.fields.set(fields).is_ok(), "{} gets its fields once", self.model);
    }

    /// Its fields, in the order in which they are written.
    pub fn fields(&self) -> &[Field] {
        self.fields.get().map_or(&[], |fields| &fields.rows)
    }

    /// Those of its fields that Kubernetes shows even where nothing is given, as zero or null.
    pub fn standing(&self) -> impl Iterator<Item = &Field> {
        let fields = self.fields.get();
        fields.into_iter().flat_map(|fields| fields.standing.iter().map(|at| &fields.rows[usize::from(*at)]))
    }

    /// Places of those of its fields that are written as zero where nothing is given.
    pub fn always(&self) -> impl ExactSizeIterator<Item = usize> {
        self.fields.get().map_or(&[][..], |fields| &fields.always).iter().map(|at| usize::from(*at))
    }

    /// Whether server-side apply takes it as one value, where the field that holds it does not say otherwise.
    pub fn is_atomic(&self) -> bool {
        self.is_atomic
    }

    /// The field of this name in JSON.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.place(name).map(|at| &self.fields()[at])
    }

    /// Where that field stands among its fields.
    pub fn place(&self, name: &str) -> Option<usize> {
        let fields = self.fields.get()?;
        let from = fields.by_length.partition_point(|(length, _)| *length < name.len());
        let as_long = fields.by_length[from..].iter().take_while(|(length, _)| *length == name.len());
        as_long.map(|(_, at)| usize::from(*at)).find(|at| fields.rows[*at].name == name)
    }

    /// Its name in Go: `Pod`.
    pub fn name(&self) -> &str {
        self.model.rsplit('.').next().unwrap_or_default()
    }

    /// Its name in Go with its package: `v1.Pod`.
    pub fn qualified(&self) -> &str {
        let package = self.model.rsplit_once('.').and_then(|(before, _)| before.rfind('.'));
        package.map_or(&self.model, |dot| &self.model[dot + 1..])
    }
}
