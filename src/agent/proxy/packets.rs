//! What happens to packets: the one effect of the proxy.

use async_trait::async_trait;
use nftables::helper::{self, NftablesError};

use crate::conntrack;
use crate::difference::Batch;
use crate::flows::Expected;
use crate::json;
use crate::rules::Family;

/// Where rules take effect.
#[async_trait]
pub trait Packets: Send + Sync {
    /// Runs the batch as one transaction: all of it, or nothing.
    ///
    /// # Errors
    /// When nothing was done.
    async fn apply(&self, batch: &Batch) -> Result<(), PacketsError>;

    /// Forgets flows of datagrams to a key of `expected` that go where it does not say; returns how many.
    ///
    /// # Errors
    /// When some may be left.
    async fn forget(&self, family: Family, expected: Expected) -> Result<usize, PacketsError>;
}

/// Why packets do not go as planned.
#[derive(Debug, thiserror::Error)]
pub enum PacketsError {
    /// The program `nft` refused the batch or could not be run.
    #[error("cannot apply rules with nft: {0} (is the package nftables installed, and are we root?)")]
    Rules(String),
    /// The table of connections could not be read or changed.
    #[error("cannot forget flows of connection tracking")]
    Flows(#[source] std::io::Error),
}

/// The kernel, in the network namespace of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nft;

#[async_trait]
impl Packets for Nft {
    async fn apply(&self, batch: &Batch) -> Result<(), PacketsError> {
        let payload = json::batch(batch).to_string();
        let applied =
            helper::apply_ruleset_raw_async(&payload, helper::DEFAULT_NFT, helper::DEFAULT_ARGS).await;
        applied.map(drop).map_err(|error| match error {
            NftablesError::NftFailed { stderr, .. } => PacketsError::Rules(stderr),
            other => PacketsError::Rules(other.to_string()),
        })
    }

    async fn forget(&self, family: Family, expected: Expected) -> Result<usize, PacketsError> {
        base::env::blocking(move || conntrack::forget(family, &expected)).await.map_err(PacketsError::Flows)
    }
}
