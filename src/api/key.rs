//! Where an object lives in State: `GROUP/RESOURCE/NAMESPACE/NAME`, or `GROUP/RESOURCE/NAME` when it
//! has no namespace. The legacy group is written `core`.
//!
//! Byte order of keys is the order of lists. It equals the order in which Kubernetes lists objects
//! (namespace, then name), because `/` sorts below every character of a name but `-` and `.`, exactly
//! as in etcd's keys.
//!
//! Keys that begin with `~` are internal: the API does not serve them.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The key of one object. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// First byte of internal keys.
pub const INTERNAL: char = '~';

/// The longest key accepted, in bytes: a group and resource of 253 + 63, namespace 63, name 253, with
/// room for separators.
pub const KEY_BYTES_MAX: usize = 1024;

impl Key {
    /// The key of an API object. `namespace` is empty for cluster-scoped resources.
    pub fn object(group: &str, resource: &str, namespace: &str, name: &str) -> Self {
        let mut text = collection_prefix(group, resource, namespace);
        text.push_str(name);
        Self(text.into())
    }

    /// The key of an internal record: `~FAMILY/NAME`.
    pub fn internal(family: &str, name: &str) -> Self {
        Self(format!("{INTERNAL}{family}/{name}").into())
    }

    /// A key read back from storage or the log.
    ///
    /// # Errors
    /// Says what is wrong when the text is empty, too long, has an empty part or no `/`.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        if text.len() > KEY_BYTES_MAX {
            return Err(InvalidKey("longer than 1024 bytes"));
        }
        let parts = text.split('/').count();
        let fits = if text.starts_with(INTERNAL) { parts >= 2 } else { (3..=4).contains(&parts) };
        if !fits || text.split('/').any(str::is_empty) {
            return Err(InvalidKey("not of the form GROUP/RESOURCE/[NAMESPACE/]NAME or ~FAMILY/NAME"));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the API never serves this key.
    pub fn is_internal(&self) -> bool {
        self.0.starts_with(INTERNAL)
    }

    /// `GROUP/RESOURCE/` (internal: `~FAMILY/`): what a list over all namespaces reads.
    pub fn collection(&self) -> &str {
        let parts = if self.is_internal() { 1 } else { 2 };
        let end = self.0.match_indices('/').nth(parts - 1).map_or(self.0.len(), |(at, _)| at + 1);
        &self.0[..end]
    }

    /// `GROUP/RESOURCE/NAMESPACE/`, or the collection when the key has no namespace: what a list in
    /// one namespace reads.
    pub fn parent(&self) -> &str {
        let end = self.0.rfind('/').map_or(0, |at| at + 1);
        &self.0[..end]
    }

    /// The namespace, empty when the key has none.
    pub fn namespace(&self) -> &str {
        let (collection, parent) = (self.collection(), self.parent());
        parent.get(collection.len()..).map_or("", |rest| rest.trim_end_matches('/'))
    }

    /// The last part.
    pub fn name(&self) -> &str {
        &self.0[self.parent().len()..]
    }
}

/// `GROUP/RESOURCE/` or `GROUP/RESOURCE/NAMESPACE/`: every key of a collection begins with it.
pub fn collection_prefix(group: &str, resource: &str, namespace: &str) -> String {
    let group = if group.is_empty() { "core" } else { group };
    let mut prefix = format!("{group}/{resource}/");
    if !namespace.is_empty() {
        prefix.push_str(namespace);
        prefix.push('/');
    }
    prefix
}

/// Whether `text` can be what [`Key::collection`] or [`Key::parent`] returns: the prefixes by which
/// State counts objects and remembers writes.
pub fn is_prefix(text: &str) -> bool {
    text.ends_with('/') && Key::parse(&format!("{text}-")).is_ok()
}

/// Text that is no key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid key: {0}")]
pub struct InvalidKey(&'static str);

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_key() {
        let cases = [
            (
                Key::object("", "configmaps", "default", "web"),
                "core/configmaps/",
                "core/configmaps/default/",
                "default",
                "web",
            ),
            (
                Key::object("", "namespaces", "", "default"),
                "core/namespaces/",
                "core/namespaces/",
                "",
                "default",
            ),
            (
                Key::object("apps", "deployments", "a", "b"),
                "apps/deployments/",
                "apps/deployments/a/",
                "a",
                "b",
            ),
            (Key::internal("members", "3"), "~members/", "~members/", "", "3"),
        ];
        for (key, collection, parent, namespace, name) in cases {
            assert_eq!(
                (key.collection(), key.parent(), key.namespace(), key.name()),
                (collection, parent, namespace, name)
            );
            assert_eq!(Key::parse(key.as_str()), Ok(key));
        }
    }

    #[test]
    fn what_is_no_key() {
        let long = format!("~{}", "x/".repeat(600));
        for text in ["", "nosep", "a//b", "/a", "a/", "a/b", "a/b/c/d/e", "~a", "~a/", &long] {
            assert!(Key::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_a_prefix() {
        for text in ["core/configmaps/", "core/configmaps/default/", "~members/", "~a/b/"] {
            assert!(is_prefix(text), "{text:?}");
        }
        for text in ["", "/", "core/", "core/configmaps", "core//", "core/configmaps/a/b/", "~members"] {
            assert!(!is_prefix(text), "{text:?}");
        }
    }
}
