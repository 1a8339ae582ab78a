//! Pods from templates.

use serde_json::{Map, Value, json};

/// A pod as a template describes it, for its owner; its name begins with the owner's.
pub(crate) fn pod(template: &Value, owner_name: &str, reference: Value) -> Value {
    let mut metadata = Map::from_iter([("generateName".to_owned(), format!("{owner_name}-").into())]);
    for name in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(name) {
            metadata.insert(name.to_owned(), value.clone());
        }
    }
    metadata.insert("ownerReferences".to_owned(), json!([reference]));
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}
