//! The `scale` of an object: how many replicas are wanted, how many there are, and how they are selected.

use serde_json::{Map, Value, json};

use crate::field_error::FieldError;
use crate::meta::ObjectMeta;
use crate::object::{Object, member};

/// Where an object holds what its scale shows: names of members, outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// How many are wanted.
    pub spec: Vec<String>,
    /// How many there are.
    pub status: Vec<String>,
    /// What selects them: text, labels, or a label selector.
    pub selector: Option<Vec<String>>,
}

impl ScalePaths {
    /// Those of the kinds that Kubernetes brings.
    pub fn builtin() -> Self {
        let path = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        let selector = Some(path(["spec", "selector"]));
        Self { spec: path(["spec", "replicas"]), status: path(["status", "replicas"]), selector }
    }
}

/// What an object holds at a path.
pub(crate) fn at<'o>(object: &'o Object, path: &[String]) -> Option<&'o Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(object.fields.get(first)?, |value, name| value.get(name))
}

/// The scale of an object.
pub fn of(object: &Object, paths: &ScalePaths) -> Object {
    let at = |path: &[String]| at(object, path);
    let count = |path| at(path).and_then(Value::as_i64).unwrap_or(0);
    let mut status = Map::from_iter([("replicas".to_owned(), count(&paths.status).into())]);
    let selector = paths.selector.as_deref().and_then(at).map(selector_text).unwrap_or_default();
    if !selector.is_empty() {
        status.insert("selector".into(), selector.into());
    }
    let spec = match count(&paths.spec) {
        0 => json!({}),
        replicas => json!({"replicas": replicas}),
    };
    let meta = ObjectMeta {
        name: object.meta.name.clone(),
        namespace: object.meta.namespace.clone(),
        uid: object.meta.uid.clone(),
        resource_version: object.meta.resource_version.clone(),
        creation_timestamp: object.meta.creation_timestamp.clone(),
        ..ObjectMeta::default()
    };
    let fields = Map::from_iter([("spec".to_owned(), spec), ("status".to_owned(), status.into())]);
    Object { meta, fields }
}

fn wanted(scale: &Object) -> i64 {
    scale.fields.get("spec").and_then(|spec| spec.get("replicas")).and_then(Value::as_i64).unwrap_or(0)
}

/// What is wrong with a scale.
pub fn errors(scale: &Object) -> Vec<FieldError> {
    let wanted = wanted(scale);
    let error = || FieldError::invalid("spec.replicas", wanted, "must be greater than or equal to 0");
    (wanted < 0).then(error).into_iter().collect()
}

/// `old` with as many replicas as `scale` wants. What the scale says of version and uid stays in it.
pub fn applied(scale: &Object, old: &Object, paths: &ScalePaths) -> Object {
    let mut new = old.clone();
    new.meta.resource_version.clone_from(&scale.meta.resource_version);
    new.meta.uid.clone_from(&scale.meta.uid);
    let Some((last, before)) = paths.spec.split_last() else { return new };
    let mut at = &mut new.fields;
    for name in before {
        at = member(at, name);
    }
    at.insert(last.clone(), wanted(scale).into());
    new
}

/// A selector as text: `a=b,c in (d,e),!f`, sorted by key.
pub fn selector_text(selector: &Value) -> String {
    if let Some(text) = selector.as_str() {
        return text.to_owned();
    }
    let is_labels = selector.as_object().is_some_and(|labels| labels.values().all(Value::is_string));
    let labels = if is_labels { Some(selector) } else { selector.get("matchLabels") };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let labels = labels.and_then(Value::as_object).into_iter().flatten();
    let mut terms: Vec<_> =
        labels.map(|(key, value)| (key.clone(), format!("{key}={}", text(value)))).collect();
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    for expression in expressions.into_iter().flatten() {
        let key = text(&expression["key"]);
        let values = expression["values"].as_array().into_iter().flatten().map(text);
        let mut values: Vec<_> = values.collect();
        values.sort_unstable();
        let values = values.join(",");
        let term = match expression["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.clone(),
        };
        terms.push((key, term));
    }
    terms.sort_by(|a, b| a.0.cmp(&b.0));
    terms.into_iter().map(|(_, term)| term).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Resource;

    #[test]
    fn selectors_as_text() {
        let cases = [
            (json!("a=b"), "a=b"),
            (json!({"b": "c", "a": "d"}), "a=d,b=c"),
            (
                json!({"matchLabels": {"x": "y"}, "matchExpressions": [
                    {"key": "a", "operator": "In", "values": ["2", "1"]},
                    {"key": "z", "operator": "DoesNotExist"},
                    {"key": "b", "operator": "NotIn", "values": ["1"]},
                    {"key": "c", "operator": "Exists"},
                ]}),
                "a in (1,2),b notin (1),c,x=y,!z",
            ),
        ];
        for (selector, expect) in cases {
            assert_eq!(selector_text(&selector), expect, "{selector}");
        }
    }

    #[test]
    fn a_scale_shows_and_changes_replicas() {
        let row = Resource::builtin("apps", "v1", "deployments");
        let tree = json!({
            "metadata": {"name": "x", "labels": {"a": "b"}, "resourceVersion": "7"},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}}, "status": {"replicas": 2},
        });
        let old = Object::from_tree(tree, &row).expect("conforms").0;
        let paths = ScalePaths::builtin();
        let mut scale = of(&old, &paths);
        assert_eq!(
            json!(scale.fields),
            json!({"spec": {"replicas": 3}, "status": {"replicas": 2, "selector": "a=b"}})
        );
        assert_eq!((&*scale.meta.name, scale.meta.labels.len()), ("x", 0));
        scale.fields["spec"] = json!({"replicas": 5});
        assert_eq!(errors(&scale), []);
        let new = applied(&scale, &old, &paths);
        assert_eq!((new.text(&["metadata"]), &new.fields["spec"]["replicas"]), ("", &json!(5)));
        scale.fields["spec"] = json!({"replicas": -5});
        assert_eq!(
            errors(&scale)[0].to_string(),
            "spec.replicas: Invalid value: -5: must be greater than or equal to 0"
        );
    }
}
