//! A class of pods within a round: what it has to know of the snapshot, and what was found of each seat for it.

use crate::class::{Class, SpreadConstraint};
use crate::default_spread::HOSTNAME;
use crate::filters::{self, FILTERS, Looks, node_affinity, taint_toleration};
use crate::scores::{Rate, SCORES};
use crate::snapshot::{Said, Snapshot};
use crate::tally::{Counted, Tally};
use crate::terms::{Scope, Term, Want};

/// A class of pods within a round.
pub struct Case {
    /// The class.
    pub class: Class,
    /// The only seats that are looked at; `None`: all.
    pub only: Option<Vec<usize>>,
    /// Required affinity: a tally for each term, all of the pods that all terms mean.
    pub near: Vec<Tally>,
    /// Whether a pod of the class is what it wants to be near to.
    pub is_own_neighbour: bool,
    /// Required anti-affinity: a tally for each term.
    pub far: Vec<Tally>,
    /// Preferred affinity, with weights.
    pub preferred: Vec<(i64, Tally)>,
    /// What other pods say of this class.
    pub others: Others,
    /// Constraints of spreading that must hold.
    pub spread_required: Vec<Spread>,
    /// Those that had better hold.
    pub spread_preferred: Vec<Spread>,
    /// After how many placements of the round no seat was left for the class.
    pub failed_at: Option<usize>,
    cells: Vec<Cell>,
}

/// A constraint of spreading within a round.
pub struct Spread {
    /// `maxSkew`.
    pub skew_max: i64,
    /// Whether domains are single hosts.
    pub is_by_host: bool,
    /// Whether a pod of the class counts itself.
    pub counts_itself: bool,
    /// The pods that count, by domain.
    pub tally: Tally,
    /// The least that a domain has.
    pub least: i64,
    domains_min: usize,
    /// Domains that have a node that counts.
    domains: Vec<u32>,
}

/// What pods with nodes say of the pods of a class: for each label that tells domains apart, a sum for each domain.
#[derive(Default)]
pub struct Others {
    /// How many want it far.
    pub against: Vec<(usize, Vec<i64>)>,
    /// By how much it is liked; less than nothing: disliked.
    pub liked: Vec<(usize, Vec<i64>)>,
    /// What each of those that say something says of this class.
    relevant: Vec<Vec<Saying>>,
    seen: usize,
}

/// A term of another pod that means this class.
struct Saying {
    topology: usize,
    /// `None`: it must be far.
    weight: Option<i64>,
}

/// What was found of a seat.
#[derive(Clone)]
struct Cell {
    /// The version of the seat.
    version: u32,
    fits: bool,
    rates: [i64; SCORES.len()],
}

/// What a required term of another pod counts for when nodes are compared: Kubernetes' `hardPodAffinityWeight`.
const REQUIRED_WEIGHT: i64 = 1;

impl Case {
    /// Looks around for a class.
    pub fn new(snapshot: &mut Snapshot<'_>, class: Class) -> Self {
        let only = class.only_nodes();
        let only: Option<Vec<usize>> =
            only.map(|names| names.into_iter().filter_map(|name| snapshot.seat(name)).collect());
        // A pod that can go to one node only has no use for what compares nodes: daemons' pods are such.
        let compares = only.as_ref().is_none_or(|only| only.len() > 1);
        let (near, is_own_neighbour) = near(snapshot, &class);
        let mut each = |terms: &[Term]| -> Vec<(i64, Tally)> {
            let one = |term: &Term| (term.weight, tally(snapshot, std::slice::from_ref(&term.want), term));
            terms.iter().map(one).collect()
        };
        let far = each(&class.pods.far).into_iter().map(|(_, tally)| tally).collect();
        let preferred = each(if compares { &class.pods.preferred } else { &[] });
        let spread_required = spread(snapshot, &class, &class.spread_required, true);
        let preferred_spread = if compares { &class.spread_preferred[..] } else { &[] };
        let spread_preferred = spread(snapshot, &class, preferred_spread, class.spread_needs_labels);
        let mut case = Self {
            class,
            only,
            near,
            is_own_neighbour,
            far,
            preferred,
            others: Others::default(),
            spread_required,
            spread_preferred,
            failed_at: None,
            cells: Vec::new(),
        };
        case.others.catch_up(snapshot, &case.class);
        case
    }

    /// Whether other pods' places decide where it may go.
    pub fn depends_on_pods(&self) -> bool {
        !(self.near.is_empty()
            && self.far.is_empty()
            && self.spread_required.is_empty()
            && self.others.against.is_empty())
    }

    /// Whether what was found of it in vain still holds.
    pub fn is_hopeless(&self, snapshot: &Snapshot<'_>) -> bool {
        // Seats only fill up in a round, but a pod that was placed may be the neighbour that was missing.
        self.failed_at.is_some_and(|placed| placed == snapshot.placed.len() || !self.depends_on_pods())
    }

    /// Takes in what was placed since.
    pub fn catch_up(&mut self, snapshot: &mut Snapshot<'_>) {
        for tally in self.near.iter_mut().chain(&mut self.far) {
            tally.catch_up(snapshot);
        }
        for (_, tally) in &mut self.preferred {
            tally.catch_up(snapshot);
        }
        for spread in self.spread_required.iter_mut().chain(&mut self.spread_preferred) {
            if spread.tally.catch_up(snapshot) {
                spread.find_least();
            }
        }
        self.others.catch_up(snapshot, &self.class);
    }

    /// Whether a seat passes all filters.
    pub fn fits(&mut self, snapshot: &Snapshot<'_>, seat: usize) -> bool {
        if !self.cell(snapshot, seat).fits {
            return false;
        }
        let mut elsewhere = FILTERS.iter().filter(|filter| filter.looks == Looks::Around);
        !self.depends_on_pods() || elsewhere.all(|filter| (filter.check)(snapshot, self, seat).is_ok())
    }

    /// What the score of this index finds of a seat that fits.
    pub fn rate(&self, seat: usize, score: usize) -> i64 {
        self.cells[self.place(seat)].rates[score]
    }

    /// What it remembers at most, in cells: a tally takes about as much of a seat as one.
    pub fn cells_max(&self, snapshot: &Snapshot<'_>) -> usize {
        let spreads = self.spread_required.len() + self.spread_preferred.len();
        let tallies = self.near.len() + self.far.len() + self.preferred.len() + spreads;
        let cells = if self.only.is_some() { 0 } else { snapshot.seats.len() };
        cells + tallies * snapshot.seats.len() / 4
    }

    /// Where a seat's cell stands.
    fn place(&self, seat: usize) -> usize {
        match &self.only {
            Some(only) => only.iter().position(|one| *one == seat).unwrap_or(0),
            None => seat,
        }
    }

    /// What the node alone decides, found anew when the seat changed.
    fn cell(&mut self, snapshot: &Snapshot<'_>, seat: usize) -> &Cell {
        if self.cells.is_empty() {
            let unknown = Cell { version: u32::MAX, fits: false, rates: [0; SCORES.len()] };
            self.cells = vec![unknown; self.only.as_ref().map_or(snapshot.seats.len(), Vec::len)];
        }
        let (place, version) = (self.place(seat), snapshot.seats[seat].version);
        if self.cells[place].version != version {
            let mut rates = [0; SCORES.len()];
            let fits = filters::fits_alone(snapshot, self, seat);
            if fits {
                for (rate, score) in rates.iter_mut().zip(&SCORES) {
                    if let Rate::Alone { rate: find, .. } = score.rate {
                        *rate = find(snapshot, self, seat);
                    }
                }
            }
            self.cells[place] = Cell { version, fits, rates };
        }
        &self.cells[place]
    }
}

impl Spread {
    /// The least that a domain is held to have: none, where there are fewer domains than there should be.
    pub fn floor(&self) -> i64 {
        if self.domains.len() < self.domains_min { 0 } else { self.least }
    }

    fn find_least(&mut self) {
        let sums = self.domains.iter().map(|domain| self.tally.sums[*domain as usize]);
        // No domain, no seat that could pass.
        self.least = sums.min().unwrap_or(i64::from(i32::MAX));
    }
}

impl Others {
    fn catch_up(&mut self, snapshot: &mut Snapshot<'_>, class: &Class) {
        for index in self.relevant.len()..snapshot.said.len() {
            let sayings = about(&snapshot.said[index], class);
            let topologies = sayings.into_iter().map(|(key, weight)| (snapshot.topology(&key), weight));
            self.relevant.push(topologies.map(|(topology, weight)| Saying { topology, weight }).collect());
        }
        for (said, seat, pods) in &snapshot.sayings[self.seen..] {
            for saying in &self.relevant[*said] {
                let topology = &snapshot.topologies[saying.topology];
                let Some(domain) = topology.domain_of[*seat] else { continue };
                let (sums, weight) = match saying.weight {
                    None => (&mut self.against, 1),
                    Some(weight) => (&mut self.liked, weight),
                };
                let at = sums.iter().position(|(of, _)| *of == saying.topology).unwrap_or_else(|| {
                    sums.push((saying.topology, vec![0; topology.domains]));
                    sums.len() - 1
                });
                sums[at].1[domain as usize] += weight * pods;
            }
        }
        self.seen = snapshot.sayings.len();
    }
}

/// The terms of other pods that mean a class: the label, and the weight unless it must be far.
fn about(said: &Said, class: &Class) -> Vec<(Box<str>, Option<i64>)> {
    let means = |term: &&Term| term.want.matches(&class.namespace, &class.labels);
    let far = said.terms.far.iter().filter(means).map(|term| (term.topology.clone(), None));
    let near =
        said.terms.near.iter().filter(means).map(|term| (term.topology.clone(), Some(REQUIRED_WEIGHT)));
    let preferred = said.terms.preferred.iter().filter(means);
    let preferred = preferred.map(|term| (term.topology.clone(), Some(term.weight)));
    far.chain(near).chain(preferred).collect()
}

fn tally(snapshot: &mut Snapshot<'_>, wants: &[Want], term: &Term) -> Tally {
    let counter = snapshot.counter(Counted { wants: wants.to_vec(), counts_deleting: true });
    let topology = snapshot.topology(&term.topology);
    Tally::new(snapshot, topology, counter, None)
}

fn near(snapshot: &mut Snapshot<'_>, class: &Class) -> (Vec<Tally>, bool) {
    let terms = &class.pods.near;
    let wants: Vec<Want> = terms.iter().map(|term| term.want.clone()).collect();
    let is_own = wants.iter().all(|want| want.matches(&class.namespace, &class.labels));
    (terms.iter().map(|term| tally(snapshot, &wants, term)).collect(), is_own)
}

/// Prepares constraints; `needs_labels`: only nodes count that have the labels that all of them name.
fn spread(
    snapshot: &mut Snapshot<'_>,
    class: &Class,
    constraints: &[SpreadConstraint],
    needs_labels: bool,
) -> Vec<Spread> {
    let topologies: Vec<usize> =
        constraints.iter().map(|constraint| snapshot.topology(&constraint.topology)).collect();
    let one = |constraint: &SpreadConstraint, topology: usize, snapshot: &mut Snapshot<'_>| {
        let counted = if constraint.want.is_empty() {
            // Kubernetes counts nothing for a selector that asks for nothing.
            Want { scope: Scope::one(&class.namespace), selectors: None }
        } else {
            constraint.want.clone()
        };
        let counter = snapshot.counter(Counted { wants: vec![counted], counts_deleting: false });
        let counts = |seat: usize| {
            let node = &snapshot.seats[seat].node;
            let is_labelled = |of: &usize| snapshot.topologies[*of].domain_of[seat].is_some();
            (!needs_labels || topologies.iter().all(is_labelled))
                && (!constraint.honors_affinity || node_affinity::matches(class, node))
                && (!constraint.honors_taints || taint_toleration::tolerates(class, node))
        };
        let included: Vec<bool> = (0..snapshot.seats.len()).map(counts).collect();
        let domain_of = &snapshot.topologies[topology].domain_of;
        let counting = domain_of.iter().zip(&included).filter(|(_, included)| **included);
        let mut domains: Vec<u32> = counting.filter_map(|(domain, _)| *domain).collect();
        domains.sort_unstable();
        domains.dedup();
        let tally = Tally::new(snapshot, topology, counter, Some(included));
        let mut spread = Spread {
            skew_max: constraint.skew_max,
            is_by_host: *constraint.topology == *HOSTNAME,
            counts_itself: constraint.want.matches(&class.namespace, &class.labels),
            tally,
            least: 0,
            domains_min: constraint.domains_min,
            domains,
        };
        spread.find_least();
        spread
    };
    let pairs = constraints.iter().zip(&topologies);
    pairs.map(|(constraint, topology)| one(constraint, *topology, snapshot)).collect()
}
