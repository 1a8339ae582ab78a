//! Text to nodes and steps.

use serde_json::Value;

use super::{Comparison, Node, Operand, PathError, Step};

fn error(text: impl Into<String>) -> PathError {
    PathError(text.into())
}

/// A list of nodes that is still open, and the path that it repeats for; the outermost has none.
type Open = (Vec<Step>, Vec<Node>);

/// Reads a template.
pub(super) fn template(text: &str) -> Result<Vec<Node>, PathError> {
    let mut open: Vec<Open> = vec![(Vec::new(), Vec::new())];
    let mut rest = text;
    while !rest.is_empty() {
        let Some((before, inside)) = rest.split_once('{') else {
            push(&mut open, Node::Text(rest.to_owned()));
            break;
        };
        if !before.is_empty() {
            push(&mut open, Node::Text(before.to_owned()));
        }
        let end = end_of(inside, '}').ok_or_else(|| error("unclosed action"))?;
        action(inside[..end].trim(), &mut open)?;
        rest = &inside[end + 1..];
    }
    match open.pop() {
        Some((_, nodes)) if open.is_empty() => Ok(nodes),
        _ => Err(error("unclosed range")),
    }
}

fn push(open: &mut [Open], node: Node) {
    if let Some((_, nodes)) = open.last_mut() {
        nodes.push(node);
    }
}

/// What stands between braces.
fn action(text: &str, open: &mut Vec<Open>) -> Result<(), PathError> {
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(quote) = rest.chars().next().filter(|first| "\"'".contains(*first)) {
            let end = end_of(&rest[1..], quote).ok_or_else(|| error("unterminated quoted string"))?;
            push(open, Node::Text(unescaped(&rest[1..=end])));
            rest = rest[end + 2..].trim_start();
            continue;
        }
        if rest == "end" {
            let Some((path, nodes)) = open.pop().filter(|_| !open.is_empty()) else {
                return Err(error("not in range, nothing to end"));
            };
            push(open, Node::Range(path, nodes));
            return Ok(());
        }
        if let Some(of) = rest.strip_prefix("range ") {
            open.push((path(of.trim())?, Vec::new()));
            return Ok(());
        }
        if rest.starts_with(char::is_alphabetic) {
            return Err(error(format!("unrecognized identifier {rest}")));
        }
        let end = rest.find(['"', '\'']).filter(|at| !rest[..*at].contains('[')).unwrap_or(rest.len());
        push(open, Node::Path(path(rest[..end].trim())?));
        rest = &rest[end..];
    }
    Ok(())
}

/// Where `close` stands outside of quotes, and for braces and brackets outside of inner ones.
fn end_of(text: &str, close: char) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0usize;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match (c, quote) {
            ('\\', _) => escaped = true,
            (c, None) if c == close && depth == 0 => return Some(at),
            (c, Some(open)) if c == open => quote = None,
            (_, Some(_)) => {}
            ('"' | '\'', None) => quote = Some(c),
            ('[' | '(', None) if close != '}' => depth += 1,
            (']' | ')', None) if close != '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let next = if c == '\\' { chars.next() } else { None };
        out.push(match next {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some(other) => other,
            None => c,
        });
    }
    out
}

/// Reads a path: `.items[*].metadata.name`.
fn path(text: &str) -> Result<Vec<Step>, PathError> {
    let mut steps = Vec::new();
    let mut rest = text.trim_start_matches(['$', '@']);
    while let Some(first) = rest.chars().next() {
        match first {
            '.' if rest.starts_with("..") => {
                steps.push(Step::Descend);
                rest = &rest[1..];
                if rest == "." {
                    return Ok(steps);
                }
            }
            '.' => {
                let (name, after) = member(&rest[1..]);
                match name.as_str() {
                    "*" => steps.push(Step::Wildcard),
                    "" => {}
                    _ => steps.push(Step::Member(name)),
                }
                rest = after;
            }
            '[' => {
                let end = end_of(&rest[1..], ']').ok_or_else(|| unclosed(rest))?;
                steps.push(bracket(rest[1..=end].trim())?);
                rest = &rest[end + 2..];
            }
            first if first.is_whitespace() => rest = rest.trim_start(),
            _ => return Err(error(format!("unrecognized character in action: {first:?}"))),
        }
    }
    Ok(steps)
}

fn unclosed(text: &str) -> PathError {
    error(if text.starts_with("[?") { "unterminated filter" } else { "unterminated array" })
}

/// A name up to the next step; a backslash takes the dot's meaning away.
fn member(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, next)| next)),
            '.' | '[' => return (name, &text[at..]),
            c if c.is_whitespace() => return (name, &text[at..]),
            c => name.push(c),
        }
    }
    (name, "")
}

/// What stands between brackets.
fn bracket(text: &str) -> Result<Step, PathError> {
    if let Some(condition) = text.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        return filter(condition);
    }
    if text.starts_with('?') {
        return Err(error("unterminated filter"));
    }
    let parts = split(text);
    if parts.len() > 1 {
        return Ok(Step::Union(parts.into_iter().map(one_of).collect::<Result<_, _>>()?));
    }
    let mut steps = one_of(text)?;
    match steps.len() {
        1 => Ok(steps.remove(0)),
        _ => Ok(Step::Union(vec![steps])),
    }
}

/// The parts between commas outside of quotes.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = end_of(rest, ',') {
        parts.push(rest[..at].trim());
        rest = &rest[at + 1..];
    }
    parts.push(rest.trim());
    parts
}

/// One part of what stands between brackets.
fn one_of(text: &str) -> Result<Vec<Step>, PathError> {
    if text == "*" {
        return Ok(vec![Step::Wildcard]);
    }
    let quoted = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(name) = quoted('\'').or_else(|| quoted('"')) {
        return path(&format!(".{name}"));
    }
    let bad = || error(format!("invalid array index {text}"));
    let number = |part: &str| match part.trim() {
        "" => Ok(None),
        digits => digits.parse::<i64>().map(Some).map_err(|_| bad()),
    };
    let parts = text.split(':').map(number).collect::<Result<Vec<_>, _>>()?;
    match parts[..] {
        [Some(at)] => Ok(vec![Step::Item(at)]),
        [from, to] => Ok(vec![Step::Slice { from, to, by: 1 }]),
        [from, to, by] => match by.unwrap_or(1) {
            by @ 1.. => Ok(vec![Step::Slice { from, to, by }]),
            _ => Err(error("step must be > 0")),
        },
        _ => Err(bad()),
    }
}

/// Longest first: `<=` begins with `<`.
const COMPARISONS: &[(&str, Comparison)] = &[
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

fn filter(text: &str) -> Result<Step, PathError> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if open == c => quote = None,
            Some(_) => continue,
            None if c == '"' || c == '\'' => quote = Some(c),
            None => {
                let found = COMPARISONS.iter().find(|(sign, _)| text[at..].starts_with(sign));
                if let Some((sign, comparison)) = found {
                    let (left, right) = (operand(&text[..at])?, operand(&text[at + sign.len()..])?);
                    return Ok(Step::Filter(left, Some((*comparison, right))));
                }
            }
        }
    }
    Ok(Step::Filter(operand(text)?, None))
}

fn operand(text: &str) -> Result<Operand, PathError> {
    let text = text.trim();
    let quoted = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(inner) = quoted('\'').or_else(|| quoted('"')) {
        return Ok(Operand::Literal(unescaped(inner).into()));
    }
    match serde_json::from_str::<Value>(text) {
        Ok(literal @ (Value::Number(_) | Value::Bool(_))) => Ok(Operand::Literal(literal)),
        _ => Ok(Operand::Path(path(text)?)),
    }
}
