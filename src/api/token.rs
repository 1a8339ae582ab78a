//! Continue tokens: where the next page of a list begins, and at which revision.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

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

#[derive(Serialize, Deserialize)]
struct Wire {
    v: String,
    rv: i64,
    start: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remaining: Option<u64>,
}

const VERSION: &str = "meta.k8s.io/v1";

/// What the token of an inconsistent list says instead of a revision.
const NEWEST: i64 = -1;

/// A token that was not made here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("continue key is not valid: {0}")]
pub struct TokenError(&'static str);

impl ContinueToken {
    /// The text of the token.
    pub fn encode(&self) -> String {
        let rv = self.revision.map_or(NEWEST, |revision| revision as i64);
        let wire = Wire { v: VERSION.into(), rv, start: self.start.clone(), remaining: self.remaining };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&wire).expect("texts and numbers always serialize"))
    }

    /// Reads a token.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(text: &str) -> Result<Self, TokenError> {
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError("not base64"))?;
        let wire: Wire = serde_json::from_slice(&json).map_err(|_| TokenError("not a token"))?;
        let revision = match wire.rv {
            NEWEST => None,
            rv => Some(
                u64::try_from(rv)
                    .ok()
                    .filter(|rv| *rv > 0)
                    .ok_or(TokenError("incorrect encoded start resourceVersion"))?,
            ),
        };
        match (wire.v.as_str(), wire.start.is_empty()) {
            (VERSION, false) => Ok(Self { revision, start: wire.start, remaining: wire.remaining }),
            (VERSION, true) => Err(TokenError("encoded start key empty")),
            _ => Err(TokenError("server does not recognize this encoded version")),
        }
    }
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
        let cases = [
            "?".to_owned(),
            encode("{}"),
            encode(r#"{"v":"x","rv":1,"start":"a"}"#),
            encode(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#),
            encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":""}"#),
        ];
        for text in cases {
            assert!(ContinueToken::decode(&text).is_err(), "{text}");
        }
    }
}
