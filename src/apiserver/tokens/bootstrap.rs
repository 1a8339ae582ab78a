//! Tokens that let agents join: Secrets of `kube-system`, as in Kubernetes.

use std::collections::BTreeSet;

use api::{Key, Object, Resource, time};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use state::State;

use crate::user::{BOOTSTRAPPERS, User};

/// The type of such Secrets.
pub(crate) const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";

/// What their names begin with; the token's id follows.
pub(crate) const SECRET_PREFIX: &str = "bootstrap-token-";

/// Characters of a token's id.
pub(crate) const ID_CHARS: usize = 6;

/// Characters of its secret.
pub(crate) const SECRET_CHARS: usize = 16;

/// The longest name of a further group, without what all of them begin with.
const GROUP_CHARS_MAX: usize = 256;

/// Id and secret of a text that may be such a token.
pub(crate) fn parse(text: &str) -> Option<(&str, &str)> {
    let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let (id, secret) = text.split_once('.')?;
    let fits = (id.len(), secret.len()) == (ID_CHARS, SECRET_CHARS);
    (fits && is_word(id) && is_word(secret)).then_some((id, secret))
}

/// Whose a token is, seen from `state` at `now_ms`; `None`: nobody's. Which of its parts is wrong is not told.
pub(super) fn identify(id: &str, secret: &str, state: &State, now_ms: u64) -> Option<User> {
    let found =
        state.get(Key::object("", "secrets", "kube-system", &format!("{SECRET_PREFIX}{id}")).as_str())?;
    let record = Object::read(&found.bytes.to_bytes(), &Resource::builtin("", "v1", "secrets")).ok()?;
    let data = |key: &str| {
        let decoded = STANDARD.decode(record.text(&["data", key])).ok()?;
        String::from_utf8(decoded).ok()
    };
    // Digests are compared, so the time that takes tells nothing about the secret.
    let is_it = Sha256::digest(data("token-secret")?) == Sha256::digest(secret);
    let is_usable = !found.meta.deleting
        && record.text(&["type"]) == SECRET_TYPE
        && data("token-id")? == id
        && data("usage-bootstrap-authentication")? == "true";
    let ends = data("expiration").unwrap_or_default();
    let has_time = ends.is_empty() || time::parse_rfc3339(&ends).is_some_and(|ends_ms| now_ms < ends_ms);
    let further = data("auth-extra-groups").unwrap_or_default();
    let further: Vec<_> = further.split(',').filter(|_| !further.is_empty()).collect();
    if !(is_it && is_usable && has_time && further.iter().all(|group| is_group(group))) {
        return None;
    }
    let groups: BTreeSet<&str> = [BOOTSTRAPPERS].into_iter().chain(further).collect();
    Some(User::authenticated(&format!("system:bootstrap:{id}"), groups.into_iter().map(str::to_owned)))
}

/// Whether a token may put its holder into a group: only into those made for it.
fn is_group(name: &str) -> bool {
    let Some(name) = name.strip_prefix("system:bootstrappers:") else { return false };
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= GROUP_CHARS_MAX
        && name.bytes().all(|byte| is_plain(byte) || b":-".contains(&byte))
        && name.bytes().last().is_some_and(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_token() {
        let secret = "0123456789abcdef";
        assert_eq!(parse("abc123.0123456789abcdef"), Some(("abc123", secret)));
        for text in
            ["", "abc123", "abc12.0123456789abcdef", "ABC123.0123456789abcdef", "abc123.0123456789abcde-"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn groups_that_a_token_may_bring() {
        let long = format!("system:bootstrappers:{}", "a".repeat(GROUP_CHARS_MAX + 1));
        let cases = [
            ("system:bootstrappers:worker", true),
            ("system:bootstrappers:a:b-c", true),
            ("system:bootstrappers:", false),
            ("system:bootstrappers:a-", false),
            ("system:masters", false),
            (&long, false),
        ];
        for (name, expect) in cases {
            assert_eq!(is_group(name), expect, "{name}");
        }
    }
}
