//! May they? Members of `system:masters` may do everything; everybody may ask for health and version.

use api::{GroupResource, Status};

use super::Incoming;
use crate::request::{ResourcePath, Target};
use crate::user::{MASTERS, User};

/// Paths that need no identity.
const PUBLIC: &[&str] = &["/healthz", "/livez", "/readyz", "/version"];

/// What can be done there.
const PUBLIC_VERBS: &[&str] = &["get", "head"];

pub(super) fn step(incoming: &Incoming<'_>, user: User) -> Result<User, Status> {
    let target = incoming.target;
    if is_allowed(&user, target) { Ok(user) } else { Err(refusal(&user, target)) }
}

/// Whether a user may do this.
pub fn is_allowed(user: &User, target: &Target) -> bool {
    user.is_in(MASTERS) || is_public(target)
}

/// Verbs, and the paths that they may be used on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `*`: all.
    pub verbs: &'static [&'static str],
    /// Paths; `*`: all of them, and every resource.
    pub paths: &'static [&'static str],
}

/// All that a user may do.
pub fn rule(user: &User) -> Rule {
    match user.is_in(MASTERS) {
        true => Rule { verbs: &["*"], paths: &["*"] },
        false => Rule { verbs: PUBLIC_VERBS, paths: PUBLIC },
    }
}

fn is_public(target: &Target) -> bool {
    let path = target.path.trim_end_matches('/');
    PUBLIC_VERBS.contains(&&*target.verb) && PUBLIC.contains(&path)
}

fn refusal(user: &User, target: &Target) -> Status {
    let name = &user.name;
    let Some(path) = &target.resource else {
        let nothing = GroupResource { group: "", resource: "" };
        return Status::forbidden(
            nothing,
            "",
            &format!("User {name:?} cannot {} path {:?}", target.verb, target.path),
        );
    };
    let ResourcePath { group, namespace, resource, subresource, .. } = path;
    let resource_text =
        if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") };
    let place = if namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {namespace:?}")
    };
    let why = format!(
        "User {name:?} cannot {} resource {resource_text:?} in API group {group:?} {place}",
        target.verb
    );
    Status::forbidden(GroupResource { group, resource }, &path.name, &why)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};

    use crate::chain::{Incoming, admit_request};
    use crate::request::{Query, Target};
    use crate::user::{Peer, User};

    fn check(
        peer: Option<User>,
        headers: &[(&'static str, &'static str)],
        path: &str,
        expect: Result<&str, &str>,
    ) {
        let target = Target::of(&Method::GET, path, &Query::default());
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("name"), HeaderValue::from_static(value)))
            .collect();
        let incoming = Incoming { peer: &Peer(peer), headers: &headers, target: &target };
        let given = admit_request(&incoming)
            .map(|user| user.name)
            .map_err(|status| format!("{} {}", status.code, status.message));
        assert_eq!(given.as_deref().map_err(String::as_str), expect);
    }

    #[test]
    fn who_may_do_what() {
        let admin = || Some(User::authenticated("admin", ["system:masters".to_owned()]));
        let jane = || Some(User::authenticated("jane", []));
        let list = "/api/v1/namespaces/default/configmaps";
        check(admin(), &[], list, Ok("admin"));
        check(None, &[], "/readyz", Ok("system:anonymous"));
        check(None, &[], "/version", Ok("system:anonymous"));
        check(None, &[("authorization", "Bearer x")], "/version", Err("401 Unauthorized"));
        check(
            None,
            &[],
            list,
            Err(
                r#"403 configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps" in API group "" in the namespace "default""#,
            ),
        );
        check(
            jane(),
            &[],
            "/api/v1/namespaces/a",
            Err(
                r#"403 namespaces "a" is forbidden: User "jane" cannot get resource "namespaces" in API group "" at the cluster scope"#,
            ),
        );
        check(jane(), &[], "/metrics", Err(r#"403 forbidden: User "jane" cannot get path "/metrics""#));
        check(
            admin(),
            &[("impersonate-user", "jane")],
            "/metrics",
            Err(r#"403 forbidden: User "jane" cannot get path "/metrics""#),
        );
        check(
            admin(),
            &[("impersonate-user", "joe"), ("impersonate-group", "system:masters")],
            list,
            Ok("joe"),
        );
        check(
            jane(),
            &[("impersonate-user", "admin")],
            "/version",
            Err(
                r#"403 users "admin" is forbidden: User "jane" cannot impersonate resource "users" in API group "" at the cluster scope"#,
            ),
        );
    }
}
