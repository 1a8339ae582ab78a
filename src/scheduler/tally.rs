//! Pods counted by node and by domain. Counts are kept as pods are placed: a round never counts twice.

use std::sync::Arc;

use projection::World;
use projection::pods::Pod;

use crate::snapshot::Snapshot;
use crate::terms::{Scope, Want};

/// Nodes told apart by a label.
pub struct Topology {
    /// The label.
    pub key: Box<str>,
    /// The domain of each seat; `None`: its node lacks the label.
    pub domain_of: Vec<Option<u32>>,
    /// How many domains there are.
    pub domains: usize,
}

/// Which pods are counted: those that all of these mean.
#[derive(PartialEq, Eq)]
pub struct Counted {
    /// What they must be like.
    pub wants: Vec<Want>,
    /// Whether pods count that are going.
    pub counts_deleting: bool,
}

impl Counted {
    fn has(&self, pod: &Pod) -> bool {
        (self.counts_deleting || !pod.is_deleting())
            && self.wants.iter().all(|want| want.matches(pod.key().namespace(), pod.object.labels()))
    }
}

/// The pods of a sort on each seat.
pub struct Counter {
    /// Which.
    pub counted: Counted,
    /// How many.
    pub per_seat: Vec<u32>,
    /// The seats that got another one since, in order.
    pub log: Vec<u32>,
}

impl Counter {
    /// Counts what World holds and what was placed since.
    pub fn new(snapshot: &Snapshot<'_>, counted: Counted) -> Self {
        let mut counter = Self { counted, per_seat: vec![0; snapshot.seats.len()], log: Vec::new() };
        for pod in candidates(snapshot.world, &counter.counted) {
            if pod.node.is_empty() || pod.is_finished() || !counter.counted.has(pod) {
                continue;
            }
            if let Some(seat) = snapshot.seat(&pod.node) {
                counter.per_seat[seat] += 1;
            }
        }
        for (pod, seat) in &snapshot.placed {
            counter.place(pod, *seat);
        }
        counter
    }

    /// Notes that a pod got a seat.
    pub fn place(&mut self, pod: &Pod, seat: usize) {
        if self.counted.has(pod) {
            self.per_seat[seat] += 1;
            self.log.push(seat as u32);
        }
    }
}

/// Pods among which all are that count.
fn candidates<'w>(world: &'w World, counted: &Counted) -> Vec<&'w Arc<Pod>> {
    let Some(want) = counted.wants.first() else { return Vec::new() };
    let Some(selectors) = &want.selectors else { return Vec::new() };
    let Scope::In(namespaces) = &want.scope else { return world.pods.iter().collect() };
    let selector = selectors.iter().find(|selector| selector.equalities().next().is_some());
    let within = |namespace: &str| match selector {
        Some(selector) => world.pods.selected(namespace, selector),
        None => world.pods.within(namespace).collect(),
    };
    namespaces.iter().flat_map(|namespace| within(namespace)).collect()
}

/// The counts of a counter, summed up by domain.
pub struct Tally {
    /// By which domains.
    pub topology: usize,
    /// Whose counts.
    pub counter: usize,
    /// Of each domain.
    pub sums: Vec<i64>,
    /// Which seats count; `None`: all.
    included: Option<Vec<bool>>,
    seen: usize,
}

impl Tally {
    /// Sums up what the counter has.
    pub fn new(
        snapshot: &Snapshot<'_>,
        topology: usize,
        counter: usize,
        included: Option<Vec<bool>>,
    ) -> Self {
        let (of, counts) = (&snapshot.topologies[topology], &snapshot.counters[counter]);
        let mut sums = vec![0; of.domains];
        for (seat, domain) in of.domain_of.iter().enumerate() {
            let counts_here = included.as_ref().is_none_or(|included| included[seat]);
            if let Some(domain) = domain.filter(|_| counts_here) {
                sums[domain as usize] += i64::from(counts.per_seat[seat]);
            }
        }
        Self { topology, counter, sums, included, seen: counts.log.len() }
    }

    /// Takes in what was placed since; returns whether anything was.
    pub fn catch_up(&mut self, snapshot: &Snapshot<'_>) -> bool {
        let log = &snapshot.counters[self.counter].log;
        let is_news = self.seen < log.len();
        for seat in &log[self.seen..] {
            let seat = *seat as usize;
            let domain = snapshot.topologies[self.topology].domain_of[seat];
            let counts_here = self.included.as_ref().is_none_or(|included| included[seat]);
            if let Some(domain) = domain.filter(|_| counts_here) {
                self.sums[domain as usize] += 1;
            }
        }
        self.seen = log.len();
        is_news
    }

    /// The sum of a seat's domain; `None`: it has no domain.
    pub fn at(&self, snapshot: &Snapshot<'_>, seat: usize) -> Option<i64> {
        let domain = snapshot.topologies[self.topology].domain_of[seat]?;
        Some(self.sums[domain as usize])
    }
}
