//! JSON patch (RFC 6902), as lenient as Kubernetes is: a member that is replaced need not be there, and places in
//! lists count from the end when they are negative.

use serde_json::Value;

use super::PatchError;
use crate::{conform, decode};

/// How many operations one patch may hold, as in Kubernetes.
const OPERATIONS_MAX: usize = 10_000;

/// How many bytes a patch may copy within an object: a few copies of copies would fill the memory.
const COPIED_BYTES_MAX: usize = 3 << 20;

/// The members of an operation. All but the value are text.
const MEMBERS: &[&str] = &["op", "path", "from", "value"];

/// Applies the operations in `body` to `target`, one after the other.
///
/// # Errors
/// Says which operation does not fit; then `target` is half changed.
pub fn json(target: &mut Value, body: &[u8]) -> Result<(), PatchError> {
    let decoded = decode::json(body).map_err(|error| PatchError::Malformed(error.to_string()))?;
    apply(target, &operations(decoded.value)?)
}

/// The operations of a patch.
///
/// # Errors
/// When it is something else.
pub(super) fn operations(patch: Value) -> Result<Vec<Value>, PatchError> {
    let operations = match patch {
        Value::Array(operations) => operations,
        Value::Null => Vec::new(),
        other => return Err(undecodable(&other, "value of type []handlers.jsonPatchOp")),
    };
    for operation in &operations {
        if !matches!(operation, Value::Object(_) | Value::Null) {
            return Err(undecodable(operation, "value of type handlers.jsonPatchOp"));
        }
        for name in ["op", "path", "from"] {
            let member = operation.get(name).unwrap_or(&Value::Null);
            if !matches!(member, Value::String(_) | Value::Null) {
                return Err(undecodable(member, &format!("struct field jsonPatchOp.{name} of type string")));
            }
        }
    }
    if operations.len() > OPERATIONS_MAX {
        let count = operations.len();
        let text = format!("The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {count}");
        return Err(PatchError::TooLarge(text));
    }
    Ok(operations)
}

fn undecodable(found: &Value, wanted: &str) -> PatchError {
    let found = conform::found(found, "");
    PatchError::Malformed(format!("error decoding patch: json: cannot unmarshal {found} into Go {wanted}"))
}

/// Members of operations that mean nothing.
pub(super) fn unknown(operations: &[Value]) -> Vec<String> {
    let of = |(at, operation): (usize, &Value)| {
        let names = operation.as_object().into_iter().flat_map(|members| members.keys());
        let odd = names.filter(|name| !MEMBERS.contains(&name.as_str()));
        odd.map(|name| format!("unknown field {:?}", format!("[{at}].{name}"))).collect::<Vec<_>>()
    };
    operations.iter().enumerate().flat_map(of).collect()
}

/// Applies operations.
pub(super) fn apply(target: &mut Value, operations: &[Value]) -> Result<(), PatchError> {
    let mut copied = 0;
    for (at, operation) in operations.iter().enumerate() {
        let followed = follow(target, operation, &mut copied);
        followed.map_err(|why| {
            PatchError::Mismatch(format!("operation {at} of the patch does not fit: {why}"))
        })?;
    }
    Ok(())
}

fn follow(target: &mut Value, operation: &Value, copied: &mut usize) -> Result<(), String> {
    let place = |name| operation.get(name).and_then(Value::as_str).ok_or_else(|| format!("it has no {name}"));
    let value = || operation.get("value").cloned().unwrap_or_default();
    match operation.get("op").and_then(Value::as_str).unwrap_or("unknown") {
        "add" => Place::find(target, place("path")?)?.add(value()),
        "remove" => Place::find(target, place("path")?)?.remove().map(drop),
        "replace" if place("path")?.is_empty() => {
            if !matches!(operation.get("value"), Some(Value::Array(_) | Value::Object(_))) {
                return Err("only an object or a list replaces a whole".to_owned());
            }
            *target = value();
            Ok(())
        }
        "replace" => Place::find(target, place("path")?)?.replace(value()),
        "move" => {
            let moved = Place::find(target, place("from")?)?.remove()?;
            Place::find(target, place("path")?)?.add(moved)
        }
        "copy" => {
            let found = Place::find(target, place("from")?)?.get()?.cloned().unwrap_or_default();
            *copied += found.to_string().len();
            if *copied > COPIED_BYTES_MAX {
                return Err(format!("a patch may copy {COPIED_BYTES_MAX} bytes"));
            }
            Place::find(target, place("path")?)?.add(found)
        }
        "test" => {
            let wanted = operation.get("value").unwrap_or(&Value::Null);
            let path = place("path")?;
            let is_so = if path.is_empty() {
                target == wanted
            } else {
                Place::find(target, path)?.get()?.unwrap_or(&Value::Null) == wanted
            };
            if is_so { Ok(()) } else { Err(format!("{path} is something else")) }
        }
        other => Err(format!("{other:?} is no operation")),
    }
}

/// The steps of a path but the last one, and that one. A path without steps has none.
pub(super) fn steps(path: &str) -> Option<(impl Iterator<Item = String>, String)> {
    let (_, rest) = path.split_once('/')?;
    let (before, last) = rest.rsplit_once('/').map_or((None, rest), |(before, last)| (Some(before), last));
    Some((before.into_iter().flat_map(|before| before.split('/')).map(unescaped), unescaped(last)))
}

fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// Where something is, or could be: what holds it, and its name or number there.
struct Place<'t> {
    within: &'t mut Value,
    step: String,
}

impl<'t> Place<'t> {
    fn find(target: &'t mut Value, path: &str) -> Result<Self, String> {
        let missing = || format!("there is no {path}");
        let (before, step) = steps(path).ok_or_else(missing)?;
        let mut within = target;
        for step in before {
            within = below(within, &step).ok_or_else(missing)?;
        }
        if within.is_object() || within.is_array() { Ok(Self { within, step }) } else { Err(missing()) }
    }

    /// What is there; of an object also nothing.
    fn get(self) -> Result<Option<&'t Value>, String> {
        match self.within {
            Value::Array(items) => place_in(&self.step, items.len()).map(|at| items.get(at)),
            within => Ok(within.get(&self.step)),
        }
    }

    fn add(self, value: Value) -> Result<(), String> {
        match self.within {
            Value::Array(items) if self.step == "-" => items.push(value),
            // One place more than there are items: behind the last.
            Value::Array(items) => items.insert(place_in(&self.step, items.len() + 1)?, value),
            within => within[self.step.as_str()] = value,
        }
        Ok(())
    }

    fn replace(self, value: Value) -> Result<(), String> {
        match self.within {
            Value::Array(items) => {
                let at = place_in(&self.step, items.len())?;
                items[at] = value;
            }
            within => within[self.step.as_str()] = value,
        }
        Ok(())
    }

    fn remove(self) -> Result<Value, String> {
        match self.within {
            Value::Array(items) => {
                let at = place_in(&self.step, items.len())?;
                Ok(items.remove(at))
            }
            within => {
                let removed = within.as_object_mut().and_then(|map| map.shift_remove(&self.step));
                removed.ok_or_else(|| format!("there is no {}", self.step))
            }
        }
    }
}

/// What stands one step further.
pub(super) fn below<'t>(within: &'t mut Value, step: &str) -> Option<&'t mut Value> {
    match within {
        Value::Array(items) => {
            let at = place_in(step, items.len()).ok()?;
            items.get_mut(at)
        }
        within => within.get_mut(step),
    }
}

/// A place among `count`, which are numbered from both ends.
fn place_in(step: &str, count: usize) -> Result<usize, String> {
    let wrong = || format!("there is no item {step}");
    let at: i64 = step.parse().map_err(|_| wrong())?;
    let count = i64::try_from(count).map_err(|_| wrong())?;
    let at = if at < 0 { at + count } else { at };
    if (0..count).contains(&at) { usize::try_from(at).map_err(|_| wrong()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(mut target: Value, operations: Value) -> Result<Value, PatchError> {
        json(&mut target, operations.to_string().as_bytes()).map(|()| target)
    }

    #[test]
    fn operations_in_order() {
        let operations = json!([
            {"op": "test", "path": "/a", "value": 1},
            {"op": "replace", "path": "/a", "value": 2},
            {"op": "add", "path": "/l/-", "value": "z"},
            {"op": "remove", "path": "/l/0"},
            {"op": "copy", "from": "/l", "path": "/m~1n"},
            {"op": "move", "from": "/a", "path": "/b"},
        ]);
        let expect = json!({"l": ["y", "z"], "m/n": ["y", "z"], "b": 2});
        assert_eq!(patched(json!({"a": 1, "l": ["x", "y"]}), operations), Ok(expect));
    }

    #[test]
    fn what_kubernetes_lets_pass() {
        let cases = [
            // Of what is not there, only a list's item must be.
            (json!({}), json!([{"op": "replace", "path": "/a", "value": 1}]), json!({"a": 1})),
            (json!({}), json!([{"op": "copy", "from": "/a", "path": "/b"}]), json!({"b": null})),
            (json!({}), json!([{"op": "test", "path": "/a"}]), json!({})),
            (json!({}), json!([{"op": "test", "path": "/a", "value": null}]), json!({})),
            (json!({}), json!([{"op": "add", "path": "/a"}]), json!({"a": null})),
            (json!([1, 2]), json!([{"op": "remove", "path": "/-1"}]), json!([1])),
            (json!([1, 2]), json!([{"op": "add", "path": "/-1", "value": 3}]), json!([1, 2, 3])),
            (json!([1]), json!([{"op": "replace", "path": "/+0", "value": 3}]), json!([3])),
            (json!({"a": 1}), json!([{"op": "replace", "path": "", "value": []}]), json!([])),
            (json!({}), json!([{"op": "add", "path": "text/a", "value": 1}]), json!({"a": 1})),
            (json!({}), json!(null), json!({})),
        ];
        for (target, operations, expect) in cases {
            assert_eq!(patched(target, operations.clone()), Ok(expect), "{operations}");
        }
    }

    #[test]
    fn what_does_not_fit() {
        let cases = [
            json!([{"op": "jump", "path": "/a"}]),
            json!([{"op": "add"}]),
            json!([{"op": "add", "path": "", "value": {}}]),
            json!([{"op": "add", "path": "/x/y", "value": 1}]),
            json!([{"op": "add", "path": "/a/y", "value": 1}]),
            json!([{"op": "add", "path": "/l/2", "value": 1}]),
            json!([{"op": "add", "path": "/l/first", "value": 1}]),
            json!([{"op": "copy", "path": "/x"}]),
            json!([{"op": "move", "from": "/x", "path": "/y"}]),
            json!([{"op": "remove", "path": "/b"}]),
            json!([{"op": "remove", "path": "/l/-2"}]),
            json!([{"op": "replace", "path": "/l/-", "value": 1}]),
            json!([{"op": "replace", "path": "", "value": 1}]),
            json!([{"op": "test", "path": "/a", "value": 2}]),
            json!([{"op": "test", "path": "/a"}]),
            json!([null]),
        ];
        for operations in cases {
            let refused = patched(json!({"a": 1, "l": [0]}), operations.clone());
            assert!(matches!(refused, Err(PatchError::Mismatch(_))), "{operations}: {refused:?}");
        }
    }

    #[test]
    fn what_is_no_patch_in_the_words_of_go() {
        let cases = [
            (json!({"op": "add"}), "object into Go value of type []handlers.jsonPatchOp"),
            (json!([5]), "number into Go value of type handlers.jsonPatchOp"),
            (json!([{"op": []}]), "array into Go struct field jsonPatchOp.op of type string"),
        ];
        for (patch, expect) in cases {
            let text = format!("error decoding patch: json: cannot unmarshal {expect}");
            assert_eq!(patched(json!({}), patch), Err(PatchError::Malformed(text)));
        }
        let many = vec![json!({"op": "test", "path": "/a", "value": 1}); OPERATIONS_MAX + 1];
        assert!(matches!(patched(json!({"a": 1}), many.into()), Err(PatchError::TooLarge(_))));
    }

    #[test]
    fn copies_of_copies_end_soon() {
        let double = json!({"op": "copy", "from": "/l", "path": "/l/-"});
        let text = "x".repeat(1000);
        let refused = patched(json!({"l": [text]}), vec![double; 64].into());
        assert!(matches!(refused, Err(PatchError::Mismatch(_))), "{refused:?}");
    }
}
