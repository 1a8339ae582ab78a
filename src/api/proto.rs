//! Objects in `application/vnd.kubernetes.protobuf`, in which client libraries send and ask for built-in kinds.
//!
//! A message and the tree of its JSON say the same, by the field numbers of [`crate::schema`].

mod read;
mod wire;
mod write;

use std::borrow::Cow;

use read::tree as read_tree;
use serde_json::Value;
use wire::{Wire, each, nested, put_bytes, put_length, put_number, utf8};

pub use wire::ProtoError;
pub use write::message;

use crate::schema::Type;
use crate::view::View;

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";

const NO_MAGIC: ProtoError =
    ProtoError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");

/// The envelope around a message.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope<'b> {
    /// `v1`, `apps/v1`; may be empty.
    pub api_version: &'b str,
    /// `ConfigMap`; may be empty.
    pub kind: &'b str,
    /// The message.
    pub message: &'b [u8],
}

/// Opens the envelope.
///
/// # Errors
/// Wrong magic, or no envelope behind it.
pub fn open(body: &[u8]) -> Result<Envelope<'_>, ProtoError> {
    let rest = match body.strip_prefix(MAGIC) {
        Some(b"") => return Err(ProtoError("empty body")),
        Some(rest) => rest,
        None if body.is_empty() => return Err(ProtoError("empty data")),
        None => return Err(NO_MAGIC),
    };
    let mut envelope = Envelope { api_version: "", kind: "", message: &[] };
    each(rest, |number, wire| {
        match (number, wire) {
            (1, Wire::Bytes(type_meta)) => each(type_meta, |number, wire| {
                match (number, wire) {
                    (1, Wire::Bytes(text)) => envelope.api_version = utf8(text)?,
                    (2, Wire::Bytes(text)) => envelope.kind = utf8(text)?,
                    _ => {}
                }
                Ok(())
            })?,
            (2, Wire::Bytes(message)) => envelope.message = message,
            _ => {}
        }
        Ok(())
    })?;
    Ok(envelope)
}

/// Closes the envelope around a message.
pub fn seal(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let mut body = envelope_head(api_version, kind);
    put_bytes(&mut body, 2, message);
    // How the message is encoded: in no other way.
    put_bytes(&mut body, 3, b"");
    put_bytes(&mut body, 4, b"");
    body
}

fn envelope_head(api_version: &str, kind: &str) -> Vec<u8> {
    let mut body = MAGIC.to_vec();
    nested(&mut body, 1, |out| {
        put_bytes(out, 1, api_version.as_bytes());
        put_bytes(out, 2, kind.as_bytes());
    });
    body
}

/// `metadata` of a list.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListMeta<'m> {
    /// The revision of the list.
    pub resource_version: &'m str,
    /// Where the next page begins; empty on the last one.
    pub continue_token: &'m str,
    /// How many objects follow, where that is known.
    pub remaining: Option<u64>,
}

/// Appends the message of an object, given as canonical JSON, to the items of a list. `shared` are the sets of fields
/// that are missing in its text, in order.
pub fn append_item<'b>(
    items: &mut Vec<u8>,
    json: &'b [u8],
    mut shared: impl Iterator<Item = Cow<'b, [u8]>>,
    of: &Type,
) {
    nested(items, 2, |out| write::append(out, &mut write::Text::new(View::new(json), &mut shared), of));
}

/// What comes before the items of a list: its envelope, and what it says of itself.
pub fn list_head(api_version: &str, kind: &str, meta: ListMeta<'_>, items_bytes: usize) -> Vec<u8> {
    let mut message = Vec::new();
    nested(&mut message, 1, |out| {
        put_bytes(out, 2, meta.resource_version.as_bytes());
        put_bytes(out, 3, meta.continue_token.as_bytes());
        if let Some(remaining) = meta.remaining {
            put_number(out, 4, remaining);
        }
    });
    let mut head = envelope_head(api_version, kind);
    put_length(&mut head, 2, message.len() + items_bytes);
    head.extend_from_slice(&message);
    head
}

/// One frame of a watch: an event of this type with a sealed object, behind its length.
pub fn watch_frame(event: &str, sealed: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(sealed.len() + 8);
    put_bytes(&mut raw, 1, sealed);
    let mut body = Vec::with_capacity(raw.len() + 24);
    put_bytes(&mut body, 1, event.as_bytes());
    put_bytes(&mut body, 2, &raw);
    let length = u32::try_from(body.len()).expect("objects are bounded far below 4 GiB");
    [&length.to_be_bytes(), &body[..]].concat()
}

/// Reads a message of a type into the tree of its JSON.
///
/// # Errors
/// Says what is wrong with the bytes.
pub fn tree(message: &[u8], of: &Type) -> Result<Value, ProtoError> {
    read_tree(message, of)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::builtin;

    /// What `kubectl create configmap x --from-literal=a=b` sends.
    const CREATE: &[u8] = b"k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\x1b\n\x11\n\x01x\x12\x00\x1a\x00\"\x00*\x002\x008\x00B\x00\x12\x06\n\x01a\x12\x01b\x1a\x00\"\x00";

    #[test]
    fn what_kubectl_sends() {
        let envelope = open(CREATE).expect("envelope");
        assert_eq!((envelope.api_version, envelope.kind), ("v1", "ConfigMap"));
        let expect = json!({
            "metadata": {"name": "x", "generateName": "", "namespace": "", "selfLink": "", "uid": "",
                "resourceVersion": "", "generation": 0, "creationTimestamp": null},
            "data": {"a": "b"},
        });
        assert_eq!(tree(envelope.message, &builtin("io.k8s.api.core.v1.ConfigMap")), Ok(expect));
    }

    #[test]
    fn bytes_become_base64() {
        assert_eq!(
            tree(b"\x12\x06\n\x01a\x12\x01b(\x01", &builtin("io.k8s.api.core.v1.Secret")),
            Ok(json!({"data": {"a": "Yg=="}, "immutable": true}))
        );
    }

    #[test]
    fn no_cut_of_a_message_panics() {
        let whole = open(CREATE).expect("envelope").message;
        for end in 0..whole.len() {
            let _ = tree(&whole[..end], &builtin("io.k8s.api.core.v1.ConfigMap"));
            let _ = open(&CREATE[..end]);
        }
        assert_eq!(
            tree(b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f", &builtin("io.k8s.api.core.v1.ConfigMap")),
            Err(wire::TRUNCATED)
        );
        assert!(open(b"{}").is_err());
    }
}
