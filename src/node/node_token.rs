//! Tokens that let agents join: `AUTHORITY-HASH.ID.SECRET`.
//!
//! The hash lets the agent know the cluster before it says anything, as with a master's token
//! ([`crate::token`]); the rest is a bootstrap token as Kubernetes has them, which any client of a cluster that it
//! knows already may use alone.

use std::fmt;
use std::str::FromStr;

use base::env;

use crate::pki::AuthorityHash;

/// How long a token lets agents join. kubeadm's default.
pub const NODE_TOKEN_LIFETIME_MS: u64 = 24 * 60 * 60 * 1000;

const ID_CHARS: usize = 6;
const SECRET_CHARS: usize = 16;

/// What ids and secrets are made of.
const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeToken {
    /// Pins the cluster's authority.
    pub authority: AuthorityHash,
    /// Names the Secret.
    pub id: String,
    /// Proves that the holder may join: about 82 random bits.
    pub secret: String,
}

impl NodeToken {
    /// A fresh token for the cluster of this authority.
    pub fn random(authority: AuthorityHash) -> Self {
        let letter = |_| ALPHABET[(env::random_u64() % ALPHABET.len() as u64) as usize] as char;
        let word = |chars: usize| (0..chars).map(letter).collect();
        Self { authority, id: word(ID_CHARS), secret: word(SECRET_CHARS) }
    }

    /// What is sent to a master, as a bearer token: without the hash, which the connection has proven.
    pub fn bearer(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }
}

impl fmt::Display for NodeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.authority, self.bearer())
    }
}

impl fmt::Debug for NodeToken {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeToken({})", self.id)
    }
}

/// Text that is no token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a token for nodes (64 hex digits, a dot, 6 letters or digits, a dot, 16): copy the whole line that \
     `kctl cluster token` printed"
)]
pub struct InvalidNodeToken;

impl FromStr for NodeToken {
    type Err = InvalidNodeToken;

    fn from_str(text: &str) -> Result<Self, InvalidNodeToken> {
        let parts: Vec<&str> = text.trim().split('.').collect();
        let [hash, id, secret] = parts[..] else { return Err(InvalidNodeToken) };
        let is_word = |word: &str| word.bytes().all(|byte| ALPHABET.contains(&byte));
        if (id.len(), secret.len()) != (ID_CHARS, SECRET_CHARS) || !is_word(id) || !is_word(secret) {
            return Err(InvalidNodeToken);
        }
        let authority = AuthorityHash::parse(hash).ok_or(InvalidNodeToken)?;
        Ok(Self { authority, id: id.to_owned(), secret: secret.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_being_printed() {
        let token = NodeToken::random(AuthorityHash([0xab; 32]));
        let text = token.to_string();
        assert!(text.starts_with(&"ab".repeat(32)) && text.ends_with(&token.bearer()), "{text}");
        assert_eq!(format!("{text}\n").parse(), Ok(token.clone()));
        assert!(!format!("{token:?}").contains(&token.secret));
    }

    #[test]
    fn what_is_no_token() {
        let whole = NodeToken::random(AuthorityHash([0xab; 32])).to_string();
        let of_a_master = format!("{}.{}.{}", "ab".repeat(32), "0".repeat(16), "0".repeat(32));
        let upper = whole[65..].to_uppercase() + "A";
        for text in ["", "a.b.c", &whole[1..], &whole[..whole.len() - 1], &whole[65..], &of_a_master, &upper]
        {
            assert_eq!(text.parse::<NodeToken>(), Err(InvalidNodeToken), "{text:?}");
        }
    }
}
