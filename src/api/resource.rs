//! The resources that are served: where they stand as data, and what is particular to their kinds.

use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use crate::columns::{self, Columns};
use crate::conversion::{CONVERSIONS, Storage};
use crate::custom::CustomResource;
use crate::key::{Key, collection_prefix};
use crate::kinds;
use crate::names::NameCheck;
use crate::object::Object;
use crate::same;
use crate::scale::ScalePaths;
use crate::schema::{self, Type};
use crate::scheme::joined;
use crate::status::GroupResource;
use crate::validate::at::Root;
use crate::view::View;

/// Every built-in resource, sorted by group, version and name.
pub static RESOURCES: LazyLock<Vec<Arc<Resource>>> = LazyLock::new(|| {
    let rows: Vec<Row> = serde_json::from_str(include_str!("schema/resources.json"))
        .expect("the data is what the generator wrote");
    let is_served =
        |row: &&Row| is_stable(row.version) && !row.plural.contains('/') && row.plural != COMPUTED;
    let mut all: Vec<_> = rows.iter().filter(is_served).map(|row| Arc::new(row.resource(&rows))).collect();
    let place = |all: &[Arc<Resource>], [group, version, plural]: [&str; 3]| {
        let is_it =
            |row: &Arc<Resource>| (&*row.group, &*row.version, &*row.plural) == (group, version, plural);
        all.iter().position(is_it).unwrap_or_else(|| panic!("no resource {group}/{version}/{plural}"))
    };
    for conversion in CONVERSIONS {
        let row = Arc::clone(&all[place(&all, conversion.stored)]);
        let seen = place(&all, conversion.seen);
        let seen = Arc::get_mut(&mut all[seen]).expect("nobody else holds it yet");
        seen.storage = Some(Storage { row, store: conversion.store, show: conversion.show });
    }
    all
});

/// The one resource that is neither stored nor created: gone from use, and not served.
const COMPUTED: &str = "componentstatuses";

/// Whether a version is one that stays: `v1`, not `v1beta1`. Only those are served unasked.
fn is_stable(version: &str) -> bool {
    version.strip_prefix('v').is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// How long old versions of a resource's objects are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// As long as watches may resume; for what changes all the time and nobody asks back for.
    Window,
    /// A day.
    Day,
}

/// One resource of one version.
#[derive(Debug)]
pub struct Resource {
    /// API group, empty for the legacy group.
    pub group: String,
    /// Version.
    pub version: String,
    /// `configmaps`.
    pub plural: String,
    /// `configmap`.
    pub singular: String,
    /// `ConfigMap`.
    pub kind: String,
    /// `cm`.
    pub short_names: Vec<String>,
    /// `all`.
    pub categories: Vec<String>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What can be done with it, in the order of discovery.
    pub verbs: Vec<String>,
    /// What hangs below its objects.
    pub subresources: Vec<Subresource>,
    /// A hash of the version in which it is stored, as discovery tells it.
    pub storage_hash: String,
    /// Its fields.
    pub schema: Arc<Type>,
    /// Its columns in tables.
    pub columns: Arc<Columns>,
    /// In whose form its objects are stored, when not in its own.
    pub storage: Option<Storage>,
    /// What its scale shows, if it has one.
    pub scale: Option<ScalePaths>,
    /// What is particular to the kind.
    pub particular: &'static Particular,
    /// What its definition says, when a definition made it.
    pub custom: Option<Arc<CustomResource>>,
}

/// What hangs below the objects of a resource.
#[derive(Debug)]
pub struct Subresource {
    /// `status`.
    pub name: String,
    /// Group and version of its kind, where they are not the resource's: `autoscaling/v1`.
    pub api_version: Option<(String, String)>,
    /// `Scale`.
    pub kind: String,
    /// What can be done with it.
    pub verbs: Vec<String>,
    /// What is sent to it and comes back, where that is not the object itself.
    pub form: Option<Arc<Resource>>,
}

impl Subresource {
    /// Group and version of its kind, where it hangs below objects of `row`.
    pub fn api_version<'s>(&'s self, row: &'s Resource) -> (&'s str, &'s str) {
        let own = || (&*row.group, &*row.version);
        self.api_version.as_ref().map_or_else(own, |(group, version)| (group, version))
    }
}

/// What is particular to a kind. Adding a kind with behaviour is one file that holds one of these.
#[derive(Debug)]
pub struct Particular {
    /// API group, empty for the legacy group.
    pub group: &'static str,
    /// `ConfigMap`.
    pub kind: &'static str,
    /// How long old versions are kept.
    pub retention: Retention,
    /// The field whose changes `metadata.generation` counts; [`EVERYTHING`] of some.
    pub counted: Option<&'static str>,
    /// The generation of a new object, where it is counted.
    pub counted_from: i64,
    /// Whether its creator may set its status.
    pub creates_status: bool,
    /// Fields besides name and namespace that field selectors know.
    pub selectable: &'static [Selectable],
    /// Rules that Kubernetes states with the declarations of fields, in the order of the fields: what breaks them
    /// is told behind all else.
    pub declared: &'static [Declared],
    /// Its code.
    pub strategy: Strategy,
}

impl Particular {
    /// A kind with nothing particular.
    pub const NONE: Self = Self {
        group: "",
        kind: "",
        retention: Retention::Day,
        counted: None,
        counted_from: 1,
        creates_status: false,
        selectable: &[],
        declared: &[],
        strategy: Strategy::PLAIN,
    };
}

/// A rule that stands with the declaration of a field: the field, without the numbers of items, and words of what it
/// says; none where all that is said of the field is declared.
pub type Declared = (&'static str, &'static str);

/// Stands for all fields beside `metadata`, and for the labels.
pub const EVERYTHING: &str = "*";

static NOTHING_PARTICULAR: Particular = Particular::NONE;

/// As the generator writes it. A subresource has a slash in its plural.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Row {
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    #[serde(default)]
    singular: &'static str,
    kind: &'static str,
    #[serde(default)]
    kind_group: &'static str,
    #[serde(default)]
    kind_version: &'static str,
    #[serde(default)]
    namespaced: bool,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    verbs: Vec<String>,
    #[serde(default)]
    storage_hash: &'static str,
}

impl Row {
    /// What a subresource of `of` takes, where that is a kind of its own.
    fn form(&self, of: &Self) -> Option<Arc<Resource>> {
        let (group, version) = match self.kind_version {
            "" => (self.group, self.version),
            version => (self.kind_group, version),
        };
        let is_known = self.kind != of.kind && schema::find(&model(group, version, self.kind)).is_some();
        is_known.then(|| Resource::form(group, version, self.kind))
    }

    fn resource(&self, all: &[Self]) -> Resource {
        let below = |row: &Self| {
            let name = row.plural.strip_prefix(self.plural)?.strip_prefix('/')?;
            let is_ours = (row.group, row.version) == (self.group, self.version);
            is_ours.then(|| Subresource {
                name: name.to_owned(),
                api_version: (!row.kind_version.is_empty())
                    .then(|| (row.kind_group.to_owned(), row.kind_version.to_owned())),
                kind: row.kind.to_owned(),
                verbs: row.verbs.clone(),
                form: row.form(self),
            })
        };
        let particular = kinds::particular().find(|one| (one.group, one.kind) == (self.group, self.kind));
        Resource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            plural: self.plural.to_owned(),
            singular: self.singular.to_owned(),
            kind: self.kind.to_owned(),
            short_names: self.short_names.clone(),
            categories: self.categories.clone(),
            namespaced: self.namespaced,
            verbs: self.verbs.clone(),
            subresources: all.iter().filter_map(below).collect(),
            storage_hash: self.storage_hash.to_owned(),
            columns: columns::of(self.group, self.kind),
            schema: schema::builtin(&model(self.group, self.version, self.kind)),
            storage: None,
            scale: all.iter().filter_map(below).any(|below| below.kind == "Scale").then(ScalePaths::builtin),
            particular: particular.unwrap_or(&NOTHING_PARTICULAR),
            custom: None,
        }
    }
}

/// The name in OpenAPI of a built-in kind.
pub(crate) fn model(group: &str, version: &str, kind: &str) -> String {
    let package = match group {
        "" => "io.k8s.api.core".to_owned(),
        "apiextensions.k8s.io" => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions".to_owned(),
        "apiregistration.k8s.io" => "io.k8s.kube-aggregator.pkg.apis.apiregistration".to_owned(),
        group => format!("io.k8s.api.{}", group.split('.').next().unwrap_or_default()),
    };
    format!("{package}.{version}.{kind}")
}

/// A field that selectors know.
#[derive(Debug)]
pub struct Selectable {
    /// Its path as selectors write it.
    pub path: &'static str,
    /// Its value in an object as it is shown.
    pub value: fn(View<'_>) -> String,
}

/// A text field under the path that field selectors use, and the steps that lead to it.
macro_rules! selectable {
    ($path:literal, $($step:literal),+) => {
        $crate::resource::Selectable { path: $path, value: |object| object.at(&[$($step),+]).text().into_owned() }
    };
}
pub(crate) use selectable;

/// The code that is particular to a kind. Everything else is the same for all.
#[derive(Debug)]
pub struct Strategy {
    /// What a name may look like.
    pub name: NameCheck,
    /// Whether the rules of a new object's metadata count only where those of the kind are kept.
    pub metadata_last: bool,
    /// Fills in what was left out. Runs after decoding and after each mutation.
    pub default: fn(&mut Object),
    /// Resets what a creator may not set.
    pub prepare_create: fn(&mut Object),
    /// Whether what was prepared is filled in once more: Kubernetes does that to all that it reads back, and of few
    /// kinds anything is left to fill in.
    pub fills_again: bool,
    /// Resets in the new object what an updater may not change of the old one.
    pub prepare_update: fn(new: &mut Object, old: &Object),
    /// Resets in an object whose status changed what a status may not change beside the spec: new, old.
    pub prepare_status: fn(new: &mut Object, old: &Object),
    /// Fills in since when a changed part is as it is, where nobody says: new, old, now.
    pub stamp: fn(new: &mut Object, old: &Object, now: &str),
    /// The rules of a new object, beside those of `metadata`.
    pub validate: fn(Root<'_>),
    /// The rules of a change, all of them: new, old. Most begin with those of a new object.
    pub validate_update: fn(new: Root<'_>, old: Root<'_>),
    /// The rules of a change through `status`: new, old.
    pub validate_status: fn(new: Root<'_>, old: Root<'_>),
    /// Marks an object whose deletion begins, beside its deletionTimestamp.
    pub prepare_delete: fn(&mut Object),
    /// Whether something besides `metadata.finalizers` keeps a deleted object for now.
    pub is_held: fn(&Object) -> bool,
}

impl Strategy {
    /// A strategy for kinds with nothing particular.
    pub const PLAIN: Self = Self {
        name: crate::names::dns_subdomain,
        metadata_last: false,
        default: |_| {},
        prepare_create: |_| {},
        fills_again: false,
        prepare_update: |_, _| {},
        prepare_status: |_, _| {},
        stamp: |_, _, _| {},
        validate: |_| {},
        validate_update: |_, _| {},
        validate_status: |_, _| {},
        prepare_delete: |_| {},
        is_held: |_| false,
    };
}

impl Resource {
    /// The row of `group`/`version`/`plural`.
    pub fn find(group: &str, version: &str, plural: &str) -> Option<Arc<Self>> {
        // Most rows differ in the length of their plurals already.
        let wanted =
            |row: &&Arc<Self>| (&*row.plural, &*row.group, &*row.version) == (plural, group, version);
        RESOURCES.iter().find(wanted).cloned()
    }

    /// A row that must exist, for what names it in code.
    ///
    /// # Panics
    /// When it does not.
    pub fn builtin(group: &str, version: &str, plural: &str) -> Arc<Self> {
        Self::find(group, version, plural).unwrap_or_else(|| panic!("no resource {group}/{version}/{plural}"))
    }

    /// A kind that is no resource of its own and only goes over the wire: a scale, a review.
    pub fn form(group: &str, version: &str, kind: &str) -> Arc<Self> {
        Arc::new(Self {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: String::new(),
            singular: String::new(),
            kind: kind.to_owned(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: false,
            verbs: Vec::new(),
            subresources: Vec::new(),
            storage_hash: String::new(),
            columns: columns::of(group, kind),
            schema: schema::builtin(&model(group, version, kind)),
            storage: None,
            scale: None,
            particular: &NOTHING_PARTICULAR,
            custom: None,
        })
    }

    /// What hangs below its objects under this name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|below| below.name == name)
    }

    /// Whether `status` is written apart from the rest.
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// The generation of a new object.
    pub fn first_generation(&self) -> i64 {
        if self.custom.is_some() {
            return 1;
        }
        self.particular.counted.map_or(0, |_| self.particular.counted_from)
    }

    /// Whether `metadata.generation` counts this change.
    pub fn counts(&self, new: &Object, old: &Object) -> bool {
        if self.custom.is_some() {
            return new.fields != old.fields;
        }
        let differ =
            |field: &str| !same::field(field, new.fields.get(field), old.fields.get(field), &self.schema);
        match self.particular.counted {
            None => false,
            Some(EVERYTHING) => {
                let mut fields = self.schema.fields().iter().filter(|field| field.name != "metadata");
                new.meta.labels != old.meta.labels || fields.any(|field| differ(&field.name))
            }
            Some(field) => differ(field),
        }
    }

    /// The code of the kind.
    pub fn strategy(&self) -> &Strategy {
        &self.particular.strategy
    }

    /// `v1`, or `apps/v1` in a named group.
    pub fn api_version(&self) -> String {
        joined(&self.group, &self.version)
    }

    /// As texts about its objects name it.
    pub fn group_resource(&self) -> GroupResource<'_> {
        GroupResource { group: &self.group, resource: &self.plural }
    }

    /// As texts about its kind name it.
    pub fn group_kind(&self) -> GroupResource<'_> {
        GroupResource { group: &self.group, resource: &self.kind }
    }

    /// What clients are told that still use it.
    pub fn deprecation(&self) -> Option<&str> {
        if let Some(custom) = &self.custom {
            return custom.warning.as_deref();
        }
        match (&*self.group, &*self.version, &*self.kind) {
            ("", "v1", "Endpoints") => {
                Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
            }
            _ => None,
        }
    }

    /// Whether its kind is one of these, each a group and a kind.
    pub fn is_one_of(&self, kinds: &[(&str, &str)]) -> bool {
        kinds.contains(&(&*self.group, &*self.kind))
    }

    /// Whether it has objects at all: what is only created answers, and is gone.
    pub fn is_stored(&self) -> bool {
        self.verbs != ["create"]
    }

    /// In whose form its objects are stored: its own, mostly.
    pub fn stored(&self) -> &Self {
        self.storage.as_ref().map_or(self, |storage| &storage.row)
    }

    /// The key of one of its objects.
    pub fn key(&self, namespace: &str, name: &str) -> Key {
        Key::object(&self.stored().group, &self.plural, namespace, name)
    }

    /// What the keys of its objects begin with, in one namespace or (empty) in all.
    pub fn prefix(&self, namespace: &str) -> String {
        collection_prefix(&self.stored().group, &self.plural, namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_whole() {
        let names: Vec<_> = RESOURCES.iter().map(|row| (&row.group, &row.version, &row.plural)).collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
        for row in RESOURCES.iter() {
            let found = Resource::find(&row.group, &row.version, &row.plural);
            assert_eq!(found.map(|found| found.kind.clone()).as_ref(), Some(&row.kind));
            assert_eq!(row.schema.name(), row.kind);
        }
    }

    #[test]
    fn every_kind_with_a_file_is_served() {
        for kind in kinds::particular() {
            let is_it = |row: &Arc<Resource>| std::ptr::eq(row.particular, kind);
            assert!(RESOURCES.iter().any(is_it), "{}/{}", kind.group, kind.kind);
        }
    }

    #[test]
    fn subresources_of_a_deployment() {
        let row = Resource::builtin("apps", "v1", "deployments");
        let names: Vec<_> = row.subresources.iter().map(|below| (&*below.name, &*below.kind)).collect();
        assert_eq!(names, [("scale", "Scale"), ("status", "Deployment")]);
        assert_eq!(row.subresources[0].api_version, Some(("autoscaling".into(), "v1".into())));
        assert_eq!(
            (&*row.short_names, &*row.categories),
            (&["deploy".to_owned()][..], &["all".to_owned()][..])
        );
    }
}
