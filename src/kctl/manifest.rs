//! Files of objects, and objects as text.

use std::io::Read;
use std::path::{Path, PathBuf};

use api::decode;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::flags::Files;

/// An object and where it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The object.
    pub object: Value,
    /// The file; `STDIN` for the standard input.
    pub source: String,
}

/// Which files of a folder hold objects.
const EXTENSIONS: &[&str] = &["json", "yaml", "yml"];

/// All objects of the files, in order; the items of lists one by one.
///
/// # Errors
/// When a file cannot be read, or holds something else.
pub fn read(files: &Files) -> Result<Vec<Document>, Failure> {
    let mut documents = Vec::new();
    for name in &files.names {
        if name.starts_with("http://") || name.starts_with("https://") {
            return Err(Failure::Usage(format!(
                "{name}: kctl fetches nothing; fetch it, look at it, and pass it with -f -"
            )));
        }
        if name == "-" {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|error| Failure::Refused(format!("reading the standard input failed: {error}")))?;
            parse_into(&mut documents, &text, "STDIN")?;
            continue;
        }
        for path in files_of(Path::new(name), files.recursive)? {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| Failure::Refused(format!("reading {} failed: {error}", path.display())))?;
            parse_into(&mut documents, &text, &path.display().to_string())?;
        }
    }
    if documents.is_empty() {
        return Err(Failure::Refused(format!("no objects passed: {} hold none", files.names.join(", "))));
    }
    Ok(documents)
}

/// The path itself, or the files of that folder, in order.
fn files_of(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        if !path.exists() {
            return Err(Failure::Refused(format!("the path \"{}\" does not exist", path.display())));
        }
        return Ok(vec![path.to_owned()]);
    }
    let failed =
        |error: std::io::Error| Failure::Refused(format!("reading {} failed: {error}", path.display()));
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        entries.push(entry.map_err(failed)?.path());
    }
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        let extension = entry.extension().unwrap_or_default().to_string_lossy().into_owned();
        if entry.is_dir() && recursive {
            files.extend(files_of(&entry, recursive)?);
        } else if !entry.is_dir() && EXTENSIONS.contains(&extension.as_str()) {
            files.push(entry);
        }
    }
    Ok(files)
}

fn parse_into(documents: &mut Vec<Document>, text: &str, source: &str) -> Result<(), Failure> {
    for object in parse(text).map_err(|why| Failure::Refused(format!("{source}: {why}")))? {
        let items = match object["kind"].as_str().filter(|kind| kind.ends_with("List")) {
            Some(_) => object["items"].as_array().cloned(),
            None => None,
        };
        let objects = items.unwrap_or_else(|| vec![object]);
        for object in objects {
            for field in ["apiVersion", "kind"] {
                if object[field].as_str().unwrap_or_default().is_empty() {
                    return Err(Failure::Refused(format!("{source}: an object without {field}")));
                }
            }
            documents.push(Document { object, source: source.to_owned() });
        }
    }
    Ok(())
}

/// The objects of a text: YAML documents, of which JSON is one.
pub fn parse(text: &str) -> Result<Vec<Value>, String> {
    let mut objects = Vec::new();
    let says_something = |line: &str| !line.trim().is_empty() && !line.starts_with('#');
    for document in documents(text).into_iter().filter(|document| document.lines().any(says_something)) {
        let is_json = document.trim_start().starts_with('{');
        let read =
            if is_json { decode::json(document.as_bytes()) } else { decode::yaml(document.as_bytes()) };
        let decoded = read.map_err(|error| error.to_string())?;
        if let Some(path) = decoded.duplicates.first() {
            return Err(format!("{path} is given more than once"));
        }
        match decoded.value {
            Value::Null => {}
            object @ Value::Object(_) => objects.push(object),
            other => return Err(format!("an object was expected, not {other}")),
        }
    }
    Ok(objects)
}

/// Texts between lines that begin with `---`.
fn documents(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if line.starts_with("---") {
            documents.push(String::new());
        } else if let Some(last) = documents.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    documents
}

/// As YAML, members in the order of their names.
pub fn yaml(value: &Value) -> String {
    crate::yaml::document(&sorted(value))
}

/// As JSON for people, members in the order of their names.
pub fn json(value: &Value) -> String {
    let mut out = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, indent);
    let written = serde::Serialize::serialize(&sorted(value), &mut serializer);
    written.map_or_else(|_| value.to_string(), |()| String::from_utf8_lossy(&out).into_owned() + "\n")
}

/// The same with members in the order of their names, all the way down.
pub fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_unstable();
            names.into_iter().map(|name| (name.clone(), sorted(&members[name]))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// The text at a path of names, empty where there is none.
pub fn text<'v>(object: &'v Value, path: &str) -> &'v str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// `metadata.name`
pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// `metadata.namespace`
pub fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

/// Many objects as one.
pub fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_hold_documents() {
        let cases = [
            ("a: 1\n---\nb: 2\n", Ok(vec![json!({"a": 1}), json!({"b": 2})])),
            ("---\n# nothing\n---\n{\"a\": [1]}\n", Ok(vec![json!({"a": [1]})])),
            ("- a\n", Err("an object was expected, not [\"a\"]")),
            ("a: {b: 1}\nc: 1\na: 2\n", Err("a is given more than once")),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn folders_are_read_in_order_and_lists_are_taken_apart() {
        let root = tempfile::tempdir().expect("temporary directory");
        let write = |name: &str, text: &str| std::fs::write(root.path().join(name), text).expect("write");
        std::fs::create_dir(root.path().join("below")).expect("create");
        write(
            "b.yaml",
            "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: A}, {apiVersion: v1, kind: B}]\n",
        );
        write("a.json", r#"{"apiVersion": "v1", "kind": "C"}"#);
        write("readme.txt", "nothing");
        write("below/c.yml", "apiVersion: v1\nkind: D\n");
        let kinds = |recursive| {
            let files = Files { names: vec![root.path().display().to_string()], recursive };
            let kinds = read(&files).expect("objects");
            kinds
                .iter()
                .map(|document| document.object["kind"].as_str().unwrap_or_default())
                .collect::<Vec<_>>()
                .join("")
        };
        assert_eq!((kinds(false), kinds(true)), ("CAB".to_owned(), "CABD".to_owned()));
    }

    #[test]
    fn members_are_printed_in_the_order_of_their_names() {
        let value = json!({"b": {"d": 1, "c": ["x", {"z": true, "y": null}]}, "a": "1"});
        assert_eq!(yaml(&value), "a: \"1\"\nb:\n  c:\n  - x\n  - \"y\": null\n    z: true\n  d: 1\n");
        assert!(json(&value).starts_with("{\n    \"a\": \"1\",\n    \"b\": {\n        \"c\": ["));
    }
}
