//! The taints that a node has because of how it is.

use api::time;
use projection::World;
use projection::nodes::Node;
use serde_json::{Value, json};

use super::disruption;
use crate::shared::conditions;

pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Condition, its status, and the taint that it brings.
const BY_CONDITION: &[(&str, &str, &str)] = &[
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

/// The taints of a node as they are to be.
pub(super) struct Taints {
    pub all: Vec<Value>,
    /// When more is to be done about them, in milliseconds since the epoch.
    pub again_ms: Option<u64>,
}

/// What taints a node is to have.
pub(super) fn wanted(world: &World, node: &Node, before: &[Value], all: &[Value], now_ms: u64) -> Taints {
    let mut taints = Taints { all: before.to_vec(), again_ms: None };
    taints.keep_from_scheduling(node, all, now_ms);
    taints.drive_out(world, node, all, now_ms);
    // From when on the time of tolerations counts.
    for taint in
        taints.all.iter_mut().filter(|taint| taint["effect"] == "NoExecute" && taint["timeAdded"].is_null())
    {
        taint["timeAdded"] = time::rfc3339(now_ms).into();
    }
    taints
}

impl Taints {
    fn has(&self, key: &str, effect: &str) -> bool {
        self.all.iter().any(|taint| taint["key"] == key && taint["effect"] == effect)
    }

    fn add(&mut self, key: &str, effect: &str, now_ms: u64) {
        if !self.has(key, effect) {
            self.all.push(json!({"key": key, "effect": effect, "timeAdded": time::rfc3339(now_ms)}));
        }
    }

    fn remove(&mut self, key: &str, effect: &str) {
        self.all.retain(|taint| !(taint["key"] == key && taint["effect"] == effect));
    }

    /// What the conditions say, and whether the node is closed.
    fn keep_from_scheduling(&mut self, node: &Node, all: &[Value], now_ms: u64) {
        let mut wanted = Vec::new();
        for (kind, status, taint) in BY_CONDITION {
            if conditions::find(all, kind).is_some_and(|condition| condition["status"] == *status) {
                wanted.push(*taint);
            }
        }
        if node.is_unschedulable {
            wanted.push(UNSCHEDULABLE);
        }
        let ours = BY_CONDITION.iter().map(|(.., taint)| *taint).chain([UNSCHEDULABLE]);
        for taint in ours.filter(|taint| !wanted.contains(taint)) {
            self.remove(taint, "NoSchedule");
        }
        wanted.into_iter().for_each(|taint| self.add(taint, "NoSchedule", now_ms));
    }

    /// Pods leave a node that is not ready, unless no node is.
    fn drive_out(&mut self, world: &World, node: &Node, all: &[Value], now_ms: u64) {
        let Some(ready) = conditions::find(all, "Ready") else { return };
        let (taint, other) = match ready["status"].as_str() {
            Some("False") => (NOT_READY, UNREACHABLE),
            Some("Unknown") => (UNREACHABLE, NOT_READY),
            _ => {
                self.remove(NOT_READY, "NoExecute");
                self.remove(UNREACHABLE, "NoExecute");
                return;
            }
        };
        if disruption::is_full(world) {
            self.remove(NOT_READY, "NoExecute");
            self.remove(UNREACHABLE, "NoExecute");
        } else if self.has(other, "NoExecute") {
            self.remove(other, "NoExecute");
            self.add(taint, "NoExecute", now_ms);
        } else if !self.has(taint, "NoExecute") {
            match disruption::may_at_ms(world, node) {
                Some(at) if at <= now_ms => self.add(taint, "NoExecute", now_ms),
                at => self.again_ms = at,
            }
        }
    }
}
