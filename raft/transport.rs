//! How masters talk to each other: a trait, with TLS over TCP and a simulated network behind it.

/*  CONTRACT (to be implemented)

#[async_trait] pub trait Transport: Send + Sync + 'static {
    /// One request, one response, on the named lane (lanes never block each other: Heartbeat, Bulk, Snapshot, Call).
    async fn call(&self, to: NodeId, member: &Member, lane: Lane, frame: Bytes, deadline: Duration) -> Result<Bytes, TransportError>;
    fn forget(&self, node) ...
}
/// What the layer above serves to other masters. `kind` is its own; bodies are opaque.
#[async_trait] pub trait PeerService: Send + Sync + 'static {
    async fn serve(&self, from: NodeId, kind: u8, body: Bytes) -> Bytes;
}
*/
