//! `kctl explain`: what the server's OpenAPI says of a kind and its fields.

mod schema;
mod v2;

use clap::ValueEnum;
use serde_json::Value;

use crate::catalog::Kind;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::server::{Call, Server};
use schema::Document;

/// Which fields, and how much of them.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// TYPE, or a field of it: pods.spec.containers
    path: String,
    /// All fields below, without their descriptions.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    recursive: bool,
    /// In this group and version: apps/v1
    #[arg(long, value_name = "GROUP/VERSION")]
    api_version: Option<String>,
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = Output::Plaintext)]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// Text for people.
    Plaintext,
    /// The same from OpenAPI v2, in its own form.
    PlaintextOpenapiv2,
}

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let (kind, fields) = named(&args.path, server)?;
    let api_version = args.api_version.clone().unwrap_or_else(|| kind.api_version());
    let missing = || {
        Failure::Refused(format!(
            "couldn't find resource for \"{api_version}, Kind={}\": `kctl api-versions` lists the versions that there are",
            kind.kind
        ))
    };
    if let Output::PlaintextOpenapiv2 = args.output {
        let document = v2::Document::new(server.json(Call::get("/openapi/v2")).await?);
        let question = v2::Question {
            api_version: &api_version,
            kind: &kind.kind,
            fields: &fields,
            recursive: args.recursive,
        };
        return screen.print(&document.explained(&question).ok_or_else(missing)??);
    }
    let place =
        if api_version.contains('/') { format!("apis/{api_version}") } else { format!("api/{api_version}") };
    let index = server.json(Call::get("/openapi/v3")).await?;
    let url = index["paths"][&place]["serverRelativeURL"].as_str().ok_or_else(missing)?;
    let document = Document::new(server.json(Call::get(url)).await?);
    let root = document.of_kind(&api_version, &kind.kind).ok_or_else(missing)?;
    screen.print(&explained(&document, root, &kind, &api_version, &fields, args.recursive)?)
}

/// The kind and the fields that a path names. A group may stand behind the kind, and it has dots too.
fn named(path: &str, server: &Server) -> Result<(std::sync::Arc<Kind>, Vec<String>), Failure> {
    let words: Vec<&str> = path.trim_end_matches('.').split('.').collect();
    let mut first = None;
    for length in 1..=words.len() {
        let found = server.catalog.find(&words[..length].join("."));
        let fields = || words[length..].iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        match (found, &first) {
            (Ok(kind), None) => first = Some((kind, fields())),
            (Ok(kind), Some(_)) if length > 2 => first = Some((kind, fields())),
            (Err(failure), None) if length == words.len() => return Err(failure),
            _ => {}
        }
    }
    first.ok_or_else(|| Failure::Usage("TYPE is missing".to_owned()))
}

fn explained(
    document: &Document,
    root: &Value,
    kind: &Kind,
    api_version: &str,
    fields: &[String],
    recursive: bool,
) -> Result<String, Failure> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let mut out = if group.is_empty() { String::new() } else { format!("GROUP:      {group}\n") };
    out.push_str(&format!("KIND:       {}\nVERSION:    {version}\n\n", kind.kind));
    let mut at = root;
    for (depth, field) in fields.iter().enumerate() {
        let inner = document.structure(at);
        at = inner["properties"].get(field).ok_or_else(|| {
            let names =
                inner["properties"].as_object().map(|all| all.keys().cloned().collect::<Vec<_>>().join(", "));
            let there =
                names.map_or_else(|| "it has no fields".to_owned(), |names| format!("there are {names}"));
            let path =
                std::iter::once(kind.singular.as_str()).chain(fields[..depth].iter().map(String::as_str));
            Failure::Refused(format!(
                "field \"{field}\" does not exist in {}: {there}",
                path.collect::<Vec<_>>().join(".")
            ))
        })?;
    }
    if let Some(field) = fields.last() {
        out.push_str(&format!("FIELD: {field} <{}>\n", document.type_of(at)));
        let values = document.values(at);
        if !values.is_empty() {
            out.push_str(&format!(
                "ENUM:\n{}",
                values.iter().map(|value| format!("    {value}\n")).collect::<String>()
            ));
        }
        out.push('\n');
    }
    out.push_str(&format!("DESCRIPTION:\n{}\n", wrapped(&document.description(at), 4)));
    let inner = document.structure(at);
    if inner["properties"].is_object() {
        out.push_str("FIELDS:\n");
        let mut seen = Vec::new();
        list(document, inner, 1, recursive, &mut seen, &mut out);
        out.push('\n');
    }
    Ok(out)
}

/// The fields of a schema, in the order of their names.
fn list<'d>(
    document: &'d Document,
    schema: &'d Value,
    level: usize,
    recursive: bool,
    seen: &mut Vec<*const Value>,
    out: &mut String,
) {
    // Some types hold themselves.
    let id = std::ptr::from_ref(schema);
    if seen.contains(&id) {
        return;
    }
    seen.push(id);
    let indent = "  ".repeat(level);
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut fields: Vec<_> = schema["properties"].as_object().into_iter().flatten().collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    for (name, field) in fields {
        let note = if required.contains(&name.as_str()) { " -required-" } else { "" };
        out.push_str(&format!("{indent}{name}\t<{}>{note}\n", document.type_of(field)));
        let values = document.values(field);
        if !values.is_empty() {
            out.push_str(&format!("{indent}enum: {}\n", values.join(", ")));
        }
        if recursive {
            list(document, document.structure(field), level + 1, recursive, seen, out);
        } else {
            out.push_str(&format!("{}\n", wrapped(&document.summary(field), 4)));
        }
    }
    seen.pop();
}

/// How wide descriptions are, without their indent.
const WIDTH_MAX: usize = 76;

/// Words in lines, the text's own lines kept.
fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let mut shown = words.next().unwrap_or_default().to_owned();
        for word in words {
            if !shown.trim().is_empty() && shown.chars().count() + 1 + word.chars().count() > WIDTH_MAX {
                out.push_str(&format!("{}{}\n", " ".repeat(indent), shown.trim_end()));
                shown = word.to_owned();
            } else {
                shown.push(' ');
                shown.push_str(word);
            }
        }
        out.push_str(format!("{}{shown}", " ".repeat(indent)).trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;
    use crate::catalog::tests::row;

    fn check(fields: &[&str], recursive: bool, expected: &Expect) {
        let reference = |name: &str| json!({"allOf": [{"$ref": format!("#/components/schemas/io.{name}")}], "default": {}, "description": format!("The {name}.")});
        let document = Document::new(json!({"components": {"schemas": {
            "io.Deployment": {
                "description": "Deployment enables declarative updates for Pods and ReplicaSets, many words more so that the line is too long.",
                "x-kubernetes-group-version-kind": [{"group": "apps", "version": "v1", "kind": "Deployment"}],
                "properties": {"spec": reference("Spec"), "labels": {"type": "object", "additionalProperties": {"type": "string"}}},
            },
            "io.Spec": {
                "description": "What is wanted.", "required": ["mode"],
                "properties": {
                    "mode": {"type": "string", "enum": ["On", "Off"], "description": "Whether."},
                    "items": {"type": "array", "items": reference("Spec")},
                },
            },
        }}}));
        let root = document.of_kind("apps/v1", "Deployment").expect("it is there");
        let fields: Vec<String> = fields.iter().map(|&field| field.to_owned()).collect();
        let kind = row("apps", "v1", "Deployment", "");
        let text = explained(&document, root, &kind, "apps/v1", &fields, recursive);
        expected.assert_eq(&text.unwrap_or_else(|failure| failure.to_string()));
    }

    #[test]
    fn kinds_and_fields_are_explained() {
        check(
            &[],
            false,
            &expect![[r"
            GROUP:      apps
            KIND:       Deployment
            VERSION:    v1

            DESCRIPTION:
                Deployment enables declarative updates for Pods and ReplicaSets, many words
                more so that the line is too long.

            FIELDS:
              labels	<map[string]string>
                <no description>

              spec	<Spec>
                The Spec.


        "]],
        );
        check(
            &["spec", "mode"],
            false,
            &expect![[r"
            GROUP:      apps
            KIND:       Deployment
            VERSION:    v1

            FIELD: mode <string>
            ENUM:
                On
                Off

            DESCRIPTION:
                Whether.

        "]],
        );
        check(
            &["spec"],
            true,
            &expect![[r"
            GROUP:      apps
            KIND:       Deployment
            VERSION:    v1

            FIELD: spec <Spec>

            DESCRIPTION:
                The Spec.
                What is wanted.

            FIELDS:
              items	<[]Spec>
              mode	<string> -required-
              enum: On, Off

        "]],
        );
        check(
            &["spec", "items", "bogus"],
            false,
            &expect![[
                r#"kctl: field "bogus" does not exist in deployment.spec.items: there are mode, items"#
            ]],
        );
    }
}
