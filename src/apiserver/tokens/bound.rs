//! Whether all that a service account's token speaks of is there, and now.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Key, time};
use state::{Object, State};

use super::TokenError;
use super::jwt::{Claims, Reference};
use crate::user::{CREDENTIAL, SERVICE_ACCOUNTS, User};

/// How far clocks may differ, and how long after its end an object still counts, as in Kubernetes. Milliseconds.
const LEEWAY_MS: u64 = 60_000;

/// Whose a token with these claims is, seen from `state` at `now_ms`.
///
/// # Errors
/// The first thing that is wrong with it, in Kubernetes' words.
pub(super) fn identify(claims: &Claims, state: &State, now_ms: u64) -> Result<User, TokenError> {
    check_time(claims, now_ms)?;
    let bound = &claims.bound;
    let (namespace, account) = (&*bound.namespace, &bound.serviceaccount);
    let find = |resource: &str, namespace: &str, name: &str| {
        state.get(Key::object("", resource, namespace, name).as_str())
    };
    let found = find("serviceaccounts", namespace, &account.name)
        .ok_or_else(|| TokenError::missing(format!("serviceaccounts {:?} not found", account.name)))?;
    if found.meta.uid != account.uid {
        let (is, claimed) = (&found.meta.uid, &account.uid);
        let why = format!("service account UID ({is}) does not match claim ({claimed})");
        return Err(TokenError::missing(why));
    }
    if is_gone(found, now_ms) {
        let why = format!("service account {namespace}/{} has been deleted", account.name);
        return Err(TokenError::settled(why));
    }
    // The node of a pod's token is only told: the pod may outlive it.
    let of_itself = bound.node.as_ref().filter(|_| bound.pod.is_none());
    let others = [
        ("secret", "secrets", namespace, bound.secret.as_ref()),
        ("pod", "pods", namespace, bound.pod.as_ref()),
        ("node", "nodes", "", of_itself),
    ];
    for (what, resource, namespace, reference) in others {
        let Some(reference) = reference else { continue };
        check(what, reference, find(resource, namespace, &reference.name), now_ms)?;
    }
    Ok(user(claims))
}

fn check_time(claims: &Claims, now_ms: u64) -> Result<(), TokenError> {
    let (early, late) = (now_ms + LEEWAY_MS, now_ms.saturating_sub(LEEWAY_MS));
    let ms = |seconds: u64| seconds.saturating_mul(1000);
    let why = match () {
        () if early < ms(claims.nbf) => "service account token is not valid yet",
        () if late > ms(claims.exp) => "service account token has expired",
        () if early < ms(claims.iat) => "service account token is issued in the future",
        () => return Ok(()),
    };
    Err(TokenError::settled(why))
}

/// Checks an object that a token goes with.
fn check(
    what: &str,
    reference: &Reference,
    found: Option<&Arc<Object>>,
    now_ms: u64,
) -> Result<(), TokenError> {
    const INVALIDATED: &str = "service account token has been invalidated";
    let found = found.ok_or_else(|| TokenError::missing(INVALIDATED))?;
    if found.meta.uid != reference.uid {
        let (is, claimed) = (&found.meta.uid, &reference.uid);
        let why = format!("{what} UID ({is}) does not match service account {what} ref claim ({claimed})");
        return Err(TokenError::missing(why));
    }
    if is_gone(found, now_ms) { Err(TokenError::settled(INVALIDATED)) } else { Ok(()) }
}

/// Whether an object was deleted and has used up its grace, which its deletionTimestamp includes.
fn is_gone(found: &Object, now_ms: u64) -> bool {
    if !found.meta.deleting {
        return false;
    }
    let deleted = found.view().at(&["metadata", "deletionTimestamp"]).text();
    time::parse_rfc3339(&deleted).is_none_or(|deleted_ms| deleted_ms + LEEWAY_MS < now_ms)
}

fn user(claims: &Claims) -> User {
    let (bound, mut extra) = (&claims.bound, BTreeMap::new());
    let mut tell = |key: &str, value: &str| {
        if !value.is_empty() {
            extra.insert(key.to_owned(), vec![value.to_owned()]);
        }
    };
    tell(CREDENTIAL, &format!("JTI={}", claims.jti));
    for (reference, what) in [(&bound.pod, "pod"), (&bound.node, "node")] {
        let Some(reference) = reference else { continue };
        tell(&format!("authentication.kubernetes.io/{what}-name"), &reference.name);
        tell(&format!("authentication.kubernetes.io/{what}-uid"), &reference.uid);
    }
    let groups = [SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{}", bound.namespace)];
    let account = &bound.serviceaccount;
    let name = user_name(&bound.namespace, &account.name);
    User { uid: account.uid.clone(), extra, ..User::authenticated(&name, groups) }
}

/// What a service account is called as a user.
pub(crate) fn user_name(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}
