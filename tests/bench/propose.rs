//! Raw proposals: bytes that go through the log and are applied on all masters, without the API's
//! decoding, validation and objects. What is compared with etcd's puts.

use std::sync::Arc;

use anyhow::Result;
use futures::future::BoxFuture;

use crate::keelson::cluster::Cluster;
use crate::load::Target;

/// A way into the log from another process.
pub trait Entrance: Send + Sync + 'static {
    /// Proposes `payload` on behalf of `client`; resolves when the leader has applied it, which it
    /// does only once a quorum has synced it.
    fn propose<'a>(&'a self, client: usize, payload: &'a [u8]) -> BoxFuture<'a, Result<()>>;
}

/// Why there is no way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no entrance: the masters offer no way to propose raw bytes from another process")]
pub struct NoEntrance;

/// Opens the entrance to the leader over `connections` connections.
///
/// # Errors
/// [`NoEntrance`], as long as the masters have none.
pub async fn open(_cluster: &Cluster, _connections: usize) -> Result<Arc<dyn Entrance>, NoEntrance> {
    Err(NoEntrance)
}

/// Clients that propose payloads of one size.
pub struct Proposers {
    entrance: Arc<dyn Entrance>,
    payload: Vec<u8>,
}

impl Proposers {
    /// Every proposal has `size_bytes`.
    pub fn new(entrance: Arc<dyn Entrance>, size_bytes: usize) -> Self {
        Self { entrance, payload: vec![b'v'; size_bytes] }
    }
}

impl Target for Proposers {
    async fn call(&self, client: usize, _sequence: u64) -> Result<()> {
        self.entrance.propose(client, &self.payload).await
    }
}
