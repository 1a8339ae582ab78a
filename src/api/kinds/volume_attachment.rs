//! `storage.k8s.io/v1 VolumeAttachment`: a volume that is to be attached to a node.

use serde_json::Value;

use crate::names;
use crate::resource::{Particular, Strategy};
use crate::validate::IMMUTABLE;
use crate::validate::at::{At, Root};
use crate::validate::pod::volumes::csi_driver;
use crate::validate::{text, volume};

/// What is particular.
pub static KIND: Particular = Particular {
    group: "storage.k8s.io",
    kind: "VolumeAttachment",
    declared: &[("spec", "field is immutable"), ("spec.attacher", "")],
    strategy: Strategy {
        validate: |new| validate(new, attacher),
        validate_update,
        validate_status: validate_update,
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

const DRIVER_BYTES_MAX: usize = 63;
const DRIVER_RULE: &str = r"an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'Example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const MESSAGE_BYTES_MAX: usize = 1024;
const METADATA_BYTES_MAX: usize = 256 * 1024;
const ONE_SOURCE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";

fn validate(new: Root<'_>, attacher: fn(At<'_>)) {
    let spec = new.field("spec");
    attacher(spec.field("attacher"));
    let source = spec.field("source");
    let (inline, name) = (source.field("inlineVolumeSpec"), source.field("persistentVolumeName"));
    match (inline.is_set(), name.is_set()) {
        (false, false) => source.required(ONE_SOURCE),
        (true, true) => source.forbidden(ONE_SOURCE),
        (true, false) => volume::spec(inline, "", true),
        (false, true) if name.is_empty() => name.required("must specify non empty persistentVolumeName"),
        (false, true) => {}
    }
    if name.is_set() {
        name.check_name(names::dns_subdomain);
    }
    spec.field("nodeName").check_name(names::dns_subdomain);
    let status = new.field("status");
    let metadata = status.field("attachmentMetadata");
    if metadata.entries().map(|(key, value)| key.len() + value.text().len()).sum::<usize>()
        > METADATA_BYTES_MAX
    {
        metadata.too_long(METADATA_BYTES_MAX);
    }
    error(status.field("attachError"));
    error(status.field("detachError"));
}

/// The name of a driver, in any case.
fn attacher(name: At<'_>) {
    if !name.require_text() {
        return;
    }
    if name.text().len() > DRIVER_BYTES_MAX {
        name.too_long_characters(DRIVER_BYTES_MAX);
    }
    if !names::is_subdomain(&name.text().to_lowercase()) {
        name.invalid(DRIVER_RULE);
    }
}

fn error(error: At<'_>) {
    let (message, code) = (error.field("message"), error.field("errorCode"));
    if message.text().len() > MESSAGE_BYTES_MAX {
        message.too_long(MESSAGE_BYTES_MAX);
    }
    if code.number() < 0 {
        code.invalid(&text::range(0, i32::MAX.into()));
    }
}

fn validate_update(new: Root<'_>, old: Root<'_>) {
    // A changed spec is refused as a whole, and told by older rules beside.
    validate(new, csi_driver);
    if !new.keeps(old, "storage.v1.VolumeAttachment", "spec") {
        new.field("spec").invalid_value(Value::Null, IMMUTABLE);
    }
}
