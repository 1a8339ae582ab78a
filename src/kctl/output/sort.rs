//! `--sort-by`: objects in the order of what a path leads to.

use std::cmp::Ordering;

use api::quantity::Quantity;
use serde_json::Value;

use crate::failure::Failure;
use crate::jsonpath::Template;

/// Sorts by what `path` leads to in each object; those where it leads nowhere come first.
///
/// # Errors
/// When the path is none.
pub fn by<T>(path: &str, items: &mut [T], object: impl Fn(&T) -> &Value) -> Result<(), Failure> {
    let template =
        Template::relaxed(path).map_err(|error| Failure::Usage(format!("--sort-by {path}: {error}")))?;
    let key =
        |item: &T| template.values(object(item)).unwrap_or_default().first().map(|value| (*value).clone());
    items.sort_by_cached_key(|item| Key(key(item)));
    Ok(())
}

#[derive(PartialEq, Eq)]
struct Key(Option<Value>);

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Some(Value::String(left)), Some(Value::String(right))) => texts(left, right),
            (Some(Value::Number(left)), Some(Value::Number(right))) => {
                left.as_f64().unwrap_or(0.0).total_cmp(&right.as_f64().unwrap_or(0.0))
            }
            (Some(left), Some(right)) => left.to_string().cmp(&right.to_string()),
            (left, right) => left.is_some().cmp(&right.is_some()),
        }
    }
}

/// Amounts by how much they are, other texts so that `a10` comes behind `a9`.
fn texts(left: &str, right: &str) -> Ordering {
    let amount = |text: &str| Quantity::parse(text).ok().map(|amount| amount.in_units(-9));
    match (amount(left), amount(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => natural(left, right),
    }
}

fn natural(left: &str, right: &str) -> Ordering {
    let (left, right) = (chunks(left), chunks(right));
    for (a, b) in left.iter().zip(&right) {
        let order = match (a.parse::<u128>(), b.parse::<u128>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => a.cmp(b),
        };
        if order.is_ne() {
            return order;
        }
    }
    left.len().cmp(&right.len())
}

/// Runs of digits and runs of anything else.
fn chunks(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let starts = (1..bytes.len()).filter(|&at| bytes[at].is_ascii_digit() != bytes[at - 1].is_ascii_digit());
    let ends: Vec<usize> = starts.filter(|&at| text.is_char_boundary(at)).chain([text.len()]).collect();
    let mut from = 0;
    ends.into_iter().map(|end| &text[std::mem::replace(&mut from, end)..end]).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_in_order() {
        let cases = [
            (json!(["b", "a10", "a9"]), json!(["a9", "a10", "b"])),
            (json!([10, 9, -1, 2.5]), json!([-1, 2.5, 9, 10])),
            (json!(["1Gi", "500Mi", "2"]), json!(["2", "500Mi", "1Gi"])),
            (
                json!(["2026-01-02T00:00:00Z", null, "2026-01-01T00:00:00Z"]),
                json!([null, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
            ),
        ];
        for (given, expected) in cases {
            let mut objects: Vec<Value> = given
                .as_array()
                .into_iter()
                .flatten()
                .map(|at| match at {
                    Value::Null => json!({}),
                    at => json!({"at": at}),
                })
                .collect();
            by(".at", &mut objects, |object| object).expect("a path");
            let sorted: Value = objects.iter().map(|object| object["at"].clone()).collect();
            assert_eq!(sorted, expected);
        }
        assert!(by("{", &mut [json!({})], |object| object).is_err());
    }
}
