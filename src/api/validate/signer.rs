//! Names of signers of certificates.

use super::at::At;
use crate::names;

const DOMAIN_BYTES_MAX: usize = 253;
/// A domain, a slash, a namespace's name, a dot, and a name.
const NAME_BYTES_MAX: usize = 571;

/// Whether a signer is one of Kubernetes itself.
pub fn is_own(signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    domain == "kubernetes.io" || domain.ends_with(".kubernetes.io")
}

/// `example.com/signer-name`
pub fn name(signer: At<'_>) {
    if !signer.require_text() {
        return;
    }
    let parts: Vec<_> = signer.text().split('/').collect();
    let &[domain, path] = parts.as_slice() else {
        return signer
            .invalid("must be a fully qualified domain and path of the form 'example.com/signer-name'");
    };
    if domain.len() > DOMAIN_BYTES_MAX {
        signer.too_long(DOMAIN_BYTES_MAX);
    }
    labels(signer, domain, |label| names::dns_label(label, false));
    if !domain.contains('.') {
        signer.invalid_value(domain, "should be a domain with at least two segments separated by dots");
    }
    labels(signer, path, |label| names::dns_subdomain(label, false));
    if signer.text().len() > NAME_BYTES_MAX {
        signer.too_long(NAME_BYTES_MAX);
    }
}

/// Tells what is wrong with the first part that is.
fn labels(signer: At<'_>, part: &str, check: impl Fn(&str) -> Vec<String>) {
    let first = part.split('.').map(|label| (label, check(label))).find(|(_, wrong)| !wrong.is_empty());
    for (label, wrong) in
        first.iter().flat_map(|(label, wrong)| wrong.iter().map(move |wrong| (label, wrong)))
    {
        signer.invalid_value(part, &format!("validating label {label:?}: {wrong}"));
    }
}

/// The name of a ClusterTrustBundle: `example.com:signer:name` where it has a signer.
pub fn trust_bundle_name(name: &str) -> Vec<String> {
    let own = name.rsplit_once(':').map_or(name, |(_, own)| own);
    names::dns_subdomain(own, false)
}
