//! For how long a pod tolerates taints.

use api::view::View;
use projection::nodes::Taint;
use projection::pods::Pod;

/// Until when a pod may stay under NoExecute taints, in milliseconds since the epoch; `None`: forever. Its time counts
/// from when it came under the first of them.
pub(super) fn until_ms(pod: &Pod, taints: &[&Taint]) -> Option<u64> {
    let tolerations = pod.object.view().at(&["spec", "tolerations"]);
    let since = taints.iter().map(|taint| taint.added_ms).min().unwrap_or(0).max(pod.created_ms);
    let mut least: Option<i64> = None;
    for taint in taints {
        let Some(toleration) = tolerations.items().find(|toleration| tolerates(*toleration, taint)) else {
            return Some(0);
        };
        if let Some(seconds) = toleration.get("tolerationSeconds").number() {
            least = Some(least.map_or(seconds, |least| least.min(seconds)));
        }
    }
    let seconds = u64::try_from(least?).unwrap_or(0);
    Some(if seconds == 0 { 0 } else { since + seconds * 1000 })
}

fn tolerates(toleration: View<'_>, taint: &Taint) -> bool {
    let [key, operator, value, effect] = toleration.pick(["key", "operator", "value", "effect"]);
    let (key, effect) = (key.text(), effect.text());
    if !(effect.is_empty() || effect == "NoExecute") || !(key.is_empty() || *key == *taint.key) {
        return false;
    }
    let numbers = || Some((taint.value.parse::<i64>().ok()?, value.text().parse::<i64>().ok()?));
    match &*operator.text() {
        "Exists" => true,
        "" | "Equal" => value.text() == *taint.value,
        "Lt" => numbers().is_some_and(|(taint, bound)| taint < bound),
        "Gt" => numbers().is_some_and(|(taint, bound)| taint > bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use projection::nodes::Effect;
    use serde_json::json;

    use super::*;

    #[test]
    fn tolerations_match_by_key_value_and_effect() {
        let taint = Taint { key: "a".into(), value: "1".into(), effect: Effect::NoExecute, added_ms: 0 };
        let cases = [
            (json!({"key":"a","operator":"Exists"}), true),
            (json!({"operator":"Exists"}), true),
            (json!({"key":"a","value":"1"}), true),
            (json!({"key":"a","value":"2"}), false),
            (json!({"key":"b","operator":"Exists"}), false),
            (json!({"key":"a","operator":"Exists","effect":"NoSchedule"}), false),
            (json!({"key":"a","operator":"Equal","value":"1","effect":"NoExecute"}), true),
            (json!({"key":"a","operator":"Lt","value":"2"}), true),
            (json!({"key":"a","operator":"Gt","value":"2"}), false),
        ];
        for (toleration, expect) in cases {
            let bytes = toleration.to_string();
            assert_eq!(tolerates(View::new(bytes.as_bytes()), &taint), expect, "{toleration}");
        }
    }
}
