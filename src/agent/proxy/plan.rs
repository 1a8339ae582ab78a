//! The whole ruleset of a node: what all services share, and a part for each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use crate::rules::{Clause, Family, Hook, Name, Protocol, REJECT_CHAIN, Rule, Side, Table};
use crate::service::{self, Part};
use crate::text;
use crate::world::{Node, ServiceKey, World};

/// The name of our table: nobody else writes there, and we write nowhere else.
pub const TABLE: &str = "keelson-services";

/// Everything that the table holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    /// For which internet.
    pub family: Family,
    /// Chains that do not depend on any Service.
    pub frame: Arc<Vec<FrameChain>>,
    /// What each Service adds. Shared with older rulesets where nothing changed.
    pub parts: BTreeMap<ServiceKey, Arc<Part>>,
}

/// A chain that is always there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameChain {
    /// Its name.
    pub name: Name,
    /// Where it hangs, if it does.
    pub hook: Option<Hook>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// The ruleset for what is known. Depends on nothing else.
pub fn plan(world: &World) -> Ruleset {
    let parts =
        world.services.keys().filter_map(|key| Some((key.clone(), Arc::new(service::plan(world, key)?))));
    Ruleset { family: world.node.family, frame: Arc::new(frame(&world.node)), parts: parts.collect() }
}

/// The same as [`plan`], if `touched` holds every Service that changed since `old` was planned.
pub fn replan(world: &World, old: &Ruleset, touched: &BTreeSet<ServiceKey>) -> Ruleset {
    let mut new = old.clone();
    for key in touched {
        match service::plan(world, key) {
            Some(part) if old.parts.get(key).is_some_and(|known| **known == part) => {}
            Some(part) => {
                new.parts.insert(key.clone(), Arc::new(part));
            }
            None => {
                new.parts.remove(key);
            }
        }
    }
    new
}

/// Before translation of destinations by anybody else, as kube-proxy has it.
const DESTINATION: i32 = -100;

/// After our translation: what was translated has left the addresses of services.
const AFTER_DESTINATION: i32 = -90;

const SOURCE: i32 = 100;

fn frame(node: &Node) -> Vec<FrameChain> {
    let hooked = |name: &str, kind, priority, rules| FrameChain {
        name: name.into(),
        hook: Some(Hook { kind, point: point_of(name), priority }),
        rules,
    };
    let plain = |name: &str, rules| FrameChain { name: name.into(), hook: None, rules };
    let dispatch = || vec![vec![Clause::Jump("services".into())]];
    // Only connections that no Service took reach a refusal, each once.
    let check = || vec![vec![Clause::New, Clause::Untranslated, Clause::Jump("refusals".into())]];
    vec![
        hooked("nat-prerouting", "nat", DESTINATION, dispatch()),
        hooked("nat-output", "nat", DESTINATION, dispatch()),
        hooked("nat-postrouting", "nat", SOURCE, masquerading()),
        hooked("filter-input", "filter", AFTER_DESTINATION, check()),
        hooked("filter-forward", "filter", AFTER_DESTINATION, check()),
        hooked("filter-output", "filter", AFTER_DESTINATION, check()),
        plain("services", look_ups(node, Table::ServiceAddresses, Table::ServiceNodePorts)),
        plain("refusals", refusals(node)),
        plain(
            REJECT_CHAIN,
            vec![vec![Clause::Transport(Protocol::Tcp), Clause::Reset], vec![Clause::Unreachable]],
        ),
    ]
}

/// A chain in the frame that hangs somewhere is named for where.
fn point_of(name: &str) -> &'static str {
    match name.rsplit('-').next() {
        Some("prerouting") => "prerouting",
        Some("postrouting") => "postrouting",
        Some("input") => "input",
        Some("forward") => "forward",
        _ => "output",
    }
}

fn masquerading() -> Vec<Rule> {
    vec![
        vec![Clause::Marked, Clause::Unmark, Clause::Masquerade],
        // An endpoint that reaches itself through a Service would drop an answer from its own address.
        vec![Clause::Hairpin, Clause::Masquerade],
    ]
}

fn look_ups(node: &Node, addresses: Table, node_ports: Table) -> Vec<Rule> {
    let loopback = vec![node.family.loopback()];
    vec![
        vec![Clause::LookUp(addresses)],
        vec![
            Clause::Local(Side::Destination),
            // Packets from the loopback address cannot leave the host, so a node port there would hang.
            Clause::Address { side: Side::Destination, outside: true, of: loopback },
            Clause::LookUp(node_ports),
        ],
    ]
}

fn refusals(node: &Node) -> Vec<Rule> {
    let mut rules = look_ups(node, Table::MissingAddresses, Table::MissingNodePorts);
    if !node.service_cidrs.is_empty() {
        let of = node.service_cidrs.clone();
        let unallocated = Clause::Address { side: Side::Destination, outside: false, of };
        rules.push(vec![unallocated, Clause::Goto(REJECT_CHAIN.into())]);
    }
    rules
}

impl Ruleset {
    /// The words of `nft list`, for tests and for people.
    pub fn text(&self) -> String {
        let mut out = format!("table {} {TABLE}\n", self.family.header());
        for table in Table::ALL {
            for part in self.parts.values() {
                for ((_, key), verdict) in part.elements.iter().filter(|((of, _), _)| *of == table) {
                    let _ = writeln!(out, "  {} {}", table.name(), text::element(key, Some(verdict)));
                }
            }
        }
        for chain in self.frame.iter() {
            let place = chain.hook.map_or_else(String::new, |hook| format!(" {{ {} }}", text::hook(hook)));
            let _ = writeln!(out, "  chain {}{place}", chain.name);
            self.write_rules(&mut out, &chain.rules);
        }
        out + &self.services_text()
    }

    /// Only what services add: chains and sets, and nothing of the frame.
    pub fn services_text(&self) -> String {
        let mut out = String::new();
        for part in self.parts.values() {
            for set in &part.sets {
                let _ = writeln!(out, "  set {set}");
            }
            for (name, rules) in &part.chains {
                let _ = writeln!(out, "  chain {name}");
                self.write_rules(&mut out, rules);
            }
        }
        out
    }

    fn write_rules(&self, out: &mut String, rules: &[Rule]) {
        for rule in rules {
            let _ = writeln!(out, "    {}", text::rule(self.family, rule));
        }
    }
}
