//! Every node has a range of addresses for its pods. One key stands for all nodes: what two plans gave at a time could
//! be the same.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use api::Key;
use projection::intent::Intent;
use projection::nodes::{NODES, Node};
use projection::{Controller, LastOutcomes, Plan, Reason, Wakes, World};
use serde_json::json;
use state::{Change, Object};

use crate::shared::stored;

/// Where an operator says which ranges to give: `cluster-cidr`, `node-cidr-mask-size`.
const SETTINGS: &str = "core/configmaps/kube-system/pod-network";

/// Nodes of one plan that are told that there is no range left.
const REASONS_MAX: usize = 16;

/// The row.
pub const NODE_IPAM: Controller = Controller {
    name: "nodeipam",
    actor: "system:serviceaccount:kube-system:node-controller",
    component: "cidrAllocator",
    wakes,
    keys: |_, wakes| wakes.add(&all()),
    plan,
};

fn all() -> Key {
    Key::internal("nodeipam", "all")
}

fn wakes(_: &World, change: &Change, wakes: &mut Wakes) {
    let object = &change.object;
    if object.key.as_str() == SETTINGS {
        return wakes.add(&all());
    }
    if object.key.collection() != NODES {
        return;
    }
    // One that was found without before is still waited for, whatever else it says.
    let had = change.previous.as_ref().is_none_or(|before| !range_of(before).is_empty());
    if change.deleted || had && range_of(object).is_empty() {
        wakes.add(&all());
    }
}

/// A node's `spec.podCIDR`; empty: it has none.
fn range_of(node: &Object) -> String {
    node.view().at(&["spec", "podCIDR"]).text().into_owned()
}

/// The addresses of a cluster, and how many of them one node gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    first: u32,
    bits: u32,
    node_bits: u32,
}

impl Network {
    const DEFAULT: Self = Self { first: u32::from_be_bytes([10, 42, 0, 0]), bits: 16, node_bits: 24 };

    /// The network that the settings name; what they say wrongly counts as not said.
    fn of(world: &World) -> Self {
        let Some(settings) = world.state.get(SETTINGS) else { return Self::DEFAULT };
        let data = stored::map(settings, &["data"]);
        let text = |name: &str| data.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        let (first, bits) = parse(text("cluster-cidr")).unwrap_or((Self::DEFAULT.first, Self::DEFAULT.bits));
        let node_bits = text("node-cidr-mask-size").parse().unwrap_or(Self::DEFAULT.node_bits);
        let is_possible = bits > 0 && bits <= node_bits && node_bits <= 30;
        if is_possible { Self { first, bits, node_bits } } else { Self::DEFAULT }
    }

    /// The ranges of nodes, by their first address.
    fn ranges(self) -> impl Iterator<Item = u32> {
        let (count, size) = (1u32 << (self.node_bits - self.bits), 1u32 << (32 - self.node_bits));
        (0..count).map(move |at| self.first + at * size)
    }

    /// Whether some of them are in a range.
    fn overlaps(self, (first, bits): (u32, u32)) -> bool {
        (first ^ self.first) & (u32::MAX << (32 - bits.min(self.bits))) == 0
    }

    /// Those that a range of any size covers.
    fn covered(self, (first, bits): (u32, u32)) -> impl Iterator<Item = u32> {
        let step = 1u32 << (32 - self.node_bits);
        let count = 1u32 << self.node_bits.saturating_sub(bits).min(self.node_bits - self.bits);
        let first = first & !(step - 1);
        (0..count).map(move |at| first.wrapping_add(at.wrapping_mul(step)))
    }
}

/// The first address of a range, and the bits that its addresses share.
fn parse(range: &str) -> Option<(u32, u32)> {
    let (address, bits) = range.split_once('/')?;
    let bits = bits.parse().ok().filter(|bits| (1..=32).contains(bits))?;
    let address = u32::from(address.parse::<Ipv4Addr>().ok()?);
    Some((address & (u32::MAX << (32 - bits)), bits))
}

fn plan(world: &World, _: &Key, _: &LastOutcomes, _: u64) -> Plan {
    let mut plan = Plan::default();
    let network = Network::of(world);
    let used = world.nodes.iter().filter_map(|node| parse(&node.pod_cidr));
    let used = used.filter(|range| network.overlaps(*range));
    let used: BTreeSet<u32> = used.flat_map(|range| network.covered(range)).collect();
    let mut free = network.ranges().filter(|first| !used.contains(first));
    let without = |node: &&Arc<Node>| node.pod_cidr.is_empty() && !node.object.meta.deleting;
    for node in world.nodes.iter().filter(without) {
        let Some(first) = free.next() else {
            if plan.reasons.len() == REASONS_MAX {
                break;
            }
            plan.reasons.push(Reason {
                about: node.object.key.clone(),
                is_warning: false,
                reason: "CIDRNotAvailable",
                message: format!("Node {} status is now: CIDRNotAvailable", node.name()),
            });
            continue;
        };
        let range = format!("{}/{}", Ipv4Addr::from(first), network.node_bits);
        let patch = json!({"spec": {"podCIDR": range, "podCIDRs": [range]}});
        plan.intents.push(Intent::patch(&node.object, "", patch));
    }
    plan
}

#[cfg(test)]
mod tests {
    use projection::testing::{put, shown, world};
    use serde_json::Value;

    use super::*;
    use crate::testing::{nobody, settle, woken, woken_by_removal};

    fn node(name: &str, range: &str) -> Value {
        let mut node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {}});
        if !range.is_empty() {
            node["spec"] = json!({"podCIDR": range, "podCIDRs": [range]});
        }
        node
    }

    fn ranges(world: &World) -> Vec<String> {
        world.nodes.iter().map(|node| range_of(&node.object)).collect()
    }

    #[test]
    fn every_node_gets_a_range_that_no_other_has() {
        let mut world =
            world([node("a", ""), node("b", "10.42.0.0/24"), node("c", ""), node("d", "10.42.2.0/23")]);
        // One that brings a range from elsewhere takes none away.
        put(&mut world, node("e", "10.128.0.0/9"));
        settle(&mut world, &[NODE_IPAM], nobody);
        let given = ["10.42.1.0/24", "10.42.0.0/24", "10.42.4.0/24", "10.42.2.0/23", "10.128.0.0/9"];
        assert_eq!(ranges(&world), given);
    }

    #[test]
    fn the_range_of_a_node_that_went_is_free_again() {
        let mut world = world([node("a", "10.42.0.0/24"), node("b", "10.42.1.0/24")]);
        assert_eq!(
            woken_by_removal(&NODE_IPAM, &mut world, &Key::object("", "nodes", "", "a")),
            ["~nodeipam/all"]
        );
        assert!(woken(&NODE_IPAM, &mut world, node("b", "10.42.1.0/24")).is_empty());
        assert_eq!(woken(&NODE_IPAM, &mut world, node("c", "")), ["~nodeipam/all"]);
        assert!(woken(&NODE_IPAM, &mut world, node("c", "")).is_empty(), "it waits already");
        settle(&mut world, &[NODE_IPAM], nobody);
        assert_eq!(ranges(&world), ["10.42.1.0/24", "10.42.0.0/24"]);
    }

    #[test]
    fn of_many_nodes_without_a_range_only_some_are_told_at_a_time() {
        let world = world((0..300).map(|number| node(&format!("n-{number:03}"), "")));
        let plan = plan(&world, &all(), &LastOutcomes::default(), 0);
        assert_eq!((plan.intents.len(), plan.reasons.len()), (256, REASONS_MAX));
    }

    #[test]
    fn the_network_is_a_setting_and_ends() {
        let settings = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pod-network", "namespace": "kube-system"},
            "data": {"cluster-cidr": "192.168.0.0/27", "node-cidr-mask-size": "28"}});
        let mut world = world([settings, node("a", ""), node("b", ""), node("c", "")]);
        let first = plan(&world, &all(), &LastOutcomes::default(), 0);
        assert!(
            shown(&first)
                .contains("Normal core/nodes/c: CIDRNotAvailable: Node c status is now: CIDRNotAvailable")
        );
        settle(&mut world, &[NODE_IPAM], nobody);
        assert_eq!(ranges(&world), ["192.168.0.0/28", "192.168.0.16/28", ""]);
        put(
            &mut world,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pod-network", "namespace": "kube-system"},
            "data": {"cluster-cidr": "nonsense"}}),
        );
        assert_eq!(Network::of(&world), Network::DEFAULT);
    }
}
