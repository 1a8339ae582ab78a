//! The keys that sign the tokens of service accounts: internal records of State, so that every master signs and
//! verifies with the same. Several may verify; the newest signs.

use api::Key;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use state::{Meta, State, Write};

use super::jwt::ALGORITHM;

/// The family of the records, by the ids of the keys.
const FAMILY: &str = "service-account-keys";

/// What stands before a point of the curve P-256 where a public key is written with its kind (RFC 5480): the id of
/// a key is the digest of both, as in Kubernetes.
const POINT_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Bytes of a coordinate of the curve.
const COORDINATE_BYTES: usize = 32;

/// A key could not be made or used.
#[derive(Debug, thiserror::Error)]
#[error("{0} failed")]
pub struct SignError(pub(crate) &'static str);

/// A record. Base64.
#[derive(Serialize, Deserialize)]
struct Record {
    /// The private key, PKCS#8.
    private: String,
    /// The point of the public key, uncompressed.
    public: String,
}

/// A key that signs.
pub(crate) struct SigningKey {
    /// What tokens name it by.
    pub(crate) id: String,
    pair: EcdsaKeyPair,
}

impl SigningKey {
    pub(crate) fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = self.pair.sign(&SystemRandom::new(), text);
        signature.map(|signature| signature.as_ref().to_vec()).map_err(|_| SignError("signing a token"))
    }
}

/// What the keys of the records begin with.
pub(crate) fn prefix() -> String {
    format!("{}{FAMILY}/", api::key::INTERNAL)
}

/// A new key: once it is written, it signs.
///
/// # Errors
/// When the system has no randomness to give.
pub fn fresh() -> Result<(Key, Write), SignError> {
    let failed = |_| SignError("making a key that signs tokens");
    let private = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let private = private.map_err(failed)?;
    let pair = pair(private.as_ref())?;
    let public = pair.public_key().as_ref();
    let record = Record { private: STANDARD.encode(&private), public: STANDARD.encode(public) };
    let body = serde_json::to_vec(&record).map_err(|_| SignError("encoding a key that signs tokens"))?;
    let key = Key::internal(FAMILY, &id(public));
    let write = Write::Put { key: key.clone(), body: body.into(), splice: None, meta: Meta::default() };
    Ok((key, write))
}

fn pair(private: &[u8]) -> Result<EcdsaKeyPair, SignError> {
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private, &SystemRandom::new());
    pair.map_err(|_| SignError("reading a key that signs tokens"))
}

fn id(public: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::new().chain_update(POINT_PREFIX).chain_update(public).finalize())
}

fn read(found: &state::Object) -> Option<Record> {
    serde_json::from_slice(&found.bytes.to_bytes()).ok()
}

/// The key that signs; `None` before there is one.
pub(crate) fn newest(state: &State) -> Option<SigningKey> {
    let prefix = prefix();
    let newest = state.range(&prefix).max_by_key(|found| found.revision)?;
    let private = STANDARD.decode(read(newest)?.private).ok()?;
    Some(SigningKey { id: newest.key.name().to_owned(), pair: pair(&private).ok()? })
}

/// The public part of the key with this id.
pub(crate) fn public(state: &State, id: &str) -> Option<Vec<u8>> {
    STANDARD.decode(read(state.get(Key::internal(FAMILY, id).as_str())?)?.public).ok()
}

/// All public parts, as a JSON Web Key Set.
pub(crate) fn set(state: &State) -> Value {
    let key = |found: &state::Object| {
        let point = STANDARD.decode(read(found)?.public).ok()?;
        // The first byte says that both coordinates follow.
        let (x, y) = point.get(1..)?.split_at_checked(COORDINATE_BYTES)?;
        Some(json!({
            "use": "sig", "kty": "EC", "kid": found.key.name(), "crv": "P-256", "alg": ALGORITHM,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }))
    };
    let keys: Vec<Value> = state.range(&prefix()).filter_map(|found| key(found)).collect();
    json!({ "keys": keys })
}
