//! Labels and selectors as tables show them.

use crate::names;
use crate::view::View;

use super::joined;

const NONE: &str = "<none>";

/// `a=b,c=d`, sorted.
pub(super) fn shown(labels: View<'_>) -> String {
    let mut pairs: Vec<String> =
        labels.members().map(|(key, value)| format!("{key}={}", value.text())).collect();
    pairs.sort_unstable();
    if pairs.is_empty() { NONE.to_owned() } else { pairs.join(",") }
}

/// A label selector, where one that selects nothing and one that selects everything look the same.
pub(super) fn selector_shown(selector: View<'_>) -> String {
    match requirements(selector) {
        None => "<error>".to_owned(),
        Some(text) if text.is_empty() => NONE.to_owned(),
        Some(text) => text,
    }
}

/// `a=b,c in (d,e),!f`, sorted by key; `None` when it is no valid selector.
pub(super) fn requirements(selector: View<'_>) -> Option<String> {
    let [labels, expressions] = selector.pick(["matchLabels", "matchExpressions"]);
    let mut parts: Vec<(String, String)> = Vec::new();
    for (key, value) in labels.members() {
        let is_valid = names::qualified(&key).is_empty() && names::label_value(&value.text()).is_empty();
        is_valid.then_some(())?;
        parts.push((key.clone().into_owned(), format!("{key}={}", value.text())));
    }
    for expression in expressions.items() {
        let key = expression.get("key").text().into_owned();
        parts.push((key, requirement(expression)?));
    }
    parts.sort_by(|a, b| a.0.cmp(&b.0));
    Some(joined(parts.iter().map(|(_, text)| text), ","))
}

fn requirement(expression: View<'_>) -> Option<String> {
    let [key, operator, values] = expression.pick(["key", "operator", "values"]);
    let mut values: Vec<_> = values.items().map(View::text).collect();
    values.sort_unstable();
    let key = key.text();
    let is_valid =
        names::qualified(&key).is_empty() && values.iter().all(|value| names::label_value(value).is_empty());
    is_valid.then_some(())?;
    match (&*operator.text(), values.is_empty()) {
        ("In", false) => Some(format!("{key} in ({})", values.join(","))),
        ("NotIn", false) => Some(format!("{key} notin ({})", values.join(","))),
        ("Exists", true) => Some(key.into_owned()),
        ("DoesNotExist", true) => Some(format!("!{key}")),
        _ => None,
    }
}

/// A selector as Go prints the struct that holds it.
pub(super) fn as_go_prints(selector: View<'_>) -> String {
    let [labels, expressions] = selector.pick(["matchLabels", "matchExpressions"]);
    let mut pairs: Vec<_> = labels.members().collect();
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let pairs = pairs.iter().map(|(key, value)| format!("{key}: {},", value.text()));
    let expression = |one: View<'_>| {
        let [key, operator, values] = one.pick(["key", "operator", "values"]);
        let values = joined(values.items().map(View::text), " ");
        format!(
            "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},",
            key.text(),
            operator.text()
        )
    };
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{}}},MatchExpressions:[]LabelSelectorRequirement{{{}}},}}",
        pairs.collect::<String>(),
        expressions.items().map(expression).collect::<String>(),
    )
}
