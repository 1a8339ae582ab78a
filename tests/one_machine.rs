//! `keelson up` and `keelson down` on machines that are not bare: without root, after a reboot, behind a
//! firewall that drops, and with more masters than before.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base::env;
use chaos::process::{self, Child, Command};
use chaos::{Cluster, Machine, Need, Options};

/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(90);

/// How long something may take that is only waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(1);

async fn run(program: &str, arguments: &[&str]) -> Result<String> {
    process::run(Command::new(program).args(arguments), COMMAND_TIMEOUT).await
}

/// What `kubectl` prints, with the kubeconfig's current context or a master's.
async fn kubectl(cluster: &Cluster, master: Option<&str>, arguments: &[&str]) -> Result<String> {
    process::run(cluster.kubectl("kubectl", master)?.args(arguments), COMMAND_TIMEOUT).await
}

#[test]
fn without_root_masters_share_loopback_and_lose_nothing() {
    chaos::run(&chaos::programs!(), &[Need::Kubectl], async |machine| {
        let options = Options { unprivileged: true, ..Options::default() };
        let cluster = Cluster::prepare(machine, options.clone())?;
        let said = cluster.up().await?;
        ensure!(said.contains("3 masters, on loopback ports"), "{said}");
        kubectl(&cluster, None, &["create", "configmap", "first", "--from-literal=a=b"]).await?;
        for master in cluster.masters() {
            let seen = kubectl(&cluster, Some(&master), &["get", "configmaps", "-o", "name"]).await?;
            ensure!(seen.contains("configmap/first"), "{master} shows {seen}");
        }

        cluster.check_up_starts_what_is_missing().await?;

        cluster.down().await?;
        // Ports of a cluster that is down look free.
        let other = Cluster::start(machine, Options { masters: 1, ..options }).await?;
        cluster.up().await?;
        cluster.check_holds(&["first"]).await?;
        cluster.check_whole().await?;
        ensure!(other.any_client()?.get("first").await.is_err(), "two clusters share state");
        other.down().await?;
        cluster.check_whole().await
    });
}

/// What `keelson up` has done when this file is there.
const UP: &[&str] = &[
    "log/master-1.log",
    "data/master-1/identity.json",
    "log/balancer.log",
    "log/master-3.log",
    "kubeconfig",
];

#[test]
fn an_up_that_is_killed_anywhere_is_taken_up_by_the_next() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        for step in UP {
            let cluster = Cluster::prepare(machine, Options { unprivileged: true, ..Options::default() })?;
            let mut killed = cluster.keelson("up").kill_on_drop(true).spawn()?;
            let done = || cluster.directory().join(step).exists();
            ensure!(env::wait_until(PATIENCE, LOOK_EVERY, done).await, "{step} was never there");
            killed.kill().await?;
            cluster.up().await.with_context(|| format!("up was killed at {step}"))?;
            cluster.check_whole().await?;
            cluster.down().await.with_context(|| format!("up was killed at {step}"))?;
        }
        Ok(())
    });
}

/// A process that is no master, whose pid a pid file may name.
fn stranger() -> Result<Child> {
    Command::new("sleep").arg("infinity").kill_on_drop(true).spawn().context("start a stranger")
}

/// Takes away what a reboot would: the bridge, and the namespaces with their ends of the links.
async fn remove_network(cluster: &Cluster) -> Result<()> {
    let text = std::fs::read_to_string(cluster.directory().join("cluster.json"))?;
    let file: serde_json::Value = serde_json::from_str(&text)?;
    let short = &file["cluster"].as_str().context("cluster.json names the cluster")?[..6];
    for master in cluster.masters() {
        run("ip", &["netns", "del", &format!("kl-{short}-{master}")]).await?;
    }
    run("ip", &["link", "del", &format!("kl{short}")]).await.map(drop)
}

#[test]
fn up_after_a_reboot_makes_the_network_anew_and_leaves_strangers_alone() {
    chaos::run(&chaos::programs!(), &[Need::Namespaces], async |machine| {
        let cluster = Cluster::start(machine, Options::default()).await?;
        cluster.any_client()?.create("before", "x").await?;
        cluster.kill(&[cluster.masters(), vec!["balancer".to_owned()]].concat()).await?;
        remove_network(&cluster).await?;
        let mut stranger = stranger()?;
        let pid = stranger.id().context("the stranger runs")?;
        let note = |file: &str, text: &str| std::fs::write(cluster.directory().join("run").join(file), text);
        note("master-2.pid", &format!("{pid}\n"))?;
        note("balancer.pid", &format!("{pid}\n"))?;

        cluster.up().await.context("up after a reboot")?;
        cluster.check_holds(&["before"]).await?;
        cluster.check_whole().await?;
        ensure!(!cluster.pids()?.contains(&pid), "the stranger was taken for a master");
        ensure!(cluster.pid("balancer")? != pid, "the stranger was taken for the balancer");

        cluster.kill(&cluster.masters()[2..]).await?;
        note("master-3.pid", &format!("{pid}\n"))?;
        cluster.down().await?;
        ensure!(stranger.try_wait()?.is_none(), "the stranger was killed");
        cluster.up().await?;
        cluster.check_whole().await
    });
}

/// A host of its own, as far as its network and its mounts go: it ends with the process that holds it.
struct Host {
    holder: Child,
    keelson: PathBuf,
}

impl Host {
    async fn new(machine: &Machine) -> Result<Self> {
        let mut holder = Command::new("unshare");
        let holder = holder.args(["--net", "--mount", "sleep", "infinity"]).kill_on_drop(true).spawn()?;
        let host = Self { holder, keelson: machine.programs.keelson.clone() };
        let namespace = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/net")).ok();
        let apart = || namespace(&host.pid()).is_some_and(|its| Some(its) != namespace("self"));
        ensure!(env::wait_until(PATIENCE, LOOK_EVERY, apart).await, "no network namespace");
        host.run(&["ip", "link", "set", "lo", "up"]).await?;
        Ok(host)
    }

    fn pid(&self) -> String {
        self.holder.id().unwrap_or_default().to_string()
    }

    fn command(&self, command: &[&str]) -> Command {
        let mut inside = Command::new("nsenter");
        inside.args(["--net", "--mount", "--target", &self.pid()]).args(command);
        inside
    }

    async fn run(&self, command: &[&str]) -> Result<String> {
        process::run(&mut self.command(command), COMMAND_TIMEOUT).await
    }

    async fn keelson(&self, subcommand: &str, directory: &Path) -> Result<String> {
        let program = self.keelson.display().to_string();
        self.run(&[&program, subcommand, "--dir", &directory.display().to_string()]).await
    }

    /// Rules of the FORWARD chain, each with how many packets met it.
    async fn forward(&self) -> Result<Vec<(String, u64)>> {
        let text = self.run(&["iptables", "-w", "-v", "-S", "FORWARD"]).await?;
        let parsed = text.lines().map(|line| {
            let (rule, counters) = line.split_once(" -c ").context("a rule has counters")?;
            let packets = counters.split(' ').next().context("and a number of packets")?;
            Ok((rule.to_owned(), packets.parse()?))
        });
        parsed.collect()
    }
}

/// How many rules let a cluster through a firewall: what it sends, and what answers.
const RULES: usize = 2;

#[test]
fn behind_a_firewall_that_drops_what_is_forwarded_masters_still_meet() {
    chaos::run(&chaos::programs!(), &[Need::Namespaces, Need::BridgedFirewall], async |machine| {
        let host = Host::new(machine).await?;
        let cluster = Cluster::prepare(machine, Options::default())?;
        host.run(&["iptables", "-w", "-P", "FORWARD", "DROP"]).await?;
        host.keelson("up", cluster.directory()).await.context("up behind the firewall")?;
        let [(policy, dropped), rules @ ..] = &host.forward().await?[..] else {
            bail!("no policy and rules: {:?}", host.forward().await?)
        };
        ensure!(policy == "-P FORWARD DROP" && *dropped == 0, "{policy} dropped {dropped}");
        ensure!(rules.len() == RULES && rules.iter().all(|(rule, _)| rule.contains("keelson-")), "{rules:?}");
        ensure!(rules.iter().any(|(_, accepted)| *accepted > 0), "{rules:?} accepted nothing");

        // Without the rules they cannot meet, so these are what lets them; and the next up brings them back.
        host.run(&["iptables", "-w", "-F", "FORWARD"]).await?;
        let deadline = env::monotonic() + PATIENCE;
        while host.forward().await?[0].1 == 0 {
            ensure!(env::monotonic() < deadline, "the firewall drops nothing");
            env::sleep(LOOK_EVERY).await;
        }
        host.keelson("up", cluster.directory()).await.context("up after the rules were flushed")?;
        let back = host.forward().await?;
        ensure!(back.len() == 1 + RULES, "the rules are not back: {back:?}");

        host.keelson("down", cluster.directory()).await?;
        let left = host.run(&["iptables", "-w", "-S", "FORWARD"]).await?;
        ensure!(left.trim() == "-P FORWARD DROP", "down left {left}");
        let links = host.run(&["ip", "-o", "link"]).await?;
        ensure!(links.lines().count() == 1, "down left {links}");
        Ok(())
    });
}

/// The link between a host and what is outside, each end's address, and a name that only the outside knows.
const LINK: &str = "link add uplink address 02:00:00:00:00:01 type veth peer name downlink netns";
const HOST: &str = "198.51.100.1";
const OUTSIDE: &str = "198.51.100.2";
const NAME: &str = "outside.example";
const ANSWER: &str = "203.0.113.7";

/// Where the outside tells callers their address.
const PORT: &str = "7777";

/// Gives a host a way to a network namespace of another, and says of resolvers what a host with systemd's says.
async fn connect(host: &Host, outside: &Host, files: &Path) -> Result<()> {
    host.run(&[&words("ip")[..], &words(LINK), &[&outside.pid()]].concat()).await?;
    for (end, line) in [
        (host, format!("ip addr add {HOST}/24 dev uplink")),
        (host, "ip link set uplink up".to_owned()),
        (outside, format!("ip addr add {OUTSIDE}/24 dev downlink")),
        (outside, "ip link set downlink up".to_owned()),
    ] {
        end.run(&words(&line)).await?;
    }
    std::fs::create_dir(files)?;
    let write = |name: &str, text: &str| {
        std::fs::write(files.join(name), text)?;
        anyhow::Ok(files.join(name).display().to_string())
    };
    let stub = write("stub", "nameserver 127.0.0.53\n")?;
    write("resolv.conf", &format!("nameserver {OUTSIDE}\n"))?;
    host.run(&["mount", "--bind", &stub, "/etc/resolv.conf"]).await?;
    host.run(&words("mkdir -p /run/systemd/resolve")).await?;
    host.run(&["mount", "--bind", &files.display().to_string(), "/run/systemd/resolve"]).await.map(drop)
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn nodes_reach_what_is_outside_the_machine_with_the_hosts_address() {
    chaos::run(
        &chaos::programs!(),
        &[Need::Engines, Need::BridgedFirewall, Need::Kubectl, Need::Python],
        async |machine| {
            let (host, outside) = (Host::new(machine).await?, Host::new(machine).await?);
            let cluster = Cluster::prepare(machine, Options::default())?;
            connect(&host, &outside, &cluster.directory().join("resolvers")).await?;
            host.run(&["sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward"]).await?;
            host.run(&words("iptables -w -P FORWARD DROP")).await?;
            let top = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").context("cargo tells its tests")?);
            let program = top.join("tests/one_machine/outside.py").display().to_string();
            let _outside =
                outside.command(&["python3", &program, OUTSIDE, PORT, ANSWER]).kill_on_drop(true).spawn()?;

            let ask = format!("/bin/busybox nc {OUTSIDE} {PORT}");
            let deadline = env::monotonic() + PATIENCE;
            while let Err(error) = outside.run(&words(&ask)).await {
                ensure!(env::monotonic() < deadline, "nobody is outside: {error:#}");
            }

            let directory = cluster.directory().display().to_string();
            let keelson = host.keelson.display().to_string();
            let up = format!("{keelson} up --dir {directory} --masters 1 --nodes 1 --sample");
            host.run(&words(&up)).await?;
            let node = format!("ip netns exec kl-{}-node-1 {ask}", cluster.nodes().short()?);
            let from_node = host.run(&words(&node)).await?;
            ensure!(from_node.trim() == HOST, "a node is seen as {from_node}");
            let exec = format!("kubectl --kubeconfig {directory}/kubeconfig exec deployment/hello --");
            let from_pod = host.run(&words(&format!("{exec} {ask}"))).await?;
            ensure!(from_pod.trim() == HOST, "a pod is seen as {from_pod}");
            let found = host.run(&words(&format!("{exec} nslookup {NAME}"))).await?;
            ensure!(found.contains(ANSWER), "{NAME} is {found}");

            host.keelson("down", cluster.directory()).await?;
            let left = host.run(&["sh", "-c", "iptables -w -S FORWARD; nft list tables | grep keelson; cat /proc/sys/net/ipv4/ip_forward"]).await?;
            ensure!(left == "-P FORWARD DROP\n0\n", "down left {left}");
            Ok(())
        },
    );
}

#[test]
fn a_cluster_grows_while_it_serves_and_is_not_made_smaller() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let mut cluster = Cluster::start(machine, Options { masters: 1, ..Options::default() }).await?;
        cluster.any_client()?.create("alone", "x").await?;
        let first = cluster.pids()?;
        cluster.grow(3).await?;
        ensure!(cluster.pids()?[..1] == first, "growing started the first master again");
        cluster.check_holds(&["alone"]).await?;
        cluster.check_whole().await?;
        // All three count: any two are a quorum.
        cluster.kill(&cluster.masters()[..1]).await?;
        cluster.leader().await?;
        cluster.client("master-2")?.create("without-the-first", "x").await?;
        cluster.up().await?;

        let before = cluster.pids()?;
        let mut smaller = cluster.keelson("up");
        let refused = process::capture(smaller.args(["--masters", "1"]), COMMAND_TIMEOUT).await?;
        let said = refused.failure()?;
        ensure!(said.contains("has 3 masters, not 1") && said.contains("--dir"), "{said}");
        ensure!(cluster.pids()? == before, "a refused up changed something");
        cluster.check_whole().await
    });
}
