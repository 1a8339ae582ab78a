//! OpenAPI documents of what is served, made from the tables: v3 for each group version, v2 for all.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::discovery::GIT_VERSION;
use crate::fields::{Shape, Type};
use crate::resource::{RESOURCES, Resource};

/// The two versions of OpenAPI: they differ in where schemas, parameters and bodies stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Swagger 2.0.
    V2,
    /// OpenAPI 3.0.
    V3,
}

impl Dialect {
    fn reference(self, of: &Type) -> Value {
        let place = match self {
            Self::V2 => "#/definitions",
            Self::V3 => "#/components/schemas",
        };
        json!({"$ref": format!("{place}/{}.{}", of.package, of.name)})
    }
}

/// The group versions of v3, as the paths below `/openapi/v3/`: `api/v1`, `apis/apps/v1`.
pub fn group_versions() -> Vec<String> {
    let mut paths: Vec<String> = RESOURCES.iter().map(|row| root(row)).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// The v3 document of a group version; `None` when it is not served.
pub fn v3(group_version: &str) -> Option<Value> {
    let rows: Vec<_> = RESOURCES.iter().copied().filter(|row| root(row) == group_version).collect();
    (!rows.is_empty()).then(|| {
        json!({
            "openapi": "3.0.0",
            "info": info(),
            "paths": paths(&rows, Dialect::V3),
            "components": {"schemas": schemas(&rows, Dialect::V3)},
        })
    })
}

/// The v2 document.
pub fn v2() -> Value {
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": paths(RESOURCES, Dialect::V2),
        "definitions": schemas(RESOURCES, Dialect::V2),
    })
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": GIT_VERSION})
}

fn root(row: &Resource) -> String {
    match row.group {
        "" => format!("api/{}", row.version),
        group => format!("apis/{group}/{}", row.version),
    }
}

fn paths(rows: &[&'static Resource], dialect: Dialect) -> Value {
    let mut paths = Map::new();
    for row in rows {
        let within = if row.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("/{}{within}/{}", root(row), row.plural);
        let namespace = row.namespaced.then(|| parameter("namespace", "path", dialect));
        let mut item =
            json!({"get": operation(row, "list", dialect), "post": operation(row, "create", dialect)});
        item["parameters"] = namespace.iter().cloned().collect();
        paths.insert(collection.clone(), item);
        let mut item = Map::new();
        for (method, verb) in [("get", "get"), ("put", "update"), ("patch", "patch"), ("delete", "delete")] {
            item.insert(method.into(), operation(row, verb, dialect));
        }
        let parameters = namespace.into_iter().chain([parameter("name", "path", dialect)]);
        item.insert("parameters".into(), parameters.collect());
        paths.insert(format!("{collection}/{{name}}"), item.into());
    }
    paths.into()
}

fn parameter(name: &str, place: &str, dialect: Dialect) -> Value {
    let mut body = json!({"name": name, "in": place});
    if place == "path" {
        body["required"] = true.into();
    }
    match dialect {
        Dialect::V2 => body["type"] = "string".into(),
        Dialect::V3 => body["schema"] = json!({"type": "string"}),
    }
    body
}

fn operation(row: &Resource, verb: &str, dialect: Dialect) -> Value {
    let (options, media): (&[&str], &str) = match verb {
        "create" | "update" => (&["dryRun", "fieldManager", "fieldValidation"], "application/json"),
        "patch" => (&["dryRun", "fieldManager", "fieldValidation"], "application/merge-patch+json"),
        "delete" => (&["dryRun"], ""),
        "list" => (&["continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "watch"], ""),
        _ => (&["resourceVersion"], ""),
    };
    let mut parameters: Vec<Value> = options.iter().map(|name| parameter(name, "query", dialect)).collect();
    let schema = dialect.reference(row.schema);
    let mut body = json!({
        "operationId": format!("{verb}{}{}", row.version, row.kind),
        "x-kubernetes-action": verb,
        "x-kubernetes-group-version-kind": kind(row),
    });
    body["responses"] = match dialect {
        Dialect::V2 => json!({"200": {"description": "OK", "schema": schema}}),
        Dialect::V3 => {
            json!({"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}})
        }
    };
    match dialect {
        _ if media.is_empty() => {}
        Dialect::V2 => {
            body["consumes"] = json!([media]);
            parameters.push(json!({"name": "body", "in": "body", "required": true, "schema": schema}));
        }
        Dialect::V3 => body["requestBody"] = json!({"content": {media: {"schema": schema}}}),
    }
    body["parameters"] = parameters.into();
    body
}

fn kind(row: &Resource) -> Value {
    json!({"group": row.group, "kind": row.kind, "version": row.version})
}

fn schemas(rows: &[&'static Resource], dialect: Dialect) -> Value {
    let mut found = BTreeMap::new();
    for row in rows {
        collect(row.schema, dialect, &mut found);
        let body = found.get_mut(&name(row.schema)).expect("the type was collected just now");
        let properties = body["properties"].as_object_mut().expect("every type has properties");
        properties.insert("apiVersion".into(), json!({"type": "string"}));
        properties.insert("kind".into(), json!({"type": "string"}));
        body["x-kubernetes-group-version-kind"] = json!([kind(row)]);
    }
    found.into_iter().collect::<Map<_, _>>().into()
}

fn name(of: &Type) -> String {
    format!("{}.{}", of.package, of.name)
}

/// Adds a type, and every type that it uses.
fn collect(of: &'static Type, dialect: Dialect, found: &mut BTreeMap<String, Value>) {
    if found.contains_key(&name(of)) {
        return;
    }
    let properties = of.fields.iter().map(|field| (field.name.to_owned(), schema(&field.shape, dialect)));
    let properties: Map<_, _> = properties.collect();
    found.insert(name(of), json!({"type": "object", "properties": properties}));
    for field in of.fields {
        if let Some(inner) = inner(&field.shape) {
            collect(inner, dialect, found);
        }
    }
}

fn inner(shape: &'static Shape) -> Option<&'static Type> {
    match shape {
        Shape::Struct(of) => Some(of),
        Shape::List(of) | Shape::Map(of) => inner(of),
        _ => None,
    }
}

fn schema(shape: &Shape, dialect: Dialect) -> Value {
    match shape {
        Shape::Any => json!({"type": "object"}),
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Bytes => json!({"type": "string", "format": "byte"}),
        Shape::Int => json!({"type": "integer", "format": "int64"}),
        Shape::List(of) => json!({"type": "array", "items": schema(of, dialect)}),
        Shape::Map(of) => json!({"type": "object", "additionalProperties": schema(of, dialect)}),
        Shape::Struct(of) => dialect.reference(of),
        Shape::Text => json!({"type": "string"}),
        Shape::Time => json!({"type": "string", "format": "date-time"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` below `value`.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    match value.as_str() {
                        Some(target) if name == "$ref" => found.push(target.to_owned()),
                        _ => references(value, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        for document in [v2(), v3("api/v1").expect("core v1")] {
            let mut found = Vec::new();
            references(&document, &mut found);
            assert!(!found.is_empty());
            for target in found {
                assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
            }
        }
    }

    #[test]
    fn what_kubectl_looks_for_before_it_trusts_the_server_to_validate() {
        let document = v3("api/v1").expect("core v1");
        let patch = &document["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]["patch"];
        assert_eq!(
            patch["x-kubernetes-group-version-kind"],
            json!({"group": "", "kind": "ConfigMap", "version": "v1"})
        );
        let names: Vec<_> =
            patch["parameters"].as_array().expect("list").iter().map(|one| &one["name"]).collect();
        assert!(names.contains(&&json!("fieldValidation")));
        assert_eq!(group_versions(), ["api/v1"]);
    }
}
