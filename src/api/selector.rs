//! Label selectors: `app=web,tier in (a, b),!old`, read and refused as Kubernetes does.

use serde_json::{Map, Value};

use crate::field_error::quoted;
use crate::names;

/// What labels must be like. Empty: everything matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

/// What one label must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Absent,
    /// The value is a whole number above this.
    Above(i64),
    /// The value is a whole number below this.
    Below(i64),
    Present,
    /// The value is one of these.
    In(Vec<String>),
    /// The label is absent, or its value is none of these.
    NotIn(Vec<String>),
}

/// A selector that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// Says what was found and what was expected.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        Parser { tokens: tokens(text), at: 0 }.selector().map_err(SelectorError)
    }

    /// What a map of labels selects, as Services and ReplicationControllers hold one: all of them must be there.
    pub fn of_labels(labels: &Map<String, Value>) -> Self {
        let one = |(key, value): (&String, &Value)| Requirement {
            key: key.clone(),
            test: Test::In(vec![value.as_str().unwrap_or_default().to_owned()]),
        };
        Self(labels.iter().map(one).collect())
    }

    /// What a `LabelSelector` selects: `matchLabels` and `matchExpressions`. An operator that nobody knows matches
    /// nothing; validation keeps those out.
    pub fn of_label_selector(selector: &Value) -> Self {
        let labels = selector.get("matchLabels").and_then(Value::as_object);
        let mut all = labels.map(Self::of_labels).unwrap_or_default().0;
        let expressions = selector.get("matchExpressions").and_then(Value::as_array);
        all.extend(expressions.into_iter().flatten().map(expression));
        Self(all)
    }

    /// The labels that must have one given value: what an index looks a selector up by.
    pub fn equalities(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|requirement| match &requirement.test {
            Test::In(values) => match &values[..] {
                [value] => Some((requirement.key.as_str(), value.as_str())),
                _ => None,
            },
            _ => None,
        })
    }

    /// Whether it lets everything pass.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether labels match; `label` gives the value of a key.
    pub fn matches<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        self.0.iter().all(|requirement| requirement.test.holds(label(&requirement.key)))
    }
}

/// One of `matchExpressions`.
fn expression(expression: &Value) -> Requirement {
    let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
    let values: Vec<String> = values.filter_map(Value::as_str).map(str::to_owned).collect();
    let test = match expression["operator"].as_str().unwrap_or_default() {
        "NotIn" => Test::NotIn(values),
        "Exists" => Test::Present,
        "DoesNotExist" => Test::Absent,
        "In" => Test::In(values),
        _ => Test::In(Vec::new()),
    };
    Requirement { key: expression["key"].as_str().unwrap_or_default().to_owned(), test }
}

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::Absent => value.is_none(),
            Self::Above(bound) => number().is_some_and(|number| number > *bound),
            Self::Below(bound) => number().is_some_and(|number| number < *bound),
            Self::Present => value.is_some(),
            Self::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            Self::NotIn(values) => value.is_none_or(|value| values.iter().all(|one| one != value)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Close,
    Comma,
    DoubleEqual,
    End,
    Equal,
    Greater,
    In,
    Less,
    Not,
    NotEqual,
    NotIn,
    Open,
    Text(String),
}

impl Token {
    /// As error texts show it.
    fn literal(&self) -> &str {
        match self {
            Self::Close => ")",
            Self::Comma => ",",
            Self::DoubleEqual => "==",
            Self::End => "",
            Self::Equal => "=",
            Self::Greater => ">",
            Self::In => "in",
            Self::Less => "<",
            Self::Not => "!",
            Self::NotEqual => "!=",
            Self::NotIn => "notin",
            Self::Open => "(",
            Self::Text(text) => text,
        }
    }

    /// Where values stand, `in` and `notin` are text like any other.
    fn into_text(self) -> Result<String, Self> {
        match self {
            Self::Text(text) => Ok(text),
            Self::In | Self::NotIn => Ok(self.literal().to_owned()),
            other => Err(other),
        }
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let is_special = |letter: char| "=!(),><".contains(letter);
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_special(first) {
            let double = ["==", "!="].into_iter().any(|sign| rest.starts_with(sign));
            1 + usize::from(double)
        } else {
            rest.find(|letter: char| is_special(letter) || letter.is_ascii_whitespace()).unwrap_or(rest.len())
        };
        let (word, behind) = rest.split_at(length);
        tokens.push(token(word));
        rest = behind.trim_start();
    }
    tokens.push(Token::End);
    tokens
}

fn token(word: &str) -> Token {
    match word {
        ")" => Token::Close,
        "," => Token::Comma,
        "==" => Token::DoubleEqual,
        "=" => Token::Equal,
        ">" => Token::Greater,
        "in" => Token::In,
        "<" => Token::Less,
        "!" => Token::Not,
        "!=" => Token::NotEqual,
        "notin" => Token::NotIn,
        "(" => Token::Open,
        text => Token::Text(text.to_owned()),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn selector(mut self) -> Result<Selector, String> {
        let mut requirements = Vec::new();
        let starts = |token: &Token| matches!(token, Token::Text(_) | Token::In | Token::NotIn | Token::Not);
        loop {
            match self.peek() {
                token if starts(token) => {
                    let requirement = self.requirement();
                    requirements
                        .push(requirement.map_err(|text| format!("unable to parse requirement: {text}"))?);
                }
                Token::End => return Ok(Selector(requirements)),
                other => {
                    return Err(format!(
                        "found '{}', expected: !, identifier, or 'end of string'",
                        other.literal()
                    ));
                }
            }
            match self.next() {
                Token::End => return Ok(Selector(requirements)),
                Token::Comma if !starts(self.peek()) => {
                    return Err(format!("found '{}', expected: identifier after ','", self.peek().literal()));
                }
                Token::Comma => {}
                other => {
                    return Err(format!("found '{}', expected: ',' or 'end of string'", other.literal()));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let negated = *self.peek() == Token::Not;
        if negated {
            self.next();
        }
        let key = self
            .next()
            .into_text()
            .map_err(|other| format!("found '{}', expected: identifier", other.literal()))?;
        let wrong = names::qualified(&key);
        if !wrong.is_empty() {
            return Err(invalid("<nil>", &key, &wrong.join("; ")));
        }
        if negated {
            return Ok(Requirement { key, test: Test::Absent });
        }
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Ok(Requirement { key, test: Test::Present });
        }
        let test = self.test(&key)?;
        Ok(Requirement { key, test })
    }

    fn test(&mut self, key: &str) -> Result<Test, String> {
        let operator = self.next();
        let mut values = match operator {
            Token::In | Token::NotIn => self.values()?,
            Token::Equal | Token::DoubleEqual | Token::NotEqual | Token::Greater | Token::Less => {
                vec![self.value()?]
            }
            other => {
                return Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", other.literal()));
            }
        };
        values.sort();
        values.dedup();
        let is_bound = matches!(operator, Token::Greater | Token::Less);
        let bound = values.first().and_then(|value| value.parse().ok()).filter(|_| is_bound);
        let mut errors = Vec::new();
        if is_bound && bound.is_none() {
            let why = "for 'Gt', 'Lt' operators, the value must be an integer";
            errors.push(invalid("values[0]", &values[0], why));
        }
        let wrong = values.iter().map(|value| names::label_value(value).join("; "));
        for (at, why) in wrong.enumerate().filter(|(_, why)| !why.is_empty()) {
            errors.push(invalid(&format!("values[{at}][{key}]"), &values[at], &why));
        }
        match (errors.as_slice(), operator, bound) {
            ([one], ..) => Err(one.clone()),
            ([_, _, ..], ..) => Err(format!("[{}]", errors.join(", "))),
            ([], Token::Greater, Some(bound)) => Ok(Test::Above(bound)),
            ([], Token::Less, Some(bound)) => Ok(Test::Below(bound)),
            ([], Token::NotIn | Token::NotEqual, _) => Ok(Test::NotIn(values)),
            ([], ..) => Ok(Test::In(values)),
        }
    }

    /// A single value; nothing at all is the empty one.
    fn value(&mut self) -> Result<String, String> {
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Ok(String::new());
        }
        self.next().into_text().map_err(|other| format!("found '{}', expected: identifier", other.literal()))
    }

    /// `(a,b)`; an empty place in the list is the empty value.
    fn values(&mut self) -> Result<Vec<String>, String> {
        match self.next() {
            Token::Open => {}
            other => return Err(format!("found '{}' expected: '('", other.literal())),
        }
        let mut values = Vec::new();
        loop {
            values.push(match self.peek() {
                Token::Comma | Token::Close => String::new(),
                _ => self
                    .next()
                    .into_text()
                    .map_err(|other| format!("found '{}', expected: ',', or identifier", other.literal()))?,
            });
            match self.next() {
                Token::Comma => {}
                Token::Close => return Ok(values),
                other => return Err(format!("found '{}', expected: ',' or ')'", other.literal())),
            }
        }
    }
}

fn invalid(path: &str, value: &str, why: &str) -> String {
    format!("{path}: Invalid value: {}: {why}", quoted(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, labels: &[(&'static str, &'static str)]) -> bool {
        let value = |key: &str| labels.iter().find(|label| label.0 == key).map(|label| label.1);
        Selector::parse(selector).expect("selector").matches(value)
    }

    #[test]
    fn what_matches() {
        let labels = [("app", "web"), ("tier", "in"), ("level", "3"), ("empty", "")];
        let holding = [
            "",
            "app",
            "app=web",
            "app==web",
            " app = web , tier ",
            "app!=db",
            "old!=x",
            "!old",
            "app in (db, web)",
            "app notin (db)",
            "old notin (a)",
            "tier in (in)",
            "level>2",
            "level<4",
            "empty=",
            "empty in (,x)",
            "empty in ()",
        ];
        let failing = [
            "old",
            "app=db",
            "app!=web",
            "!app",
            "app in (db)",
            "app notin (web)",
            "level>3",
            "app>1",
            "app=web,old",
        ];
        for selector in holding {
            assert!(matches(selector, &labels), "{selector}");
        }
        for selector in failing {
            assert!(!matches(selector, &labels), "{selector}");
        }
    }

    #[test]
    fn what_is_refused() {
        let cases = [
            ("=", "found '=', expected: !, identifier, or 'end of string'"),
            ("app,", "found '', expected: identifier after ','"),
            ("app in", "unable to parse requirement: found '' expected: '('"),
            ("app in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("app ! x", "unable to parse requirement: found '!', expected: in, notin, =, ==, !=, gt, lt"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("app=web x", "found 'x', expected: ',' or 'end of string'"),
            ("!app=web", "found '=', expected: ',' or 'end of string'"),
            (
                "app>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
        ];
        for (selector, expect) in cases {
            assert_eq!(Selector::parse(selector).expect_err(selector).to_string(), expect);
        }
        let long = "b".repeat(64);
        let error = Selector::parse(&format!("app in (x,{long})")).expect_err("value").to_string();
        let expect = format!(
            r#"unable to parse requirement: values[0][app]: Invalid value: "{long}": must be no more than 63 bytes"#
        );
        assert_eq!(error, expect);
        let error = Selector::parse("app>-x").expect_err("bound").to_string();
        assert!(
            error.contains("requirement: [values[0]: ") && error.contains(", values[0][app]: "),
            "{error}"
        );
        let error = Selector::parse("-a=b").expect_err("key").to_string();
        assert!(
            error.starts_with(
                "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of"
            ),
            "{error}"
        );
    }
}
