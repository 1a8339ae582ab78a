//! Acting as somebody else: `kubectl --as`. For those who may do everything anyway.

use api::{GroupResource, Status};
use http::HeaderMap;

use super::Incoming;
use crate::user::{MASTERS, User};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";

pub(super) fn step(incoming: &Incoming<'_>, user: User) -> Result<User, Status> {
    let headers = incoming.headers;
    let names = values(headers, USER);
    let Some(name) = names.first() else {
        return if headers.contains_key(GROUP) {
            Err(Status::bad_request("requested groups to impersonate without impersonating a user"))
        } else {
            Ok(user)
        };
    };
    if !user.is_in(MASTERS) {
        let users = GroupResource { group: "", resource: "users" };
        let why = format!(
            "User {:?} cannot impersonate resource \"users\" in API group \"\" at the cluster scope",
            user.name
        );
        return Err(Status::forbidden(users, name, &why));
    }
    Ok(User::authenticated(name, values(headers, GROUP)))
}

fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
}
