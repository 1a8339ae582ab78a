//! Rules that several kinds have in common and no others.

use crate::names;
use crate::validate::at::At;

/// What ports speak.
pub(super) const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

/// The name and the protocols of a port.
pub(super) fn named_port(port: At<'_>, needs_name: bool) {
    port_name(port, needs_name);
    port.field("protocol").require_one_of(PROTOCOLS);
}

/// The name of a port, and what speaks behind it.
pub(super) fn port_name(port: At<'_>, needs_name: bool) {
    let (name, application) = (port.field("name"), port.field("appProtocol"));
    if !name.is_empty() {
        name.check_name(names::dns_label);
    } else if needs_name {
        name.required("");
    }
    if application.is_set() {
        application.check(names::qualified);
    }
}
