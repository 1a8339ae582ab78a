//! Rules as people read them: the words of `nft list`.

use std::fmt::Write as _;

use ipnet::IpNet;

use crate::difference::{Batch, Command};
use crate::rules::{Clause, Family, Hook, Key, MASQUERADE_MARK, Side, Table, Verdict};

/// The words of one rule.
pub fn rule(family: Family, clauses: &[Clause]) -> String {
    clauses.iter().map(|part| clause(family, part)).collect::<Vec<_>>().join(" ")
}

fn clause(family: Family, part: &Clause) -> String {
    let header = family.header();
    match part {
        Clause::Address { side, outside, of } => {
            let unequal = if *outside { "!= " } else { "" };
            format!("{header} {} {unequal}{}", side.field(), networks(of))
        }
        Clause::Remembered(set) => format!("{header} saddr @{set}"),
        Clause::Local(side) => format!("fib {} type local", side.field()),
        Clause::Transport(protocol) => format!("meta l4proto {}", protocol.name()),
        Clause::New => "ct state new".into(),
        Clause::Untranslated => "ct status ! dnat".into(),
        Clause::Marked => format!("meta mark & {MASQUERADE_MARK:#x} != 0"),
        Clause::Hairpin => format!("{header} saddr . {header} daddr @{}", Table::Hairpins.name()),
        Clause::Mark => format!("meta mark set meta mark | {MASQUERADE_MARK:#x}"),
        Clause::Unmark => format!("meta mark set meta mark ^ {MASQUERADE_MARK:#x}"),
        Clause::Remember { set, timeout_s } => {
            format!("update @{set} {{ {header} saddr timeout {timeout_s}s }}")
        }
        Clause::LookUp(table) => {
            let address = match table {
                Table::MissingAddresses | Table::ServiceAddresses => {
                    format!("{header} {} . ", Side::Destination.field())
                }
                _ => String::new(),
            };
            format!("{address}meta l4proto . th dport vmap @{}", table.name())
        }
        Clause::OneOf(chains) => {
            let choices = numbered(chains.iter().map(|chain| format!("goto {chain}")));
            format!("numgen random mod {} vmap {{ {choices} }}", chains.len())
        }
        Clause::Translate(to) => match &to[..] {
            [only] => format!("dnat to {only}"),
            _ => {
                let choices =
                    numbered(to.iter().map(|address| format!("{} . {}", address.ip(), address.port())));
                format!("dnat {header} to numgen random mod {} map {{ {choices} }}", to.len())
            }
        },
        Clause::Masquerade => "masquerade fully-random".into(),
        Clause::Reset => "reject with tcp reset".into(),
        Clause::Unreachable => "reject".into(),
        Clause::Jump(chain) => format!("jump {chain}"),
        Clause::Goto(chain) => format!("goto {chain}"),
    }
}

fn numbered(items: impl Iterator<Item = String>) -> String {
    items.enumerate().map(|(number, item)| format!("{number} : {item}")).collect::<Vec<_>>().join(", ")
}

fn networks(of: &[IpNet]) -> String {
    match of {
        [only] => network(only),
        _ => format!("{{ {} }}", of.iter().map(network).collect::<Vec<_>>().join(", ")),
    }
}

fn network(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// The words of a chain's place.
pub fn hook(hook: Hook) -> String {
    format!("type {} hook {} priority {}", hook.kind, hook.point, hook.priority)
}

/// The words of a key and what is said about it.
pub fn element(key: &Key, verdict: Option<&Verdict>) -> String {
    let key = match key {
        Key::Address(address, protocol, port) => format!("{address} . {} . {port}", protocol.name()),
        Key::NodePort(protocol, port) => format!("{} . {port}", protocol.name()),
        Key::Hairpin(address) => format!("{address} . {address}"),
    };
    match verdict {
        None | Some(Verdict::Member) => key,
        Some(Verdict::Goto(chain)) => format!("{key} : goto {chain}"),
        Some(Verdict::Drop) => format!("{key} : drop"),
    }
}

/// A batch, a command a line.
pub fn batch(batch: &Batch) -> String {
    let mut text = String::new();
    for command in &batch.commands {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", line(batch.family, command));
    }
    text
}

fn line(family: Family, command: &Command) -> String {
    match command {
        Command::AddTable => "add table".into(),
        Command::DeleteTable => "delete table".into(),
        Command::AddMap(table) => {
            let kind = if table.is_map() { "map" } else { "set" };
            format!("add {kind} {} {{ {} }}", table.name(), table.key_types(family).join(" . "))
        }
        Command::AddSet(name) => format!("add set {name}"),
        Command::DeleteSet(name) => format!("delete set {name}"),
        Command::AddChain(name, None) => format!("add chain {name}"),
        Command::AddChain(name, Some(at)) => format!("add chain {name} {{ {} }}", hook(*at)),
        Command::FlushChain(name) => format!("flush chain {name}"),
        Command::DeleteChain(name) => format!("delete chain {name}"),
        Command::AddRule(chain, clauses) => format!("add rule {chain} {}", rule(family, clauses)),
        Command::AddElements(table, elements) => {
            let elements: Vec<String> =
                elements.iter().map(|(key, verdict)| element(key, Some(verdict))).collect();
            format!("add element {} {{ {} }}", table.name(), elements.join(", "))
        }
        Command::DeleteElements(table, keys) => {
            let keys: Vec<String> = keys.iter().map(|key| element(key, None)).collect();
            format!("delete element {} {{ {} }}", table.name(), keys.join(", "))
        }
    }
}
