//! The way out of the machine, for registries and resolvers: what masters and nodes send elsewhere bears the host's
//! address, and the host forwards it.
//!
//! One nft table for each cluster. Whether the host forwards at all is one setting for everybody on it: who turns it on
//! leaves the empty table [`TURNED_ON`], and the last cluster that goes turns it off again, unless somebody else came to
//! rely on it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::super::host::{Command, Host, HostError, command};
use super::Names;

/// The setting.
const FORWARDS: &str = "/proc/sys/net/ipv4/ip_forward";

/// What the names of tables begin with.
const TABLE: &str = "keelson_";

/// Says that the host forwards because a cluster wanted it to.
const TURNED_ON: &str = "keelson_turned_ip_forward_on";

/// What the host has of it now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// The firewall's `FORWARD` chain, as `iptables -S` prints it; empty without iptables.
    pub forward: Vec<String>,
    /// Tables of nft for IPv4; `None` without nft.
    pub tables: Option<BTreeSet<String>>,
    /// Whether the host forwards.
    pub forwards: bool,
}

/// Asks the host.
pub(super) fn look(host: &dyn Host) -> Result<Outside, HostError> {
    let lines = |line: &str| host.run(&command(line)).ok();
    let table = |line: &str| line.strip_prefix("table ip ").map(str::to_owned);
    Ok(Outside {
        // Without iptables there is no firewall of that kind to pass.
        forward: lines("iptables -w -S FORWARD")
            .map(|rules| rules.lines().map(str::to_owned).collect())
            .unwrap_or_default(),
        tables: lines("nft list tables").map(|tables| tables.lines().filter_map(table).collect()),
        forwards: host.run(&command(&format!("cat {FORWARDS}")))?.trim() == "1",
    })
}

fn table(names: &Names) -> String {
    format!("{TABLE}{}", names.short())
}

fn set_forwards(on: bool) -> Command {
    ["sh", "-c", &format!("echo {} > {FORWARDS}", u8::from(on))].map(str::to_owned).into()
}

/// Rules that let the cluster's packets through a firewall, as `iptables` takes and prints them.
fn rules(names: &Names) -> [String; 2] {
    let (bridge, comment) = (names.bridge(), comment(names));
    [
        format!("FORWARD -i {bridge} -m comment --comment {comment} -j ACCEPT"),
        format!(
            "FORWARD -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment {comment} -j ACCEPT"
        ),
    ]
}

fn comment(names: &Names) -> String {
    format!("keelson-{}", names.short())
}

/// What leads outside. Every command either is needed or changes nothing.
pub(super) fn make(names: &Names, subnet: Ipv4Addr, observed: &Outside) -> Vec<Command> {
    let mut made = Vec::new();
    // Hosts without nft take no nodes, and masters need nobody outside.
    if observed.tables.is_some() {
        let (table, bridge) = (table(names), names.bridge());
        // Packets between nodes never leave the bridge, but may pass here on their way over it.
        made.push(command(&format!(
            "nft add table ip {table}; \
             add chain ip {table} out {{ type nat hook postrouting priority 100; }}; \
             flush chain ip {table} out; \
             add rule ip {table} out ip saddr {subnet}/24 oifname != {bridge} masquerade"
        )));
        if !observed.forwards {
            made.push(command(&format!("nft add table ip {TURNED_ON}")));
            made.push(set_forwards(true));
        }
    }
    if drops(observed) {
        let own = own_rules(names, observed);
        let missing = rules(names).into_iter().filter(|rule| !own.contains(rule));
        made.extend(missing.map(|rule| command(&format!("iptables -w -I {rule}"))));
    }
    made
}

/// What takes it away.
pub(super) fn remove(names: &Names, observed: &Outside) -> Vec<Command> {
    let mut lines: Vec<Command> = Vec::new();
    let own = own_rules(names, observed);
    lines.extend(own.iter().map(|rule| command(&format!("iptables -w -D {rule}"))));
    let Some(tables) = &observed.tables else { return lines };
    let table = table(names);
    if tables.contains(&table) {
        lines.push(command(&format!("nft delete table ip {table}")));
    }
    let is_last = !tables.iter().any(|name| name.starts_with(TABLE) && *name != table && name != TURNED_ON);
    if is_last && tables.contains(TURNED_ON) {
        // Whoever has rules for what is forwarded came to rely on it.
        let of_others = observed.forward.iter().filter(|rule| rule.starts_with("-A ")).count() > own.len();
        if !of_others {
            lines.push(set_forwards(false));
        }
        lines.push(command(&format!("nft delete table ip {TURNED_ON}")));
    }
    lines
}

/// Docker sets this policy, and lets bridged packets pass through the firewall; other firewalls end the
/// chain with a rule for everything.
fn drops(observed: &Outside) -> bool {
    let drops = |rule: &String| {
        rule == "-P FORWARD DROP"
            || ["-A FORWARD -j DROP", "-A FORWARD -j REJECT"].iter().any(|all| rule.starts_with(all))
    };
    observed.forward.iter().any(drops)
}

/// The cluster's rules that are there.
fn own_rules(names: &Names, observed: &Outside) -> Vec<String> {
    let comment = comment(names);
    let plain = |rule: &String| rule.strip_prefix("-A ").map(|rule| rule.replace('"', ""));
    let is_own = |rule: &String| rule.split_whitespace().any(|word| word == comment);
    observed.forward.iter().filter_map(plain).filter(is_own).collect()
}

#[cfg(test)]
mod tests {
    use base::ids::ClusterId;
    use expect_test::{Expect, expect};

    use super::*;

    fn names() -> Names {
        Names::of(ClusterId(0xabcd_ef01_2345_6789))
    }

    fn with_tables(tables: &[&str]) -> Outside {
        let tables = tables.iter().map(|table| (*table).to_owned()).collect();
        Outside { tables: Some(tables), ..Outside::default() }
    }

    fn made(observed: &Outside) -> Vec<Command> {
        make(&names(), Ipv4Addr::new(10, 130, 7, 0), observed)
    }

    fn check(commands: Vec<Command>, expect: Expect) {
        expect.assert_eq(&commands.iter().map(|command| command.join(" ") + "\n").collect::<String>());
    }

    #[test]
    fn a_host_that_does_not_forward_begins_to_and_ends_with_the_last_cluster() {
        check(
            made(&with_tables(&[])),
            expect![[r"
            nft add table ip keelson_abcdef; add chain ip keelson_abcdef out { type nat hook postrouting priority 100; }; flush chain ip keelson_abcdef out; add rule ip keelson_abcdef out ip saddr 10.130.7.0/24 oifname != klabcdef masquerade
            nft add table ip keelson_turned_ip_forward_on
            sh -c echo 1 > /proc/sys/net/ipv4/ip_forward
        "]],
        );
        let on = |tables: &[&str]| Outside { forwards: true, ..with_tables(tables) };
        check(
            made(&on(&[])),
            expect![[r"
            nft add table ip keelson_abcdef; add chain ip keelson_abcdef out { type nat hook postrouting priority 100; }; flush chain ip keelson_abcdef out; add rule ip keelson_abcdef out ip saddr 10.130.7.0/24 oifname != klabcdef masquerade
        "]],
        );
        check(
            remove(&names(), &on(&["filter", "keelson_abcdef"])),
            expect![[r"
            nft delete table ip keelson_abcdef
        "]],
        );
        let alone = on(&["keelson_abcdef", TURNED_ON]);
        check(
            remove(&names(), &alone),
            expect![[r"
            nft delete table ip keelson_abcdef
            sh -c echo 0 > /proc/sys/net/ipv4/ip_forward
            nft delete table ip keelson_turned_ip_forward_on
        "]],
        );
        let two = on(&["keelson_123456", "keelson_abcdef", TURNED_ON]);
        check(
            remove(&names(), &two),
            expect![[r"
            nft delete table ip keelson_abcdef
        "]],
        );
        let docker = vec!["-A FORWARD -o docker0 -j DOCKER".to_owned()];
        check(
            remove(&names(), &Outside { forward: docker, ..alone }),
            expect![[r"
            nft delete table ip keelson_abcdef
            nft delete table ip keelson_turned_ip_forward_on
        "]],
        );
    }

    #[test]
    fn a_firewall_that_drops_gets_rules_once() {
        for (forward, drops) in [
            ("-P FORWARD ACCEPT", false),
            ("-A FORWARD -i eth0 -j DROP", false),
            ("-P FORWARD DROP", true),
            ("-A FORWARD -j REJECT --reject-with icmp-host-prohibited", true),
        ] {
            let observed = Outside { forward: vec![forward.to_owned()], ..Outside::default() };
            assert_eq!(!made(&observed).is_empty(), drops, "{forward}");
        }
        let mut observed = Outside { forward: vec!["-P FORWARD DROP".to_owned()], ..Outside::default() };
        check(
            made(&observed),
            expect![[r"
            iptables -w -I FORWARD -i klabcdef -m comment --comment keelson-abcdef -j ACCEPT
            iptables -w -I FORWARD -o klabcdef -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment keelson-abcdef -j ACCEPT
        "]],
        );
        let there = rules(&names())
            .map(|rule| format!("-A {}", rule.replace("keelson-abcdef", "\"keelson-abcdef\"")));
        observed.forward.extend(there);
        check(made(&observed), expect![[""]]);
        let others = rules(&Names::of(ClusterId(0x1234_5678_9abc_def0))).map(|rule| format!("-A {rule}"));
        observed.forward.extend(others);
        check(
            remove(&names(), &observed),
            expect![[r"
            iptables -w -D FORWARD -i klabcdef -m comment --comment keelson-abcdef -j ACCEPT
            iptables -w -D FORWARD -o klabcdef -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment keelson-abcdef -j ACCEPT
        "]],
        );
    }
}
