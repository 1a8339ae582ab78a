//! The spec of a definition in the form in which Kubernetes looks at it.

use serde_json::{Map, Value, json};

use super::shown;
use crate::custom::{is, items, text};

/// What several versions say alike, and what each says for itself.
pub(super) struct Spec<'d> {
    pub(super) spec: &'d Value,
    pub(super) versions: &'d [Value],
    /// By field: whether all versions say the same.
    common: [bool; 4],
}

/// What versions may have in common: as they say it, and as the form above them calls it.
pub(super) const SCHEMA: usize = 0;
pub(super) const SUBRESOURCES: usize = 1;
pub(super) const COLUMNS: usize = 2;
pub(super) const SELECTABLE: usize = 3;
const PARTS: [(&str, &str); 4] = [
    ("schema", "validation"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

impl<'d> Spec<'d> {
    pub(super) fn of(spec: &'d Value) -> Self {
        let versions = items(Some(spec), "versions");
        let common = PARTS.map(|(name, _)| {
            let first = versions.first().and_then(|version| version.get(name));
            versions.iter().all(|version| version.get(name) == first)
        });
        Self { spec, versions, common }
    }

    pub(super) fn group(&self) -> &'d str {
        text(self.spec, "group")
    }

    pub(super) fn names(&self) -> &'d Value {
        self.spec.get("names").unwrap_or(&Value::Null)
    }

    /// A part that stands above the versions.
    pub(super) fn above(&self, part: usize) -> Option<&'d Value> {
        self.versions.first().filter(|_| self.common[part]).and_then(|version| version.get(PARTS[part].0))
    }

    /// A part that a version says for itself.
    pub(super) fn own(&self, version: &'d Value, part: usize) -> Option<&'d Value> {
        version.get(PARTS[part].0).filter(|_| !self.common[part])
    }

    /// The part of this kind that a version says for itself, or that all have in common, with its place.
    pub(super) fn part(&self, part: usize, version: Option<usize>) -> Option<(String, &'d Value)> {
        let (name, name_above) = PARTS[part];
        match version {
            Some(at) => Some((format!("spec.versions[{at}].{name}"), self.own(&self.versions[at], part)?)),
            None => Some((format!("spec.{name_above}"), self.above(part)?)),
        }
    }

    /// Every part of this kind.
    pub(super) fn parts(&self, part: usize) -> impl Iterator<Item = &'d Value> {
        let own = self.versions.iter().filter_map(move |version| self.own(version, part));
        own.chain(self.above(part))
    }

    /// Every schema that there is.
    pub(super) fn schemas(&self) -> impl Iterator<Item = &'d Map<String, Value>> {
        self.versions.iter().filter_map(|version| version.pointer("/schema/openAPIV3Schema")?.as_object())
    }

    /// The versions in the form in which texts show them.
    pub(super) fn shown_versions(&self) -> Value {
        let version = |version: &'d Value| {
            json!({
                "Name": text(version, "name"), "Served": is(version, "served"), "Storage": is(version, "storage"),
                "Deprecated": is(version, "deprecated"), "DeprecationWarning": version.get("deprecationWarning"),
                "Schema": shown::schema(self.own(version, SCHEMA)),
                "Subresources": shown::subresources(self.own(version, SUBRESOURCES)),
                "AdditionalPrinterColumns": shown::columns(self.own(version, COLUMNS)),
                "SelectableFields": shown::selectable(self.own(version, SELECTABLE)),
            })
        };
        self.versions.iter().map(version).collect()
    }
}
