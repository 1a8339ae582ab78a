//! The one way to use Raft from outside: [`start`] it, then talk to its [`Handle`].

/*  CONTRACT (to be implemented)

pub struct Options {
    pub cluster: ClusterId,
    pub node: NodeId,
    pub me: Member,
    pub timing: Timing,            // heartbeat/election/probe, named consts in limits.rs
    pub snapshot_after_bytes: u64, // take a snapshot and purge when the log is larger
    pub log_kept_bytes: u64,       // tail kept behind a snapshot for slow followers
}

pub async fn start(options, stores: Arc<dyn LogStore>, machine: impl Machine, transport: Arc<dyn Transport>,
                   service: Arc<dyn PeerService>, metrics: Metrics) -> Result<Handle, StartError>

#[derive(Clone)] pub struct Handle
impl Handle {
    pub async fn initialize(&self) -> Result<(), ...>;             // a pristine first member only
    pub fn leadership(&self) -> watch::Receiver<Leadership>;        // {term, leader: Option<NodeId>, am_leader: bool}
    pub async fn append(&self, term: u64, payload: Bytes) -> Result<(), AppendError>;
        // As the leader of `term`: resolves Ok once the entry is in the leader's log (its outcome is learned by
        // whoever applies it); AppendError::NotAppended{leader} = certainly never in the log; ::Unknown = may be; ::Stopped.
    pub async fn read_index(&self) -> Result<u64, ReadError>;
        // An index such that any state applied at or after it reflects every write acknowledged before the call.
        // On a follower: asks the leader; all concurrent callers share one outstanding request (a caller that arrives
        // while one is on its way waits for the NEXT one).
    pub fn membership(&self) -> Membership;
    pub fn status(&self) -> Vec<MemberStatus>;                      // role, matched index/lag per member (leader only)
    pub async fn add(&self, node: NodeId, member: Member) -> ..;    // learner, catch up, then voter
    pub async fn remove(&self, node: NodeId) -> ..;
    pub async fn transfer(&self, to: Option<NodeId>) -> ..;         // None: the most caught-up voter
    pub fn committed/applied/synced indexes
    pub async fn call(&self, to: NodeId, kind: u8, body: Bytes, deadline) -> Result<Bytes, CallError>; // peer RPC for the layer above
    pub async fn failed(&self) -> String;                           // resolves when the core, flusher or disk failed
    pub async fn shutdown(&self);                                   // hands leadership over first
}
*/
