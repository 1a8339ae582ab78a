//! Forms of output: `-o`.

pub mod columns;
pub mod custom;
pub mod sort;

use serde_json::{Value, json};

use crate::catalog::Kind;
use crate::failure::Failure;
use crate::jsonpath::Template;
use crate::manifest;

/// A form of output.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// What a verb prints unasked: a table, or a line that says what was done.
    Human {
        /// With the columns that are usually left out.
        wide: bool,
    },
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `pod/a`
    Name,
    /// What a template prints.
    JsonPath(Template),
    /// What a template's paths lead to, as a JSON list.
    JsonPathAsJson(Template),
    /// Columns of the user's own.
    Columns(custom::Columns),
}

/// What `-o` knows.
const FORMS: &str =
    "json, yaml, name, wide, jsonpath, jsonpath-as-json, jsonpath-file, custom-columns, custom-columns-file";

impl Form {
    /// Reads what was given to `-o`; empty: nothing was.
    ///
    /// # Errors
    /// When there is no such form, or its template is wrong.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let (form, rest) = text.split_once('=').unwrap_or((text, ""));
        let usage = |why: String| Failure::Usage(format!("-o {text}: {why}"));
        if rest.is_empty()
            && (form.contains('-') || form == "jsonpath" || form == "template")
            && !form.starts_with("go-")
        {
            return Err(usage(format!("a template is missing: write -o {form}=...")));
        }
        let file = || {
            std::fs::read_to_string(rest).map_err(|error| usage(format!("reading {rest} failed: {error}")))
        };
        let template = |text: &str| {
            Template::parse(text).map_err(|error| usage(format!("error parsing jsonpath: {error}")))
        };
        match form {
            "" => Ok(Self::Human { wide: false }),
            "wide" => Ok(Self::Human { wide: true }),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            "name" => Ok(Self::Name),
            "jsonpath" => template(rest).map(Self::JsonPath),
            "jsonpath-file" => template(&file()?).map(Self::JsonPath),
            "jsonpath-as-json" => template(rest).map(Self::JsonPathAsJson),
            "custom-columns" => custom::Columns::parse(rest).map_err(usage).map(Self::Columns),
            "custom-columns-file" => custom::Columns::parse_file(&file()?).map_err(usage).map(Self::Columns),
            "go-template" | "go-template-file" | "template" | "templatefile" => Err(usage(
                "kctl has no Go templates: say the same with -o jsonpath='{.metadata.name}' or \
                 -o custom-columns=NAME:.metadata.name, or use -o json"
                    .to_owned(),
            )),
            _ => Err(usage(format!("there is no such form: allowed are {FORMS}"))),
        }
    }

    /// Whether the verb's own words are wanted.
    pub fn is_human(&self) -> bool {
        matches!(self, Self::Human { .. })
    }

    /// An object, or a list of them, in this form. A form for people has nothing to say here.
    ///
    /// # Errors
    /// When a template does not fit.
    pub fn print(&self, value: &Value, name: impl Fn(&Value) -> String) -> Result<String, Failure> {
        let unfit = |error| Failure::Refused(format!("error executing jsonpath: {error}"));
        match self {
            Self::Human { .. } => Ok(String::new()),
            Self::Json => Ok(manifest::json(value)),
            Self::Yaml => Ok(manifest::yaml(value)),
            Self::Name => Ok(items(value).into_iter().map(|item| name(item) + "\n").collect()),
            Self::JsonPath(template) => template.print(value).map_err(unfit),
            Self::JsonPathAsJson(template) => {
                let values = template.values(value).map_err(unfit)?;
                Ok(manifest::json(&values.into_iter().cloned().collect()))
            }
            Self::Columns(columns) => Ok(columns.print(&items(value))),
        }
    }
}

/// The objects of a List, or the object itself.
pub fn items(value: &Value) -> Vec<&Value> {
    let is_list = manifest::text(value, "/kind").ends_with("List");
    match value["items"].as_array().filter(|_| is_list) {
        Some(items) => items.iter().collect(),
        None => vec![value],
    }
}

/// An object as people read it: without the bookkeeping of who set what.
pub fn presented(mut object: Value, show_managed_fields: bool) -> Value {
    if !show_managed_fields && let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.shift_remove("managedFields");
    }
    object
}

/// `deployment.apps/web`, from what the object says of itself.
pub fn printed_name(object: &Value) -> String {
    let group = manifest::text(object, "/apiVersion").split_once('/').map_or("", |(group, _)| group);
    let kind =
        Kind { group: group.to_owned(), kind: manifest::text(object, "/kind").to_owned(), ..Kind::default() };
    kind.printed(manifest::name(object))
}

/// What a Table would be of objects that came without one.
pub fn plain_table(objects: &[&Value]) -> Value {
    let rows = objects.iter().map(|object| {
        let created = manifest::text(object, "/metadata/creationTimestamp");
        json!({"cells": [manifest::name(object), created], "object": {"metadata": object["metadata"]}})
    });
    let columns = json!([{"name": "Name", "priority": 0}, {"name": "Created At", "priority": 0}]);
    json!({"kind": "Table", "columnDefinitions": columns, "rows": rows.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_prints_an_object() {
        let object = json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "a", "managedFields": [1]}});
        let list = manifest::list(vec![object.clone(), object.clone()]);
        let cases = [
            ("", &object, ""),
            ("name", &object, "deployment.apps/a\n"),
            ("name", &list, "deployment.apps/a\ndeployment.apps/a\n"),
            ("yaml", &object, "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: a\n"),
            ("jsonpath={.metadata.name}!", &object, "a!"),
            ("jsonpath-as-json={.metadata.name}", &object, "[\n    \"a\"\n]\n"),
            ("custom-columns=N:.metadata.name,X:.x", &list, "N     X\na     <none>\na     <none>\n"),
        ];
        for (form, value, expected) in cases {
            let parsed = Form::parse(form).expect("a form");
            let shown = match value["items"] {
                Value::Array(_) => value.clone(),
                _ => presented(value.clone(), false),
            };
            assert_eq!(parsed.print(&shown, printed_name).expect("it fits"), expected, "{form}");
        }
    }

    #[test]
    fn forms_that_are_none_are_told() {
        let cases = [
            ("xml", "there is no such form"),
            ("jsonpath", "a template is missing"),
            ("jsonpath={", "error parsing jsonpath: unclosed action"),
            ("go-template={{.}}", "kctl has no Go templates"),
            ("custom-columns=A", "expected <header>:<json-path-expr>"),
            ("jsonpath-file=/nowhere", "reading /nowhere failed"),
        ];
        for (form, expected) in cases {
            let told = Form::parse(form).expect_err("it is none").to_string();
            assert!(told.contains(expected), "{told}");
        }
    }
}
