//! kubectl's dialect of JSONPath: templates of text and `{}`, with ranges, unions, filters and slices.
//!
//! It is not RFC 9535: text around braces is printed, `range` repeats, results are joined by spaces.

mod eval;
mod parse;

use serde_json::Value;

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Vec<Node>);

/// One thing of a template.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    /// Printed as it is.
    Text(String),
    /// What a path leads to, printed with spaces between.
    Path(Vec<Step>),
    /// For each value of the path, the nodes.
    Range(Vec<Step>, Vec<Node>),
}

/// One step of a path: from each value to others.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// A member.
    Member(String),
    /// All members or items.
    Wildcard,
    /// The value and everything in it.
    Descend,
    /// Items from, to and at which distance; negative from the end.
    Slice { from: Option<i64>, to: Option<i64>, by: i64 },
    /// The item at a place.
    Item(i64),
    /// What each of these leads to, one after the other.
    Union(Vec<Vec<Step>>),
    /// Items for which it holds.
    Filter(Operand, Option<(Comparison, Operand)>),
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(Vec<Step>),
    Literal(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PathError(String);

impl Template {
    /// Reads a template: `{.metadata.name}{"\n"}`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        parse::template(text).map(Self)
    }

    /// Reads one path, whose braces and first dot may be left out: `metadata.name`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn relaxed(text: &str) -> Result<Self, PathError> {
        let inner = text.strip_prefix('{').map_or(Some(text), |rest| rest.strip_suffix('}'));
        let inner = inner.ok_or_else(|| PathError(format!("unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{{name1.name2}}' or '{{.name1.name2}}': {text}")))?;
        let dot = if inner.starts_with(['.', '[', '$', '@']) { "" } else { "." };
        Self::parse(&format!("{{{dot}{inner}}}"))
    }

    /// What it prints for a value.
    ///
    /// # Errors
    /// When it asks for an item of something that has none.
    pub fn print(&self, root: &Value) -> Result<String, PathError> {
        eval::print(&self.0, root)
    }

    /// All values that its paths lead to.
    ///
    /// # Errors
    /// As [`Template::print`].
    pub fn values<'v>(&self, root: &'v Value) -> Result<Vec<&'v Value>, PathError> {
        eval::values(&self.0, root)
    }
}

/// A value between other text: strings bare, the rest as JSON.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => crate::manifest::sorted(other).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn root() -> Value {
        json!({
            "kind": "List",
            "items": [
                {"kind": "None", "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "a"}},
                 "status": {"capacity": {"cpu": "4"}, "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.1"}]}},
                {"kind": "None", "metadata": {"name": "127.0.0.2"},
                 "status": {"capacity": {"cpu": "8"}, "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.2"}, {"type": "another", "address": "127.0.0.3"}]}},
            ],
            "users": [{"name": "myself", "user": {}, "age": 7}, {"name": "e2e", "user": {"username": "admin", "password": "secret"}, "age": 9.5}],
            "list": [0, 1, 2, 3],
            "yes": true,
        })
    }

    #[test]
    fn templates_print_what_kubectl_prints() {
        let cases = [
            ("plain", "plain"),
            ("kind is {.kind}", "kind is List"),
            ("{['kind']} {$.kind} {@.kind}", "List List List"),
            ("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2"),
            (
                "{.items[*]['metadata.name', 'status.capacity']}",
                r#"127.0.0.1 127.0.0.2 {"cpu":"4"} {"cpu":"8"}"#,
            ),
            ("{..name}", "127.0.0.1 127.0.0.2 myself e2e"),
            (r#"{.users[?(@.name=="e2e")].user.password}"#, "secret"),
            ("{.users[?(@.age>=9)].name}", "e2e"),
            ("{.users[?(@.user.username)].name}", "e2e"),
            ("{.users[?(@.name!='e2e')].name}", "myself"),
            (
                r#"{range .items[*]}[{.metadata.name}, {.status.capacity}]{"\n"}{end}"#,
                "[127.0.0.1, {\"cpu\":\"4\"}]\n[127.0.0.2, {\"cpu\":\"8\"}]\n",
            ),
            (
                r#"{range .items[*]}{range .status.addresses[*]}{.address}{","}{end}{"\t"}{end}"#,
                "127.0.0.1,\t127.0.0.2,127.0.0.3,\t",
            ),
            (r"{.items[0].metadata.labels.kubernetes\.io/hostname}", "a"),
            ("{.items[0].metadata.labels['kubernetes\\.io/hostname']}", "a"),
            ("{.list[1:3]} {.list[-1]} {.list[-2:]} {.list[::2]} {.list[0,3]}", "1 2 3 2 3 0 2 0 3"),
            ("{.list}", "[0,1,2,3]"),
            ("{.yes}{.missing}{.missing.more}", "true"),
            ("{.users[1].age}", "9.5"),
            ("{'single'}{\"a\\\"b\"}", "singlea\"b"),
            ("{.users[*].name} }", "myself e2e }"),
        ];
        for (template, expected) in cases {
            let printed = Template::parse(template).and_then(|parsed| parsed.print(&root()));
            assert_eq!(printed.as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn what_is_no_template_is_told() {
        let cases = [
            ("{.kind", "unclosed action"),
            ("{range .items[*]}x", "unclosed range"),
            ("{end}", "not in range, nothing to end"),
            ("{.list[}", "unterminated array"),
            ("{.list[a b]}", "invalid array index a b"),
            ("{.list[9]}", "array index out of bounds: index 9, length 4"),
            ("{nonsense}", "unrecognized identifier nonsense"),
            ("{.a[?(@.b]}", "unterminated filter"),
        ];
        for (template, expected) in cases {
            let printed = Template::parse(template).and_then(|parsed| parsed.print(&root()));
            assert_eq!(printed, Err(PathError(expected.to_owned())), "{template}");
        }
    }

    #[test]
    fn one_path_may_stand_alone() {
        for text in ["kind", ".kind", "{.kind}", "{kind}"] {
            assert_eq!(
                Template::relaxed(text).and_then(|path| path.print(&root())).as_deref(),
                Ok("List"),
                "{text}"
            );
        }
        assert!(Template::relaxed("{kind").is_err());
    }
}
