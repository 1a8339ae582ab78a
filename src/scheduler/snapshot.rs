//! The nodes as a round sees them: as World has them, and with what the round placed.

use std::collections::BTreeMap;
use std::sync::Arc;

use projection::World;
use projection::affinity::PodAffinity;
use projection::nodes::{Node, Usage};
use projection::pods::Pod;

use crate::class;
use crate::default_spread::ZONE;
use crate::tally::{Counted, Counter, Topology};
use crate::terms::PodTerms;

/// A node, and what is taken of it.
pub struct Seat {
    /// The node.
    pub node: Arc<Node>,
    /// What pods take of it, those that this round placed included.
    pub usage: Arc<Usage>,
    /// Counts up as pods are placed: what was found of the seat before holds no longer.
    pub version: u32,
    /// A hash of the node's name.
    pub hash: u64,
}

/// What some pods with nodes say of pods near and far.
pub struct Said {
    of: PodAffinity,
    /// The terms.
    pub terms: PodTerms,
}

/// All nodes in one moment of a round.
pub struct Snapshot<'w> {
    /// What it was taken of.
    pub world: &'w World,
    /// The nodes, those of all zones by turns: whoever looks at some of them in a row looks at all zones.
    pub seats: Vec<Seat>,
    by_name: BTreeMap<Arc<str>, usize>,
    /// By which labels nodes were told apart so far.
    pub topologies: Vec<Topology>,
    /// Which pods were counted so far.
    pub counters: Vec<Counter>,
    /// What pods with nodes say of others.
    pub said: Vec<Said>,
    /// Who says it: an index into `said`, a seat, and how many pods there; what was placed comes last.
    pub sayings: Vec<(usize, usize, i64)>,
    /// What this round placed.
    pub placed: Vec<(Arc<Pod>, usize)>,
}

impl<'w> Snapshot<'w> {
    /// Takes one.
    pub fn of(world: &'w World) -> Self {
        let mut zones: BTreeMap<&str, Vec<&Arc<Node>>> = BTreeMap::new();
        for node in world.nodes.iter() {
            zones.entry(node.object.labels().get(ZONE).unwrap_or_default()).or_default().push(node);
        }
        let longest = zones.values().map(Vec::len).max().unwrap_or(0);
        let turns = (0..longest).flat_map(|turn| zones.values().filter_map(move |zone| zone.get(turn)));
        let seats: Vec<Seat> = turns.map(|node| seat(world, node)).collect();
        let by_name = seats.iter().enumerate().map(|(at, seat)| (seat.node.name().into(), at)).collect();
        let mut snapshot = Self {
            world,
            seats,
            by_name,
            topologies: Vec::new(),
            counters: Vec::new(),
            said: Vec::new(),
            sayings: Vec::new(),
            placed: Vec::new(),
        };
        for (of, nodes) in world.pods.affinities().iter() {
            let index = snapshot.said.len();
            snapshot.said.push(Said { of: PodAffinity::clone(of), terms: class::said(world, of) });
            for (node, count) in nodes {
                let seat = snapshot.seat(node);
                snapshot.sayings.extend(seat.map(|seat| (index, seat, i64::from(*count))));
            }
        }
        snapshot
    }

    /// Where the node of this name stands.
    pub fn seat(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Nodes told apart by a label.
    pub fn topology(&mut self, key: &str) -> usize {
        if let Some(known) = self.topologies.iter().position(|topology| *topology.key == *key) {
            return known;
        }
        let mut values: BTreeMap<&str, u32> = BTreeMap::new();
        let domain_of = self.seats.iter().map(|seat| {
            let value = seat.node.object.labels().get(key)?;
            let next = values.len() as u32;
            Some(*values.entry(value).or_insert(next))
        });
        let domain_of = domain_of.collect();
        let topology = Topology { key: key.into(), domain_of, domains: values.len() };
        self.topologies.push(topology);
        self.topologies.len() - 1
    }

    /// Pods of a sort, counted by seat.
    pub fn counter(&mut self, counted: Counted) -> usize {
        if let Some(known) = self.counters.iter().position(|counter| counter.counted == counted) {
            return known;
        }
        let counter = Counter::new(self, counted);
        self.counters.push(counter);
        self.counters.len() - 1
    }

    /// Gives a pod a seat.
    pub fn place(&mut self, pod: &Arc<Pod>, at: usize) {
        let seat = &mut self.seats[at];
        Arc::make_mut(&mut seat.usage).add(pod);
        seat.version += 1;
        for counter in &mut self.counters {
            counter.place(pod, at);
        }
        if let Some(of) = PodAffinity::of(pod) {
            let known = self.said.iter().position(|said| said.of == of);
            let index = known.unwrap_or_else(|| {
                let terms = class::said(self.world, &of);
                self.said.push(Said { of, terms });
                self.said.len() - 1
            });
            self.sayings.push((index, at, 1));
        }
        self.placed.push((Arc::clone(pod), at));
    }
}

fn seat(world: &World, node: &Arc<Node>) -> Seat {
    let usage = world.nodes.usage(node.name()).cloned().unwrap_or_default();
    Seat { node: Arc::clone(node), usage, version: 0, hash: hash(node.name()) }
}

/// FNV-1a, of 64 bits.
pub fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
