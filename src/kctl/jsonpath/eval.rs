//! Nodes and steps on values.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Comparison, Node, Operand, PathError, Step, plain};

/// What nodes print for a value.
pub(super) fn print(nodes: &[Node], at: &Value) -> Result<String, PathError> {
    let mut out = String::new();
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Path(steps) => {
                let found = follow(steps, at)?.into_iter().map(plain).collect::<Vec<_>>();
                out.push_str(&found.join(" "));
            }
            Node::Range(steps, inner) => {
                for value in follow(steps, at)? {
                    out.push_str(&print(inner, value)?);
                }
            }
        }
    }
    Ok(out)
}

/// All values that nodes lead to.
pub(super) fn values<'v>(nodes: &[Node], at: &'v Value) -> Result<Vec<&'v Value>, PathError> {
    let mut found = Vec::new();
    for node in nodes {
        match node {
            Node::Text(_) => {}
            Node::Path(steps) => found.extend(follow(steps, at)?),
            Node::Range(steps, inner) => {
                for value in follow(steps, at)? {
                    found.extend(values(inner, value)?);
                }
            }
        }
    }
    Ok(found)
}

fn follow<'v>(steps: &[Step], from: &'v Value) -> Result<Vec<&'v Value>, PathError> {
    let mut found = vec![from];
    for step in steps {
        let mut next = Vec::new();
        match step {
            // One after the other for all values: not value by value.
            Step::Union(parts) => {
                for part in parts {
                    for value in &found {
                        next.extend(follow(part, value)?);
                    }
                }
            }
            step => {
                for value in &found {
                    take(step, value, &mut next)?;
                }
            }
        }
        found = next;
    }
    Ok(found)
}

fn take<'v>(step: &Step, value: &'v Value, next: &mut Vec<&'v Value>) -> Result<(), PathError> {
    match step {
        Step::Member(name) => next.extend(value.get(name.as_str())),
        Step::Wildcard => next.extend(inside(value)),
        Step::Descend => descend(value, next),
        Step::Slice { from, to, by } => next.extend(slice(value, *from, *to, *by)),
        Step::Item(at) => next.extend(item(value, *at)?),
        Step::Union(_) => {}
        Step::Filter(left, right) => {
            for candidate in inside(value) {
                if holds(left, right.as_ref(), candidate)? {
                    next.push(candidate);
                }
            }
        }
    }
    Ok(())
}

fn inside(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => Vec::new(),
    }
}

fn descend<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
    found.push(value);
    inside(value).into_iter().for_each(|inner| descend(inner, found));
}

/// Counted from the end when it is negative.
fn place(at: i64, length: usize) -> i64 {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    if at < 0 { at + length } else { at }
}

fn item(value: &Value, at: i64) -> Result<Option<&Value>, PathError> {
    let Some(items) = value.as_array() else { return Ok(None) };
    let found = usize::try_from(place(at, items.len())).ok().and_then(|at| items.get(at));
    let outside = || PathError(format!("array index out of bounds: index {at}, length {}", items.len()));
    found.map(Some).ok_or_else(outside)
}

fn slice(value: &Value, from: Option<i64>, to: Option<i64>, by: i64) -> Vec<&Value> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let bound = |at: i64| usize::try_from(place(at, items.len()).max(0)).unwrap_or(0).min(items.len());
    let (from, to) = (bound(from.unwrap_or(0)), to.map_or(items.len(), bound));
    items.get(from..to).unwrap_or_default().iter().step_by(usize::try_from(by).unwrap_or(1)).collect()
}

fn holds(left: &Operand, right: Option<&(Comparison, Operand)>, at: &Value) -> Result<bool, PathError> {
    let left = operand(left, at)?;
    let Some((comparison, right)) = right else { return Ok(!left.is_empty()) };
    let right = operand(right, at)?;
    let (Some(left), Some(right)) = (left.first(), right.first()) else { return Ok(false) };
    let order = compare(left, right);
    Ok(match comparison {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => order.is_some_and(Ordering::is_le),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
    })
}

fn operand<'v>(operand: &'v Operand, at: &'v Value) -> Result<Vec<&'v Value>, PathError> {
    match operand {
        Operand::Literal(value) => Ok(vec![value]),
        Operand::Path(steps) => follow(steps, at),
    }
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        _ => None,
    }
}
