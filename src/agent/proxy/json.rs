//! Batches as `nft -j` reads them.
//!
//! The types of the crate `nftables` know neither maps of verdicts nor translation by a map, so the
//! values are made here; the crate runs them.

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::difference::{Batch, Command};
use crate::plan::TABLE;
use crate::rules::{Clause, Family, Key, MASQUERADE_MARK, Side, Table, Verdict};

/// The bit of a connection's status that says that its destination was translated (`IPS_DST_NAT`).
const STATUS_DNAT: u32 = 1 << 5;

/// Clients that one endpoint can have. More than that stay with no endpoint.
const CLIENTS_REMEMBERED_MAX: u32 = 65_535;

/// The whole batch: one transaction.
pub fn batch(batch: &Batch) -> Value {
    let commands: Vec<Value> = batch.commands.iter().map(|command| one(batch.family, command)).collect();
    json!({ "nftables": commands })
}

fn one(family: Family, command: &Command) -> Value {
    let name = family.header();
    match command {
        Command::AddTable => json!({ "add": { "table": { "family": name, "name": TABLE } } }),
        Command::DeleteTable => json!({ "delete": { "table": { "family": name, "name": TABLE } } }),
        Command::AddMap(table) => {
            let mut body = json!({
                "family": name, "table": TABLE, "name": table.name(), "type": table.key_types(family),
            });
            if table.is_map() {
                body["map"] = json!("verdict");
                json!({ "add": { "map": body } })
            } else {
                json!({ "add": { "set": body } })
            }
        }
        Command::AddSet(set) => json!({ "add": { "set": {
            "family": name, "table": TABLE, "name": &**set, "type": family.address_type(),
            "flags": ["timeout"], "size": CLIENTS_REMEMBERED_MAX,
        } } }),
        Command::DeleteSet(set) => {
            json!({ "delete": { "set": { "family": name, "table": TABLE, "name": &**set } } })
        }
        Command::AddChain(chain, hook) => {
            let mut body = json!({ "family": name, "table": TABLE, "name": &**chain });
            if let Some(hook) = hook {
                body["type"] = json!(hook.kind);
                body["hook"] = json!(hook.point);
                body["prio"] = json!(hook.priority);
                body["policy"] = json!("accept");
            }
            json!({ "add": { "chain": body } })
        }
        Command::FlushChain(chain) => {
            json!({ "flush": { "chain": { "family": name, "table": TABLE, "name": &**chain } } })
        }
        Command::DeleteChain(chain) => {
            json!({ "delete": { "chain": { "family": name, "table": TABLE, "name": &**chain } } })
        }
        Command::AddRule(chain, rule) => {
            let rule: Vec<Value> = rule.iter().map(|part| clause(family, part)).collect();
            json!({ "add": { "rule": {
                "family": name, "table": TABLE, "chain": &**chain, "expr": rule,
            } } })
        }
        Command::AddElements(table, elements) => {
            let elements: Vec<Value> = elements.iter().map(|(key, said)| element(key, said)).collect();
            json!({ "add": { "element": {
                "family": name, "table": TABLE, "name": table.name(), "elem": elements,
            } } })
        }
        Command::DeleteElements(table, keys) => {
            let keys: Vec<Value> = keys.iter().map(key).collect();
            json!({ "delete": { "element": {
                "family": name, "table": TABLE, "name": table.name(), "elem": keys,
            } } })
        }
    }
}

fn clause(family: Family, part: &Clause) -> Value {
    match part {
        Clause::Address { side, outside, of } => {
            compare(if *outside { "!=" } else { "==" }, address(family, *side), networks(of))
        }
        Clause::Remembered(set) => compare("==", address(family, Side::Source), json!(format!("@{set}"))),
        Clause::Local(side) => {
            compare("==", json!({ "fib": { "result": "type", "flags": [side.field()] } }), json!("local"))
        }
        Clause::Transport(protocol) => compare("==", transport(), json!(protocol.name())),
        Clause::New => compare("in", json!({ "ct": { "key": "state" } }), json!("new")),
        Clause::Untranslated => {
            compare("==", json!({ "&": [{ "ct": { "key": "status" } }, STATUS_DNAT] }), json!(0))
        }
        Clause::Marked => compare("!=", json!({ "&": [mark(), MASQUERADE_MARK] }), json!(0)),
        Clause::Hairpin => compare(
            "==",
            json!({ "concat": [address(family, Side::Source), address(family, Side::Destination)] }),
            json!(format!("@{}", Table::Hairpins.name())),
        ),
        Clause::Mark => json!({ "mangle": { "key": mark(), "value": { "|": [mark(), MASQUERADE_MARK] } } }),
        Clause::Unmark => json!({ "mangle": { "key": mark(), "value": { "^": [mark(), MASQUERADE_MARK] } } }),
        Clause::Remember { set, timeout_s } => json!({ "set": {
            "op": "update", "set": format!("@{set}"),
            "elem": { "elem": { "val": address(family, Side::Source), "timeout": timeout_s } },
        } }),
        Clause::LookUp(table) => look_up(family, *table),
        Clause::OneOf(chains) => {
            let choices = chains.iter().map(|chain| json!({ "goto": { "target": &**chain } }));
            json!({ "vmap": { "key": random(chains.len()), "data": numbered(choices) } })
        }
        Clause::Translate(to) => match &to[..] {
            [only] => json!({ "dnat": { "addr": only.ip(), "port": only.port() } }),
            _ => {
                let choices = to.iter().map(|to| json!({ "concat": [to.ip(), to.port()] }));
                json!({ "dnat": { "family": family.header(), "addr": {
                    "map": { "key": random(to.len()), "data": numbered(choices) },
                } } })
            }
        },
        Clause::Masquerade => json!({ "masquerade": { "flags": ["fully-random"] } }),
        Clause::Reset => json!({ "reject": { "type": "tcp reset" } }),
        Clause::Unreachable => json!({ "reject": { "type": family.control(), "expr": "port-unreachable" } }),
        Clause::Jump(chain) => json!({ "jump": { "target": &**chain } }),
        Clause::Goto(chain) => json!({ "goto": { "target": &**chain } }),
    }
}

fn compare(operator: &str, left: Value, right: Value) -> Value {
    json!({ "match": { "op": operator, "left": left, "right": right } })
}

fn address(family: Family, side: Side) -> Value {
    json!({ "payload": { "protocol": family.header(), "field": side.field() } })
}

fn transport() -> Value {
    json!({ "meta": { "key": "l4proto" } })
}

fn mark() -> Value {
    json!({ "meta": { "key": "mark" } })
}

fn random(choices: usize) -> Value {
    json!({ "numgen": { "mode": "random", "mod": choices, "offset": 0 } })
}

fn numbered(items: impl Iterator<Item = Value>) -> Value {
    let pairs: Vec<Value> = items.enumerate().map(|(number, item)| json!([number, item])).collect();
    json!({ "set": pairs })
}

fn look_up(family: Family, table: Table) -> Value {
    let port = json!({ "payload": { "protocol": "th", "field": "dport" } });
    let mut fields = vec![transport(), port];
    if matches!(table, Table::MissingAddresses | Table::ServiceAddresses) {
        fields.insert(0, address(family, Side::Destination));
    }
    json!({ "vmap": { "key": { "concat": fields }, "data": format!("@{}", table.name()) } })
}

fn networks(of: &[IpNet]) -> Value {
    let prefix = |net: &IpNet| json!({ "prefix": { "addr": net.addr(), "len": net.prefix_len() } });
    match of {
        [only] => prefix(only),
        _ => json!({ "set": of.iter().map(prefix).collect::<Vec<_>>() }),
    }
}

fn key(key: &Key) -> Value {
    match key {
        Key::Address(address, protocol, port) => json!({ "concat": [address, protocol.name(), port] }),
        Key::NodePort(protocol, port) => json!({ "concat": [protocol.name(), port] }),
        Key::Hairpin(address) => json!({ "concat": [address, address] }),
    }
}

fn element(of: &Key, verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Member => key(of),
        Verdict::Goto(chain) => json!([key(of), { "goto": { "target": &**chain } }]),
        Verdict::Drop => json!([key(of), { "drop": null }]),
    }
}
