//! Addresses of nodes and pods. Nobody answers there; each is given out once at a time.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Nodes are in 10.64.0.0/10.
const NODES: u32 = u32::from_be_bytes([10, 64, 0, 0]);
/// Where pods are. All hollow nodes share it: they take none of the ranges that the cluster has for nodes.
pub(crate) const OF_PODS: &str = "10.128.0.0/9";
/// Its first address.
const PODS: u32 = u32::from_be_bytes([10, 128, 0, 0]);
/// How many pods have an address.
const PODS_MAX: u32 = 1 << 23;

/// The address of a node.
pub(crate) fn of_node(index: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(NODES + 1 + index as u32)
}

/// The addresses of pods.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    taken: BTreeSet<u32>,
    next: u32,
}

impl Addresses {
    /// A free one; those given back longest ago come first.
    pub(crate) fn take(&mut self) -> Ipv4Addr {
        // There are far more addresses than pods fit in memory.
        loop {
            self.next = (self.next + 1) % PODS_MAX;
            if self.next != 0 && self.taken.insert(self.next) {
                return Ipv4Addr::from_bits(PODS + self.next);
            }
        }
    }

    /// One that a pod has already. Whether it was free and is one of ours.
    pub(crate) fn adopt(&mut self, address: Ipv4Addr) -> bool {
        let offset = address.to_bits().wrapping_sub(PODS);
        (1..PODS_MAX).contains(&offset) && self.taken.insert(offset)
    }

    /// Gives one back.
    pub(crate) fn give_back(&mut self, address: Ipv4Addr) {
        self.taken.remove(&address.to_bits().wrapping_sub(PODS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_given_out_once_at_a_time() {
        let mut addresses = Addresses::default();
        let second = Ipv4Addr::new(10, 128, 0, 2);
        assert!(addresses.adopt(second));
        assert!(!addresses.adopt(second), "taken");
        assert!(!addresses.adopt(Ipv4Addr::new(10, 0, 0, 1)), "not ours");
        assert_eq!(addresses.take(), Ipv4Addr::new(10, 128, 0, 1));
        assert_eq!(addresses.take(), Ipv4Addr::new(10, 128, 0, 3));
        addresses.give_back(second);
        assert_eq!(addresses.take(), Ipv4Addr::new(10, 128, 0, 4), "not at once again");
        addresses.next = 0;
        addresses.give_back(Ipv4Addr::new(10, 128, 0, 1));
        assert_eq!(addresses.take(), Ipv4Addr::new(10, 128, 0, 1));
    }
}
