//! How a cluster begins, goes on and changes its members.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chaos::client::{ClientError, Method};
use chaos::process::{self, Command, Ended};
use chaos::{Cluster, Machine, Need, Options};

/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(90);

/// What a master ends with whose core panicked; other failures end it with 1.
const PANIC_EXIT_CODE: i32 = 101;

/// How long the masters may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn three_masters_serve_from_nothing_and_up_is_idempotent() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let cluster = Cluster::start(machine, Options::default()).await?;
        for (at, master) in cluster.masters().iter().enumerate() {
            cluster
                .client(master)?
                .create(&format!("by-{at}"), "x")
                .await
                .with_context(|| format!("on {master}"))?;
        }
        cluster.check_holds(&["by-0", "by-1", "by-2"]).await?;
        let namespaces = cluster.any_client()?.request(Method::GET, "/api/v1/namespaces", None).await?;
        let names: Vec<&str> = namespaces["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| item["metadata"]["name"].as_str())
            .collect();
        ensure!(
            names == ["default", "kube-node-lease", "kube-public", "kube-system"],
            "namespaces: {names:?}"
        );

        cluster.check_up_starts_what_is_missing().await?;
        cluster.check_whole().await
    });
}

#[test]
fn down_and_up_lose_nothing_and_a_cluster_killed_without_down_continues() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let cluster = Cluster::start(machine, Options::default()).await?;
        cluster.any_client()?.create("first", "x").await?;
        cluster.down().await?;
        ensure!(cluster.pids().is_err(), "a master outlived keelson down");
        cluster.down().await.context("down is idempotent")?;
        cluster.up().await?;
        cluster.wait_ready(READY_TIMEOUT).await?;
        cluster.any_client()?.create("second", "x").await?;

        let everything: Vec<String> = [cluster.masters(), vec!["balancer".to_owned()]].concat();
        cluster.kill(&everything).await?;
        cluster.up().await.context("up after everything was killed")?;
        cluster.wait_ready(READY_TIMEOUT).await?;
        cluster.check_holds(&["first", "second"]).await?;
        cluster.verify().await.map(|_| ())
    });
}

/// The names of the host's interfaces and network namespaces, but for those that clusters call after themselves: other
/// tests have some as well, and `down` looks for each cluster's own.
async fn host_network() -> Result<Vec<String>> {
    let links = process::run(Command::new("ip").args(["-o", "link"]), COMMAND_TIMEOUT).await?;
    let namespaces = process::run(Command::new("ip").args(["netns", "list"]), COMMAND_TIMEOUT).await?;
    let links = links.lines().filter_map(|line| line.split(' ').nth(1));
    let namespaces = namespaces.lines().filter_map(|line| line.split(' ').next());
    let others = links.chain(namespaces).filter(|name| !name.starts_with("kl"));
    let mut names: Vec<String> = others.map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

#[test]
fn two_clusters_run_side_by_side_and_leave_nothing_behind() {
    chaos::run(&chaos::programs!(), &[Need::Namespaces], async |machine| {
        let before = host_network().await?;
        let first = Cluster::start(machine, Options::default()).await?;
        let second = Cluster::start(machine, Options { masters: 1, ..Options::default() }).await?;
        first.any_client()?.create("mine", "x").await?;
        let seen = second.any_client()?.get("mine").await;
        ensure!(
            seen.as_ref().err().and_then(ClientError::code) == Some(404),
            "two clusters share state: {seen:?}"
        );
        second.any_client()?.create("yours", "x").await?;
        second.down().await?;
        first.check_holds(&["mine"]).await.context("after the other cluster went down")?;
        second.up().await?;
        second.any_client()?.get("yours").await?;

        // What a kill leaves behind, a third starts and goes beside.
        first.kill(&[first.masters(), vec!["balancer".to_owned()]].concat()).await?;
        let third = Cluster::start(machine, Options { masters: 1, ..Options::default() }).await?;
        third.any_client()?.create("theirs", "x").await?;
        third.down().await?;
        first.up().await.context("up after another cluster came and went")?;
        first.wait_ready(READY_TIMEOUT).await?;
        first.check_holds(&["mine"]).await?;
        first.check_whole().await?;
        first.down().await?;
        second.any_client()?.get("yours").await?;
        second.down().await?;
        let after = host_network().await?;
        ensure!(before == after, "the host had {before:?}\nand has {after:?}");
        Ok(())
    });
}

/// Runs `keelson server` to its end, which is expected to come at once.
async fn server(machine: &Machine, directory: &Path, arguments: &[&str]) -> Result<Ended> {
    let mut command = server_command(machine, directory, arguments);
    process::capture(&mut command, COMMAND_TIMEOUT)
        .await
        .with_context(|| format!("keelson server {arguments:?}"))
}

fn server_command(machine: &Machine, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(&machine.programs.keelson);
    command.arg("server").arg("--dir").arg(directory).args(arguments);
    command
}

/// A join token of `cluster`, from what `kctl cluster add` prints.
async fn token(cluster: &Cluster) -> Result<String> {
    let text = process::run(cluster.kctl().args(["cluster", "add"]), COMMAND_TIMEOUT).await?;
    let is_token = |word: &&str| word.split('.').map(str::len).eq([64, 16, 32]);
    let found = text.split_whitespace().find(is_token);
    found.map(str::to_owned).with_context(|| format!("no token in {text:?}"))
}

/// Arguments of a master at addresses that nobody uses, joining `cluster`.
fn joining<'a>(url: &'a str, token: &'a str) -> Vec<&'a str> {
    let addresses = ["--name", "stranger", "--api", "127.0.0.1:46443", "--peer", "127.0.0.1:46444"];
    [&addresses[..], &["--join", url, "--token", token]].concat()
}

/// Expects a refusal that tells why and what to do.
fn check_refused(what: &str, ended: Ended, expect: &[&str]) -> Result<()> {
    let said = ended.failure().with_context(|| what.to_owned())?;
    for words in expect {
        ensure!(said.contains(words), "{what}: {words:?} is missing in: {said}");
    }
    Ok(())
}

#[test]
fn directories_and_tokens_that_do_not_belong_are_refused_with_what_to_do() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let cluster = Cluster::start(machine, Options::default()).await?;
        let other = Cluster::start(machine, Options { masters: 1, ..Options::default() }).await?;
        let url = format!("https://{}", cluster.any_client()?.address());
        let empty = cluster.directory().join("empty");

        let good = token(&cluster).await?;
        let mut forged = good.clone();
        let last = if forged.pop() == Some('0') { '1' } else { '0' };
        forged.push(last);
        let foreign = token(&other).await?;
        let refused = server(machine, &empty, &joining(&url, &forged)).await?;
        check_refused("a token with another secret", refused, &["token"])?;
        let refused = server(machine, &empty, &joining(&url, &foreign)).await?;
        check_refused("another cluster's token", refused, &["token"])?;
        check_refused("no way to begin", server(machine, &empty, &[]).await?, &["--init", "--join"])?;

        let victim = cluster.masters()[2].clone();
        cluster.kill(std::slice::from_ref(&victim)).await?;
        let data = cluster.data(&victim);
        let refused = server(machine, &data, &["--join", &url, "--token", &foreign]).await?;
        check_refused("another cluster's directory", refused, &["belongs to cluster"])?;
        let store = data.join("store");
        std::fs::rename(&store, data.join("moved"))?;
        check_refused("a wiped directory", server(machine, &data, &[]).await?, &["kctl cluster remove"])?;
        std::fs::rename(data.join("moved"), &store)?;
        let identity = data.join("identity.json");
        std::fs::rename(&identity, data.join("moved"))?;
        check_refused(
            "a directory without identity",
            server(machine, &data, &[]).await?,
            &["identity.json"],
        )?;
        std::fs::rename(data.join("moved"), &identity)?;

        cluster.up().await.context("the directory is as it was")?;
        cluster.check_whole().await
    });
}

#[test]
fn a_master_whose_apply_panics_ends_with_the_code_of_a_panic() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let addresses = ["--name", "alone", "--api", "127.0.0.1:46445", "--peer", "127.0.0.1:46446"];
        let arguments = [&addresses[..], &["--init"]].concat();
        let data = machine.directory()?;
        let mut panicking = server_command(machine, &data, &arguments);
        let ended = process::capture(panicking.env("KEELSON_MUTANT", "panic"), COMMAND_TIMEOUT).await;
        let ended = ended.context("it serves on")?;
        ensure!(ended.code == Some(PANIC_EXIT_CODE), "it ended with {:?}", ended.code);
        check_refused("a panic of apply", ended, &["thread 'raft' ", "apply panics on purpose"])?;
        machine.remove(&data);
        Ok(())
    });
}

/// The id that Raft knows a master by.
fn node_id(data: &Path) -> Result<u64> {
    let path: PathBuf = data.join("identity.json");
    let identity: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    identity["node"].as_u64().context("identity.json has no id")
}

#[test]
fn a_dead_master_is_replaced_by_a_new_one_with_a_new_id() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let cluster = Cluster::start(machine, Options::default()).await?;
        cluster.any_client()?.create("before", "x").await?;
        let (_, followers) = cluster.roles().await?;
        let victim = &followers[0];
        let old_id = node_id(&cluster.data(victim))?;
        cluster.kill(std::slice::from_ref(victim)).await?;
        std::fs::remove_dir_all(cluster.data(victim))?;
        process::run(cluster.kctl().args(["cluster", "remove", victim]), COMMAND_TIMEOUT).await?;
        cluster.any_client()?.create("between", "x").await?;
        cluster.up().await.context("a new master takes the place")?;
        cluster.wait_ready(READY_TIMEOUT).await?;
        let new_id = node_id(&cluster.data(victim))?;
        ensure!(new_id != old_id, "id {old_id} was used again");
        cluster.check_holds(&["before", "between"]).await?;
        cluster.check_whole().await?;

        // The new one counts: with another one gone there is still a quorum.
        cluster.kill(&followers[1..2]).await?;
        let written = cluster.any_client()?.create("after", "x").await;
        written.context("a write with the new master in the quorum")?;
        Ok(())
    });
}

#[test]
fn leadership_is_handed_over_when_asked() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let cluster = Cluster::start(machine, Options::default()).await?;
        let (_, followers) = cluster.roles().await?;
        process::run(cluster.kctl().args(["cluster", "transfer", &followers[1]]), COMMAND_TIMEOUT).await?;
        ensure!(cluster.leader().await? == followers[1], "{} does not lead", followers[1]);
        cluster.check_whole().await
    });
}
