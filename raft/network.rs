//! The client side of Raft: openraft's requests as frames over a [`Transport`].

use std::sync::Arc;
use std::time::Duration;

use base::ids::NodeId;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{RPCOption, RPCTypes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use crate::adapter::{Handover, RaftSnapshot};
use crate::codec::rpc::{Answer, Request};
use crate::failure::Failure;
use crate::limits::VOTE_DEADLINE;
use crate::member::Member;
use crate::snapshots::send;
use crate::transport::{Lane, Transport, TransportError};
use crate::types::{TypeConfig, Vote};

type RpcError = RPCError<TypeConfig>;

/// Makes clients for openraft.
pub(crate) struct Network {
    pub(crate) me: NodeId,
    pub(crate) transport: Arc<dyn Transport>,
    /// For an append that carries entries.
    pub(crate) append_deadline: Duration,
    /// Where damage is reported that is met while a snapshot is sent.
    pub(crate) failure: Failure,
}

impl Network {
    fn client(&self, to: NodeId, member: &Member, lane: Lane) -> Client {
        let (member, transport) = (member.clone(), Arc::clone(&self.transport));
        let (append_deadline, failure) = (self.append_deadline, self.failure.clone());
        Client { me: self.me, to, member, lane, transport, append_deadline, failure }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: NodeId, node: &Member) -> Client {
        self.client(target, node, Lane::Bulk)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Member) -> Client {
        self.client(target, node, Lane::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, node: &Member) -> Client {
        self.client(target, node, Lane::Snapshot)
    }
}

/// Speaks to one master. Cheap: connections belong to the transport.
#[derive(Clone)]
pub(crate) struct Client {
    me: NodeId,
    to: NodeId,
    member: Member,
    lane: Lane,
    transport: Arc<dyn Transport>,
    append_deadline: Duration,
    pub(crate) failure: Failure,
}

impl Client {
    /// One request on `lane`.
    pub(crate) async fn ask(
        &self,
        lane: Lane,
        request: &Request,
        deadline: Duration,
    ) -> Result<Answer, TransportError> {
        let frame = request.encode();
        let answer = self.transport.call(self.to, &self.member, lane, frame, deadline).await?;
        Answer::decode(answer).map_err(|error| self.refused(error.to_string()))
    }

    /// An answer that does not fit the question.
    pub(crate) fn refused(&self, reason: impl Into<String>) -> TransportError {
        TransportError::Refused { node: self.to, reason: reason.into() }
    }

    fn mismatch(&self, action: RPCTypes) -> RpcError {
        self.error(action, self.refused("its answer does not belong to the question"))
    }

    /// Only what is certainly not reachable makes openraft back off for long.
    fn error(&self, action: RPCTypes, error: TransportError) -> RpcError {
        match error {
            TransportError::Unreachable { .. } => RPCError::Unreachable(Unreachable::new(&error)),
            TransportError::Timeout { after_ms, .. } => {
                let timeout = Duration::from_millis(after_ms);
                RPCError::Timeout(Timeout { action, id: self.me, target: self.to, timeout })
            }
            _ => RPCError::Network(NetworkError::new(&error)),
        }
    }

    async fn ask_vote(
        &self,
        action: RPCTypes,
        request: Request,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        match self.ask(Lane::Heartbeat, &request, VOTE_DEADLINE).await {
            Ok(Answer::Vote(answer)) => Ok(answer),
            Ok(_) => Err(self.mismatch(action)),
            Err(error) => Err(self.error(action, error)),
        }
    }
}

impl RaftNetworkV2<TypeConfig> for Client {
    type SnapshotData = Handover;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        let action = RPCTypes::AppendEntries;
        // openraft's limit is one heartbeat for all appends; a disk may take longer than that.
        let deadline = if self.lane == Lane::Heartbeat { option.hard_ttl() } else { self.append_deadline };
        let has_previous = rpc.prev_log_id.is_some();
        match self.ask(self.lane, &Request::Append(rpc), deadline).await {
            // openraft takes the conflicting position from the request, and panics when it has none.
            Ok(Answer::Append(AppendEntriesResponse::Conflict)) if !has_previous => {
                Err(self.mismatch(action))
            }
            Ok(Answer::Append(answer)) => Ok(answer),
            Ok(_) => Err(self.mismatch(action)),
            Err(error) => Err(self.error(action, error)),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.ask_vote(RPCTypes::Vote, Request::Vote(rpc)).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.ask_vote(RPCTypes::Vote, Request::PreVote(rpc)).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: RaftSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let client = self.clone();
        let sending = send::send(&client, vote, snapshot);
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = sending => sent.map_err(|error| self.error(RPCTypes::InstallSnapshot, error).into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let action = RPCTypes::TransferLeader;
        match self.ask(Lane::Heartbeat, &Request::Transfer(req), VOTE_DEADLINE).await {
            Ok(Answer::Transfer(answer)) => Ok(answer),
            Ok(_) => Err(self.mismatch(action)),
            Err(error) => Err(self.error(action, error)),
        }
    }
}
