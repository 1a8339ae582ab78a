//! Paths of files within volumes.

use crate::validate::at::At;

/// No part of the path is `..`.
pub fn no_backsteps(path: At<'_>) {
    if path.text().split('/').any(|part| part == "..") {
        path.invalid("must not contain '..'");
    }
}

/// A relative path that does not leave where it starts.
pub(super) fn local_descending(path: At<'_>) {
    if path.text().starts_with('/') {
        path.invalid("must be a relative path");
    }
    no_backsteps(path);
}

/// The same, that also does not begin with two dots: such names are the kubelet's own.
pub(super) fn local_unreserved(path: At<'_>) {
    local_descending(path);
    if path.text().starts_with("..") && !path.text().starts_with("../") {
        path.invalid("must not start with '..'");
    }
}
