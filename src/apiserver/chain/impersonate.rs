//! Acting as somebody else: `kubectl --as`. For those who may do everything anyway.

use api::field_error::quoted;
use api::{GroupResource, Status};
use http::HeaderMap;

use super::{Incoming, Refused};
use crate::user::{MASTERS, User};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";

pub(super) fn step(incoming: &Incoming<'_>, user: User) -> Result<User, Refused> {
    let headers = incoming.headers;
    let names = values(headers, USER);
    let Some(name) = names.first().filter(|name| !name.is_empty()) else {
        return nameless(headers).map_or(Ok(user), |wanted| {
            let why = format!("requested {wanted} without impersonating a user name");
            Err(Status::bad_request(why).into())
        });
    };
    if !user.is_in(MASTERS) {
        let users = GroupResource { group: "", resource: "users" };
        let why = format!(
            "User {:?} cannot impersonate resource \"users\" in API group \"\" at the cluster scope",
            user.name
        );
        return Err(Status::forbidden(users, name, &why).into());
    }
    Ok(User::authenticated(name, values(headers, GROUP)))
}

fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
}

/// What is asked for of a user without a name, as Go writes one; `None` when nothing is.
fn nameless(headers: &HeaderMap) -> Option<String> {
    let (groups, uids) = (values(headers, GROUP), values(headers, UID));
    let mut extra: Vec<_> =
        headers.keys().filter_map(|name| name.as_str().strip_prefix(EXTRA)).map(str::to_owned).collect();
    extra.sort();
    let uid = uids.first().map_or("", String::as_str);
    if uid.is_empty() && groups.is_empty() && extra.is_empty() {
        return None;
    }
    let extra = extra.iter().map(|name| {
        let given = values(headers, &format!("{EXTRA}{name}"));
        format!("{}:[]string{}", quoted(name), listed(given.iter().map(|text| quoted(text))))
    });
    let (groups, extra) = (listed(groups.iter().map(|group| quoted(group))), listed(extra));
    let uid = quoted(uid);
    Some(format!(
        r#"&user.DefaultInfo{{Name:"", UID:{uid}, Groups:[]string{groups}, Extra:map[string][]string{extra}}}"#
    ))
}

fn listed(items: impl Iterator<Item = String>) -> String {
    match items.collect::<Vec<_>>().as_slice() {
        [] => "(nil)".to_owned(),
        items => format!("{{{}}}", items.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::nameless;

    #[test]
    fn what_is_asked_for_without_a_name() {
        let of = |headers: &[(&'static str, &'static str)]| {
            let pair = |pair: &(&'static str, &'static str)| {
                (HeaderName::from_static(pair.0), HeaderValue::from_static(pair.1))
            };
            nameless(&headers.iter().map(pair).collect::<HeaderMap>())
        };
        assert_eq!(of(&[("accept", "x")]), None);
        let groups = [("impersonate-group", "a"), ("impersonate-group", "b\"")];
        assert_eq!(
            of(&groups).as_deref(),
            Some(
                r#"&user.DefaultInfo{Name:"", UID:"", Groups:[]string{"a", "b\""}, Extra:map[string][]string(nil)}"#
            )
        );
        let others = [("impersonate-uid", "5"), ("impersonate-extra-x", "y")];
        assert_eq!(
            of(&others).as_deref(),
            Some(
                r#"&user.DefaultInfo{Name:"", UID:"5", Groups:[]string(nil), Extra:map[string][]string{"x":[]string{"y"}}}"#
            )
        );
    }
}
