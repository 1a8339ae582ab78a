//! Paths into an object, as columns write them: `.spec.items[0].name`, `.status.conditions[?(@.type=="Ready")].status`.

use std::cmp::Ordering;

use serde_json::Value;

/// A path, read once.
#[derive(Clone, Debug)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    /// Everything below, at any depth.
    Deep,
    /// A member.
    Field(String),
    /// Items that pass.
    Filter(Box<Filter>),
    /// Items from, to, by.
    Slice(Option<i64>, Option<i64>, Option<i64>),
    /// A value of its own.
    Text(Value),
    /// What each of these finds.
    Union(Vec<JsonPath>),
    /// Every member or item.
    Wildcard,
}

#[derive(Clone, Debug)]
struct Filter {
    left: JsonPath,
    /// None: there is such a thing.
    compared: Option<(Comparison, JsonPath)>,
}

#[derive(Clone, Copy, Debug)]
enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    NotEqual,
}

impl JsonPath {
    /// Reads a path, without braces; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        Reader { rest: text }.path()
    }

    /// The member with which it begins, if it does with one.
    pub fn first_field(&self) -> Option<&str> {
        match self.0.first() {
            Some(Step::Field(name)) => Some(name),
            _ => None,
        }
    }

    /// What stands there, in order; `None` when the path does not fit the value.
    pub fn find<'v>(&'v self, value: &'v Value) -> Option<Vec<&'v Value>> {
        self.0.iter().try_fold(vec![value], |found, step| step.walk(found))
    }
}

impl Step {
    fn walk<'v>(&'v self, found: Vec<&'v Value>) -> Option<Vec<&'v Value>> {
        match self {
            Self::Deep => Some(found.into_iter().flat_map(deep).collect()),
            Self::Field(name) => Some(found.into_iter().filter_map(|value| value.get(name)).collect()),
            Self::Filter(filter) => {
                let lists: Option<Vec<_>> = found.into_iter().map(Value::as_array).collect();
                let items: Vec<&Value> = lists?.into_iter().flatten().collect();
                let mut passed = Vec::new();
                for item in items {
                    if filter.passes(item)? {
                        passed.push(item);
                    }
                }
                Some(passed)
            }
            Self::Slice(from, to, by) => {
                let mut items = Vec::new();
                for value in found.into_iter().filter(|value| !value.is_null()) {
                    items.extend(slice(value.as_array()?, *from, *to, *by)?);
                }
                Some(items)
            }
            Self::Text(text) => Some(vec![text; found.len().min(1)]),
            Self::Union(paths) => {
                let each = |path: &'v JsonPath| {
                    path.0.iter().try_fold(found.clone(), |found, step| step.walk(found))
                };
                paths.iter().map(each).collect::<Option<Vec<_>>>().map(|lists| lists.concat())
            }
            Self::Wildcard => Some(found.into_iter().flat_map(children).collect()),
        }
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => Vec::new(),
    }
}

/// A value and everything below it that holds something.
fn deep(value: &Value) -> Vec<&Value> {
    let below = children(value);
    let own = (!below.is_empty()).then_some(value);
    own.into_iter().chain(below.into_iter().flat_map(deep)).collect()
}

fn slice(items: &[Value], from: Option<i64>, to: Option<i64>, by: Option<i64>) -> Option<Vec<&Value>> {
    let count = i64::try_from(items.len()).ok()?;
    let from = from.unwrap_or(0);
    let to = to.unwrap_or(count);
    let from = if from < 0 { from + count } else { from };
    let to = if to < 0 { to + count } else { to };
    if from == to {
        return Some(Vec::new());
    }
    if from < 0 || from >= count || to > count || to < from {
        return None;
    }
    let step = by.unwrap_or(1);
    let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
    (step > 0).then(|| items[from..to].iter().step_by(usize::try_from(step).unwrap_or(1)).collect())
}

impl Filter {
    fn passes(&self, item: &Value) -> Option<bool> {
        let left = self.left.find(item);
        let Some((comparison, right)) = &self.compared else {
            return Some(left.is_some_and(|found| !found.is_empty()));
        };
        let (left, right) = (left?, right.find(item)?);
        match (left.as_slice(), right.as_slice()) {
            ([], _) | (_, []) => Some(false),
            ([left], [right]) => compare(left, right, *comparison),
            _ => None,
        }
    }
}

fn compare(left: &Value, right: &Value, how: Comparison) -> Option<bool> {
    let order = match (left, right) {
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Number(left), Value::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?)?,
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        _ => return None,
    };
    Some(match how {
        Comparison::Equal => order.is_eq(),
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEqual => order.is_ge(),
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order.is_le(),
        Comparison::NotEqual => order.is_ne(),
    })
}

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn path(mut self) -> Option<JsonPath> {
        let mut steps = Vec::new();
        while !self.rest.is_empty() {
            self.step(&mut steps)?;
        }
        Some(JsonPath(steps))
    }

    fn take(&mut self, prefix: &str) -> bool {
        let found = self.rest.strip_prefix(prefix);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn step(&mut self, steps: &mut Vec<Step>) -> Option<()> {
        if self.take("[?(") {
            steps.push(Step::Filter(self.filter()?.into()));
        } else if self.take("..") {
            if matches!(steps.last(), Some(Step::Deep)) {
                return None;
            }
            steps.push(Step::Deep);
            if self.rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_') {
                steps.push(self.field());
            }
        } else if self.take(".") {
            steps.push(self.field());
        } else if self.take("[") {
            let (inner, rest) = self.rest.split_once(']')?;
            self.rest = rest;
            steps.push(bracket(inner)?);
        } else if !(self.take("$") || self.take("@") || self.take(" ")) {
            steps.push(Step::Text(self.literal()?));
        }
        Some(())
    }

    /// A member's name, up to what ends it; a backslash takes the meaning from what follows.
    fn field(&mut self) -> Step {
        let mut name = String::new();
        let mut letters = self.rest.char_indices();
        let end = loop {
            let Some((at, letter)) = letters.next() else { break self.rest.len() };
            match letter {
                '\\' => name.extend(letters.next().map(|(_, letter)| letter)),
                ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}' => break at,
                letter => name.push(letter),
            }
        };
        self.rest = &self.rest[end..];
        if name == "*" { Step::Wildcard } else { Step::Field(name) }
    }

    /// Text in quotes, a number, true or false.
    fn literal(&mut self) -> Option<Value> {
        let quote = self.rest.chars().next()?;
        if quote == '"' || quote == '\'' {
            let mut text = String::new();
            let mut letters = self.rest.char_indices().skip(1);
            loop {
                match letters.next()? {
                    (_, '\\') => text.push(letters.next()?.1),
                    (at, letter) if letter == quote => {
                        self.rest = &self.rest[at + 1..];
                        return Some(text.into());
                    }
                    (_, letter) => text.push(letter),
                }
            }
        }
        let end = self.rest.find([' ', ')', ']', ',']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        serde_json::from_str(word).ok().filter(|value: &Value| value.is_number() || value.is_boolean())
    }

    /// Behind `[?(`.
    fn filter(&mut self) -> Option<Filter> {
        let mut quote = None;
        let end = self.rest.char_indices().find_map(|(at, letter)| {
            match (letter, quote) {
                ('"' | '\'', None) => quote = Some(letter),
                (letter, Some(open)) if letter == open => quote = None,
                (')', None) => return Some(at),
                _ => {}
            }
            None
        })?;
        let inner = &self.rest[..end];
        self.rest = self.rest[end..].strip_prefix(")]")?;
        let Some(at) = inner.find(['!', '<', '>', '=']) else {
            return Some(Filter { left: JsonPath::parse(inner)?, compared: None });
        };
        let (left, behind) = inner.split_at(at);
        let signs = behind.bytes().take_while(|byte| b"!<>=".contains(byte)).count();
        let (sign, right) = behind.split_at(signs);
        let comparison = match sign {
            "==" => Comparison::Equal,
            "!=" => Comparison::NotEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            _ => return None,
        };
        Some(Filter { left: JsonPath::parse(left)?, compared: Some((comparison, JsonPath::parse(right)?)) })
    }
}

/// What stands in brackets: an index, a slice, a name in quotes, a star, or several of them.
fn bracket(inner: &str) -> Option<Step> {
    if inner == "*" {
        return Some(Step::Slice(None, None, None));
    }
    if inner.contains(',') {
        let paths = inner.split(',').map(|part| Some(JsonPath(vec![bracket(part.trim())?])));
        return paths.collect::<Option<_>>().map(Step::Union);
    }
    if let Some(name) = inner.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return Some(Reader { rest: name }.field());
    }
    let number = |text: &str| match text {
        "" => Some(None),
        text => text.parse::<i64>().ok().map(Some),
    };
    let mut parts = inner.split(':');
    let (from, to, by) = (parts.next()?, parts.next(), parts.next());
    match (to, by, parts.next()) {
        (None, ..) => {
            let at = from.parse::<i64>().ok()?;
            // The last item is reached from behind: nothing stands at what follows it.
            Some(Step::Slice(Some(at), Some(at + 1).filter(|end| *end != 0), None))
        }
        (Some(to), by, None) => {
            Some(Step::Slice(number(from)?, number(to)?, number(by.unwrap_or_default())?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_columns() {
        let value = json!({
            "spec": {"n": 1, "list": [{"a": "x"}, {"a": "y"}], "e.f/g": "dotted"},
            "conditions": [{"type": "Ready", "status": "True", "n": 3}, {"type": "Other", "status": "False"}],
        });
        let cases = [
            (".spec.n", json!([1])),
            (".spec.list[0].a", json!(["x"])),
            (".spec.list[-1].a", json!(["y"])),
            (".spec.list[*].a", json!(["x", "y"])),
            (".spec.list[0:1].a", json!(["x"])),
            (".spec.list[0,1].a", json!(["x", "y"])),
            (r".spec.e\.f/g", json!(["dotted"])),
            (r".spec['e\.f/g']", json!(["dotted"])),
            (r#".conditions[?(@.type=="Ready")].status"#, json!(["True"])),
            (".conditions[?(@.n>2)].type", json!(["Ready"])),
            (".conditions[?(@.n)].type", json!(["Ready"])),
            ("..a", json!(["x", "y"])),
            (".spec.missing.deeper", json!([])),
        ];
        for (path, expect) in cases {
            let parsed = JsonPath::parse(path).expect(path);
            assert_eq!(json!(parsed.find(&value)), expect, "{path}");
        }
        for wrong in [".a[", ".a[x]", "a", ".a[?(@.b=1)]", ".....a"] {
            assert!(JsonPath::parse(wrong).is_none(), "{wrong}");
        }
        assert_eq!(JsonPath::parse(".spec.list[9]").expect("a path").find(&value), None);
    }
}
