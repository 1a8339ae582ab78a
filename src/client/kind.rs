//! What can be watched, and which part of it.

use std::fmt::Write;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;

/// Objects that can be watched. Every kind of k8s-openapi is one; whoever needs few fields of many objects
/// implements it for a struct with just these.
pub trait Kind: DeserializeOwned + Send + Sync + 'static {
    /// `/api/VERSION` or `/apis/GROUP/VERSION`
    fn group() -> String;
    /// The resource in paths, as `pods`.
    const PLURAL: &'static str;
    /// `metadata.resourceVersion`
    fn revision(&self) -> Option<&str>;
}

impl<K> Kind for K
where
    K: k8s_openapi::Resource
        + k8s_openapi::Metadata<Ty = ObjectMeta>
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    fn group() -> String {
        match K::GROUP {
            "" => format!("/api/{}", K::VERSION),
            group => format!("/apis/{group}/{}", K::VERSION),
        }
    }

    const PLURAL: &'static str = K::URL_PATH_SEGMENT;

    fn revision(&self) -> Option<&str> {
        self.metadata().resource_version.as_deref()
    }
}

/// Which objects of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Those of one namespace; all without.
    pub namespace: Option<String>,
    /// A field selector, as `spec.nodeName=node-1`.
    pub fields: String,
    /// A label selector.
    pub labels: String,
}

impl Selection {
    /// By a field selector, in all namespaces.
    pub fn fields(selector: impl Into<String>) -> Self {
        Self { fields: selector.into(), ..Self::default() }
    }

    /// All of a namespace.
    pub fn namespace(name: impl Into<String>) -> Self {
        Self { namespace: Some(name.into()), ..Self::default() }
    }

    /// The path of the collection, with a query to which more may be added by `&`.
    pub(crate) fn path<K: Kind>(&self, query: &str) -> String {
        let mut path = K::group();
        if let Some(namespace) = &self.namespace {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        path.push('/');
        path.push_str(K::PLURAL);
        path.push('?');
        path.push_str(query);
        for (name, value) in [("fieldSelector", &self.fields), ("labelSelector", &self.labels)] {
            if !value.is_empty() {
                path.push_str(&format!("&{name}={}", encode(value)));
            }
        }
        path
    }
}

/// For a query: everything but letters, digits and `-._~` by its bytes.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::{Node, Pod};

    use super::*;

    #[test]
    fn collections_have_paths() {
        let of_node = Selection { labels: "app in (a,b)".into(), ..Selection::fields("spec.nodeName=n") };
        assert_eq!(Selection::default().path::<Node>("limit=5"), "/api/v1/nodes?limit=5");
        assert_eq!(
            of_node.path::<Pod>("watch=true"),
            "/api/v1/pods?watch=true&fieldSelector=spec.nodeName%3Dn&labelSelector=app%20in%20%28a%2Cb%29"
        );
        assert_eq!(
            Selection::namespace("web").path::<Deployment>("limit=5"),
            "/apis/apps/v1/namespaces/web/deployments?limit=5"
        );
    }
}
