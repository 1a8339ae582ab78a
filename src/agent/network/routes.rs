//! Ways to the pods of other nodes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// By the pods' network, the node that leads there.
pub type Routes = BTreeMap<Ipv4Net, Ipv4Addr>;

/// What of a Node becomes a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// The Node's name.
    pub name: String,
    /// Its internal address, on the network that all nodes share.
    pub address: Ipv4Addr,
    /// Its pods.
    pub pod_cidr: Ipv4Net,
}

/// The routes that the node `own` needs. Where two nodes say they have the same pods, the first by name has.
pub fn plan(own: &str, nodes: &[NodeAddress]) -> Routes {
    let mut others: Vec<&NodeAddress> = nodes.iter().filter(|node| node.name != own).collect();
    others.sort_by(|one, other| one.name.cmp(&other.name));
    let mut routes = Routes::new();
    for node in others {
        routes.entry(node.pod_cidr).or_insert(node.address);
    }
    routes
}

/// One change of the routing table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteChange {
    /// The way to this network goes.
    Remove(Ipv4Net),
    /// The way to this network is by this node now, whatever it was.
    Set(Ipv4Net, Ipv4Addr),
}

/// What makes `new` of `old`; removals first.
pub fn difference(old: &Routes, new: &Routes) -> Vec<RouteChange> {
    let gone = old.keys().filter(|cidr| !new.contains_key(*cidr)).map(|cidr| RouteChange::Remove(*cidr));
    let come = new.iter().filter(|(cidr, via)| old.get(*cidr) != Some(*via));
    gone.chain(come.map(|(cidr, via)| RouteChange::Set(*cidr, *via))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, address: u8, pods: u8) -> NodeAddress {
        let pod_cidr = Ipv4Net::new_assert(Ipv4Addr::new(10, 1, pods, 0), 24);
        NodeAddress { name: name.into(), address: Ipv4Addr::new(192, 168, 9, address), pod_cidr }
    }

    #[test]
    fn every_other_node_leads_to_its_pods() {
        let nodes = [node("c", 3, 2), node("a", 1, 1), node("b", 2, 2)];
        let from_a = plan("a", &nodes);
        assert_eq!(from_a, [(nodes[2].pod_cidr, nodes[2].address)].into());
        let moved = plan("a", &[node("a", 1, 1), node("b", 9, 2), node("c", 3, 3)]);
        let (b, c) = (node("b", 9, 2), node("c", 3, 3));
        let set = [b, c].map(|node| RouteChange::Set(node.pod_cidr, node.address));
        assert_eq!(difference(&from_a, &moved), set);
        assert_eq!(difference(&from_a, &Routes::new()), [RouteChange::Remove(nodes[2].pod_cidr)]);
        assert_eq!(difference(&from_a, &from_a), []);
    }
}
