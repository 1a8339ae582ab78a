//! JSON Web Tokens as service accounts have them: three parts, signed with ES256 and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::ISSUER;
use super::keys::{SignError, SigningKey};

/// The only algorithm. A token does not get to choose: `none`, and a public key taken for a shared secret, are how
/// tokens of others were forged.
pub(crate) const ALGORITHM: &str = "ES256";

/// What stands before the claims. A field that is not known may change what the token means.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
}

/// What a token says. Times are seconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// Whom it is for.
    pub(crate) aud: Vec<String>,
    /// When it ends.
    pub(crate) exp: u64,
    /// When it was issued.
    pub(crate) iat: u64,
    /// Who issued it.
    pub(crate) iss: String,
    /// Its own id.
    pub(crate) jti: String,
    /// What Kubernetes adds.
    #[serde(rename = "kubernetes.io")]
    pub(crate) bound: Bound,
    /// From when on it counts.
    pub(crate) nbf: u64,
    /// Whose it is.
    pub(crate) sub: String,
}

/// The objects that must be there for a token to count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    /// Of all that live in one.
    pub(crate) namespace: String,
    /// Of a token for a pod: where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<Reference>,
    /// The pod that uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<Reference>,
    /// A Secret that it goes with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Reference>,
    /// Whose it is.
    pub(crate) serviceaccount: Reference,
}

/// One object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reference {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
}

/// A token as it was sent: nothing in it is to be believed yet.
pub(crate) struct Token<'t> {
    /// The key that it says it is signed with.
    pub(crate) key: String,
    signed: &'t str,
    payload: &'t str,
    signature: Vec<u8>,
}

/// Takes a token apart; `None`: it is none of ours.
pub(crate) fn parse(text: &str) -> Option<Token<'_>> {
    let (signed, signature) = text.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    (header.alg == ALGORITHM).then_some(Token { key: header.kid, signed, payload, signature })
}

impl Token<'_> {
    /// What it says, if `public` vouches for it and it is one of this cluster's.
    pub(crate) fn verify(&self, public: &[u8]) -> Option<Claims> {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
        key.verify(self.signed.as_bytes(), &self.signature).ok()?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(self.payload).ok()?).ok()?;
        (claims.iss == ISSUER).then_some(claims)
    }
}

/// The text of a token.
///
/// # Errors
/// When the key cannot sign.
pub(crate) fn sign(claims: &Claims, key: &SigningKey) -> Result<String, SignError> {
    let encode = |part: Result<Vec<u8>, serde_json::Error>| {
        part.map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).map_err(|_| SignError("encoding a token"))
    };
    let header = Header { alg: ALGORITHM.to_owned(), kid: key.id.clone() };
    let signed = format!("{}.{}", encode(serde_json::to_vec(&header))?, encode(serde_json::to_vec(claims))?);
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes())?);
    Ok(format!("{signed}.{signature}"))
}
