//! The nodes as a round sees them: as World has them, and with what the round placed.

use std::collections::BTreeMap;
use std::sync::Arc;

use projection::World;
use projection::affinity::PodAffinity;
use projection::nodes::{Node, Usage};
use projection::pods::Pod;
use projection::resources::Amounts;

use crate::class;
use crate::tally::{Counted, Counter, Topology};
use crate::terms::PodTerms;

/// A node, and what is taken of it. What almost every pod looks at stands in the seat itself: going through thousands of
/// nodes takes as long as their memory takes to arrive.
pub struct Seat {
    /// The node.
    pub node: Arc<Node>,
    /// What pods may take of it.
    pub allocatable: Amounts,
    /// How many pods it takes.
    pub pods_max: i64,
    /// Whether it has taints or is cordoned.
    pub is_restricted: bool,
    /// Whether it says which images it has.
    pub has_images: bool,
    /// What pods take of it, those that this round placed included.
    pub usage: Usage,
    /// Counts up as pods are placed: what was found of the seat before holds no longer.
    pub version: u32,
    /// [`Node::hash`].
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
    /// Their indexes, in the order of their names.
    by_name: Vec<usize>,
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
        let nodes: Vec<_> = world.nodes.with_usage().collect();
        let mut zones: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (place, (node, _)) in nodes.iter().enumerate() {
            zones.entry(&node.zone).or_default().push(place);
        }
        let mut zones: Vec<_> = zones.into_values().map(Vec::into_iter).collect();
        let mut by_name = vec![0; nodes.len()];
        let mut seats = Vec::with_capacity(nodes.len());
        while seats.len() < nodes.len() {
            for place in zones.iter_mut().filter_map(Iterator::next) {
                by_name[place] = seats.len();
                let (node, usage) = nodes[place];
                seats.push(Seat::of(node, usage));
            }
        }
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
        let place = self.by_name.binary_search_by(|seat| self.seats[*seat].node.name().cmp(name));
        Some(self.by_name[place.ok()?])
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
        seat.usage.add(pod);
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

impl Seat {
    fn of(node: &Arc<Node>, usage: Option<&Arc<Usage>>) -> Self {
        Self {
            node: Arc::clone(node),
            allocatable: node.allocatable.clone(),
            pods_max: node.pods_max,
            is_restricted: node.is_unschedulable || !node.taints.is_empty(),
            has_images: !node.images.is_empty(),
            usage: usage.map(|usage| Usage::clone(usage)).unwrap_or_default(),
            version: 0,
            hash: node.hash,
        }
    }
}
