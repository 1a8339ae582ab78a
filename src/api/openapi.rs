//! OpenAPI documents of what is served, made from the tables: v3 for each group version, v2 for all.

mod descriptions;
mod parameters;
mod paths;
mod schemas;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::discovery::GIT_VERSION;
use crate::resource::Resource;

/// The two versions of OpenAPI: they differ in where schemas, parameters and bodies stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// Swagger 2.0.
    V2,
    /// OpenAPI 3.0.
    V3,
}

impl Dialect {
    fn reference(self, model: &str) -> Value {
        let place = match self {
            Self::V2 => "#/definitions",
            Self::V3 => "#/components/schemas",
        };
        json!({"$ref": format!("{place}/{model}")})
    }
}

/// The group versions of v3, as the paths below `/openapi/v3/`: `api/v1`, `apis/apps/v1`.
pub fn group_versions(rows: &[Arc<Resource>]) -> Vec<String> {
    let mut paths: Vec<String> = rows.iter().map(|row| root(row)).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// The v3 document of a group version; `None` when none of the resources is of it.
pub fn v3(rows: &[Arc<Resource>], group_version: &str) -> Option<Value> {
    let rows: Vec<&Resource> =
        rows.iter().map(Arc::as_ref).filter(|row| root(row) == group_version).collect();
    (!rows.is_empty()).then(|| {
        json!({
            "openapi": "3.0.0",
            "info": info(),
            "paths": paths::all(&rows, Dialect::V3),
            "components": {"schemas": schemas::all(&rows, Dialect::V3)},
        })
    })
}

/// The v2 document of these resources.
pub fn v2(rows: &[Arc<Resource>]) -> Value {
    let rows: Vec<&Resource> = rows.iter().map(Arc::as_ref).collect();
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": paths::all(&rows, Dialect::V2),
        "definitions": schemas::all(&rows, Dialect::V2),
    })
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": GIT_VERSION})
}

fn root(row: &Resource) -> String {
    match row.group.as_str() {
        "" => format!("api/{}", row.version),
        group => format!("apis/{group}/{}", row.version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RESOURCES;

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
        for document in [v2(&RESOURCES), v3(&RESOURCES, "api/v1").expect("core v1")] {
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
        let document = v3(&RESOURCES, "api/v1").expect("core v1");
        let patch = &document["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]["patch"];
        assert_eq!(
            patch["x-kubernetes-group-version-kind"],
            json!({"group": "", "kind": "ConfigMap", "version": "v1"})
        );
        let names: Vec<_> =
            patch["parameters"].as_array().expect("list").iter().map(|one| &one["name"]).collect();
        assert!(names.contains(&&json!("fieldValidation")));
        assert!(group_versions(&RESOURCES).contains(&"apis/apps/v1".to_owned()));
    }
}
