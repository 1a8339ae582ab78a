//! The rules of one Service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::rules::{Clause, Key, Name, Protocol, REJECT_CHAIN, Rule, Side, Table, Verdict};
use crate::world::{EndpointFacts, PortFacts, ServiceFacts, ServiceKey, World};

/// What one Service adds to a ruleset. Services share no chains, sets or keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Chains and their rules.
    pub chains: BTreeMap<Name, Vec<Rule>>,
    /// Sets that remember clients.
    pub sets: BTreeSet<Name>,
    /// What stands in the maps and sets of all services.
    pub elements: BTreeMap<(Table, Key), Verdict>,
    /// Where datagrams to a key may have been sent: flows to anywhere else are stale.
    pub datagrams: BTreeMap<Key, BTreeSet<SocketAddr>>,
}

/// Endpoints that a port's packets may go to.
struct Choice {
    chain: Name,
    endpoints: BTreeSet<SocketAddr>,
}

/// The rules of `key`; `None` where it needs none.
pub(crate) fn plan(world: &World, key: &ServiceKey) -> Option<Part> {
    let service = world.services.get(key)?;
    let mut part = Part::default();
    for port in &service.ports {
        let planner = PortPlanner { world, key, service, port };
        planner.plan(&mut part);
    }
    planned_hairpins(world, key, &mut part);
    Some(part)
}

fn planned_hairpins(world: &World, key: &ServiceKey, part: &mut Part) {
    for endpoint in world.slices_of(key).flat_map(|slice| &slice.endpoints).filter(|one| one.local) {
        let pair = Key::Hairpin(endpoint.address);
        if world.owns(key, &pair) {
            part.elements.insert((Table::Hairpins, pair), Verdict::Member);
        }
    }
}

struct PortPlanner<'a> {
    world: &'a World,
    key: &'a ServiceKey,
    service: &'a ServiceFacts,
    port: &'a PortFacts,
}

impl PortPlanner<'_> {
    fn plan(&self, part: &mut Part) {
        let all = Choice { chain: self.name("service", ""), endpoints: self.endpoints(|_| true) };
        let local = Choice { chain: self.name("local", ""), endpoints: self.endpoints(|one| one.local) };
        let internal = if self.service.internal_local { &local } else { &all };
        self.plan_internal(part, internal, &all);
        let has_outside = !self.service.external_ips.is_empty() || self.port.node_port.is_some();
        if has_outside {
            self.plan_external(part, &all, &local);
        }
        let needs_local = self.service.internal_local || (has_outside && self.service.external_local);
        let needs_all = !self.service.internal_local || has_outside;
        for (choice, needed) in [(&all, needs_all), (&local, needs_local)] {
            if needed && !choice.endpoints.is_empty() {
                let marked = choice.chain == internal.chain;
                self.plan_choice(part, choice, marked);
            }
        }
    }

    /// The cluster IPs.
    fn plan_internal(&self, part: &mut Part, internal: &Choice, all: &Choice) {
        let keys = self.service.cluster_ips.iter().map(|address| self.address_key(*address));
        for key in keys {
            if internal.endpoints.is_empty() {
                self.insert(part, Table::MissingAddresses, key, missing(all));
            } else {
                self.insert(part, Table::ServiceAddresses, key, Verdict::Goto(internal.chain.clone()));
            }
            self.note_datagrams(part, key, [internal]);
        }
    }

    /// External addresses and the node port.
    fn plan_external(&self, part: &mut Part, all: &Choice, local: &Choice) {
        let chain = self.name("external", "");
        let target = if self.service.external_local { local } else { all };
        let addresses =
            self.service.external_ips.iter().map(|address| {
                (Table::ServiceAddresses, Table::MissingAddresses, self.address_key(*address))
            });
        let node_port = self.port.node_port.map(|number| {
            let key = Key::NodePort(self.port.protocol, number);
            (Table::ServiceNodePorts, Table::MissingNodePorts, key)
        });
        for (present, absent, key) in addresses.chain(node_port) {
            if !all.endpoints.is_empty() {
                self.insert(part, present, key, Verdict::Goto(chain.clone()));
            }
            if target.endpoints.is_empty() {
                self.insert(part, absent, key, missing(all));
            }
            self.note_datagrams(part, key, [all, local]);
        }
        if !all.endpoints.is_empty() {
            part.chains.insert(chain, self.external_rules(all, local));
        }
    }

    fn external_rules(&self, all: &Choice, local: &Choice) -> Vec<Rule> {
        let go_on = |choice: &Choice| Clause::Goto(choice.chain.clone());
        if !self.service.external_local {
            return vec![vec![Clause::Mark], vec![go_on(all)]];
        }
        let mut rules = Vec::new();
        // Whoever is inside is meant to reach every endpoint, as by the cluster IP.
        let clusters = &self.world.node.cluster_cidrs;
        if !clusters.is_empty() {
            let inside = Clause::Address { side: Side::Source, outside: false, of: clusters.clone() };
            rules.push(vec![inside, go_on(all)]);
        }
        rules.push(vec![Clause::Local(Side::Source), Clause::Mark, go_on(all)]);
        if !local.endpoints.is_empty() {
            rules.push(vec![go_on(local)]);
        }
        rules
    }

    /// The chain in which one of the endpoints is chosen. `marked` if cluster IPs lead to it.
    fn plan_choice(&self, part: &mut Part, choice: &Choice, marked: bool) {
        let mut rules = Vec::new();
        let clusters = &self.world.node.cluster_cidrs;
        if marked && !clusters.is_empty() {
            let addresses = self.service.cluster_ips.iter().map(|address| (*address).into()).collect();
            rules.push(vec![
                Clause::Address { side: Side::Destination, outside: false, of: addresses },
                Clause::Address { side: Side::Source, outside: true, of: clusters.clone() },
                Clause::Mark,
            ]);
        }
        let transport = Clause::Transport(self.port.protocol);
        let Some(timeout_s) = self.service.affinity_s else {
            let endpoints = choice.endpoints.iter().copied().collect();
            rules.push(vec![transport, Clause::Translate(endpoints)]);
            part.chains.insert(choice.chain.clone(), rules);
            return;
        };
        let mut chains = Vec::new();
        for endpoint in &choice.endpoints {
            let suffix = format!("/{}/{}", endpoint.ip(), endpoint.port());
            let (chain, set) = (self.name("endpoint", &suffix), self.name("affinity", &suffix));
            rules.push(vec![Clause::Remembered(set.clone()), Clause::Goto(chain.clone())]);
            let translate = vec![transport.clone(), Clause::Translate(vec![*endpoint])];
            let remember = vec![Clause::Remember { set: set.clone(), timeout_s }];
            part.chains.insert(chain.clone(), vec![remember, translate]);
            part.sets.insert(set);
            chains.push(chain);
        }
        rules.push(vec![Clause::OneOf(chains)]);
        part.chains.insert(choice.chain.clone(), rules);
    }

    /// Ready endpoints among those that `fit`; where none is, those that are going but still answer.
    fn endpoints(&self, fit: impl Fn(&EndpointFacts) -> bool) -> BTreeSet<SocketAddr> {
        let (mut ready, mut draining) = (BTreeSet::new(), BTreeSet::new());
        for slice in self.world.slices_of(self.key) {
            let matches = |(name, protocol, _): &&(String, Protocol, u16)| {
                *name == self.port.name && *protocol == self.port.protocol
            };
            for (_, _, number) in slice.ports.iter().filter(matches) {
                for endpoint in slice.endpoints.iter().filter(|one| fit(one)) {
                    let address = SocketAddr::new(endpoint.address, *number);
                    if endpoint.ready {
                        ready.insert(address);
                    } else if endpoint.draining {
                        draining.insert(address);
                    }
                }
            }
        }
        if ready.is_empty() { draining } else { ready }
    }

    fn address_key(&self, address: IpAddr) -> Key {
        Key::Address(address, self.port.protocol, self.port.port)
    }

    fn insert(&self, part: &mut Part, table: Table, key: Key, verdict: Verdict) {
        if self.world.owns(self.key, &key) {
            part.elements.insert((table, key), verdict);
        }
    }

    fn note_datagrams<const N: usize>(&self, part: &mut Part, key: Key, to: [&Choice; N]) {
        if self.port.protocol == Protocol::Udp && self.world.owns(self.key, &key) {
            let to = to.into_iter().flat_map(|choice| choice.endpoints.iter().copied());
            part.datagrams.entry(key).or_default().extend(to);
        }
    }

    /// The longest that names of the API make, an IPv6 endpoint's, has 251 bytes; the kernel takes 255.
    fn name(&self, kind: &str, suffix: &str) -> Name {
        let ServiceKey { namespace, name } = self.key;
        let protocol = self.port.protocol.name();
        // Only the only port of a Service has no name, so its number can be no other's name.
        match &*self.port.name {
            "" => format!("{kind}/{namespace}/{name}/{protocol}/{}{suffix}", self.port.port).into(),
            port => format!("{kind}/{namespace}/{name}/{protocol}/{port}{suffix}").into(),
        }
    }
}

/// Without any endpoint the client is told at once; if other nodes have some, it may try there.
fn missing(all: &Choice) -> Verdict {
    if all.endpoints.is_empty() { Verdict::Goto(REJECT_CHAIN.into()) } else { Verdict::Drop }
}
