//! Resources as paths and operations.

use serde_json::{Map, Value, json};

use super::{Dialect, parameters, root};
use crate::resource::{Resource, Subresource, model};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// In what forms objects are sent.
const MEDIA: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// In what forms patches are; the last is for types that say how they merge.
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// The paths of these resources, and of their versions.
pub(super) fn all(rows: &[&Resource], dialect: Dialect) -> Value {
    let mut paths = Map::new();
    for row in rows {
        let builder = Builder { row, dialect };
        let (item, root) = (builder.resources(), root(row));
        paths.insert(format!("/{root}/"), item);
        let everywhere = format!("/{root}/{}", row.plural);
        let collection = match row.namespaced {
            true => format!("/{root}/namespaces/{{namespace}}/{}", row.plural),
            false => everywhere.clone(),
        };
        builder.insert(&mut paths, collection.clone(), builder.collection(), &["namespace"]);
        if row.namespaced && has(&row.verbs, "list") {
            builder.insert(&mut paths, everywhere, vec![("get", builder.list(true))], &[]);
        }
        let one = format!("{collection}/{{name}}");
        builder.insert(&mut paths, one.clone(), builder.object(), &["namespace", "name"]);
        for below in &row.subresources {
            let path = format!("{one}/{}", below.name);
            let of = Below { builder: &builder, below };
            builder.insert(&mut paths, path.clone(), of.operations(""), &["namespace", "name"]);
            if below.kind.ends_with("ProxyOptions") {
                let operations = of.operations("WithPath");
                builder.insert(
                    &mut paths,
                    format!("{path}/{{path}}"),
                    operations,
                    &["namespace", "name", "path"],
                );
            }
        }
    }
    paths.sort_keys();
    paths.into()
}

fn has(verbs: &[String], verb: &str) -> bool {
    verbs.iter().any(|one| one == verb)
}

/// With a capital in front.
fn titled(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The group without its domain, as one word: `RbacAuthorization`.
fn group_word(group: &str) -> String {
    let group = if group.is_empty() { "core" } else { group };
    group.trim_end_matches(".k8s.io").split('.').map(titled).collect()
}

/// One operation, before it is written in a dialect.
struct Operation<'a> {
    /// What its name begins with.
    word: &'a str,
    /// What its name ends with.
    about: String,
    /// `list`, `post`...
    action: &'a str,
    /// Group, version, kind.
    kind: (&'a str, &'a str, &'a str),
    /// The options in its query.
    options: &'a [&'a str],
    /// The type in its body, with the forms in which that may come.
    body: Option<(String, &'a [&'a str])>,
    /// The codes of its answers.
    codes: &'a [&'a str],
    /// The type of its answers; `None`: text.
    answer: Option<String>,
}

type Operations = Vec<(&'static str, Value)>;

struct Builder<'r> {
    row: &'r Resource,
    dialect: Dialect,
}

impl Builder<'_> {
    fn insert(&self, paths: &mut Map<String, Value>, path: String, operations: Operations, names: &[&str]) {
        if operations.is_empty() {
            return;
        }
        let mut item: Map<String, Value> =
            operations.into_iter().map(|(method, operation)| (method.to_owned(), operation)).collect();
        let names = names.iter().filter(|name| **name != "namespace" || self.row.namespaced);
        let mut all: Vec<Value> = names.map(|name| parameters::path(name, self.dialect)).collect();
        all.push(parameters::query("pretty", self.dialect));
        item.insert("parameters".into(), all.into());
        paths.insert(path, item.into());
    }

    fn own_kind(&self) -> (&str, &str, &str) {
        (&self.row.group, &self.row.version, &self.row.kind)
    }

    fn namespaced(&self) -> &'static str {
        if self.row.namespaced { "Namespaced" } else { "" }
    }

    /// What the version has.
    fn resources(&self) -> Value {
        let operation = Operation {
            word: "get",
            about: "APIResources".to_owned(),
            action: "",
            kind: ("", "", ""),
            options: &[],
            body: None,
            codes: &["200"],
            answer: Some(format!("{META}.APIResourceList")),
        };
        json!({"get": self.write(&operation)})
    }

    fn list(&self, everywhere: bool) -> Value {
        let (row, within) = (self.row, self.namespaced());
        let about = if everywhere {
            format!("{}ForAllNamespaces", row.kind)
        } else {
            format!("{within}{}", row.kind)
        };
        self.write(&Operation {
            word: "list",
            about,
            action: "list",
            kind: self.own_kind(),
            options: parameters::LIST,
            body: None,
            codes: &["200"],
            answer: Some(format!("{}List", row.schema.model)),
        })
    }

    fn collection(&self) -> Operations {
        let (row, mut operations) = (self.row, Vec::new());
        let about = format!("{}{}", self.namespaced(), row.kind);
        if has(&row.verbs, "deletecollection") {
            let operation = Operation {
                word: "delete",
                about: format!("Collection{about}"),
                action: "deletecollection",
                kind: self.own_kind(),
                options: parameters::DELETE_COLLECTION,
                body: Some((format!("{META}.DeleteOptions"), &["*/*"])),
                codes: &["200"],
                answer: Some(format!("{META}.Status")),
            };
            operations.push(("delete", self.write(&operation)));
        }
        if has(&row.verbs, "list") {
            operations.push(("get", self.list(false)));
        }
        if has(&row.verbs, "create") {
            operations.push(("post", self.create(&about, self.own_kind(), row.schema.model.clone())));
        }
        operations
    }

    fn create(&self, about: &str, kind: (&str, &str, &str), model: String) -> Value {
        self.write(&Operation {
            word: "create",
            about: about.to_owned(),
            action: "post",
            kind,
            options: parameters::WRITE,
            body: Some((model.clone(), &["*/*"])),
            codes: &["200", "201", "202"],
            answer: Some(model),
        })
    }

    fn object(&self) -> Operations {
        let about = format!("{}{}", self.namespaced(), self.row.kind);
        self.verbs(&self.row.verbs, &about, self.own_kind(), &self.row.schema.model)
    }

    /// Whatever of these verbs is about one object, or a part of it.
    fn verbs(&self, verbs: &[String], about: &str, kind: (&str, &str, &str), model: &str) -> Operations {
        let mut operations = Vec::new();
        let plain = || Operation {
            word: "read",
            about: about.to_owned(),
            action: "get",
            kind,
            options: &[],
            body: None,
            codes: &["200"],
            answer: Some(model.to_owned()),
        };
        if has(verbs, "delete") {
            let operation = Operation {
                word: "delete",
                action: "delete",
                options: parameters::DELETE,
                body: Some((format!("{META}.DeleteOptions"), &["*/*"])),
                codes: &["200", "202"],
                // Some are told as they were.
                answer: Some(if RETURNED.contains(&kind.2) {
                    model.to_owned()
                } else {
                    format!("{META}.Status")
                }),
                ..plain()
            };
            operations.push(("delete", self.write(&operation)));
        }
        if has(verbs, "get") {
            operations.push(("get", self.write(&plain())));
        }
        if has(verbs, "patch") {
            let forms = if self.row.custom.is_some() { &PATCHES[..PATCHES.len() - 1] } else { PATCHES };
            let operation = Operation {
                word: "patch",
                action: "patch",
                options: parameters::PATCH,
                body: Some((format!("{META}.Patch"), forms)),
                codes: &["200", "201"],
                ..plain()
            };
            operations.push(("patch", self.write(&operation)));
        }
        if has(verbs, "update") {
            let operation = Operation {
                word: "replace",
                action: "put",
                options: parameters::WRITE,
                body: Some((model.to_owned(), &["*/*"])),
                codes: &["200", "201"],
                ..plain()
            };
            operations.push(("put", self.write(&operation)));
        }
        operations
    }

    fn write(&self, operation: &Operation<'_>) -> Value {
        let (row, word) = (self.row, group_word(&self.row.group));
        let mut initial = word.chars();
        let tag: String =
            initial.next().into_iter().flat_map(char::to_lowercase).chain(initial.clone()).collect();
        let mut body = json!({
            "operationId": format!("{}{word}{}{}", operation.word, titled(&row.version), operation.about),
            "tags": [format!("{tag}_{}", row.version)],
        });
        if !operation.action.is_empty() {
            let (group, version, kind) = operation.kind;
            body["x-kubernetes-action"] = operation.action.into();
            body["x-kubernetes-group-version-kind"] =
                json!({"group": group, "kind": kind, "version": version});
        }
        let options = operation.options.iter().map(|name| parameters::query(name, self.dialect));
        let options: Vec<Value> = options.collect();
        match self.dialect {
            Dialect::V2 => write_v2(&mut body, operation, options),
            Dialect::V3 => write_v3(&mut body, operation, options),
        }
        body
    }
}

/// Kinds that a delete returns.
const RETURNED: &[&str] = &[
    "CSIDriver",
    "CSINode",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Pod",
    "PodTemplate",
    "ResourceQuota",
    "Service",
    "ServiceAccount",
    "StorageClass",
    "VolumeAttachment",
    "VolumeAttributesClass",
];

fn description(code: &str) -> &'static str {
    match code {
        "201" => "Created",
        "202" => "Accepted",
        _ => "OK",
    }
}

fn write_v2(body: &mut Value, operation: &Operation<'_>, mut options: Vec<Value>) {
    if let Some((model, media)) = &operation.body {
        let is_needed = !model.ends_with("DeleteOptions");
        let mut parameter = json!({"in": "body", "name": "body", "schema": Dialect::V2.reference(model)});
        if is_needed {
            parameter["required"] = true.into();
        }
        options.insert(0, parameter);
        body["consumes"] = json!(media);
    }
    let schema = operation.answer.as_ref().map(|model| Dialect::V2.reference(model));
    let schema = schema.unwrap_or_else(|| json!({"type": "string"}));
    let answer =
        |code: &&str| ((*code).to_owned(), json!({"description": description(code), "schema": schema}));
    let mut answers: Map<String, Value> = operation.codes.iter().map(answer).collect();
    answers.insert("401".into(), json!({"description": "Unauthorized"}));
    body["produces"] = if operation.answer.is_some() { json!(MEDIA) } else { json!(["*/*"]) };
    if !options.is_empty() {
        body["parameters"] = options.into();
    }
    body["responses"] = answers.into();
}

fn write_v3(body: &mut Value, operation: &Operation<'_>, options: Vec<Value>) {
    let content = |media: &[&str], schema: &Value| {
        media.iter().map(|media| ((*media).to_owned(), json!({"schema": schema}))).collect::<Map<_, _>>()
    };
    if let Some((model, media)) = &operation.body {
        body["requestBody"] = json!({"content": content(media, &Dialect::V3.reference(model))});
        if !model.ends_with("DeleteOptions") {
            body["requestBody"]["required"] = true.into();
        }
    }
    let content = match &operation.answer {
        Some(model) => content(MEDIA, &Dialect::V3.reference(model)),
        None => content(&["*/*"], &json!({"type": "string"})),
    };
    let answer =
        |code: &&str| ((*code).to_owned(), json!({"description": description(code), "content": content}));
    let mut answers: Map<String, Value> = operation.codes.iter().map(answer).collect();
    answers.insert("401".into(), json!({"description": "Unauthorized"}));
    if !options.is_empty() {
        body["parameters"] = options.into();
    }
    body["responses"] = answers.into();
}

/// What hangs below the objects of a resource.
struct Below<'b, 'r> {
    builder: &'b Builder<'r>,
    below: &'b Subresource,
}

impl Below<'_, '_> {
    fn operations(&self, suffix: &str) -> Operations {
        let (builder, below) = (self.builder, self.below);
        let about = format!("{}{}{}", builder.namespaced(), builder.row.kind, titled(&below.name));
        let (group, version) = below.api_version(builder.row);
        let kind = (group, version, &*below.kind);
        let of = model(group, version, &below.kind);
        if below.kind.ends_with("Options") {
            return self.connections(&format!("{about}{suffix}"), kind);
        }
        if below.name == "log" {
            return vec![("get", self.read_text(&about, kind))];
        }
        let mut operations = builder.verbs(&below.verbs, &about, kind, &of);
        if has(&below.verbs, "create") {
            operations.push(("post", builder.create(&about, kind, of)));
        }
        operations
    }

    fn options(&self) -> &'static [&'static str] {
        parameters::STREAMS.iter().find(|row| row.0 == self.below.name).map_or(&[], |row| row.1)
    }

    fn read_text(&self, about: &str, kind: (&str, &str, &str)) -> Value {
        self.builder.write(&Operation {
            word: "read",
            about: about.to_owned(),
            action: "get",
            kind,
            options: self.options(),
            body: None,
            codes: &["200"],
            answer: None,
        })
    }

    /// Every method that opens the connection; a proxy takes all that there are.
    fn connections(&self, about: &str, kind: (&str, &str, &str)) -> Operations {
        let is_proxy = self.below.name == "proxy";
        let methods = [
            ("delete", is_proxy),
            ("get", true),
            ("head", is_proxy),
            ("options", is_proxy),
            ("patch", is_proxy),
            ("post", true),
            ("put", is_proxy),
        ];
        let connection = |method: &str| {
            self.builder.write(&Operation {
                word: "connect",
                about: format!("{}{about}", titled(method)),
                action: "connect",
                kind,
                options: self.options(),
                body: None,
                codes: &["200"],
                answer: None,
            })
        };
        methods.iter().filter(|row| row.1).map(|(method, _)| (*method, connection(method))).collect()
    }
}
