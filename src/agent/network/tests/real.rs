//! Two nodes on one network, with pods that are processes in namespaces of their own.

use super::namespace::{Namespace, cable};
use super::talk::{Server, ask, ask_udp};
use super::*;

/// Runs `work` with the network of the node `number`, made anew as after a restart.
fn with_network<F>(
    at: &Arc<Namespace>,
    folder: &Path,
    number: u8,
    work: impl FnOnce(Network) -> F + Send + 'static,
) where
    F: Future<Output = ()>,
{
    let options = options(folder, number);
    at.within(move || async move {
        let kernel = Kernel::new().expect("netlink");
        work(Network::start(options, Arc::new(kernel)).await.expect("starts")).await;
    });
}

/// A pod of the node, attached to its network.
fn pod(
    at: &Arc<Namespace>,
    folder: &Path,
    number: u8,
    uid: &'static str,
    ports: Vec<HostPort>,
) -> Option<Arc<Namespace>> {
    let pod = Namespace::new()?;
    let pid = pod.pid();
    with_network(at, folder, number, move |network| async move {
        network.attach(uid, pid, &ports).await.expect("attached");
    });
    Some(pod)
}

/// Two nodes and somebody else on one network.
fn hosts() -> Option<[Arc<Namespace>; 4]> {
    let switch = Namespace::new()?;
    switch.run("ip link add lan type bridge; ip link set lan up; echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables || true");
    let hosts = [Namespace::new()?, Namespace::new()?, Namespace::new()?];
    for (number, host) in (1..).zip(&hosts) {
        cable(&switch, &format!("port{number}"), host, "uplink");
        switch.run(&format!("ip link set port{number} master lan"));
        host.run(&format!("ip addr add 192.168.9.{number}/24 dev uplink"));
    }
    let [one, two, outside] = hosts;
    Some([one, two, outside, switch])
}

#[test]
fn pods_reach_each_other_with_their_own_addresses_and_the_world_with_the_nodes() {
    let Some([one, two, outside, _switch]) = hosts() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    // What Docker leaves on a host: nothing is forwarded that it does not know.
    one.run("nft add table ip filter; nft 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'");
    let localhost = Some(Ipv4Addr::LOCALHOST);
    let ports = vec![web(8081, None), web(8082, localhost)];
    let Some(a) = pod(&one, folder.path(), 1, "a", ports) else { return };
    let Some(b) = pod(&one, folder.path(), 1, "b", vec![]) else { return };
    let Some(c) = pod(&two, folder.path(), 2, "c", vec![]) else { return };
    for (host, number) in [(&one, 1), (&two, 2)] {
        with_network(host, folder.path(), number, |network| async move {
            network.nodes(&[node(1), node(2)]).await.expect("routes");
            network.nodes(&[node(1), node(2)]).await.expect("nothing to do");
        });
    }
    let _servers =
        [Server::start(&a, "a", 8080), Server::start(&c, "c", 8080), Server::start(&outside, "out", 8080)];
    assert_eq!(ask(&b, "10.1.1.2:8080"), "a 10.1.1.3", "on one node");
    assert_eq!(ask(&b, "10.1.2.2:8080"), "c 10.1.1.3", "on another");
    assert_eq!(ask_udp(&c, "10.1.1.2:8080"), "a 10.1.2.2");
    assert_eq!(ask(&one, "10.1.1.2:8080"), "a 10.1.1.1", "from the node");
    assert_eq!(ask(&a, "192.168.9.3:8080"), "out 192.168.9.1", "out of the cluster");
    assert_eq!(ask_udp(&c, "192.168.9.3:8080"), "out 192.168.9.2");

    assert_eq!(ask(&outside, "192.168.9.1:8081"), "a 192.168.9.3", "a port of the host");
    assert_eq!(ask(&one, "192.168.9.1:8081"), "a 192.168.9.1");
    assert_eq!(ask(&one, "127.0.0.1:8082"), "a 10.1.1.1");
    assert_eq!(ask(&one, "127.0.0.1:8081"), "a 10.1.1.1");
    assert_eq!(ask(&outside, "192.168.9.1:8082"), "refused");
    assert_eq!(ask(&a, "192.168.9.1:8081"), "a 10.1.1.1", "a pod at its own port");

    assert!(a.run("ip link show eth0").contains("mtu 1400"));
    with_network(&one, folder.path(), 1, |network| async move {
        assert_eq!(network.pods().await, ["a".into(), "b".into()].into());
        network.remove().await.expect("removed");
    });
    let left = one.run("ip link; ip route; nft list ruleset");
    for ours in ["keelson", "10.1.", "pod0a"] {
        assert!(!left.contains(ours), "{left}");
    }
}

#[test]
fn a_restart_adopts_what_runs_and_a_new_process_gets_the_old_address() {
    let Some(host) = Namespace::new() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let Some(a) = pod(&host, folder.path(), 1, "a", vec![]) else { return };
    let index =
        |space: &Namespace| space.run("cat /sys/class/net/eth0/ifindex 2>/dev/null || ip -o link show eth0");
    let before = index(&a);
    std::fs::remove_file(options(folder.path(), 1).file).expect("removed");
    let pid = a.pid();
    with_network(&host, folder.path(), 1, move |network| async move {
        assert_eq!(network.attach("a", pid, &[]).await.expect("attached"), Ipv4Addr::new(10, 1, 1, 2));
        assert_eq!(
            network
                .attach("b", pid + 1_000_000, &[])
                .await
                .map_err(|error| error.to_string().contains("namespace")),
            Err(true)
        );
    });
    assert_eq!(index(&a), before, "the interface was left alone");
    let Some(again) = pod(&host, folder.path(), 1, "a", vec![]) else { return };
    assert!(again.run("ip addr show eth0").contains("10.1.1.2/24"));
    assert!(!a.run("ip link").contains("eth0"), "the old process has lost it");
    with_network(&host, folder.path(), 1, |network| async move {
        network.detach("a").await.expect("detached");
    });
    assert!(!again.run("ip link").contains("eth0"));
}
