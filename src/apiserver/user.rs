//! Who makes a request.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Everybody who proved who they are is in this group.
pub const AUTHENTICATED: &str = "system:authenticated";

/// Everybody else is in this one.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";

/// May do everything.
pub const MASTERS: &str = "system:masters";

/// Who a request without credentials is from.
pub const ANONYMOUS: &str = "system:anonymous";

/// Agents of nodes are in this group, under names that begin with [`NODE_PREFIX`].
pub const NODES: &str = "system:nodes";

/// What the name of a node's agent begins with; the node's own name follows.
pub const NODE_PREFIX: &str = "system:node:";

/// Agents that are no node's yet: they hold a bootstrap token.
pub const BOOTSTRAPPERS: &str = "system:bootstrappers";

/// All service accounts.
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// Under this key of [`User::extra`] stands what proved who they are, as audits name it: `X509SHA256=...`.
pub const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

/// A user, as the authorizer and the log know them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// Tells apart those who had the name one after the other; of service accounts alone.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// What else is known of them.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The identity that a connection's client certificate proved; absent without one.
#[derive(Clone, Debug)]
pub struct Peer(pub Option<User>);

impl User {
    /// A user with these groups, authenticated.
    pub fn authenticated(name: &str, groups: impl IntoIterator<Item = String>) -> Self {
        let groups = groups.into_iter().chain([AUTHENTICATED.to_owned()]).collect();
        Self { name: name.to_owned(), groups, ..Self::default() }
    }

    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self { name: ANONYMOUS.into(), groups: vec![UNAUTHENTICATED.into()], ..Self::default() }
    }

    /// The subject of a verified client certificate: CN is the name, each O a group. `None` when the
    /// certificate names nobody.
    pub fn of_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject.iter_organization().filter_map(|group| group.as_str().ok()).map(str::to_owned);
        let credential = format!("X509SHA256={:x}", Sha256::digest(der));
        let extra = BTreeMap::from([(CREDENTIAL.to_owned(), vec![credential])]);
        (!name.is_empty()).then(|| Self { extra, ..Self::authenticated(&name, groups) })
    }

    /// The node whose agent the user is.
    pub fn node(&self) -> Option<&str> {
        self.name.strip_prefix(NODE_PREFIX).filter(|node| !node.is_empty() && self.is_in(NODES))
    }

    /// Whether the user is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|one| one == group)
    }
}
