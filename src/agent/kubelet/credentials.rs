//! Whom to be at a registry, from a pod's secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::engine::Credentials;

/// The registry of images that name none.
const DEFAULT_REGISTRY: &str = "docker.io";

/// The account for `image` in the documents of `kubernetes.io/dockerconfigjson` secrets. The longest path that the
/// image's name begins with decides.
pub(crate) fn find(image: &str, documents: &[Vec<u8>]) -> Option<Credentials> {
    let whole = whole_name(image);
    let mut best: Option<(usize, Credentials)> = None;
    for document in documents {
        let Ok(Value::Object(document)) = serde_json::from_slice(document) else { continue };
        let accounts = document.get("auths").and_then(Value::as_object);
        for (server, account) in accounts.into_iter().flatten() {
            let place = place(server);
            let is_for =
                whole == place || whole.strip_prefix(&place).is_some_and(|rest| rest.starts_with('/'));
            let is_better = best.as_ref().is_none_or(|(length, _)| place.len() > *length);
            if is_for
                && is_better
                && let Some(account) = account_of(server, account)
            {
                best = Some((place.len(), account));
            }
        }
    }
    best.map(|(_, account)| account)
}

fn account_of(server: &str, account: &Value) -> Option<Credentials> {
    let text = |field: &str| account.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (username, password) = match (text("username"), text("password")) {
        (Some(username), Some(password)) => (username.to_owned(), password.to_owned()),
        _ => {
            let decoded = String::from_utf8(STANDARD.decode(text("auth")?).ok()?).ok()?;
            let (username, password) = decoded.split_once(':')?;
            (username.to_owned(), password.trim_end_matches('\0').to_owned())
        }
    };
    Some(Credentials { server: server.to_owned(), username, password })
}

/// The server as names of images begin: without scheme and version.
fn place(server: &str) -> String {
    let bare = server.trim_start_matches("https://").trim_start_matches("http://");
    let bare = bare.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches("/v2");
    if bare == "index.docker.io" { DEFAULT_REGISTRY.to_owned() } else { bare.to_owned() }
}

/// The image's name with its registry, without tag and digest.
fn whole_name(image: &str) -> String {
    let bare = image.split('@').next().unwrap_or_default();
    let tag = bare.rfind(':').filter(|at| !bare[*at..].contains('/'));
    let bare = &bare[..tag.unwrap_or(bare.len())];
    let first = bare.split('/').next().unwrap_or_default();
    let is_registry = bare.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    if is_registry { bare.to_owned() } else { format!("{DEFAULT_REGISTRY}/{bare}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(image: &str) -> Option<String> {
        let document = br#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
            "registry.example:5000": {"username": "all", "password": "pw"},
            "registry.example:5000/team": {"username": "team", "password": "pw"},
            "broken.example": {"auth": "!"}
        }}"#;
        find(image, &[b"no json".to_vec(), document.to_vec()]).map(|found| found.username)
    }

    #[test]
    fn the_longest_path_decides() {
        let found = [
            "nginx:1",
            "registry.example:5000/a:1",
            "registry.example:5000/team/a@sha256:00",
            "broken.example/a",
            "quay.example/a",
        ]
        .map(|image| user(image).unwrap_or_default());
        assert_eq!(found, ["hub", "all", "team", "", ""]);
    }
}
