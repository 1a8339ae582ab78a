//! Join tokens: `AUTHORITY-HASH.ID.SECRET`, all hex.
//!
//! The hash lets the joining process know the cluster before it says anything; the id finds the
//! record; of the secret the cluster keeps only a hash.

use std::fmt;
use std::str::FromStr;

use base::env;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::pki::AuthorityHash;

/// How long a token lets masters join. kubeadm's default.
pub const TOKEN_LIFETIME_MS: u64 = 24 * 60 * 60 * 1000;

/// A join token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Pins the cluster's authority.
    pub authority: AuthorityHash,
    /// Names the record. 64 random bits.
    pub id: u64,
    /// Proves that the holder may join. 128 random bits.
    secret: u128,
}

impl Token {
    /// A fresh token for the cluster of this authority.
    pub fn random(authority: AuthorityHash) -> Self {
        Self { authority, id: env::random_u64(), secret: env::random_u128() }
    }

    /// What is sent to a master: without the hash, which the connection has proven.
    pub fn credential(&self) -> Credential {
        Credential { id: format!("{:016x}", self.id), secret: format!("{:032x}", self.secret) }
    }

    /// What the cluster keeps: it lets in `uses` masters within [`TOKEN_LIFETIME_MS`] from `now_ms`.
    pub fn record(&self, now_ms: u64, uses: u32) -> TokenRecord {
        TokenRecord { hash: self.credential().hash(), expires_ms: now_ms + TOKEN_LIFETIME_MS, uses }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:016x}.{:032x}", self.authority, self.id, self.secret)
    }
}

impl fmt::Debug for Token {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:016x})", self.id)
    }
}

/// Text that is no token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a join token (64 hex digits, a dot, 16, a dot, 32): copy the whole line that `kctl cluster add` printed"
)]
pub struct InvalidToken;

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let parts: Vec<&str> = text.trim().split('.').collect();
        let [hash, id, secret] = parts[..] else { return Err(InvalidToken) };
        if (id.len(), secret.len()) != (16, 32) {
            return Err(InvalidToken);
        }
        Ok(Self {
            authority: AuthorityHash::parse(hash).ok_or(InvalidToken)?,
            id: u64::from_str_radix(id, 16).map_err(|_| InvalidToken)?,
            secret: u128::from_str_radix(secret, 16).map_err(|_| InvalidToken)?,
        })
    }
}

/// The part of a token that travels.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credential {
    /// 16 hex digits.
    pub id: String,
    /// 32 hex digits.
    secret: String,
}

impl Credential {
    /// Salted with the id, so that equal secrets would not show.
    fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(&self.id);
        hasher.update(":");
        hasher.update(&self.secret);
        AuthorityHash(hasher.finalize().into()).to_string()
    }
}

/// What the cluster keeps of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// SHA-256 of id and secret, hex.
    pub hash: String,
    /// When it ends. Milliseconds since the epoch.
    pub expires_ms: u64,
    /// How many masters it still lets in. Records from before uses were counted hold none: the next use is
    /// their last.
    #[serde(default)]
    pub uses: u32,
}

impl TokenRecord {
    /// Whether it ended.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        now_ms >= self.expires_ms
    }
}

/// Why a token does not let anybody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// No such token, a wrong secret, or used up: which of them is not told.
    #[error(
        "the token is not one of this cluster's, or it was used: print a new one with `kctl cluster add`"
    )]
    Unknown,
    /// It was one.
    #[error("the token has expired: print a new one with `kctl cluster add`")]
    Expired,
}

/// Whether `shown` is the token of `record` at `now_ms`.
pub fn check(record: Option<&TokenRecord>, shown: &Credential, now_ms: u64) -> Result<(), TokenRefusal> {
    // Hashes are compared, so the time that takes tells nothing about the secret.
    let record = record.filter(|record| record.hash == shown.hash()).ok_or(TokenRefusal::Unknown)?;
    if record.is_expired(now_ms) { Err(TokenRefusal::Expired) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token { authority: AuthorityHash([0xab; 32]), id: 0x12, secret: 0x34 }
    }

    #[test]
    fn a_token_survives_being_printed() {
        let text = token().to_string();
        assert_eq!(text, format!("{}.0000000000000012.00000000000000000000000000000034", "ab".repeat(32)));
        assert_eq!(format!("{text}\n").parse(), Ok(token()));
    }

    #[test]
    fn what_is_no_token() {
        let whole = token().to_string();
        let bad_digit = whole.replacen('a', "g", 1);
        let wide = format!("{}.{}.{}", "é".repeat(32), "0".repeat(16), "0".repeat(32));
        for text in
            ["", "a.b.c", &whole[1..], &whole[..whole.len() - 1], &bad_digit, &wide, &format!("{whole}.0")]
        {
            assert_eq!(text.parse::<Token>(), Err(InvalidToken), "{text:?}");
        }
    }

    #[test]
    fn who_may_join() {
        let record = token().record(1_000, 1);
        let shown = token().credential();
        let wrong = Token { secret: 0x35, ..token() }.credential();
        let end = 1_000 + TOKEN_LIFETIME_MS;
        assert_eq!(check(Some(&record), &shown, end - 1), Ok(()));
        assert_eq!(check(Some(&record), &shown, end), Err(TokenRefusal::Expired));
        assert_eq!(check(Some(&record), &wrong, 1_000), Err(TokenRefusal::Unknown));
        assert_eq!(check(Some(&record), &wrong, end), Err(TokenRefusal::Unknown));
        assert_eq!(check(None, &shown, 1_000), Err(TokenRefusal::Unknown));
    }

    #[test]
    fn neither_the_record_nor_debug_output_holds_the_secret() {
        let token = Token::random(AuthorityHash([0; 32]));
        let secret = &token.to_string()[64 + 1 + 16 + 1..];
        let record = serde_json::to_string(&token.record(0, 1)).expect("json");
        assert!(!record.contains(secret) && !format!("{token:?}").contains(secret));
    }
}
