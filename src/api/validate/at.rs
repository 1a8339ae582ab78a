//! Places in an object that is validated: what stands there, and how an error names it.

use std::cell::RefCell;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::field_error::FieldError;
use crate::meta::ObjectMeta;
use crate::object::Object;
use crate::quantity::Quantity;

/// How many steps to places a validation makes room for at once: a pod of usual size needs no more.
const STEPS_EXPECTED: usize = 512;

/// What was found to be wrong, and the ways to the places that were looked at.
///
/// A way is two numbers and a name for each step; its text is made when an error needs it.
#[derive(Debug)]
struct Errors {
    steps: RefCell<Vec<Step>>,
    /// The keys of maps on these ways, one after the other.
    keys: RefCell<String>,
    found: RefCell<Vec<FieldError>>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    /// The number of the step before, if there is one.
    before: Option<u32>,
    name: Name,
}

#[derive(Clone, Copy, Debug)]
enum Name {
    Index(usize),
    /// Where it stands among the keys.
    Key(usize, usize),
    Member(&'static str),
}

/// A whole object under validation.
#[derive(Clone, Copy, Debug)]
pub struct Root<'a> {
    /// The object.
    pub object: &'a Object,
    errors: &'a Errors,
}

/// A place in an object: its value, if there is one, and the way to it. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    value: Option<&'a Value>,
    step: u32,
    errors: &'a Errors,
}

/// What `validate` finds wrong with an object.
pub fn errors_of(object: &Object, validate: impl for<'a> FnOnce(Root<'a>)) -> Vec<FieldError> {
    let errors = Errors::new();
    validate(Root { object, errors: &errors });
    errors.found.take()
}

/// What `validate` finds wrong with a change: new, old.
pub fn errors_of_change(
    new: &Object,
    old: &Object,
    validate: impl for<'a> FnOnce(Root<'a>, Root<'a>),
) -> Vec<FieldError> {
    let errors = Errors::new();
    validate(Root { object: new, errors: &errors }, Root { object: old, errors: &errors });
    errors.found.take()
}

impl Errors {
    fn new() -> Self {
        let steps = RefCell::new(Vec::with_capacity(STEPS_EXPECTED));
        Self { steps, keys: RefCell::default(), found: RefCell::default() }
    }

    fn step(&self, before: Option<u32>, name: Name) -> u32 {
        let mut steps = self.steps.borrow_mut();
        steps.push(Step { before, name });
        u32::try_from(steps.len() - 1).expect("an object has fewer than 4 billion places")
    }

    fn key(&self, key: &str) -> Name {
        let mut keys = self.keys.borrow_mut();
        keys.push_str(key);
        Name::Key(keys.len() - key.len(), keys.len())
    }

    /// `spec.containers[0].ports[1].name`
    fn path(&self, step: u32) -> String {
        let (steps, keys) = (self.steps.borrow(), self.keys.borrow());
        let before = |step: &u32| steps[*step as usize].before;
        let mut way: Vec<u32> = std::iter::successors(Some(step), before).collect();
        way.reverse();
        way.iter().map(|step| steps[*step as usize].name).fold(String::new(), |mut path, name| {
            let dot = if path.is_empty() { "" } else { "." };
            let written = match name {
                Name::Index(at) => write!(path, "[{at}]"),
                Name::Key(start, end) => write!(path, "[{}]", &keys[start..end]),
                Name::Member(name) => write!(path, "{dot}{name}"),
            };
            written.expect("text grows in memory");
            path
        })
    }
}

impl<'a> Root<'a> {
    /// A member beside `metadata`.
    pub fn field(self, name: &'static str) -> At<'a> {
        let step = self.errors.step(None, Name::Member(name));
        At { value: self.object.fields.get(name), step, errors: self.errors }
    }

    /// `metadata`.
    pub fn meta(self) -> &'a ObjectMeta {
        &self.object.meta
    }

    /// The place of a field of `metadata`, to tell an error: its value is in [`Root::meta`].
    pub fn meta_field(self, name: &'static str) -> At<'a> {
        let metadata =
            At { value: None, step: self.errors.step(None, Name::Member("metadata")), errors: self.errors };
        metadata.field(name)
    }

    /// The place that is told as `text`, where it is none of the object's fields.
    pub fn place(self, text: &'static str) -> At<'a> {
        At { value: None, step: self.errors.step(None, Name::Member(text)), errors: self.errors }
    }

    /// Tells an error that was made elsewhere.
    pub fn report(self, error: FieldError) {
        self.errors.found.borrow_mut().push(error);
    }

    /// Takes back all errors but the first `count`: they were only asked for.
    pub fn forget_errors_from(self, count: usize) {
        self.errors.found.borrow_mut().truncate(count);
    }

    /// How many errors were told so far.
    pub fn error_count(self) -> usize {
        self.errors.found.borrow().len()
    }
}

/// Ways on.
impl<'a> At<'a> {
    fn on(self, name: Name, value: Option<&'a Value>) -> Self {
        Self { value, step: self.errors.step(Some(self.step), name), errors: self.errors }
    }

    /// A member of an object.
    pub fn field(self, name: &'static str) -> Self {
        self.on(Name::Member(name), self.value.and_then(|value| value.get(name)))
    }

    /// A value of a map.
    pub fn key(self, key: &str) -> Self {
        self.on(self.errors.key(key), self.value.and_then(|value| value.get(key)))
    }

    /// An item of a list.
    pub fn index(self, at: usize) -> Self {
        self.on(Name::Index(at), self.value.and_then(|value| value.get(at)))
    }

    /// The same place, with another value.
    pub fn with(self, value: Option<&'a Value>) -> Self {
        Self { value, ..self }
    }

    /// The items of a list.
    pub fn items(self) -> impl ExactSizeIterator<Item = Self> + 'a {
        let items = self.list();
        (0..items.len()).map(move |at| self.on(Name::Index(at), items.get(at)))
    }

    /// The entries of a map, each with its key, in the order in which they were written.
    pub fn entries(self) -> impl Iterator<Item = (&'a str, Self)> + 'a {
        let value = move |(key, value): (&'a String, &'a Value)| {
            (key.as_str(), self.on(self.errors.key(key), Some(value)))
        };
        self.map().into_iter().flatten().map(value)
    }
}

/// What stands here.
impl<'a> At<'a> {
    /// The value, if there is one.
    pub fn value(self) -> Option<&'a Value> {
        self.value
    }

    /// Whether anything was given, empty or not.
    pub fn is_set(self) -> bool {
        self.value.is_some_and(|value| !value.is_null())
    }

    /// Whether there is nothing, or what Go cannot tell from nothing.
    pub fn is_empty(self) -> bool {
        match self.value {
            None | Some(Value::Null) => true,
            Some(Value::Bool(value)) => !value,
            Some(Value::Number(number)) => number.as_f64() == Some(0.0),
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::Object(map)) => map.is_empty(),
        }
    }

    /// Text; empty when there is none.
    pub fn text(self) -> &'a str {
        self.value.and_then(Value::as_str).unwrap_or_default()
    }

    /// A whole number.
    pub fn int(self) -> Option<i64> {
        self.value.and_then(Value::as_i64)
    }

    /// A whole number; 0 when there is none.
    pub fn number(self) -> i64 {
        self.int().unwrap_or_default()
    }

    /// True or false.
    pub fn bool(self) -> Option<bool> {
        self.value.and_then(Value::as_bool)
    }

    /// Whether it is there and true.
    pub fn is_true(self) -> bool {
        self.bool() == Some(true)
    }

    /// An amount.
    pub fn quantity(self) -> Option<Quantity> {
        self.value.and_then(Value::as_str).and_then(|text| Quantity::parse(text).ok())
    }

    /// The items of a list; none when there is no list.
    pub fn list(self) -> &'a [Value] {
        self.value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The members of a map or object.
    pub fn map(self) -> Option<&'a Map<String, Value>> {
        self.value.and_then(Value::as_object)
    }

    /// How many items or entries there are.
    pub fn count(self) -> usize {
        self.map().map_or(self.list().len(), Map::len)
    }

    /// How many errors were told so far, about any place.
    pub fn error_count(self) -> usize {
        self.errors.found.borrow().len()
    }

    /// How errors name this place.
    pub fn path(self) -> String {
        self.errors.path(self.step)
    }
}

/// What is wrong here. Where a text shows the value, nothing counts as empty text.
impl At<'_> {
    fn shown(self) -> Value {
        self.value.cloned().unwrap_or_else(|| "".into())
    }

    /// Tells an error about this place, made from its path.
    pub fn report(self, error: impl FnOnce(&str) -> FieldError) {
        let error = error(&self.path());
        self.errors.found.borrow_mut().push(error);
    }

    /// A value must be there.
    pub fn required(self, detail: &str) {
        self.report(|path| FieldError::required(path, detail));
    }

    /// The value breaks a rule.
    pub fn invalid(self, detail: &str) {
        self.invalid_value(self.shown(), detail);
    }

    /// The value breaks a rule, and the error shows another in its place.
    pub fn invalid_value(self, value: impl Into<Value>, detail: &str) {
        self.report(|path| FieldError::invalid(path, value, detail));
    }

    /// The value is of the wrong type.
    pub fn type_invalid(self, detail: &str) {
        self.report(|path| FieldError::type_invalid(path, self.shown(), detail));
    }

    /// The value may not be set here or now.
    pub fn forbidden(self, detail: &str) {
        self.report(|path| FieldError::forbidden(path, detail));
    }

    /// The value is none of those that exist.
    pub fn not_supported_value(self, value: impl Into<Value>, supported: &[&str]) {
        self.report(|path| FieldError::not_supported(path, value, supported));
    }

    /// The same of the value that is there.
    pub fn not_supported(self, supported: &[&str]) {
        self.report(|path| FieldError::not_supported(path, self.shown(), supported));
    }

    /// The value stands elsewhere already.
    pub fn duplicate(self) {
        self.duplicate_value(self.shown());
    }

    /// The same, and the error shows another value in its place.
    pub fn duplicate_value(self, value: impl Into<Value>) {
        self.report(|path| FieldError::duplicate(path, value));
    }

    /// The value names what is not there.
    pub fn not_found(self) {
        self.report(|path| FieldError::not_found(path, self.shown()));
    }

    /// The same; the error shows this value, and says more.
    pub fn not_found_value(self, value: impl Into<Value>, detail: &str) {
        self.report(|path| FieldError::not_found(path, value).with_detail(detail));
    }

    /// More than so many bytes.
    pub fn too_long(self, bytes_max: usize) {
        self.report(|path| FieldError::too_long(path, bytes_max));
    }

    /// More than so many characters.
    pub fn too_long_characters(self, characters_max: usize) {
        self.report(|path| FieldError::too_long_characters(path, characters_max));
    }

    /// Fewer than so many characters.
    pub fn too_short(self, characters_min: usize) {
        self.report(|path| FieldError::too_short(path, characters_min));
    }

    /// More than so many items.
    pub fn too_many(self, actual: usize, items_max: usize) {
        self.report(|path| FieldError::too_many(path, actual, items_max));
    }

    /// Fewer than so many items.
    pub fn too_few(self, actual: usize, items_min: usize) {
        self.report(|path| FieldError::too_few(path, actual, items_min));
    }

    /// Not the client's fault.
    pub fn internal(self, detail: &str) {
        self.report(|path| FieldError::internal(path, detail));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Resource;

    #[test]
    fn places_have_values_and_paths() {
        let tree =
            json!({"spec": {"containers": [{"name": "a"}, {"name": "", "ports": [{"containerPort": 1}]}]}});
        let object = Object::from_tree(tree, &Resource::builtin("", "v1", "pods")).expect("conforms").0;
        let found = errors_of(&object, |root| {
            let containers = root.field("spec").field("containers");
            let second = containers.items().nth(1).expect("two");
            second.field("name").required("");
            second.field("ports").index(0).field("containerPort").invalid("no");
            second.field("image").field("deep").invalid("no");
            containers.index(0).field("name").duplicate();
            root.meta_field("annotations").key("a.b/c").forbidden("");
            assert_eq!((containers.count(), second.field("name").text()), (2, ""));
            assert!(second.field("name").is_set() && second.field("name").is_empty());
        });
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "spec.containers[1].name: Required value",
                "spec.containers[1].ports[0].containerPort: Invalid value: 1: no",
                "spec.containers[1].image.deep: Invalid value: \"\": no",
                "spec.containers[0].name: Duplicate value: \"a\"",
                "metadata.annotations[a.b/c]: Forbidden",
            ]
        );
    }
}
