//! OpenAPI v2, and what `kctl explain -o plaintext-openapiv2` makes of it: what kubectl prints there.

use serde_json::{Map, Value};

use super::schema::is_of_kind;
use crate::failure::Failure;

/// The document of all groups and versions.
#[derive(Debug)]
pub struct Document(Value);

/// What is shown of a kind.
#[derive(Debug)]
pub struct Question<'q> {
    /// `apps/v1`
    pub api_version: &'q str,
    /// `Deployment`
    pub kind: &'q str,
    /// The way to a field; empty: the kind itself.
    pub fields: &'q [String],
    /// All fields below, without their descriptions.
    pub recursive: bool,
}

/// What a schema is of.
enum Shape<'d> {
    Anything,
    /// Items of this schema.
    List(&'d Value),
    /// Members of any name, of this schema or of anything.
    Map(Option<&'d Value>),
    /// A schema of this name.
    Named(&'d str, &'d Value),
    /// `string`, `integer`...
    Scalar(&'d str),
    /// Members of known names.
    Struct(&'d Map<String, Value>),
}

const DEFINITIONS: &str = "#/definitions/";

/// How wide lines are, their indents included.
const WIDTH_MAX: usize = 80;

/// The indents of descriptions and of lists of fields.
const DESCRIPTION_INDENT: usize = 5;
const FIELDS_INDENT: usize = 3;

impl Document {
    /// A document as the server sends it.
    pub fn new(value: Value) -> Self {
        Self(value)
    }

    /// The text for people; `None` where there is no such kind.
    ///
    /// # Errors
    /// When there is no such field.
    pub fn explained(&self, question: &Question<'_>) -> Option<Result<String, Failure>> {
        let Question { api_version, kind, .. } = question;
        let schemas = self.0["definitions"].as_object()?;
        let root = schemas.values().find(|schema| is_of_kind(schema, api_version, kind))?;
        Some(self.at(root, question.fields).map(|schema| self.page(schema, question)))
    }

    fn shape<'d>(&'d self, schema: &'d Value) -> Shape<'d> {
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix(DEFINITIONS)) {
            return Shape::Named(name, &self.0["definitions"][name]);
        }
        match (schema["type"].as_str(), schema["properties"].as_object()) {
            (None | Some("object"), Some(fields)) => Shape::Struct(fields),
            (None, None) => Shape::Anything,
            (Some("object"), None) => {
                Shape::Map(Some(&schema["additionalProperties"]).filter(|of| of.is_object()))
            }
            (Some("array"), _) => Shape::List(&schema["items"]),
            (Some(scalar), _) => Shape::Scalar(scalar),
        }
    }

    fn type_of(&self, schema: &Value) -> String {
        match self.shape(schema) {
            Shape::Anything => String::new(),
            Shape::List(of) => format!("[]{}", self.type_of(of)),
            Shape::Map(of) => format!("map[string]{}", of.map(|of| self.type_of(of)).unwrap_or_default()),
            Shape::Named(_, of) => self.type_of(of),
            Shape::Scalar(name) => name.to_owned(),
            Shape::Struct(_) => "Object".to_owned(),
        }
    }

    /// The schema of a field; what is neither list, map nor struct holds whatever one asks for.
    fn at<'d>(&'d self, schema: &'d Value, fields: &[String]) -> Result<&'d Value, Failure> {
        let [first, rest @ ..] = fields else { return Ok(schema) };
        match self.shape(schema) {
            Shape::Anything | Shape::Map(None) | Shape::Scalar(_) => Ok(schema),
            Shape::List(of) | Shape::Map(Some(of)) | Shape::Named(_, of) => self.at(of, fields),
            Shape::Struct(known) => match known.get(first) {
                Some(field) => self.at(field, rest),
                None => Err(Failure::Refused(format!("field \"{first}\" does not exist"))),
            },
        }
    }

    fn page(&self, schema: &Value, question: &Question<'_>) -> String {
        let mut out = format!("KIND:     {}\nVERSION:  {}\n\n", question.kind, question.api_version);
        let (mut descriptions, mut inner) = (Vec::new(), schema);
        let shape = loop {
            descriptions.push(description(inner));
            inner = match self.shape(inner) {
                Shape::List(of) | Shape::Map(Some(of)) | Shape::Named(_, of) => of,
                Shape::Map(None) => break Shape::Anything,
                shape => break shape,
            };
        };
        let head = match shape {
            Shape::Scalar(_) => Some("FIELD:   "),
            Shape::Struct(_) => Some("RESOURCE:"),
            _ => None,
        };
        if let (Some(head), Some(name)) = (head, question.fields.last()) {
            out.push_str(&format!("{head} {name} <{}>\n\n", self.type_of(schema)));
        }
        out.push_str(&described(&descriptions));
        if let Shape::Struct(fields) = shape {
            out.push_str("\nFIELDS:\n");
            if question.recursive {
                self.list_all(&mut out, fields, FIELDS_INDENT, &mut Vec::new());
            } else {
                self.list(&mut out, fields, &inner["required"]);
            }
        }
        out
    }

    fn list(&self, out: &mut String, fields: &Map<String, Value>, required: &Value) {
        let indent = " ".repeat(FIELDS_INDENT);
        for (name, field) in sorted(fields) {
            let is_required = required.as_array().is_some_and(|names| names.iter().any(|one| one == name));
            let note = if is_required { " -required-" } else { "" };
            out.push_str(&format!("{indent}{name}\t<{}>{note}\n", self.type_of(field)));
            write_wrapped(out, description(field));
            out.push('\n');
        }
    }

    /// Types that hold themselves are listed once on the way.
    fn list_all<'d>(
        &'d self,
        out: &mut String,
        fields: &'d Map<String, Value>,
        indent: usize,
        seen: &mut Vec<&'d str>,
    ) {
        for (name, field) in sorted(fields) {
            out.push_str(&format!("{}{name}\t<{}>\n", " ".repeat(indent), self.type_of(field)));
            let (mut inner, depth) = (field, seen.len());
            loop {
                inner = match self.shape(inner) {
                    Shape::List(of) | Shape::Map(Some(of)) => of,
                    Shape::Named(name, of) if !seen.contains(&name) => {
                        seen.push(name);
                        of
                    }
                    Shape::Struct(below) => {
                        self.list_all(out, below, indent + FIELDS_INDENT, seen);
                        break;
                    }
                    _ => break,
                };
            }
            seen.truncate(depth);
        }
    }
}

fn description(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

fn sorted(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    fields
}

/// Descriptions on the way to a type and its own, those that there are, apart by empty lines.
fn described(descriptions: &[&str]) -> String {
    let mut out = "DESCRIPTION:\n".to_owned();
    for (at, text) in descriptions.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
        if at > 0 {
            out.push('\n');
        }
        write_wrapped(&mut out, text);
    }
    if descriptions.iter().all(|text| text.is_empty()) {
        write_wrapped(&mut out, "<empty>");
    }
    out
}

fn write_wrapped(out: &mut String, text: &str) {
    for line in wrapped(text, WIDTH_MAX - DESCRIPTION_INDENT) {
        if !line.is_empty() {
            out.push_str(&" ".repeat(DESCRIPTION_INDENT));
            out.push_str(&line);
        }
        out.push('\n');
    }
}

/// Words in lines. A line break stays only where it means something: code, lists, empty lines, and behind a colon.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let flush = |line: &mut String, lines: &mut Vec<String>| {
        if !line.is_empty() {
            lines.push(std::mem::take(line));
        }
    };
    for given in text.split('\n') {
        if given.starts_with("    ") {
            flush(&mut line, &mut lines);
            lines.push(given.to_owned());
            continue;
        }
        let trimmed = given.trim();
        if trimmed.is_empty() {
            let is_first = lines.is_empty();
            flush(&mut line, &mut lines);
            if !is_first {
                lines.push(String::new());
            }
            continue;
        }
        if line.ends_with(':') || is_item(trimmed) {
            flush(&mut line, &mut lines);
        }
        for word in trimmed.split_whitespace() {
            if !line.is_empty() && line.len() + 1 + word.len() > width {
                flush(&mut line, &mut lines);
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    flush(&mut line, &mut lines);
    lines
}

/// Whether a line begins an item of a list: `-`, `*`, `1`, `1.`, then a space.
fn is_item(line: &str) -> bool {
    let Some((mark, _)) = line.split_once(char::is_whitespace) else { return false };
    let digits = mark.strip_suffix('.').unwrap_or(mark);
    matches!(mark, "-" | "*") || (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}
