//! Who makes a request.

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

/// A user, as the authorizer and the log know them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// Groups.
    pub groups: Vec<String>,
    /// What proved who they are, as audits name it: `X509SHA256=...`; nothing where nothing did.
    pub credential: Option<String>,
}

/// The identity that a connection's client certificate proved; absent without one.
#[derive(Clone, Debug)]
pub struct Peer(pub Option<User>);

impl User {
    /// A user with these groups, authenticated.
    pub fn authenticated(name: &str, groups: impl IntoIterator<Item = String>) -> Self {
        let groups = groups.into_iter().chain([AUTHENTICATED.to_owned()]).collect();
        Self { name: name.to_owned(), groups, credential: None }
    }

    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self { name: ANONYMOUS.into(), groups: vec![UNAUTHENTICATED.into()], credential: None }
    }

    /// The subject of a verified client certificate: CN is the name, each O a group. `None` when the
    /// certificate names nobody.
    pub fn of_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject.iter_organization().filter_map(|group| group.as_str().ok()).map(str::to_owned);
        let credential = Some(format!("X509SHA256={:x}", Sha256::digest(der)));
        (!name.is_empty()).then(|| Self { credential, ..Self::authenticated(&name, groups) })
    }

    /// Whether the user is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|one| one == group)
    }
}
