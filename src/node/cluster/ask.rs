//! The side of a master that wants in.

use std::time::Duration;

use anyhow::{Context, bail};
use apiserver::bootstrap::Settings;
use base::backoff::Backoff;
use base::env;
use base::ids::{ClusterId, RequestId};
use bytes::Bytes;
use http::{Method, StatusCode};
use raft::transport::tls::peer_common_name;

use super::Cluster;
use super::view::{JoinReply, JoinRequest};
use crate::address::HostPort;
use crate::data_dir::DataDir;
use crate::https::{Https, HttpsError, Operation, Reply};
use crate::identity::{IDENTITY_FORMAT, Identity, NewMaster, Stage};
use crate::pki::{ADMIN_GROUP, Authority};
use crate::token::Token;
use base::files;

/// How long a master keeps asking for an id before it gives up.
const JOIN_DEADLINE: Duration = Duration::from_secs(60);
/// How long one answer may take.
const JOIN_REPLY_DEADLINE: Duration = Duration::from_secs(15);
/// How long one admission may take: the new master catches up meanwhile.
const ADMIT_REPLY_DEADLINE: Duration = Duration::from_secs(40);
/// How often a master looks whether it still belongs to a quorum.
const MEMBERSHIP_INTERVAL: Duration = Duration::from_secs(1);
/// How long a quorum may take to answer before the others are asked why: longer than an election.
const MEMBERSHIP_PATIENCE: Duration = Duration::from_secs(1);
/// How long one of them may take: more than its own bound for a read.
const MEMBERSHIP_REPLY_DEADLINE: Duration = Duration::from_secs(8);
/// Pauses between tries.
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Gets an id for a new master and writes down who it is.
///
/// # Errors
/// When the cluster refuses, or does not answer within [`JOIN_DEADLINE`].
pub async fn join(
    data: &DataDir,
    master: NewMaster,
    through: HostPort,
    token: &Token,
) -> anyhow::Result<Identity> {
    let request = JoinRequest {
        token: token.credential(),
        attempt: attempt(data)?,
        name: master.name.clone(),
        api: master.api.clone(),
        peer: master.peer.clone(),
    };
    let reply = ask_for_id(&through, token, &request).await?;
    let authority = Authority::from_pem(&reply.authority, &reply.authority_key)?;
    if authority.hash() != token.authority {
        bail!("{through} sent another authority than the token names: ask for a new token");
    }
    reply.cluster.parse::<ClusterId>().context("reading the cluster's id")?;
    let identity = Identity {
        format: IDENTITY_FORMAT,
        cluster: reply.cluster,
        node: reply.node,
        name: master.name,
        api: master.api,
        peer: master.peer,
        names: master.names,
        stage: Stage::Join { through },
        settings: Settings::default(),
        started: false,
    };
    data.save_authority(&authority)?;
    data.save_identity(&identity)?;
    tracing::info!(node = identity.node, cluster = identity.cluster, "got an id");
    Ok(identity)
}

/// The name of this directory's attempt to join: the same after a crash, so that an answer that was
/// lost on the way is given again instead of a second id.
fn attempt(data: &DataDir) -> anyhow::Result<String> {
    let known = files::read(&data.join())?.and_then(|text| serde_json::from_str::<String>(&text).ok());
    if let Some(known) = known {
        return Ok(known);
    }
    let fresh = RequestId::fresh().to_string();
    files::write(&data.join(), format!("{fresh:?}\n").as_bytes())?;
    Ok(fresh)
}

async fn ask_for_id(through: &HostPort, token: &Token, request: &JoinRequest) -> anyhow::Result<JoinReply> {
    let https = Https::pinned(token.authority)?;
    let body = Bytes::from(serde_json::to_vec(request)?);
    let deadline = env::monotonic() + JOIN_DEADLINE;
    let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
    loop {
        let path = "/keelson/v1/join";
        let asked = https.request(Method::POST, through, path, body.clone(), JOIN_REPLY_DEADLINE).await;
        let reason = match asked {
            Ok(reply) if reply.status.is_success() => {
                return serde_json::from_slice(&reply.body).context("reading the answer to the join");
            }
            Ok(reply) if is_final(reply.status) => bail!("{through} refused: {}", reply.message()),
            Ok(reply) => reply.message(),
            Err(error) if error.operation == Operation::Trusting => {
                bail!(
                    "{through} is not a master of the cluster that the token is for: ask that cluster for a token"
                )
            }
            Err(error) => error.to_string(),
        };
        if env::monotonic() >= deadline {
            bail!("joining through {through} failed for {} s, last: {reason}", JOIN_DEADLINE.as_secs());
        }
        tracing::debug!(%through, reason, "asking again");
        env::sleep(backoff.next_delay()).await;
    }
}

/// Whether asking again with the same request is pointless.
fn is_final(status: StatusCode) -> bool {
    status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS
}

impl Cluster {
    /// Asks to be made a voter until it is so. The master must be listening for its peers.
    ///
    /// # Errors
    /// When the cluster no longer knows this master.
    pub async fn become_voter(&self, name: &str, through: &HostPort) -> anyhow::Result<()> {
        let https = self.https()?;
        let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
        let mut turn = 0;
        while !self.votes() {
            let asked = self.ask_admission(&https, name, &self.askable(through, turn)).await;
            turn += 1;
            match asked {
                Ok(reply) if reply.status.is_success() => {}
                Ok(reply) if is_final(reply.status) => bail!("the cluster refused: {}", reply.message()),
                Ok(reply) => tracing::warn!(reason = reply.message(), "not admitted yet"),
                Err(error) => tracing::warn!(%error, "not admitted yet"),
            }
            env::sleep(backoff.next_delay()).await;
        }
        Ok(())
    }

    /// Resolves when the others say that this master was removed: it would wait for a quorum for ever,
    /// because nobody talks to it any more. They are asked only while it seems so: and asked, not told to
    /// admit it, which would undo a removal that is under way.
    pub async fn until_removed(&self, name: &str) -> anyhow::Error {
        let mut turn = 0;
        loop {
            env::sleep(MEMBERSHIP_INTERVAL).await;
            let others = self.others();
            if others.is_empty() || self.belongs().await {
                continue;
            }
            let other = &others[turn % others.len()];
            turn += 1;
            let Ok(https) = self.https() else { continue };
            let path = format!("/keelson/v1/cluster/members/{name}?node={}", self.node);
            let asked =
                https.request(Method::GET, other, &path, Bytes::new(), MEMBERSHIP_REPLY_DEADLINE).await;
            match asked {
                Ok(reply) if reply.status == StatusCode::CONFLICT => return anyhow::anyhow!(reply.message()),
                answer => {
                    tracing::debug!(%other, ?answer, "no quorum answers, but nobody says we were removed")
                }
            }
        }
    }

    /// Whether there is a quorum that counts this master. A leader answers a read also for one that it has
    /// removed, which goes well until the next write.
    async fn belongs(&self) -> bool {
        let counts = self.replica.raft().membership().members.contains_key(&self.node);
        counts
            && matches!(env::timeout(MEMBERSHIP_PATIENCE, self.replica.linearizable()).await, Ok(Ok(_moment)))
    }

    /// Shows others a certificate of this master's own making.
    fn https(&self) -> anyhow::Result<Https> {
        let client = self.authority.client(&peer_common_name(self.node), ADMIN_GROUP)?;
        Ok(Https::trusting(self.authority.certificate(), Some(&client))?)
    }

    /// The API addresses of the other members.
    fn others(&self) -> Vec<HostPort> {
        let membership = self.replica.raft().membership();
        let others = membership.members.iter().filter(|(node, _)| **node != self.node);
        others.filter_map(|(_, member)| HostPort::from_url(&member.api).ok()).collect()
    }

    fn votes(&self) -> bool {
        self.replica.raft().membership().voters.contains(&self.node)
    }

    /// Who is asked next: the master that gave the id, then the others as far as they are known.
    fn askable(&self, through: &HostPort, turn: usize) -> HostPort {
        let all: Vec<HostPort> = std::iter::once(through.clone()).chain(self.others()).collect();
        all[turn % all.len()].clone()
    }

    async fn ask_admission(&self, https: &Https, name: &str, server: &HostPort) -> Result<Reply, HttpsError> {
        let path = format!("/keelson/v1/cluster/members/{name}/admit");
        let body = serde_json::json!({ "node": self.node }).to_string();
        https.request(Method::POST, server, &path, body.into(), ADMIT_REPLY_DEADLINE).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_keeps_its_name_over_a_crash() {
        let root = tempfile::tempdir().expect("temporary directory");
        let data = DataDir::new(root.path());
        let first = attempt(&data).expect("attempt");
        assert_eq!(attempt(&data).expect("attempt"), first);
        files::write(&data.join(), b"{torn").expect("write");
        assert_ne!(attempt(&data).expect("attempt"), first);
    }
}
