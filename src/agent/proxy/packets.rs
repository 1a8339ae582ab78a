//! What happens to packets: the one effect of the proxy.

use async_trait::async_trait;
use nftables::helper::{self, NftablesError};
use serde_json::Value;

use crate::conntrack;
use crate::difference::Batch;
use crate::flows::Expected;
use crate::json;
use crate::plan::TABLE;
use crate::rules::Family;

/// Where rules take effect.
#[async_trait]
pub trait Packets: Send + Sync {
    /// Runs the batch as one transaction: all of it, or nothing.
    ///
    /// # Errors
    /// When nothing was done.
    async fn apply(&self, batch: &Batch) -> Result<(), PacketsError>;

    /// Whether the table is there: others may empty the whole ruleset.
    ///
    /// # Errors
    /// When nobody can tell.
    async fn is_there(&self, family: Family) -> Result<bool, PacketsError>;

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

fn refused(error: NftablesError) -> PacketsError {
    match error {
        NftablesError::NftFailed { stderr, .. } => PacketsError::Rules(stderr),
        other => PacketsError::Rules(other.to_string()),
    }
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
        applied.map(drop).map_err(refused)
    }

    async fn is_there(&self, family: Family) -> Result<bool, PacketsError> {
        let list = ["list", "tables", family.header()];
        let listed =
            helper::get_current_ruleset_raw_async(helper::DEFAULT_NFT, list).await.map_err(refused)?;
        let listed: Value = serde_json::from_str(&listed)
            .map_err(|error| PacketsError::Rules(format!("nft lists: {error}")))?;
        let mut objects = listed["nftables"].as_array().into_iter().flatten();
        Ok(objects.any(|object| object["table"]["name"] == TABLE))
    }

    async fn forget(&self, family: Family, expected: Expected) -> Result<usize, PacketsError> {
        base::env::blocking(move || conntrack::forget(family, &expected)).await.map_err(PacketsError::Flows)
    }
}
