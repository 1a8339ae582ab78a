//! JSON patch (RFC 6902).

use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use super::PatchError;

/// How many operations one patch may hold, as in Kubernetes.
const OPERATIONS_MAX: usize = 10_000;

/// How many bytes a patch may copy within an object: a few copies of copies would fill the memory.
const COPIED_BYTES_MAX: usize = 3 << 20;

/// Applies the operations in `body` to `target`, one after the other.
///
/// # Errors
/// Says which operation does not fit; then `target` is half changed.
pub fn json(target: &mut Value, body: &[u8]) -> Result<(), PatchError> {
    let malformed =
        |error: serde_json::Error| PatchError::Malformed(format!("error decoding patch: {error}"));
    let Patch(operations) = serde_json::from_slice(body).map_err(malformed)?;
    if operations.len() > OPERATIONS_MAX {
        let count = operations.len();
        let text = format!("The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {count}");
        return Err(PatchError::TooLarge(text));
    }
    let mut copied = 0;
    for (at, operation) in operations.into_iter().enumerate() {
        if let PatchOperation::Copy(copy) = &operation {
            copied += target.pointer(copy.from.as_str()).map_or(0, |value| value.to_string().len());
        }
        if copied > COPIED_BYTES_MAX {
            let text = format!("Unable to complete the copy: a patch may copy {COPIED_BYTES_MAX} bytes");
            return Err(PatchError::TooLarge(text));
        }
        json_patch::patch(target, &[operation]).map_err(|error| {
            PatchError::Mismatch(format!("operation {at} of the patch does not fit: {}", error.kind))
        })?;
    }
    Ok(())
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
    fn what_does_not_fit_is_told() {
        let refused = |operations| patched(json!({"a": 1}), operations).expect_err("refused");
        assert!(matches!(refused(json!({"op": "add"})), PatchError::Malformed(_)));
        assert!(matches!(refused(json!([{"op": "jump", "path": "/a"}])), PatchError::Malformed(_)));
        assert!(matches!(
            refused(json!([{"op": "test", "path": "/a", "value": 2}])),
            PatchError::Mismatch(_)
        ));
        assert!(matches!(refused(json!([{"op": "remove", "path": "/b"}])), PatchError::Mismatch(_)));
        let many = vec![json!({"op": "test", "path": "/a", "value": 1}); OPERATIONS_MAX + 1];
        assert!(matches!(refused(many.into()), PatchError::TooLarge(_)));
    }

    #[test]
    fn copies_of_copies_end_soon() {
        let double = json!({"op": "copy", "from": "/l", "path": "/l/-"});
        let text = "x".repeat(1000);
        let refused = patched(json!({"l": [text]}), vec![double; 64].into());
        assert!(matches!(refused, Err(PatchError::TooLarge(_))), "{refused:?}");
    }
}
