//! The options of operations.

use serde_json::{Value, json};

use super::Dialect;

/// Options of lists and watches.
pub(super) const LIST: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];

/// Options of what writes one object.
pub(super) const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];

/// Options of patches.
pub(super) const PATCH: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];

/// Options of deletes.
pub(super) const DELETE: &[&str] = &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];

/// Options of deletes of many.
pub(super) const DELETE_COLLECTION: &[&str] = &[
    "continue",
    "dryRun",
    "fieldSelector",
    "gracePeriodSeconds",
    "labelSelector",
    "limit",
    "orphanDependents",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
];

/// Options of subresources that are neither objects nor parts of one.
pub(super) const STREAMS: &[(&str, &[&str])] = &[
    ("attach", &["container", "stderr", "stdin", "stdout", "tty"]),
    ("exec", &["command", "container", "stderr", "stdin", "stdout", "tty"]),
    (
        "log",
        &[
            "container",
            "follow",
            "insecureSkipTLSVerifyBackend",
            "limitBytes",
            "previous",
            "sinceSeconds",
            "stream",
            "tailLines",
            "timestamps",
        ],
    ),
    ("portforward", &["ports"]),
    ("proxy", &["path"]),
];

const BOOLEANS: &[&str] = &[
    "allowWatchBookmarks",
    "follow",
    "force",
    "insecureSkipTLSVerifyBackend",
    "orphanDependents",
    "previous",
    "sendInitialEvents",
    "stderr",
    "stdin",
    "stdout",
    "timestamps",
    "tty",
    "watch",
];

const INTEGERS: &[&str] =
    &["gracePeriodSeconds", "limit", "limitBytes", "ports", "sinceSeconds", "tailLines", "timeoutSeconds"];

/// An option in the query.
pub(super) fn query(name: &str, dialect: Dialect) -> Value {
    let kind = match name {
        name if BOOLEANS.contains(&name) => "boolean",
        name if INTEGERS.contains(&name) => "integer",
        _ => "string",
    };
    typed(json!({"name": name, "in": "query"}), kind, dialect)
}

/// A part of the path.
pub(super) fn path(name: &str, dialect: Dialect) -> Value {
    typed(json!({"name": name, "in": "path", "required": true}), "string", dialect)
}

fn typed(mut body: Value, kind: &str, dialect: Dialect) -> Value {
    match dialect {
        Dialect::V2 => {
            body["type"] = kind.into();
            body["uniqueItems"] = true.into();
        }
        Dialect::V3 => body["schema"] = json!({"type": kind, "uniqueItems": true}),
    }
    body
}
