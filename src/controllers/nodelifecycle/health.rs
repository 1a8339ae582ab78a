//! What is known of a node that does not speak.

use api::time;
use projection::World;
use projection::intent::{Intent, Told};
use projection::nodes::{LEASES, Node};
use serde_json::{Value, json};
use state::Guard;

use crate::shared::{conditions, stored};

/// A lease that holds for longer counts as this: a node must not be waited for without end.
const LEASE_MS_MAX: u64 = 60_000;

/// The conditions that a kubelet posts.
const POSTED: &[&str] = &["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// For how much longer a node may be silent, in milliseconds; `None`: no longer.
pub(super) fn patience_ms(world: &World, node: &Node, all: &[Value]) -> Option<u64> {
    let rules = &world.rules;
    let grace = match conditions::find(all, "Ready") {
        Some(_) => rules.node_monitor_grace_ms.max(lease_ms(world, node)),
        None => rules.node_startup_grace_ms,
    };
    grace.checked_sub(world.office.silent_ms(node.name()))
}

/// For how long a node's lease holds, in milliseconds: it chose how often it speaks; 0: it has none.
fn lease_ms(world: &World, node: &Node) -> u64 {
    let Some(lease) = world.state.get(&format!("{LEASES}{}", node.name())) else { return 0 };
    let seconds = lease.view().at(&["spec", "leaseDurationSeconds"]).number();
    u64::try_from(seconds.unwrap_or(0)).unwrap_or(0).saturating_mul(1000).min(LEASE_MS_MAX)
}

/// Makes unknown what a silent node said of itself; `None`: it is already.
pub(super) fn unknown(world: &World, node: &Node, before: &[Value], now_ms: u64) -> Option<Intent> {
    let mut all = before.to_vec();
    let now = time::rfc3339(now_ms);
    for kind in POSTED {
        match all.iter_mut().find(|condition| condition["type"] == **kind) {
            None => {
                let (reason, message) = ("NodeStatusNeverUpdated", "Kubelet never posted node status.");
                let mut condition = conditions::new(kind, "Unknown", reason, message);
                condition["lastHeartbeatTime"] = stored::at(&node.object, &["metadata", "creationTimestamp"]);
                condition["lastTransitionTime"] = now.as_str().into();
                all.push(condition);
            }
            Some(condition) if condition["status"] != "Unknown" => {
                condition["status"] = "Unknown".into();
                condition["reason"] = "NodeStatusUnknown".into();
                condition["message"] = "Kubelet stopped posting node status.".into();
                condition["lastTransitionTime"] = now.as_str().into();
            }
            Some(_) => {}
        }
    }
    if all == before {
        return None;
    }
    let mut intent = Intent::patch(&node.object, "status", json!({"status": {"conditions": all}}));
    // A heartbeat that comes first wins.
    if let Some(lease) = world.state.get(&format!("{LEASES}{}", node.name())) {
        intent.guards.push(Guard::AtRevision { key: lease.key.clone(), revision: lease.revision });
    }
    if !conditions::is_true(before, "Ready") {
        return Some(intent);
    }
    let message = format!("Node {} status is now: NodeNotReady", node.name());
    let about = node.object.key.clone();
    Some(intent.telling(Told { about, done: Some(("NodeNotReady", message)), refused: None }))
}
