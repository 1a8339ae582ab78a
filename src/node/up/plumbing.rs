//! The bridge and network namespaces of a cluster: what is missing, what is left over, and the
//! commands that change it. Pure but for what looks at the host.
//!
//! Every name carries the short cluster id: `klID` (bridge), `klIDvN` and `klIDnN` (the host's ends of master N's and
//! node N's links), `kl-ID-NAME` (namespace), `keelson_ID` (nft table), and the comment of the firewall's rules.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use base::ids::ClusterId;
use serde_json::Value;

use super::cluster_file::{ClusterFile, Subnet, master_name, node_name};
use super::host::{Command, Host, HostError, command};
use outside::Outside;

mod outside;

/// What the host has now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Names of interfaces.
    pub links: BTreeSet<String>,
    /// Names of network namespaces.
    pub namespaces: BTreeSet<String>,
    /// Of the way out of the machine.
    pub outside: Outside,
}

/// The names of one cluster's plumbing.
#[derive(Clone, Debug)]
pub struct Names {
    short: String,
}

impl Names {
    /// Of this cluster.
    pub fn of(cluster: ClusterId) -> Self {
        Self { short: cluster.short() }
    }

    /// What all of them carry: the first digits of the cluster's id.
    pub fn short(&self) -> &str {
        &self.short
    }

    /// The bridge.
    pub fn bridge(&self) -> String {
        format!("kl{}", self.short)
    }

    /// The namespace of a master or node.
    pub fn namespace(&self, host: &str) -> String {
        format!("kl-{}-{host}", self.short)
    }

    /// The host's end of a link: of the master or node of this number, from 1.
    fn link(&self, sort: char, number: usize) -> String {
        format!("kl{}{sort}{number}", self.short)
    }

    /// Masters and nodes, with their addresses and links.
    pub fn hosts(&self, file: &ClusterFile) -> Vec<OnBridge> {
        let masters = file.masters.iter().zip(1..).map(|(master, number)| OnBridge {
            namespace: self.namespace(&master.name),
            link: self.link(MASTER, number),
            address: master.api.host.clone(),
        });
        let nodes = file.nodes.iter().zip(1..).map(|(node, number)| OnBridge {
            namespace: self.namespace(&node.name),
            link: self.link(NODE, number),
            address: node.address.to_string(),
        });
        masters.chain(nodes).collect()
    }
}

/// What the names of links say of their hosts.
const MASTER: char = 'v';
const NODE: char = 'n';

/// A host of the cluster: a network namespace, linked to the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnBridge {
    namespace: String,
    link: String,
    address: String,
}

/// Asks the host what it has.
pub fn look(host: &dyn Host) -> Result<Observed, HostError> {
    Ok(Observed {
        links: names(&host.run(&command("ip -j link show"))?, "ifname"),
        namespaces: names(&host.run(&command("ip -j netns list"))?, "name"),
        outside: outside::look(host)?,
    })
}

/// Asks the host what it has once it is rid of links that outlived their namespaces: the kernel takes a
/// namespace down a while after its name is gone.
pub fn look_without_orphans(host: &dyn Host, names: &Names) -> Result<Observed, HostError> {
    let observed = look(host)?;
    let orphans = remove_orphans(names, &observed);
    for command in &orphans {
        // One that goes on its own may be gone before the command.
        if let Err(error) = host.run(command) {
            tracing::debug!(%error, "a link went on its own");
        }
    }
    if orphans.is_empty() { Ok(observed) } else { look(host) }
}

/// IPv4 networks that the host has routes to, but for the default route.
pub fn used_subnets(host: &dyn Host) -> Result<Vec<Subnet>, HostError> {
    let routes = names(&host.run(&command("ip -j -4 route show table all"))?, "dst");
    Ok(routes.iter().filter_map(|route| Subnet::parse(route)).collect())
}

/// The values of `field` in the JSON list that `ip -j` printed; it prints nothing for none.
fn names(json: &str, field: &str) -> BTreeSet<String> {
    let list: Vec<Value> = serde_json::from_str(json).unwrap_or_default();
    list.iter().filter_map(|item| item[field].as_str()).map(str::to_owned).collect()
}

/// What makes the plumbing whole. Every command either is needed or changes nothing.
pub fn make(names: &Names, subnet: Ipv4Addr, hosts: &[OnBridge], observed: &Observed) -> Vec<Command> {
    let bridge = names.bridge();
    let [a, b, c, _] = subnet.octets();
    let gateway = format!("{a}.{b}.{c}.1");
    let mut lines = Vec::new();
    if !observed.links.contains(&bridge) {
        // A fixed address: otherwise it changes with each link, and peers' tables are wrong for a while.
        lines.push(format!("ip link add {bridge} address 02:4b:{a:02x}:{b:02x}:{c:02x}:01 type bridge"));
    }
    lines.push(format!("ip addr replace {gateway}/24 dev {bridge}"));
    lines.push(format!("ip link set {bridge} up"));
    for OnBridge { namespace, link, address } in hosts {
        let has_namespace = observed.namespaces.contains(namespace);
        if !has_namespace {
            lines.push(format!("ip netns add {namespace}"));
        }
        if !observed.links.contains(link) || !has_namespace {
            lines.push(format!("ip link add {link} type veth peer name eth0 netns {namespace}"));
        }
        lines.push(format!("ip link set {link} master {bridge} up"));
        lines.push(format!("ip -n {namespace} addr replace {address}/24 dev eth0"));
        lines.push(format!("ip -n {namespace} link set lo up"));
        lines.push(format!("ip -n {namespace} link set eth0 up"));
        lines.push(format!("ip -n {namespace} route replace default via {gateway}"));
    }
    let inside = lines.iter().map(|line| command(line));
    inside.chain(outside::make(names, subnet, &observed.outside)).collect()
}

/// What removes everything that carries the cluster's names.
pub fn remove(names: &Names, observed: &Observed) -> Vec<Command> {
    let mut lines = Vec::new();
    let namespaces = names.namespace("");
    for namespace in observed.namespaces.iter().filter(|name| name.starts_with(&namespaces)) {
        lines.push(format!("ip netns del {namespace}"));
    }
    // The links go with their namespaces, a moment later: only one without its namespace stays.
    let bridge = names.bridge();
    if observed.links.contains(&bridge) {
        lines.push(format!("ip link del {bridge}"));
    }
    let inside = lines.iter().map(|line| command(line));
    inside.chain(outside::remove(names, &observed.outside)).collect()
}

/// Links that outlived their namespaces.
fn remove_orphans(names: &Names, observed: &Observed) -> Vec<Command> {
    let bridge = names.bridge();
    let is_orphan = |link: &&String| {
        let host = link.strip_prefix(&bridge).and_then(|rest| {
            let master = rest.strip_prefix(MASTER).map(master_name);
            master.or_else(|| rest.strip_prefix(NODE).map(node_name))
        });
        host.is_some_and(|host| !observed.namespaces.contains(&names.namespace(&host)))
    };
    observed.links.iter().filter(is_orphan).map(|link| command(&format!("ip link del {link}"))).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::up::cluster_file::{ClusterFile, Network};

    const SUBNET: Ipv4Addr = Ipv4Addr::new(10, 130, 7, 0);

    fn short_names() -> Names {
        Names::of(ClusterId(0xabcd_ef01_2345_6789))
    }

    fn hosts(masters: usize, nodes: usize) -> Vec<OnBridge> {
        let mut no_port = || anyhow::bail!("no port is needed on a bridge");
        let network = Network::Bridge { subnet: SUBNET };
        let mut file = ClusterFile::new(ClusterId(0), network, &mut no_port).expect("new");
        file.grow(masters, &mut no_port).expect("grow");
        file.grow_nodes(nodes).expect("grow");
        short_names().hosts(&file)
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn check(commands: Vec<Command>, expect: Expect) {
        expect.assert_eq(&commands.iter().map(|command| command.join(" ") + "\n").collect::<String>());
    }

    #[test]
    fn everything_is_made_on_a_bare_host() {
        check(
            make(&short_names(), SUBNET, &hosts(1, 1), &Observed::default()),
            expect![[r"
                ip link add klabcdef address 02:4b:0a:82:07:01 type bridge
                ip addr replace 10.130.7.1/24 dev klabcdef
                ip link set klabcdef up
                ip netns add kl-abcdef-master-1
                ip link add klabcdefv1 type veth peer name eth0 netns kl-abcdef-master-1
                ip link set klabcdefv1 master klabcdef up
                ip -n kl-abcdef-master-1 addr replace 10.130.7.11/24 dev eth0
                ip -n kl-abcdef-master-1 link set lo up
                ip -n kl-abcdef-master-1 link set eth0 up
                ip -n kl-abcdef-master-1 route replace default via 10.130.7.1
                ip netns add kl-abcdef-node-1
                ip link add klabcdefn1 type veth peer name eth0 netns kl-abcdef-node-1
                ip link set klabcdefn1 master klabcdef up
                ip -n kl-abcdef-node-1 addr replace 10.130.7.101/24 dev eth0
                ip -n kl-abcdef-node-1 link set lo up
                ip -n kl-abcdef-node-1 link set eth0 up
                ip -n kl-abcdef-node-1 route replace default via 10.130.7.1
            "]],
        );
    }

    #[test]
    fn what_is_there_is_only_set_right() {
        let observed = Observed {
            links: set(&["klabcdef", "klabcdefv1"]),
            namespaces: set(&["kl-abcdef-master-1"]),
            ..Observed::default()
        };
        check(
            make(&short_names(), SUBNET, &hosts(1, 0), &observed),
            expect![[r"
                ip addr replace 10.130.7.1/24 dev klabcdef
                ip link set klabcdef up
                ip link set klabcdefv1 master klabcdef up
                ip -n kl-abcdef-master-1 addr replace 10.130.7.11/24 dev eth0
                ip -n kl-abcdef-master-1 link set lo up
                ip -n kl-abcdef-master-1 link set eth0 up
                ip -n kl-abcdef-master-1 route replace default via 10.130.7.1
            "]],
        );
    }

    #[test]
    fn only_the_clusters_own_things_are_removed() {
        let observed = Observed {
            links: set(&["eth0", "klabcdef", "klabcdefv1", "kl123456", "kl123456v1"]),
            namespaces: set(&["kl-abcdef-master-1", "kl-abcdef-master-9", "kl-123456-master-1", "other"]),
            ..Observed::default()
        };
        check(
            remove(&short_names(), &observed),
            expect![[r"
                ip netns del kl-abcdef-master-1
                ip netns del kl-abcdef-master-9
                ip link del klabcdef
            "]],
        );
        check(remove_orphans(&short_names(), &observed), expect![[""]]);
        let observed = Observed {
            namespaces: set(&["kl-abcdef-master-2", "kl-abcdef-node-2"]),
            links: set(&["klabcdefv1", "klabcdefn1", "klabcdefn2"]),
            ..observed
        };
        check(
            remove_orphans(&short_names(), &observed),
            expect![[r"
                ip link del klabcdefn1
                ip link del klabcdefv1
            "]],
        );
        check(remove(&short_names(), &Observed::default()), expect![[""]]);
    }

    #[test]
    fn interface_names_fit_the_kernels_limit() {
        assert!(short_names().link(NODE, crate::up::cluster_file::NODES_MAX).len() <= 15);
    }

    #[test]
    fn what_ip_prints_is_read() {
        let list = r#"[{"ifindex":1,"ifname":"lo"},{"ifname":"eth0"},{}]"#;
        assert_eq!(names(list, "ifname"), set(&["eth0", "lo"]));
        assert_eq!(names("", "name"), set(&[]));
    }
}
