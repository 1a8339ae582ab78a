//! May they? Members of `system:masters` may do everything; who proved who they are may ask what there is and who they
//! are; everybody may ask for health and version. The rules are those of the roles that a cluster of Kubernetes has
//! from its beginning.

mod node;
mod own_requests;
pub(crate) mod pods;

use api::{GroupResource, Status};
use state::State;

use super::{Incoming, Refused};
use crate::request::{ResourcePath, Target};
use crate::user::{AUTHENTICATED, BOOTSTRAPPERS, MASTERS, NODES, SERVICE_ACCOUNTS, UNAUTHENTICATED, User};

/// What members of groups may do.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Who may.
    subjects: &'static [&'static str],
    /// `*`: all.
    pub verbs: &'static [&'static str],
    /// What it is about.
    pub on: Scope,
}

/// What a rule is about; `*` stands for all.
#[derive(Clone, Copy, Debug)]
pub enum Scope {
    /// Resources of groups.
    Resources(&'static [&'static str], &'static [&'static str]),
    /// Paths that are no resource; one that ends with `*` is that of all that begins like it.
    Paths(&'static [&'static str]),
}

/// The group of requests for certificates.
const CERTIFICATES: &str = "certificates.k8s.io";

/// All that anybody may do by being in a group.
static RULES: &[Rule] = &[
    // cluster-admin
    Rule { subjects: &[MASTERS], verbs: &["*"], on: Scope::Resources(&["*"], &["*"]) },
    Rule { subjects: &[MASTERS], verbs: &["*"], on: Scope::Paths(&["*"]) },
    // system:basic-user
    Rule {
        subjects: &[AUTHENTICATED],
        verbs: &["create"],
        on: Scope::Resources(
            &["authorization.k8s.io"],
            &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        ),
    },
    Rule {
        subjects: &[AUTHENTICATED],
        verbs: &["create"],
        on: Scope::Resources(&["authentication.k8s.io"], &["selfsubjectreviews"]),
    },
    // system:discovery
    Rule {
        subjects: &[AUTHENTICATED],
        verbs: &["get"],
        on: Scope::Paths(&[
            "/api",
            "/api/*",
            "/apis",
            "/apis/*",
            "/healthz",
            "/livez",
            "/openapi",
            "/openapi/*",
            "/readyz",
            "/version",
            "/version/",
        ]),
    },
    // Agents learn of masters that are new.
    Rule { subjects: &[NODES], verbs: &["get"], on: Scope::Paths(&["/keelson/v1/masters"]) },
    // system:service-account-issuer-discovery
    Rule {
        subjects: &[SERVICE_ACCOUNTS],
        verbs: &["get"],
        on: Scope::Paths(&["/.well-known/openid-configuration", "/openid/v1/jwks"]),
    },
    // system:node-bootstrapper; who made a request may read it, see `own_requests`.
    Rule {
        subjects: &[BOOTSTRAPPERS],
        verbs: &["create"],
        on: Scope::Resources(&[CERTIFICATES], &["certificatesigningrequests"]),
    },
    // What is approved by itself: system:certificates.k8s.io:certificatesigningrequests:nodeclient...
    Rule {
        subjects: &[BOOTSTRAPPERS],
        verbs: &["create"],
        on: Scope::Resources(&[CERTIFICATES], &["certificatesigningrequests/nodeclient"]),
    },
    // ...and :selfnodeclient
    Rule {
        subjects: &[NODES],
        verbs: &["create"],
        on: Scope::Resources(&[CERTIFICATES], &["certificatesigningrequests/selfnodeclient"]),
    },
    // system:public-info-viewer
    Rule {
        subjects: &[AUTHENTICATED, UNAUTHENTICATED],
        verbs: &["get"],
        on: Scope::Paths(&["/healthz", "/livez", "/readyz", "/version", "/version/"]),
    },
];

impl Rule {
    fn allows(&self, target: &Target) -> bool {
        // Whoever may read may ask whether there is something to read.
        let verb = if target.resource.is_none() && target.verb == "head" { "get" } else { &target.verb };
        has(self.verbs, verb) && self.on.holds(target)
    }
}

impl Scope {
    fn holds(&self, target: &Target) -> bool {
        match (self, &target.resource) {
            (Self::Resources(groups, resources), Some(path)) => {
                has(groups, &path.group) && has(resources, &resource_text(path))
            }
            (Self::Paths(paths), None) => paths.iter().any(|path| {
                path.strip_suffix('*').map_or(*path == target.path, |start| target.path.starts_with(start))
            }),
            _ => false,
        }
    }
}

/// Whether a list names a word, or all.
fn has(list: &[&str], word: &str) -> bool {
    list.iter().any(|one| *one == "*" || *one == word)
}

/// A no.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denied {
    /// What there is to say beside that no rule allows it; mostly nothing.
    pub reason: String,
    /// Whether something was missing that another master may know already.
    pub may_change: bool,
}

impl Denied {
    /// For a reason that stays.
    fn settled(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), may_change: false }
    }

    /// Because something is not there.
    fn missing(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), may_change: true }
    }
}

pub(super) fn step(incoming: &Incoming<'_>, user: User) -> Result<User, Refused> {
    let target = incoming.target;
    match decide(&user, target, incoming.state) {
        Ok(()) => Ok(user),
        Err(denied) => {
            let status = refusal(&user, target, &denied.reason);
            Err(Refused { status, may_change: denied.may_change })
        }
    }
}

/// Decides whether a user may do this, as things are in `state`.
///
/// # Errors
/// When not.
pub fn decide(user: &User, target: &Target, state: &State) -> Result<(), Denied> {
    if rules(user).any(|rule| rule.allows(target)) {
        return Ok(());
    }
    let as_node = match user.node() {
        Some(node) => node::decide(node, target, state),
        None => Err(Denied::default()),
    };
    as_node.or_else(|denied| own_requests::decide(user, target, state).unwrap_or(Err(denied)))
}

/// Whether a user may do this.
pub fn is_allowed(user: &User, target: &Target, state: &State) -> bool {
    decide(user, target, state).is_ok()
}

/// All that a user may do whatever is in the cluster.
pub fn rules(user: &User) -> impl Iterator<Item = &'static Rule> {
    RULES.iter().filter(|rule| rule.subjects.iter().any(|group| user.is_in(group)))
}

/// A resource with what hangs below it.
fn resource_text(ResourcePath { resource, subresource, .. }: &ResourcePath) -> String {
    if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") }
}

fn refusal(user: &User, target: &Target, reason: &str) -> Status {
    let name = &user.name;
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let Some(path) = &target.resource else {
        let nothing = GroupResource { group: "", resource: "" };
        return Status::forbidden(
            nothing,
            "",
            &format!("User {name:?} cannot {} path {:?}{reason}", target.verb, target.path),
        );
    };
    let ResourcePath { group, namespace, resource, .. } = path;
    let resource_text = resource_text(path);
    let place = if namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {namespace:?}")
    };
    let why = format!(
        "User {name:?} cannot {} resource {resource_text:?} in API group {group:?} {place}{reason}",
        target.verb
    );
    Status::forbidden(GroupResource { group, resource }, target.name(), &why)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};
    use state::State;

    use super::{is_allowed, rules};
    use crate::chain::{Incoming, admit_request};
    use crate::request::{Query, Target};
    use crate::tokens::Tokens;
    use crate::user::{MASTERS, Peer, User};

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
        let (tokens, state) = (Tokens::default(), State::default());
        let incoming = Incoming {
            peer: &Peer(peer),
            headers: &headers,
            target: &target,
            tokens: &tokens,
            state: &state,
        };
        let given = admit_request(&incoming)
            .map(|user| user.name)
            .map_err(|refused| format!("{} {}", refused.status.code, refused.status.message));
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
        for path in ["/api", "/apis", "/apis/apps/v1", "/openapi/v3", "/version/", "/livez"] {
            check(jane(), &[], path, Ok("jane"));
        }
        for path in ["/api", "/apis/apps/v1", "/openapi/v3", "/livez/x", "/versions"] {
            let text = format!(r#"403 forbidden: User "system:anonymous" cannot get path "{path}""#);
            check(None, &[], path, Err(&text));
        }
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

    #[test]
    fn who_may_create_what() {
        let jane = User::authenticated("jane", []);
        let may = |user: &User, path: &str| {
            is_allowed(user, &Target::of(&Method::POST, path, &Query::default()), &State::default())
        };
        let reviews = "/apis/authorization.k8s.io/v1";
        assert!(may(&jane, &format!("{reviews}/selfsubjectaccessreviews")));
        assert!(may(&jane, &format!("{reviews}/selfsubjectrulesreviews")));
        assert!(may(&jane, "/apis/authentication.k8s.io/v1/selfsubjectreviews"));
        assert!(!may(&jane, &format!("{reviews}/subjectaccessreviews")));
        assert!(!may(&jane, &format!("{reviews}/selfsubjectaccessreviews/x/status")));
        assert!(!may(&jane, "/apis/other/v1/selfsubjectaccessreviews"));
        assert!(!may(&jane, "/version"));
        assert!(!may(&User::anonymous(), &format!("{reviews}/selfsubjectaccessreviews")));
        let master = User::authenticated("admin", [MASTERS.to_owned()]);
        assert!(may(&master, "/metrics") && may(&master, &format!("{reviews}/subjectaccessreviews/x/y")));
        assert_eq!((rules(&jane).count(), rules(&User::anonymous()).count()), (4, 1));
    }
}
