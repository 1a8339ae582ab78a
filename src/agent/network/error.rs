//! Why a pod has no network.

use std::path::PathBuf;

use base::files::FileError;
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
    /// The file of addresses cannot be read or written.
    #[error("cannot use the file of pod addresses")]
    File(#[from] FileError),
    /// The file of addresses holds something else.
    #[error("the file of pod addresses {path} makes no sense")]
    Addresses {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
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
