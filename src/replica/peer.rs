//! What masters ask each other beside Raft: to take proposals, and how they are.

use std::sync::Arc;

use base::env;
use base::ids::NodeId;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::future::try_join_all;
use raft::PeerService;
use state::Levels;

use crate::lane::{Address, Encoded, Verdict};
use crate::limits::{ENTRY_TXNS_MAX, FORWARD_TIMEOUT, FORWARD_WAIT};
use crate::replica::Shared;

/// Take these transactions into the log.
pub(crate) const PROPOSE: u8 = 1;
/// The same, and answer only when their outcomes are applied on your side.
pub(crate) const PROPOSE_AND_APPLY: u8 = 4;
/// Tell how you are.
pub(crate) const STATUS: u8 = 2;
/// Tell State's hash at an index.
pub(crate) const HASH: u8 = 3;

// The form of a body never changes under the number of its kind: another form is another kind.

/// What only a master itself knows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The log index applied last.
    pub applied: u64,
    /// The 99th percentile of its recent log syncs, in microseconds.
    pub sync_p99_us: u64,
    /// The highest feature level that its binary knows.
    pub feature_level_max: u32,
}

/// `term u64 | leader u64 | count u32 | (length u32 | bytes)*`
pub(crate) fn encode_propose(to: Address, txns: &[Encoded]) -> Bytes {
    let size: usize = txns.iter().map(|txn| txn.bytes.len() + 4).sum();
    let mut body = BytesMut::with_capacity(20 + size);
    body.put_u64(to.term);
    body.put_u64(to.leader);
    body.put_u32(txns.len() as u32);
    for txn in txns {
        body.put_u32(txn.bytes.len() as u32);
        body.put_slice(&txn.bytes);
    }
    body.freeze()
}

/// `None` when the request makes no sense. Decodes and bounds-checks each transaction: nothing that
/// apply could not read may reach the log.
fn decode_propose(levels: Levels, mut body: Bytes) -> Option<(Address, Vec<Encoded>)> {
    if body.len() < 20 {
        return None;
    }
    let to = Address { term: body.get_u64(), leader: body.get_u64() };
    let count = body.get_u32() as usize;
    if count == 0 || count > ENTRY_TXNS_MAX {
        return None;
    }
    let mut txns = Vec::with_capacity(count);
    for _ in 0..count {
        if body.len() < 4 {
            return None;
        }
        let length = body.get_u32() as usize;
        if body.len() < length {
            return None;
        }
        let bytes = body.split_to(length);
        let txn = state::codec::decode_txn_knowing(levels, &bytes).ok()?;
        state::check(&txn).ok()?;
        txns.push(Encoded { request: txn.stamp.request, bytes });
    }
    body.is_empty().then_some((to, txns))
}

fn encode_verdict(verdict: Verdict) -> Bytes {
    Bytes::copy_from_slice(&[match verdict {
        Verdict::Appended => 0,
        Verdict::NotAppended => 1,
        Verdict::OutOfSpace => 2,
        Verdict::Unknown => 3,
        Verdict::TooLarge => 4,
        Verdict::Busy => 5,
    }])
}

/// An answer that makes no sense leaves the outcome unknown.
pub(crate) fn decode_verdict(reply: &[u8]) -> Verdict {
    match reply {
        [0] => Verdict::Appended,
        [1] => Verdict::NotAppended,
        [2] => Verdict::OutOfSpace,
        [4] => Verdict::TooLarge,
        [5] => Verdict::Busy,
        _ => Verdict::Unknown,
    }
}

/// `applied u64 | sync_p99_us u64 | feature_level_max u32`
const STATUS_BYTES: usize = 20;

fn encode_status(status: PeerStatus) -> Bytes {
    let mut body = BytesMut::with_capacity(STATUS_BYTES);
    body.put_u64(status.applied);
    body.put_u64(status.sync_p99_us);
    body.put_u32(status.feature_level_max);
    body.freeze()
}

pub(crate) fn decode_status(mut reply: Bytes) -> Option<PeerStatus> {
    (reply.len() == STATUS_BYTES).then(|| PeerStatus {
        applied: reply.get_u64(),
        sync_p99_us: reply.get_u64(),
        feature_level_max: reply.get_u32(),
    })
}

/// An empty answer means: not known here.
pub(crate) fn decode_hash(mut reply: Bytes) -> Option<u128> {
    (reply.len() == 16).then(|| reply.get_u128())
}

/// Serves other masters.
pub(crate) struct Service(pub(crate) Arc<Shared>);

#[async_trait::async_trait]
impl PeerService for Service {
    async fn serve(&self, _from: NodeId, kind: u8, body: Bytes) -> Bytes {
        match kind {
            PROPOSE => encode_verdict(self.propose(body).await),
            STATUS => encode_status(self.0.status()),
            HASH => self.hash(body).await,
            PROPOSE_AND_APPLY => encode_verdict(self.propose_and_apply(body).await),
            _ => Bytes::new(),
        }
    }
}

impl Service {
    async fn propose(&self, body: Bytes) -> Verdict {
        match decode_propose(self.0.options.levels, body) {
            Some((to, txns)) => self.append(to, txns).await,
            None => Verdict::NotAppended,
        }
    }

    async fn propose_and_apply(&self, body: Bytes) -> Verdict {
        let Some((to, txns)) = decode_propose(self.0.options.levels, body) else {
            return Verdict::NotAppended;
        };
        let waiting: Vec<_> = txns.iter().map(|txn| self.0.waiters.register(txn.request)).collect();
        let verdict = self.append(to, txns).await;
        if verdict != Verdict::Appended {
            return verdict;
        }
        let applied = try_join_all(waiting.into_iter().map(|waiting| waiting.told()));
        match env::timeout(FORWARD_TIMEOUT, applied).await {
            Ok(Ok(_outcomes)) => Verdict::Appended,
            _ => Verdict::Unknown,
        }
    }

    async fn append(&self, to: Address, txns: Vec<Encoded>) -> Verdict {
        self.0.append_lane.submit(to, txns, env::monotonic() + FORWARD_WAIT).await
    }

    async fn hash(&self, mut body: Bytes) -> Bytes {
        if body.len() != 8 {
            return Bytes::new();
        }
        match self.0.moments.wait_for_hash(body.get_u64()).await {
            Some(hash) => Bytes::copy_from_slice(&hash.to_be_bytes()),
            None => Bytes::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use state::{FEATURE_LEVEL_MAX, LEVELS, Stamp, Txn, Write};

    use super::*;
    use crate::testing::Alone;

    fn encoded(request: u128) -> Encoded {
        let stamp = Stamp { request, actor: "someone".to_owned() };
        let txn = Txn { stamp, guards: vec![], writes: vec![] };
        Encoded { request, bytes: state::codec::encode_txn(&txn).expect("small") }
    }

    #[test]
    fn a_forwarded_group_arrives_as_it_was_sent() {
        let to = Address { leader: 3, term: 9 };
        let (decoded_to, txns) =
            decode_propose(LEVELS, encode_propose(to, &[encoded(1), encoded(2)])).expect("decodes");
        assert_eq!(decoded_to, to);
        assert_eq!(txns.iter().map(|txn| txn.request).collect::<Vec<_>>(), [1, 2]);
    }

    /// Masters of different versions talk to each other.
    #[test]
    fn bodies_are_golden() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let txn = Encoded { request: 1, bytes: Bytes::from_static(b"txn") };
        let propose = encode_propose(Address { leader: 3, term: 9 }, &[txn]);
        assert_eq!(hex(&propose), "00000000000000090000000000000003000000010000000374786e");
        let status = PeerStatus { applied: 1, sync_p99_us: 2, feature_level_max: 3 };
        assert_eq!(hex(&encode_status(status)), "0000000000000001000000000000000200000003");
        use Verdict::{Appended, Busy, NotAppended, OutOfSpace, TooLarge, Unknown};
        let verdicts = [Appended, NotAppended, OutOfSpace, Unknown, TooLarge, Busy];
        assert_eq!(
            verdicts.map(|verdict| hex(&encode_verdict(verdict))),
            ["00", "01", "02", "03", "04", "05"]
        );
        assert_eq!(
            decode_hash(Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2])),
            Some(258)
        );
    }

    #[test]
    fn nonsense_is_never_appended() {
        let to = Address { leader: 3, term: 9 };
        let whole = encode_propose(to, &[encoded(1)]);
        for cut in 0..whole.len() {
            assert!(decode_propose(LEVELS, whole.slice(..cut)).is_none(), "cut at {cut}");
        }
        let mut damaged = whole.to_vec();
        *damaged.last_mut().expect("not empty") ^= 1;
        assert!(decode_propose(LEVELS, damaged.into()).is_none());
        assert!(decode_propose(LEVELS, encode_propose(to, &[])).is_none());
    }

    #[test]
    fn a_raise_past_what_this_program_knows_is_never_appended() {
        let to = Address { leader: 3, term: 9 };
        let stamp = Stamp { request: 1, actor: "tester".to_owned() };
        let writes = vec![Write::FeatureLevel { level: FEATURE_LEVEL_MAX }];
        let txn = Txn { stamp, guards: Vec::new(), writes };
        let encoded = Encoded { request: 1, bytes: state::codec::encode_txn(&txn).expect("small") };
        let body = encode_propose(to, &[encoded]);
        assert!(decode_propose(LEVELS.up_to(FEATURE_LEVEL_MAX - 1), body.clone()).is_none());
        assert!(decode_propose(LEVELS, body).is_some());
    }

    #[test]
    fn what_was_forwarded_and_found_no_place_is_given_up_before_its_sender_does() {
        env::simulate(1, async {
            let mut alone = Alone::new();
            let service = Service(Arc::clone(&alone.shared));
            let begun = env::monotonic();
            let body = encode_propose(Address { leader: 1, term: 1 }, &[encoded(1)]);
            assert_eq!(decode_verdict(&service.serve(2, PROPOSE, body).await), Verdict::Busy);
            assert!(begun.elapsed() < FORWARD_TIMEOUT);
            assert!(alone.append_end.next_group().is_none(), "it would still be appended");
        });
    }

    #[test]
    fn verdicts_survive_the_wire() {
        use Verdict::{Appended, Busy, NotAppended, OutOfSpace, TooLarge, Unknown};
        for verdict in [Appended, NotAppended, Busy, OutOfSpace, TooLarge, Unknown] {
            assert_eq!(decode_verdict(&encode_verdict(verdict)), verdict);
        }
        assert_eq!(decode_verdict(b"?!"), Verdict::Unknown);
    }
}
