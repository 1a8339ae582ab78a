//! The masters' way to the agents of nodes.

use apiserver::dialer::Dialer;

use crate::https::Https;
use crate::pki::Authority;

/// How agents know the masters by their certificate: Kubernetes' own name for it.
const MASTERS_TO_AGENTS: &str = "kube-apiserver-kubelet-client";

/// Whoever shows that certificate to a master has no rights by it.
const MASTERS_TO_AGENTS_GROUP: &str = "keelson:masters";

/// The way to the agents of the cluster's nodes.
pub fn dialer(authority: &Authority) -> anyhow::Result<Dialer> {
    let shown = authority.client(MASTERS_TO_AGENTS, MASTERS_TO_AGENTS_GROUP)?;
    Ok(Dialer::new(Https::trusting(authority.certificate(), Some(&shown))?.config()))
}
