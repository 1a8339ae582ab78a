//! The schema of a definition as a tree: what structures objects, and apart from it what values must be like.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::pattern::Pattern;

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of OpenAPI")]
pub enum Kind {
    Array,
    Boolean,
    Integer,
    Number,
    Object,
    String,
}

impl Kind {
    /// From the word of OpenAPI.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "array" => Some(Self::Array),
            "boolean" => Some(Self::Boolean),
            "integer" => Some(Self::Integer),
            "number" => Some(Self::Number),
            "object" => Some(Self::Object),
            "string" => Some(Self::String),
            _ => None,
        }
    }

    /// The word of OpenAPI.
    pub fn word(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Object => "object",
            Self::String => "string",
        }
    }
}

/// What members beyond the named ones are.
#[derive(Clone, Debug)]
pub enum Additional {
    /// Allowed or not, and nothing is known of them.
    Any(bool),
    /// All of one schema.
    Schema(Box<Structural>),
}

/// What the items of a list are to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// Parts of one value.
    #[default]
    Atomic,
    /// Told apart by these members.
    Map(Vec<String>),
    /// Each there once.
    Set,
}

/// One node: of the structure, or of what is checked below a junctor (`allOf`...).
#[derive(Clone, Debug, Default)]
pub struct Structural {
    /// What a value is; none: anything.
    pub kind: Option<Kind>,
    /// Whether null is a value too.
    pub is_nullable: bool,
    /// Whether members that are not named stay.
    pub keeps_unknown: bool,
    /// Whether it is an object of Kubernetes, with `metadata`.
    pub is_embedded: bool,
    /// Whether a whole number or text.
    pub is_int_or_string: bool,
    /// Of the items of a list.
    pub items: Option<Box<Structural>>,
    /// Of the members that are named.
    pub properties: BTreeMap<String, Structural>,
    /// Of the others.
    pub additional: Option<Additional>,
    /// What it is when it is not given; never null.
    pub default: Option<Value>,
    /// What the items of a list are to each other.
    pub list_type: ListType,
    /// Whether an object changes as one value.
    pub is_atomic: bool,
    /// What a value must be like besides.
    pub rules: Option<Box<Rules>>,
}

/// Which formats count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Formats {
    All,
    Known,
}

/// What a value must be like.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names are those of OpenAPI")]
pub struct Rules {
    /// Of the formats that are checked; others are forgotten.
    pub format: String,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    pub max_length: Option<i64>,
    pub min_length: Option<i64>,
    pub pattern: Option<Pattern>,
    pub max_items: Option<i64>,
    pub min_items: Option<i64>,
    pub unique_items: bool,
    pub multiple_of: Option<f64>,
    pub enumeration: Vec<Value>,
    pub max_properties: Option<i64>,
    pub min_properties: Option<i64>,
    pub required: Vec<String>,
    pub all_of: Vec<Structural>,
    pub any_of: Vec<Structural>,
    pub one_of: Vec<Structural>,
    pub not: Option<Structural>,
}

impl Structural {
    /// From `JSONSchemaProps` that passed validation; what does not belong there is forgotten.
    pub fn read(props: &Map<String, Value>) -> Self {
        Self::read_as(props, Formats::Known)
    }

    /// The same as defaults are checked: with every format, and `x-kubernetes-int-or-string` is not looked at.
    pub fn read_whole(props: &Map<String, Value>) -> Self {
        Self::read_as(props, Formats::All)
    }

    fn read_as(props: &Map<String, Value>, formats: Formats) -> Self {
        let flag = |name: &str| props.get(name).and_then(Value::as_bool).unwrap_or_default();
        let text = |name: &str| props.get(name).and_then(Value::as_str).unwrap_or_default();
        let list_type = match text("x-kubernetes-list-type") {
            "map" => ListType::Map(texts(props, "x-kubernetes-list-map-keys")),
            "set" => ListType::Set,
            _ => ListType::Atomic,
        };
        let kind = Kind::parse(text("type"));
        let is_int_or_string = flag("x-kubernetes-int-or-string") && formats == Formats::Known;
        Self {
            kind,
            is_nullable: flag("nullable"),
            keeps_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            is_embedded: flag("x-kubernetes-embedded-resource"),
            is_int_or_string,
            items: props
                .get("items")
                .and_then(Value::as_object)
                .map(|items| Self::read_as(items, formats).into()),
            properties: schemas(props.get("properties"), formats),
            additional: props.get("additionalProperties").and_then(|given| match given {
                Value::Object(schema) => Some(Additional::Schema(Self::read_as(schema, formats).into())),
                given => given.as_bool().map(Additional::Any),
            }),
            default: props.get("default").filter(|value| !value.is_null()).cloned(),
            list_type,
            is_atomic: text("x-kubernetes-map-type") == "atomic",
            rules: Rules::read(props, kind.filter(|_| !is_int_or_string), is_int_or_string, formats)
                .map(Box::new),
        }
    }

    /// The schema of a member; none: nothing is known of it.
    pub fn member(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(match &self.additional {
            Some(Additional::Schema(schema)) => Some(schema),
            _ => None,
        })
    }

    /// Those whose values hold each other, itself first.
    pub fn walk(&self, visit: &mut impl FnMut(&Self)) {
        visit(self);
        let additional = match &self.additional {
            Some(Additional::Schema(schema)) => Some(schema),
            _ => None,
        };
        for below in self.items.iter().chain(additional) {
            below.walk(visit);
        }
        self.properties.values().for_each(|below| below.walk(visit));
    }
}

impl Rules {
    /// `None` when there are none. `kind` is what a value is when it is one thing only.
    fn read(
        props: &Map<String, Value>,
        kind: Option<Kind>,
        is_int_or_string: bool,
        formats: Formats,
    ) -> Option<Self> {
        let flag = |name: &str| props.get(name).and_then(Value::as_bool).unwrap_or_default();
        let float = |name: &str| props.get(name).and_then(Value::as_f64);
        let whole = |name: &str| props.get(name).and_then(Value::as_i64);
        let text = |name: &str| props.get(name).and_then(Value::as_str).unwrap_or_default();
        let format = text("format");
        let is_known = formats == Formats::All || super::formats::is_known(format, kind, is_int_or_string);
        let rules = Self {
            format: if is_known { format.to_owned() } else { String::new() },
            maximum: float("maximum"),
            exclusive_maximum: flag("exclusiveMaximum"),
            minimum: float("minimum"),
            exclusive_minimum: flag("exclusiveMinimum"),
            max_length: whole("maxLength"),
            min_length: whole("minLength"),
            pattern: Some(text("pattern")).filter(|text| !text.is_empty()).map(Pattern::new),
            max_items: whole("maxItems"),
            min_items: whole("minItems"),
            unique_items: flag("uniqueItems"),
            multiple_of: float("multipleOf"),
            enumeration: props.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
            max_properties: whole("maxProperties"),
            min_properties: whole("minProperties"),
            required: texts(props, "required"),
            all_of: junctor(props, "allOf", formats),
            any_of: junctor(props, "anyOf", formats),
            one_of: junctor(props, "oneOf", formats),
            not: props.get("not").and_then(Value::as_object).map(|not| Structural::read_as(not, formats)),
        };
        (!rules.is_empty()).then_some(rules)
    }

    fn is_empty(&self) -> bool {
        let bounds = [self.maximum, self.minimum, self.multiple_of];
        let counts = [
            self.max_length,
            self.min_length,
            self.max_items,
            self.min_items,
            self.max_properties,
            self.min_properties,
        ];
        let nested = [&self.all_of, &self.any_of, &self.one_of];
        self.format.is_empty()
            && self.pattern.is_none()
            && !self.unique_items
            && self.enumeration.is_empty()
            && self.required.is_empty()
            && self.not.is_none()
            && bounds.iter().all(Option::is_none)
            && counts.iter().all(Option::is_none)
            && nested.iter().all(|list| list.is_empty())
    }
}

fn junctor(props: &Map<String, Value>, name: &str, formats: Formats) -> Vec<Structural> {
    let items = props.get(name).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_object).map(|item| Structural::read_as(item, formats)).collect()
}

fn schemas(given: Option<&Value>, formats: Formats) -> BTreeMap<String, Structural> {
    let members = given.and_then(Value::as_object).into_iter().flatten();
    members
        .filter_map(|(name, schema)| Some((name.clone(), Structural::read_as(schema.as_object()?, formats))))
        .collect()
}

/// A list of text.
fn texts(props: &Map<String, Value>, name: &str) -> Vec<String> {
    let items = props.get(name).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
