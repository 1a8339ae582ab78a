//! Real packets through the real rules: pods, their node and a client outside, each a network namespace.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};

use super::namespace::{Namespace, cable};
use super::talk::{self, Server, ask, ask_udp};
use super::{node, service, slice, web};
use crate::difference::{difference, replacement};
use crate::packets::{Nft, Packets};
use crate::plan::{Ruleset, plan};
use crate::rules::Family;
use crate::world::{Node, World};

/// A node with two pods, and somebody outside.
struct Cluster {
    node: Arc<Namespace>,
    a: Arc<Namespace>,
    b: Arc<Namespace>,
    outside: Arc<Namespace>,
    _servers: [Server; 2],
    world: World,
    applied: Option<Ruleset>,
}

impl Cluster {
    fn new() -> Option<Self> {
        let [node_space, a, b, outside] =
            [Namespace::new()?, Namespace::new()?, Namespace::new()?, Namespace::new()?];
        node_space.run(
            "sysctl -qw net.ipv4.ip_forward=1
             ip link add bridge0 type bridge; ip addr add 10.1.1.1/24 dev bridge0; ip link set bridge0 up",
        );
        for (pod, port, address) in [(&a, "pod-a", "10.1.1.2"), (&b, "pod-b", "10.1.1.3")] {
            cable(&node_space, port, pod, "eth0");
            node_space.run(&format!(
                "ip link set {port} master bridge0; ip link set {port} type bridge_slave hairpin on"
            ));
            pod.run(&format!("ip addr add {address}/24 dev eth0; ip route add default via 10.1.1.1"));
        }
        cable(&node_space, "uplink", &outside, "eth0");
        node_space.run("ip addr add 192.168.9.1/24 dev uplink; ip route add default via 192.168.9.2");
        outside.run("ip addr add 192.168.9.2/24 dev eth0");
        let servers = [Server::start(&a, "a", 8080), Server::start(&b, "b", 8080)];
        let world = World::new(node());
        Some(Self { node: node_space, a, b, outside, _servers: servers, world, applied: None })
    }

    fn put(&mut self, name: &str, spec: serde_json::Value, endpoints: &[&str]) {
        self.world.put_service(&service(name, spec));
        let ports = [("", "TCP", 8080), ("http", "TCP", 8080), ("echo", "UDP", 8080)];
        self.world.put_slice(&slice(name, name, &ports, endpoints));
    }

    /// Brings the kernel of the node to what the world says, by a difference if that can be.
    fn apply(&mut self) {
        let new = plan(&self.world);
        let batch = match &self.applied {
            Some(old) => difference(old, &new),
            None => replacement(&new),
        };
        let expected = crate::flows::to_check(self.applied.as_ref(), &new);
        let family = new.family;
        self.node.within(move || async move {
            Nft.apply(&batch).await.expect("nft takes it");
            Nft.forget(family, expected).await.expect("flows are forgotten");
        });
        self.applied = Some(new);
    }
}

fn both(cluster_ip: &str) -> serde_json::Value {
    json!({ "clusterIP": cluster_ip, "ports": [
        { "name": "http", "port": 80 }, { "name": "echo", "port": 80, "protocol": "UDP" },
    ] })
}

#[test]
fn cluster_ips_lead_to_endpoints_and_keep_the_source() {
    let Some(mut cluster) = Cluster::new() else { return };
    cluster.put("web", both("10.96.0.10"), &["10.1.1.2@n1"]);
    cluster.put("empty", both("10.96.0.11"), &[]);
    cluster.apply();
    assert_eq!(ask(&cluster.b, "10.96.0.10:80"), "a 10.1.1.3");
    assert_eq!(ask_udp(&cluster.b, "10.96.0.10:80"), "a 10.1.1.3");
    // From the node itself: masqueraded, as its address is none of the pods'.
    assert_eq!(ask(&cluster.node, "10.96.0.10:80"), "a 10.1.1.1");
    assert_eq!(ask_udp(&cluster.node, "10.96.0.10:80"), "a 10.1.1.1");
    // A pod that reaches itself by its Service meets the node.
    assert_eq!(ask(&cluster.a, "10.96.0.10:80"), "a 10.1.1.1");
    for refused in ["10.96.0.11:80", "10.96.0.10:81", "10.96.7.7:80"] {
        for from in [&cluster.b, &cluster.node] {
            assert_eq!(ask(from, refused), "refused", "{refused}");
            assert_eq!(ask_udp(from, refused), "refused", "{refused}");
        }
    }
}

#[test]
fn node_ports_answer_at_every_address_but_the_loopback() {
    let Some(mut cluster) = Cluster::new() else { return };
    let spec = |policy: &str, ip: &str, port: u16| {
        json!({
            "type": "NodePort", "clusterIP": ip, "externalTrafficPolicy": policy,
            "ports": [{ "port": 80, "nodePort": port }],
        })
    };
    cluster.put("all", spec("Cluster", "10.96.0.10", 30001), &["10.1.1.2@n1"]);
    cluster.put("here", spec("Local", "10.96.0.11", 30002), &["10.1.1.3@n1"]);
    cluster.put("elsewhere", spec("Local", "10.96.0.12", 30003), &["10.1.1.3@n2"]);
    cluster.put("nowhere", spec("Cluster", "10.96.0.13", 30004), &[]);
    cluster.apply();
    assert_eq!(ask(&cluster.outside, "192.168.9.1:30001"), "a 10.1.1.1");
    assert_eq!(ask(&cluster.outside, "192.168.9.1:30002"), "b 192.168.9.2");
    assert_eq!(ask(&cluster.outside, "192.168.9.1:30003"), "silence");
    assert_eq!(ask(&cluster.outside, "192.168.9.1:30004"), "refused");
    assert_eq!(ask(&cluster.a, "192.168.9.1:30002"), "b 10.1.1.2");
    assert_eq!(ask(&cluster.a, "10.1.1.1:30003"), "b 10.1.1.2", "inside, every endpoint is reached");
    assert_eq!(ask(&cluster.node, "192.168.9.1:30001"), "a 10.1.1.1");
    assert_eq!(ask(&cluster.node, "192.168.9.1:30003"), "b 10.1.1.1");
    assert_eq!(ask(&cluster.node, "127.0.0.1:30001"), "refused");
}

#[test]
fn external_addresses_lead_to_endpoints() {
    let Some(mut cluster) = Cluster::new() else { return };
    let mut spec = web("10.96.0.10");
    spec["externalIPs"] = json!(["192.0.2.1"]);
    cluster.put("web", spec, &["10.1.1.2@n1"]);
    cluster.apply();
    cluster.outside.run("ip route add 192.0.2.1 via 192.168.9.1");
    assert_eq!(ask(&cluster.outside, "192.0.2.1:80"), "a 10.1.1.1");
    assert_eq!(ask(&cluster.b, "192.0.2.1:80"), "a 10.1.1.1");
}

#[test]
fn clients_stay_with_their_endpoint_until_it_goes() {
    let Some(mut cluster) = Cluster::new() else { return };
    let mut spec = web("10.96.0.10");
    spec["sessionAffinity"] = json!("ClientIP");
    cluster.put("web", spec.clone(), &["10.1.1.2@n1", "10.1.1.3@n1"]);
    cluster.apply();
    let first = ask(&cluster.node, "10.96.0.10:80");
    for _ in 0..12 {
        assert_eq!(ask(&cluster.node, "10.96.0.10:80"), first);
    }
    let (left, name) =
        if first.starts_with('a') { ("10.1.1.3@n1", "b 10.1.1.1") } else { ("10.1.1.2@n1", "a 10.1.1.1") };
    cluster.put("web", spec, &[left]);
    cluster.apply();
    assert_eq!(ask(&cluster.node, "10.96.0.10:80"), name);
}

#[test]
fn clients_stay_by_udp_as_well_and_pods_are_clients_like_others() {
    let Some(mut cluster) = Cluster::new() else { return };
    let mut spec = both("10.96.0.10");
    spec["sessionAffinity"] = json!("ClientIP");
    cluster.put("web", spec, &["10.1.1.2@n1", "10.1.1.3@n1"]);
    cluster.apply();
    for from in [&cluster.node, &cluster.a] {
        // A socket each: nothing but the affinity says that they belong together. Protocols are affine apart.
        let (tcp, udp) = (ask(from, "10.96.0.10:80"), ask_udp(from, "10.96.0.10:80"));
        for _ in 0..12 {
            assert_eq!(
                (ask(from, "10.96.0.10:80"), ask_udp(from, "10.96.0.10:80")),
                (tcp.clone(), udp.clone())
            );
        }
    }
}

#[test]
fn an_endpoint_that_is_not_ready_gets_nothing_until_it_is() {
    let Some(mut cluster) = Cluster::new() else { return };
    let answers = |cluster: &Cluster| -> std::collections::BTreeSet<String> {
        (0..30).map(|_| ask(&cluster.node, "10.96.0.10:80")).collect()
    };
    let (one, both_of_them) = (&["b 10.1.1.1"][..], &["a 10.1.1.1", "b 10.1.1.1"][..]);
    for (a, expected) in
        [("10.1.1.2@n1 unready", one), ("10.1.1.2@n1", both_of_them), ("10.1.1.2@n1 unready", one)]
    {
        cluster.put("web", both("10.96.0.10"), &[a, "10.1.1.3@n1"]);
        cluster.apply();
        // With both, thirty in a row at one of them happen once in a billion times.
        assert_eq!(answers(&cluster).iter().map(|answer| &**answer).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn node_ports_take_datagrams_and_refuse_those_that_nobody_waits_for() {
    let Some(mut cluster) = Cluster::new() else { return };
    let spec = |ip: &str, port: u16| {
        let ports = json!([{ "name": "echo", "port": 80, "protocol": "UDP", "nodePort": port }]);
        json!({ "type": "NodePort", "clusterIP": ip, "ports": ports })
    };
    cluster.put("echo", spec("10.96.0.10", 30001), &["10.1.1.2@n1"]);
    cluster.put("nowhere", spec("10.96.0.11", 30002), &[]);
    cluster.apply();
    assert_eq!(ask_udp(&cluster.outside, "192.168.9.1:30001"), "a 10.1.1.1");
    assert_eq!(ask_udp(&cluster.outside, "192.168.9.1:30002"), "refused");
    assert_eq!(ask_udp(&cluster.b, "192.168.9.1:30001"), "a 10.1.1.1", "from inside too");
}

#[test]
fn an_endpoint_that_went_gets_nothing_new_and_no_datagram() {
    let Some(mut cluster) = Cluster::new() else { return };
    cluster.put("web", both("10.96.0.10"), &["10.1.1.2@n1"]);
    cluster.apply();
    let (go, gone) = tokio::sync::oneshot::channel();
    let (ready, is_ready) = std::sync::mpsc::channel();
    // One socket: the kernel knows it as one flow.
    let client = cluster.node.start(move || async move {
        let socket = UdpSocket::bind("0.0.0.0:0").await.expect("bind");
        let before = talk::exchange(&socket, "10.96.0.10:80").await;
        ready.send(()).expect("the test waits");
        gone.await.expect("the test goes on");
        [before, talk::exchange(&socket, "10.96.0.10:80").await]
    });
    is_ready.recv_timeout(super::namespace::PATIENCE).expect("an answer");
    cluster.put("web", both("10.96.0.10"), &["10.1.1.3@n1"]);
    cluster.apply();
    go.send(()).expect("the client waits");
    assert_eq!(client.join().expect("the client"), ["a 10.1.1.1", "b 10.1.1.1"]);
    assert_eq!(ask(&cluster.a, "10.96.0.10:80"), "b 10.1.1.2");
}

#[test]
fn a_proxy_that_restarts_cuts_no_connection() {
    let Some(mut cluster) = Cluster::new() else { return };
    cluster.put("web", web("10.96.0.10"), &["10.1.1.2@n1"]);
    cluster.apply();
    let ended = Arc::new(AtomicBool::new(false));
    let (started, is_started) = std::sync::mpsc::channel();
    let end = Arc::clone(&ended);
    let client = cluster.b.start(move || async move {
        let mut stream = TcpStream::connect("10.96.0.10:80").await.expect("connect");
        let first = talk::greeting(&mut stream).await;
        started.send(()).expect("the test waits");
        loop {
            let last = end.load(Ordering::Acquire);
            stream.write_all(b"still there").await.expect("write");
            let echo = talk::greeting(&mut stream).await;
            if last || echo != "still there" {
                return [first, echo];
            }
        }
    });
    is_started.recv_timeout(super::namespace::PATIENCE).expect("a connection");
    for _ in 0..5 {
        cluster.applied = None;
        cluster.apply();
    }
    ended.store(true, Ordering::Release);
    assert_eq!(client.join().expect("the client"), ["a 10.1.1.3", "still there"]);
}

/// The longest names, both protocols, every kind of chain: nft takes all of it, and lists it again.
#[test]
fn the_longest_names_fit() {
    let Some(mut cluster) = Cluster::new() else { return };
    let long = "x".repeat(63);
    let mut service = service(
        &long,
        json!({
            "type": "NodePort", "clusterIP": "10.96.0.10", "externalTrafficPolicy": "Local",
            "sessionAffinity": "ClientIP",
            "ports": [{ "name": long, "port": 80, "protocol": "SCTP", "nodePort": 30001 }],
        }),
    );
    let mut slice = slice(&long, &long, &[(&long, "SCTP", 65535)], &["10.1.111.112@n1", "10.1.111.113"]);
    service.metadata.namespace = Some(long.clone());
    slice.metadata.namespace = Some(long.clone());
    cluster.world.put_service(&service);
    cluster.world.put_slice(&slice);
    cluster.apply();
    let listed = cluster.node.run("nft list table ip keelson-services");
    assert!(listed.contains(&format!("affinity/{long}/{long}/sctp/{long}/10.1.111.112/65535")), "{listed}");
    cluster.world.remove_service(&long, &long);
    cluster.apply();
    assert!(!cluster.node.run("nft list table ip keelson-services").contains(&long));
}

#[test]
fn rules_for_ipv6_are_taken_too() {
    let Some(space) = Namespace::new() else { return };
    let networks = |text: &str| vec![text.parse().expect("a network")];
    let (cluster_cidrs, service_cidrs) = (networks("fd00:1::/48"), networks("fd00:96::/108"));
    let mut world = World::new(Node { family: Family::V6, cluster_cidrs, service_cidrs, ..node() });
    let sticky = |address| {
        let mut spec = web(address);
        spec["sessionAffinity"] = json!("ClientIP");
        spec
    };
    let specs = [
        ("sticky", sticky("fd00:96::10")),
        ("plain", web("fd00:96::11")),
        ("empty", web("fd00:96::12")),
        ("many", web("fd00:96::13")),
        ("sticky-many", sticky("fd00:96::14")),
    ];
    let many: Vec<String> = (2..12).map(|number| format!("fd00:1::{number}@n1")).collect();
    for (name, spec) in specs {
        world.put_service(&service(name, spec));
        let endpoints: Vec<&str> =
            many.iter().take(if name.contains("many") { 10 } else { 2 }).map(|of| &**of).collect();
        let mut slice = slice(name, name, &[("", "TCP", 8080)], &endpoints);
        slice.address_type = "IPv6".into();
        if name != "empty" {
            world.put_slice(&slice);
        }
    }
    let batch = replacement(&plan(&world));
    space.within(move || async move { Nft.apply(&batch).await.expect("nft takes it") });
    let listed = space.run("nft list table ip6 keelson-services");
    for expected in ["fd00:96::11 . tcp . 80 : goto service/default/plain/tcp/80", "fd00:1::2 . fd00:1::2"] {
        assert!(listed.contains(expected), "{listed}");
    }
}

#[test]
fn ten_thousand_services_are_one_transaction_and_a_change_of_one_is_another() {
    const SERVICES: u32 = 10_000;
    let Some(space) = Namespace::new() else { return };
    let mut world = super::many_services(SERVICES);
    let old = plan(&world);
    let whole = replacement(&old);
    world.put_slice(&slice("service-77", "service-77", &[("", "TCP", 8080)], &["10.1.0.1"]));
    let small = difference(&old, &plan(&world));
    space.within(move || async move {
        for batch in [whole, small] {
            let begun = base::env::monotonic();
            Nft.apply(&batch).await.expect("nft takes it");
            println!("{} commands took {:?}", batch.commands.len(), begun.elapsed());
        }
    });
    let listed = space.run("nft list chain ip keelson-services service/default/service-77/tcp/80");
    assert!(listed.contains("dnat to 10.1.0.1:8080"), "{listed}");
}
