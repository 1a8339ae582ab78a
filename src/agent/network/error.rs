//! Why a pod has no network.

use std::path::PathBuf;

use ipnet::Ipv4Net;

/// What failed, at what.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Every address is some pod's. It can be tried again when one has gone.
    #[error(
        "no address is free in this node's pod CIDR {0}: wait for pods to go, or give nodes larger CIDRs"
    )]
    Full(Ipv4Net),
    /// The CIDR has no room for a bridge and a pod.
    #[error("the pod CIDR {0} is too small for any pod: give nodes at least a /30")]
    TooSmall(Ipv4Net),
    /// The file of addresses.
    #[error("cannot use the file of pod addresses {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The kernel refused a change of links, addresses or routes.
    #[error("cannot {operation}: {reason}")]
    Kernel {
        /// What was tried.
        operation: String,
        /// What the kernel said.
        reason: String,
    },
}

impl NetworkError {
    pub(crate) fn kernel(operation: impl Into<String>, reason: &dyn std::fmt::Display) -> Self {
        Self::Kernel { operation: operation.into(), reason: reason.to_string() }
    }
}
