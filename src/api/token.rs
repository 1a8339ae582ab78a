//! Continue tokens: where the next page of a list begins, and at which revision.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::Value;

use crate::conform::{bare_mismatch, base64_error, found};
use crate::decode;

/// A place in a list. Opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContinueToken {
    /// The revision of the whole list; `None` for one that goes on inconsistently at the newest.
    pub revision: Option<u64>,
    /// The last key of the page before, relative to the prefix of the list.
    pub start: String,
    /// How many objects follow; `None` when nobody counted, because of a selector.
    pub remaining: Option<u64>,
}

#[derive(Serialize)]
struct Wire<'t> {
    v: &'t str,
    rv: i64,
    start: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<u64>,
}

const VERSION: &str = "meta.k8s.io/v1";

/// What the token of an inconsistent list says instead of a revision.
const NEWEST: i64 = -1;

/// A token that was not made here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("continue key is not valid: {0}")]
pub struct TokenError(String);

impl ContinueToken {
    /// The text of the token.
    pub fn encode(&self) -> String {
        let rv = self.revision.map_or(NEWEST, |revision| revision as i64);
        let wire = Wire { v: VERSION, rv, start: &self.start, remaining: self.remaining };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&wire).expect("texts and numbers always serialize"))
    }

    /// Reads a token.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(text: &str) -> Result<Self, TokenError> {
        let json = URL_SAFE_NO_PAD.decode(text);
        let json = json.map_err(|error| TokenError(base64_error(&error, text.len())))?;
        let tree = decode::json(&json).map_err(|error| TokenError(error.to_string()))?.value;
        if !tree.is_object() && !tree.is_null() {
            return Err(TokenError(bare_mismatch(&tree, "storage.continueToken").to_string()));
        }
        let version = member(&tree, "v", "string", Value::as_str)?.unwrap_or_default();
        let revision = member(&tree, "rv", "int64", Value::as_i64)?.unwrap_or_default();
        let start = member(&tree, "start", "string", Value::as_str)?.unwrap_or_default();
        let is_step = |part: &str| matches!(part, "" | "." | "..");
        let why = match () {
            () if version != VERSION => format!("server does not recognize this encoded version {version}"),
            () if revision == 0 => format!("incorrect encoded start resourceVersion (version {VERSION})"),
            () if start.is_empty() => format!("encoded start key empty (version {VERSION})"),
            // Nothing above the list's own place.
            () if start.strip_prefix('/').unwrap_or(start).split('/').any(is_step) => start.to_owned(),
            () => {
                let remaining = tree.get("remaining").and_then(Value::as_u64);
                return Ok(Self {
                    revision: u64::try_from(revision).ok(),
                    start: start.to_owned(),
                    remaining,
                });
            }
        };
        Err(TokenError(why))
    }
}

/// A member of a token; nothing when it is not there.
fn member<'t, T>(
    tree: &'t Value,
    name: &str,
    go: &str,
    read: fn(&'t Value) -> Option<T>,
) -> Result<Option<T>, TokenError> {
    let given = tree.get(name).filter(|value| !value.is_null());
    let wrong = |value: &Value| {
        let found = found(value, go);
        TokenError(format!(
            "json: cannot unmarshal {found} into Go struct field continueToken.{name} of type {go}"
        ))
    };
    given.map(|value| read(value).ok_or_else(|| wrong(value))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for revision in [Some(42), None] {
            let token = ContinueToken { revision, start: "default/web".into(), remaining: revision };
            assert_eq!(ContinueToken::decode(&token.encode()), Ok(token));
        }
    }

    #[test]
    fn what_is_no_token() {
        let encode = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let whole =
            |v: &str, rv: i64, start: &str| encode(&format!(r#"{{"v":"{v}","rv":{rv},"start":"{start}"}}"#));
        let cases = [
            ("?".to_owned(), "illegal base64 data at input byte 0"),
            ("nonsense".to_owned(), r"invalid character '\u009e' looking for beginning of value"),
            (encode("nonsense"), "invalid character 'o' in literal null (expecting 'u')"),
            (encode("[]"), "json: cannot unmarshal array into Go value of type storage.continueToken"),
            (
                encode(r#"{"v":5}"#),
                "json: cannot unmarshal number into Go struct field continueToken.v of type string",
            ),
            (encode("{}"), "server does not recognize this encoded version "),
            (whole("x", 1, "a"), "server does not recognize this encoded version x"),
            (whole(VERSION, 0, "a"), "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
            (whole(VERSION, 1, ""), "encoded start key empty (version meta.k8s.io/v1)"),
            (whole(VERSION, 1, "../map"), "../map"),
            (whole(VERSION, 1, "a//b"), "a//b"),
        ];
        for (text, expect) in cases {
            let refused = ContinueToken::decode(&text).expect_err(&text).to_string();
            assert_eq!(refused, format!("continue key is not valid: {expect}"));
        }
    }
}
