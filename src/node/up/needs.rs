//! What a cluster needs of the machine, looked for before anything is changed.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use anyhow::bail;

use super::cluster_file::{ClusterFile, Network};
use super::host::{Host, HostError};
use super::{NetworkChoice, UpOptions, sample};

/// A part of a cluster that needs something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Processes that go on by themselves.
    Processes,
    /// Network namespaces on a bridge.
    Bridge,
    /// Engines and agents in some of those.
    Nodes,
    /// An image made on the spot.
    Sample,
}

/// Programs, which part needs each, and the Debian package that brings it.
const PROGRAMS: &[(Part, &str, &str)] = &[
    (Part::Processes, "sh", "dash"),
    (Part::Processes, "setsid", "util-linux"),
    (Part::Bridge, "ip", "iproute2"),
    (Part::Bridge, "unshare", "util-linux"),
    (Part::Nodes, "dockerd", "docker.io"),
    (Part::Nodes, "nft", "nftables"),
    (Part::Nodes, "nsenter", "util-linux"),
    (Part::Nodes, "umount", "util-linux"),
    (Part::Sample, "docker", "docker.io"),
    (Part::Sample, "tar", "tar"),
    // It becomes the image, which has no libraries.
    (Part::Sample, sample::PROGRAM, "busybox-static"),
];

/// What the kernel must let root do, which part needs it, and what tries it.
static ABILITIES: LazyLock<Vec<(Part, &str, &str)>> = LazyLock::new(|| {
    let rows = include_str!("abilities.txt").lines().filter(|line| !line.starts_with('#'));
    let read = |row: &'static str| match *row.splitn(4, '|').collect::<Vec<_>>() {
        ["bridge", what, _, script] => (Part::Bridge, what, script),
        ["nodes", what, _, script] => (Part::Nodes, what, script),
        _ => unreachable!("a row of abilities: {row}"),
    };
    rows.map(read).collect()
});

/// Says what the machine lacks for what `up` is asked for, in a directory that holds `found`.
///
/// # Errors
/// With the packages that bring what is missing, or why it needs root.
pub fn check_up(host: &dyn Host, options: &UpOptions, found: Option<&ClusterFile>) -> anyhow::Result<()> {
    let has_nodes = options.nodes.unwrap_or_default() > 0 || found.is_some_and(|file| !file.nodes.is_empty());
    let has_sample = options.sample || found.is_some_and(|file| file.sample);
    let has_bridge = match found {
        Some(file) => file.network != Network::Loopback,
        None => {
            options.network == NetworkChoice::Bridge
                || options.network == NetworkChoice::Auto && host.is_root()
        }
    };
    if has_sample && !has_nodes {
        bail!("the sample application needs a node to run on: give --nodes");
    }
    if !host.is_root() && has_nodes {
        bail!(
            "nodes have network namespaces and engines of their own, which need root: run it as root, or without"
        );
    }
    check_root_of_bridge(host, has_bridge)?;
    let parts = [
        Some(Part::Processes),
        has_bridge.then_some(Part::Bridge),
        has_nodes.then_some(Part::Nodes),
        has_sample.then_some(Part::Sample),
    ];
    let parts: Vec<Part> = parts.into_iter().flatten().collect();
    check_programs(host, &parts)?;
    check_abilities(host, &parts)
}

fn check_abilities(host: &dyn Host, parts: &[Part]) -> anyhow::Result<()> {
    for (_, what, script) in ABILITIES.iter().filter(|(part, ..)| parts.contains(part)) {
        let attempt = ["unshare", "--net", "sh", "-c", script].map(str::to_owned).into();
        if let Err(error) = host.run(&attempt) {
            let why = match error {
                HostError::Failed { stderr, .. } => stderr.trim().to_owned(),
                error => error.to_string(),
            };
            bail!(
                "the kernel refuses {what} ({why}): run it on a machine, or a virtual one, whose kernel has them, and if this \
                 is a container, in a privileged one"
            );
        }
    }
    Ok(())
}

/// Says what the machine lacks for stopping a cluster.
///
/// # Errors
/// As [`check_up`].
pub fn check_down(host: &dyn Host, file: &ClusterFile) -> anyhow::Result<()> {
    let has_bridge = file.network != Network::Loopback;
    check_root_of_bridge(host, has_bridge)?;
    check_programs(host, if has_bridge { &[Part::Bridge] } else { &[] })
}

fn check_root_of_bridge(host: &dyn Host, has_bridge: bool) -> anyhow::Result<()> {
    if has_bridge && !host.is_root() {
        bail!(
            "this cluster has network namespaces of its own, which need root: run it as root, or make another one with \
             --network loopback in another --dir"
        );
    }
    Ok(())
}

fn check_programs(host: &dyn Host, parts: &[Part]) -> anyhow::Result<()> {
    let is_missing = |(part, program, _): &&(Part, &str, &str)| parts.contains(part) && !host.has(program);
    let missing: Vec<_> = PROGRAMS.iter().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<_> = missing.iter().map(|(_, program, _)| *program).collect();
    let packages: BTreeSet<_> = missing.iter().map(|(_, _, package)| *package).collect();
    bail!(
        "this machine lacks {}: run `apt-get install {}`, or see that PATH leads there",
        programs.join(", "),
        packages.into_iter().collect::<Vec<_>>().join(" ")
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use base::ids::ClusterId;

    use super::*;
    use crate::up::host::fake::FakeHost;

    fn options(nodes: Option<usize>, sample: bool, network: NetworkChoice) -> UpOptions {
        UpOptions { nodes, sample, network, ..UpOptions::in_directory(Path::new("unused")) }
    }

    fn cluster(network: Network, nodes: usize, sample: bool) -> ClusterFile {
        let mut no_port = || Ok(20_000);
        let mut file = ClusterFile::new(ClusterId(1), network, &mut no_port).expect("new");
        file.grow_nodes(nodes).expect("grow");
        file.sample = sample;
        file
    }

    /// What is said by a machine with no program at all.
    fn said(root: bool, options: &UpOptions, found: Option<&ClusterFile>) -> String {
        let lacking = PROGRAMS.iter().map(|(_, program, _)| *program).collect();
        let host = FakeHost { root, lacking, ..FakeHost::default() };
        let told = check_up(&host, options, found).expect_err("nothing is there").to_string();
        assert!(host.done.borrow().is_empty(), "something was done");
        told
    }

    #[test]
    fn what_is_lacking_follows_from_the_flags_and_from_the_cluster_that_is_there() {
        use NetworkChoice::{Auto, Bridge, Loopback};
        let bridge = Network::Bridge { subnet: std::net::Ipv4Addr::new(10, 130, 7, 0) };
        let loopback = cluster(Network::Loopback, 0, false);
        let (masters, nodes) = (cluster(bridge.clone(), 0, false), cluster(bridge.clone(), 1, false));
        let all = cluster(bridge, 1, true);
        let cases = [
            (false, options(None, false, Auto), None, "sh, setsid:"),
            (true, options(None, false, Loopback), None, "sh, setsid:"),
            (true, options(None, false, Auto), Some(&loopback), "sh, setsid:"),
            (true, options(None, false, Auto), None, "sh, setsid, ip, unshare:"),
            (true, options(None, false, Loopback), Some(&masters), "sh, setsid, ip, unshare:"),
            (
                true,
                options(Some(1), false, Auto),
                None,
                "sh, setsid, ip, unshare, dockerd, nft, nsenter, umount:",
            ),
            (
                true,
                options(None, false, Auto),
                Some(&nodes),
                "sh, setsid, ip, unshare, dockerd, nft, nsenter, umount:",
            ),
            (true, options(Some(2), true, Auto), None, "umount, docker, tar, /bin/busybox:"),
            (true, options(None, false, Auto), Some(&all), "umount, docker, tar, /bin/busybox:"),
            (false, options(Some(1), false, Auto), None, "need root"),
            (false, options(None, false, Auto), Some(&nodes), "need root"),
            (false, options(None, false, Bridge), None, "need root"),
            (false, options(None, false, Auto), Some(&masters), "need root"),
            (true, options(None, true, Auto), None, "needs a node"),
        ];
        for (root, options, found, expected) in cases {
            let told = said(root, &options, found);
            assert!(told.contains(expected), "{options:?} {found:?}: {told}");
        }
        assert!(said(true, &options(Some(1), false, Auto), None).ends_with(
            "run `apt-get install dash docker.io iproute2 nftables util-linux`, or see that PATH leads there"
        ));
        let host = FakeHost { root: true, ..FakeHost::default() };
        check_up(&host, &options(Some(1), true, Auto), None).expect("nothing is lacking");
        check_up(&host, &options(None, false, Loopback), None).expect("nothing is lacking");
        assert_eq!(host.done.borrow().len(), ABILITIES.len(), "tried where they are needed");
        check_down(&FakeHost::default(), &loopback).expect("nothing is needed");
        assert!(check_down(&FakeHost::default(), &masters).is_err());
    }
    #[test]
    fn what_the_kernel_does_not_do_is_said() {
        for (refused, what) in [("true", "network namespaces"), ("bridge", "bridges"), ("nft", "nftables")] {
            let host = FakeHost { root: true, refused: vec![refused], ..FakeHost::default() };
            let told = check_up(&host, &options(Some(1), false, NetworkChoice::Auto), None);
            let told = told.expect_err("it is refused").to_string();
            assert!(told.contains(what) && told.contains("(not permitted)"), "{told}");
        }
    }
}
