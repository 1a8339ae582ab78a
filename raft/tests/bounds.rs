//! What a leader holds, and what it sends at a time.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::env;
use base::ids::NodeId;
use bytes::Bytes;
use common::cluster::{Cluster, PATIENCE, simulated};
use raft::limits::{APPEND_BYTES_MAX, ENTRY_OVERHEAD_BYTES, IN_FLIGHT_BYTES_MAX};
use raft::{FrameService, Lane, Options};

const ALL: [u64; 3] = [1, 2, 3];

fn defaults(_: &mut Options) {}

#[test]
fn an_append_waits_while_too_much_is_in_flight() {
    const PAYLOAD_BYTES: usize = 8 << 20;
    const FITTING: usize = IN_FLIGHT_BYTES_MAX / (PAYLOAD_BYTES + ENTRY_OVERHEAD_BYTES);
    const APPLYING: Duration = Duration::from_secs(10);
    const GLANCE: Duration = Duration::from_secs(1);
    simulated(31, || async {
        let cluster = Cluster::of(1, defaults).await;
        let term = cluster.handle(1).leadership().borrow().term;
        let probe = &cluster.nodes[&1].probe;
        probe.slow_down(APPLYING);
        let payload = Bytes::from(vec![7; PAYLOAD_BYTES]);
        for number in 0..FITTING {
            let appended = env::timeout(GLANCE, cluster.handle(1).append(term, payload.clone())).await;
            assert_eq!(appended, Ok(Ok(())), "{number} of {FITTING} that fit");
        }
        let handle = cluster.handle(1).clone();
        let waiting = env::spawn(async move { handle.append(term, payload).await });
        env::sleep(GLANCE).await;
        assert_eq!(probe.payloads().len(), 0, "nothing is applied yet");
        assert!(!waiting.is_finished(), "{IN_FLIGHT_BYTES_MAX} bytes are in flight");
        let appended = env::timeout(PATIENCE, waiting).await.expect("it goes on").expect("no panic");
        assert_eq!(appended, Ok(()));
        assert!(!probe.payloads().is_empty(), "once something is applied");
    });
}

/// Notes the largest frame of entries on its way to a master.
struct Scale {
    frames: Arc<dyn FrameService>,
    largest_bytes: AtomicUsize,
}

#[async_trait::async_trait]
impl FrameService for Scale {
    async fn serve(&self, from: NodeId, lane: Lane, frame: Bytes) -> Result<Bytes, String> {
        if lane == Lane::Bulk {
            self.largest_bytes.fetch_max(frame.len(), Ordering::SeqCst);
        }
        self.frames.serve(from, lane, frame).await
    }
}

#[test]
fn one_append_carries_a_bounded_part_of_what_a_follower_lacks() {
    const ENTRY_BYTES: usize = 50 << 10;
    const LACKING: usize = 60;
    simulated(32, || async {
        let mut cluster = Cluster::of(3, defaults).await;
        for held in ["in memory", "on disk"] {
            let frames = cluster.handle(3).frames();
            let scale = Arc::new(Scale { frames, largest_bytes: AtomicUsize::new(0) });
            cluster.network.attach(3, scale.clone());
            cluster.network.isolate(3, &[1, 2]);
            cluster.append_many(&[1, 2], held, LACKING, ENTRY_BYTES).await;
            if held == "on disk" {
                for node in [1, 2] {
                    let disk = cluster.stop(node).await;
                    cluster.start(node, disk).await;
                }
            }
            cluster.network.heal();
            cluster.converge(&ALL).await;
            let entries = scale.largest_bytes.load(Ordering::SeqCst) / ENTRY_BYTES;
            assert_eq!(entries, APPEND_BYTES_MAX / ENTRY_BYTES, "of entries {held}");
        }
    });
}
