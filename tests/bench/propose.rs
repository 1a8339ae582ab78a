//! Raw proposals: transactions that go through the log and are applied on all masters, without the
//! API's decoding, validation and objects. What is compared with etcd's puts.

use std::path::Path;

use anyhow::{Context, Result};
use api::Key;
use base::ids::{NodeId, RequestId};
use bytes::Bytes;
use node::pki::Authority;
use raft::Member;
use raft::transport::tls::{Identity, TlsTransport};
use replica::Entrance;
use serde::Deserialize;
use state::{Meta, Stamp, Txn, Write};

use crate::keelson::cluster::Whole;
use crate::load::Target;

/// Clients that propose values of one size, over connections that they share.
pub struct Proposers {
    entrances: Vec<Entrance>,
    value: Bytes,
}

/// What of a master's `identity.json` is needed to reach it.
#[derive(Deserialize)]
struct Reachable {
    cluster: String,
    node: NodeId,
    peer: String,
}

fn reachable(directory: &Path) -> Result<Reachable> {
    let path = directory.join("identity.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
}

impl Proposers {
    /// Opens `connections` to the leader, as one of the followers; `data` is where a master's data lies.
    pub fn open(
        data: impl Fn(&str) -> std::path::PathBuf,
        whole: &Whole,
        connections: usize,
        value_bytes: usize,
    ) -> Result<Self> {
        let leader = reachable(&data(&whole.leader))?;
        let follower = data(whole.followers.first().context("a cluster without followers")?);
        let node = reachable(&follower)?.node;
        let pem = |name: &str| std::fs::read_to_string(follower.join("pki").join(name));
        let authority = Authority::from_pem(&pem("ca.crt")?, &pem("ca.key")?)?;
        let (chain, key) = authority.peer(node, &[])?.der()?;
        let cluster = leader.cluster.parse().ok().context("the cluster id is not one")?;
        let identity = Identity { cluster, node, chain, key, ca: authority.certificate().clone() };
        let member = Member { name: whole.leader.clone(), peer: leader.peer, api: String::new() };
        let entrances = (0..connections).map(|_| {
            let transport = std::sync::Arc::new(TlsTransport::new(&identity)?);
            Ok(Entrance::new(transport, leader.node, whole.term, member.clone()))
        });
        Ok(Self { entrances: entrances.collect::<Result<_>>()?, value: vec![b'v'; value_bytes].into() })
    }
}

impl Target for Proposers {
    async fn call(&self, client: usize, sequence: u64) -> Result<()> {
        let stamp = Stamp { request: RequestId::fresh().0, actor: "bench".to_owned() };
        let key = Key::internal("bench", &format!("{client}-{sequence}"));
        let write = Write::Put { key, body: self.value.clone(), splice: None, meta: Meta::default() };
        let txn = Txn { stamp, guards: Vec::new(), writes: vec![write] };
        Ok(self.entrances[client % self.entrances.len()].propose(&txn).await?)
    }
}
