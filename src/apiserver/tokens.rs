//! Who is it, by a bearer token: a service account's, or one that lets an agent join.
//!
//! # Guarantees
//! A token counts for as long as all that it speaks of is there, on every request. Its signature is verified once
//! and then remembered, for a bounded number of tokens: what is left to look at are a few objects of State.

pub(crate) mod bootstrap;
mod bound;
pub(crate) mod jwt;
pub mod keys;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use api::field_error::quoted;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use state::State;

use crate::limits::{TOKEN_BYTES_MAX, TOKENS_REMEMBERED};
use crate::user::User;
pub(crate) use bound::user_name;
use jwt::Claims;

/// Who issues the tokens of service accounts, and whom they are for unless they say: Kubernetes' default.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// What the API server calls itself in the audiences of tokens.
pub const API_AUDIENCES: &[&str] = &[ISSUER];

/// What is said of a token that nobody here recognizes.
const INVALID: &str = "invalid bearer token";

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// The user.
    pub user: User,
    /// Those of the audiences asked for that the token is for.
    pub audiences: Vec<String>,
}

/// Why a token is nobody's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct TokenError {
    /// For people.
    pub why: String,
    /// Whether something was missing that another master may know already.
    pub may_change: bool,
}

impl TokenError {
    fn settled(why: impl Into<String>) -> Self {
        Self { why: why.into(), may_change: false }
    }

    fn missing(why: impl Into<String>) -> Self {
        Self { why: why.into(), may_change: true }
    }
}

/// Reads tokens, and remembers those whose signatures are good.
#[derive(Default)]
pub struct Tokens {
    verified: Mutex<Verified>,
}

/// The claims of tokens by the digests of their texts; the oldest makes room.
#[derive(Default)]
struct Verified {
    claims: BTreeMap<[u8; 32], Arc<Signed>>,
    order: VecDeque<[u8; 32]>,
}

/// Claims, and the key that vouches for them.
struct Signed {
    key: String,
    claims: Claims,
}

impl Tokens {
    /// Whose a token is, seen from `state` at `now_ms`, among those meant for one of `audiences`.
    ///
    /// # Errors
    /// When it is nobody's, with the reason in Kubernetes' words.
    pub fn identify(
        &self,
        text: &str,
        audiences: &[&str],
        state: &State,
        now_ms: u64,
    ) -> Result<Identified, TokenError> {
        let shared = |of: &[&str]| -> Vec<String> {
            audiences.iter().filter(|one| of.contains(one)).map(|one| (*one).to_owned()).collect()
        };
        if let Some((id, secret)) = bootstrap::parse(text) {
            let audiences = shared(API_AUDIENCES);
            let is_meant = !audiences.is_empty();
            let user = bootstrap::identify(id, secret, state, now_ms);
            let user = user.filter(|_| is_meant).ok_or_else(|| TokenError::missing(INVALID))?;
            return Ok(Identified { user, audiences });
        }
        let signed = self.verify(text, state)?;
        let claims = &signed.claims;
        let meant: Vec<_> = claims.aud.iter().map(String::as_str).collect();
        let audiences = match shared(&meant) {
            shared if shared.is_empty() => {
                let (meant, asked) = (listed(&meant), listed(audiences));
                let why = format!("token audiences {meant} is invalid for the target audiences {asked}");
                return Err(TokenError::settled(why));
            }
            shared => shared,
        };
        let user = bound::identify(claims, state, now_ms)?;
        Ok(Identified { user, audiences })
    }

    /// The claims of a token that a key of the cluster signed.
    fn verify(&self, text: &str, state: &State) -> Result<Arc<Signed>, TokenError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::settled(INVALID));
        }
        let digest: [u8; 32] = Sha256::digest(text).into();
        let known = self.verified.lock().claims.get(&digest).cloned();
        if let Some(known) = known {
            // A key that was taken out vouches for nothing any more.
            let is_trusted = keys::public(state, &known.key).is_some();
            return if is_trusted { Ok(known) } else { Err(TokenError::missing(INVALID)) };
        }
        let token = jwt::parse(text).ok_or_else(|| TokenError::settled(INVALID))?;
        let public = keys::public(state, &token.key);
        let public = public.ok_or_else(|| TokenError::missing("invalid signature, no keys found"))?;
        let claims = token.verify(&public).ok_or_else(|| TokenError::settled(INVALID))?;
        let signed = Arc::new(Signed { key: token.key, claims });
        self.verified.lock().remember(digest, Arc::clone(&signed));
        Ok(signed)
    }
}

/// Texts as Go lists them.
fn listed(texts: &[&str]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(" "))
}

impl Verified {
    fn remember(&mut self, digest: [u8; 32], signed: Arc<Signed>) {
        if self.claims.insert(digest, signed).is_some() {
            return;
        }
        self.order.push_back(digest);
        if self.order.len() > TOKENS_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.claims.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let tokens = Tokens::default();
        for number in 0..TOKENS_REMEMBERED as u64 + 10 {
            let digest: [u8; 32] = Sha256::digest(number.to_be_bytes()).into();
            let signed = Signed { key: String::new(), claims: Claims::default() };
            tokens.verified.lock().remember(digest, Arc::new(signed));
        }
        let verified = tokens.verified.lock();
        assert_eq!((verified.claims.len(), verified.order.len()), (TOKENS_REMEMBERED, TOKENS_REMEMBERED));
        let first: [u8; 32] = Sha256::digest(0_u64.to_be_bytes()).into();
        assert!(!verified.claims.contains_key(&first), "the oldest makes room");
    }
}
