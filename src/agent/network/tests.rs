//! The network of one node on a host that is only written down, and of two on real ones.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use ipnet::Ipv4Net;

use crate::addresses::gateway;
use crate::error::NetworkError;
use crate::kernel::Kernel;
use crate::links::FakeLinks;
use crate::network::{Network, Options};
use crate::routes::NodeAddress;
use crate::rules::{HostPort, Protocol};

#[path = "../testing/namespace.rs"]
mod namespace;
mod real;
#[path = "../testing/talk.rs"]
mod talk;

fn options(folder: &Path, number: u8) -> Options {
    Options {
        node_name: format!("n{number}"),
        pod_cidr: Ipv4Net::new_assert(Ipv4Addr::new(10, 1, number, 0), 24),
        cluster_cidrs: vec!["10.1.0.0/16".parse().expect("a network")],
        mtu: Some(1400),
        file: folder.join(format!("addresses-{number}.json")),
    }
}

fn node(number: u8) -> NodeAddress {
    NodeAddress {
        name: format!("n{number}"),
        address: Ipv4Addr::new(192, 168, 9, number),
        pod_cidr: Ipv4Net::new_assert(Ipv4Addr::new(10, 1, number, 0), 24),
    }
}

fn web(host_port: u16, host_ip: Option<Ipv4Addr>) -> HostPort {
    HostPort { protocol: Protocol::Tcp, host_ip, host_port, container_port: 8080 }
}

#[test]
fn addresses_outlive_a_restart_and_even_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    base::env::simulate(1, async {
        let links = Arc::new(FakeLinks::default());
        let start = || Network::start(options(folder.path(), 1), Arc::clone(&links) as _);
        let network = start().await.expect("starts");
        let a = network.attach("a", 11, &[web(80, None)]).await.expect("attached");
        let b = network.attach("b", 12, &[]).await.expect("attached");
        assert_eq!(
            (network.gateway(), a, b),
            ([10, 1, 1, 1].into(), [10, 1, 1, 2].into(), [10, 1, 1, 3].into())
        );
        let network = start().await.expect("starts again");
        assert_eq!(network.attach("a", 11, &[web(80, None)]).await.expect("attached"), a);
        assert!(links.with(|host| host.rules.contains("tcp dport 80 dnat to 10.1.1.2:8080")));
        std::fs::remove_file(options(folder.path(), 1).file).expect("removed");
        let network = start().await.expect("starts a third time");
        assert_eq!(network.pods().await, ["a".into(), "b".into()].into());
        assert_eq!(network.attach("c", 13, &[]).await.expect("attached"), Ipv4Addr::new(10, 1, 1, 4));
        network.detach("a").await.expect("detached");
        network.detach("a").await.expect("detached once more");
        assert_eq!(
            network.attach("d", 14, &[]).await.expect("attached"),
            Ipv4Addr::new(10, 1, 1, 5),
            "a's rests"
        );
        network.remove().await.expect("removed");
        assert!(links.with(|host| host.cables.is_empty() && host.bridge.is_none()));
    });
}

#[test]
fn a_pod_that_could_not_be_attached_keeps_its_address_for_the_next_try() {
    let folder = tempfile::tempdir().expect("a folder");
    base::env::simulate(1, async {
        let links = Arc::new(FakeLinks::default());
        links.with(|host| host.dead.insert(11));
        let network =
            Network::start(options(folder.path(), 1), Arc::clone(&links) as _).await.expect("starts");
        let refused = network.attach("a", 11, &[web(80, None)]).await;
        assert!(matches!(refused, Err(NetworkError::Kernel { .. })), "{refused:?}");
        let address = network.attach("a", 12, &[web(80, None)]).await.expect("attached");
        assert_eq!(address, Ipv4Addr::new(10, 1, 1, 2));
        assert!(links.with(|host| host.rules.contains("dport 80")), "the ports were not forgotten");
    });
}

#[test]
fn nodes_come_and_go() {
    let folder = tempfile::tempdir().expect("a folder");
    base::env::simulate(1, async {
        let links = Arc::new(FakeLinks::default());
        let network =
            Network::start(options(folder.path(), 1), Arc::clone(&links) as _).await.expect("starts");
        network.nodes(&[node(1), node(2), node(3)]).await.expect("routes");
        assert_eq!(links.with(|host| host.routes.len()), 2);
        network.nodes(&[node(1), node(3)]).await.expect("routes");
        let routes = [(node(3).pod_cidr, node(3).address)].into();
        assert_eq!(links.with(|host| host.routes.clone()), routes);

        // What others took away comes back.
        network.attach("a", 11, &[web(80, None)]).await.expect("attached");
        let rules = links.with(|host| {
            host.routes.clear();
            std::mem::take(&mut host.rules)
        });
        network.repair(&[node(1), node(3)]).await.expect("repaired");
        assert_eq!(links.with(|host| (host.routes.clone(), host.rules.clone())), (routes, rules));
    });
}

#[test]
fn a_network_without_room_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    base::env::simulate(1, async {
        let mut options = options(folder.path(), 1);
        options.pod_cidr = "10.1.1.0/31".parse().expect("a network");
        let refused = Network::start(options, Arc::new(FakeLinks::default())).await.err();
        assert!(matches!(refused, Some(NetworkError::TooSmall(_))), "{refused:?}");
        assert_eq!(gateway("10.1.1.0/30".parse().expect("a network")), Some([10, 1, 1, 1].into()));
    });
}
