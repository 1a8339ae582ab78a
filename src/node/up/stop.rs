//! `keelson down`.

use std::path::Path;

use anyhow::{Context, bail};

use super::cluster_file::{ClusterFile, Network};
use super::host::{Command, Host, Signal};
use super::needs;
use super::nodes;
use super::plumbing::{self, Names};
use super::process::{Running, is_alive};
use super::remains;
use super::start::BALANCER;
use super::wait::wait_for_end;
use super::{ClusterDir, load};
use base::files;

/// Stops the cluster in a directory and removes what it left on the host. Its data stays. Returns what
/// to tell the user.
///
/// # Errors
/// Says what could not be stopped or removed; running it again goes on from there.
pub async fn down(host: &dyn Host, path: &Path) -> anyhow::Result<String> {
    let Some(found) = load(path)? else {
        bail!("{} holds no cluster: give the directory of `keelson up` with --dir", path.display());
    };
    needs::check_down(host, &found)?;
    let directory = ClusterDir::open(path)?;
    let file = directory.load()?.context("the cluster's file is gone")?;
    let mut names = directory.processes.names()?;
    // The balancer first: clients get a clear refusal instead of half-stopped masters.
    names.sort_by_key(|name| (name != BALANCER, name.clone()));
    let (balancer, others): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| name == BALANCER);
    let is_engine = |name: &String| file.nodes.iter().any(|node| *name == nodes::engine_name(&node.name));
    let (engines, others): (Vec<String>, Vec<String>) = others.into_iter().partition(is_engine);
    stop(host, &directory, &balancer).await?;
    // Agents before engines: none of them minds that its containers end.
    stop(host, &directory, &others).await?;
    stop(host, &directory, &engines).await?;
    check_stopped(&directory, &file)?;
    let names = Names::of(file.id()?);
    remains::end(host, &directory, &names, &file).await?;
    file.nodes.iter().try_for_each(|node| nodes::unmount(host, &directory, &names, node))?;
    if !file.nodes.is_empty() {
        nodes::remove_run(host, &names)?;
    }
    remove_plumbing(host, &file)?;
    Ok(format!("cluster {} is down; its data is kept in {}\n", file.cluster, directory.path.display()))
}

/// Ends a group of processes together: in order if they can, at once if they do not.
async fn stop(host: &dyn Host, directory: &ClusterDir, names: &[String]) -> anyhow::Result<()> {
    let mut running: Vec<Running> = Vec::new();
    for name in names {
        running.extend(directory.processes.running(host, name)?);
    }
    for signal in [Signal::Terminate, Signal::Kill] {
        for process in &running {
            directory.processes.signal(host, process, signal)?;
        }
        if wait_for_end(host, &running).await {
            break;
        }
        running.retain(|process| is_alive(host, process));
    }
    if let Some(process) = running.iter().find(|process| is_alive(host, process)) {
        bail!("process {} does not end even when killed: its disk may hang. Try again later", process.pid);
    }
    Ok(names.iter().try_for_each(|name| directory.processes.forget(name))?)
}

/// A master whose pid file was lost still holds its lock: its network is not taken away below it.
fn check_stopped(directory: &ClusterDir, file: &ClusterFile) -> anyhow::Result<()> {
    for master in &file.masters {
        let lock = directory.data(&master.name).lock();
        if lock.exists() && files::try_lock(&lock)?.is_none() {
            bail!(
                "{} still runs, but its pid file does not name it: find it with `fuser {}`, stop it, and run \
                 `keelson down` again",
                master.name,
                lock.display()
            );
        }
    }
    Ok(())
}

fn remove_plumbing(host: &dyn Host, file: &ClusterFile) -> anyhow::Result<()> {
    if file.network == Network::Loopback {
        return Ok(());
    }
    let names = Names::of(file.id()?);
    let observed = plumbing::look(host).context("looking at the host's network")?;
    run_all(host, &plumbing::remove(&names, &observed))?;
    plumbing::look_without_orphans(host, &names).context("looking at the host's network")?;
    Ok(())
}

fn run_all(host: &dyn Host, commands: &[Command]) -> anyhow::Result<()> {
    commands.iter().try_for_each(|command| {
        host.run(command)
            .map(drop)
            .context("removing the cluster's network failed: run `keelson down` again as root")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::UpOptions;
    use crate::up::host::fake::FakeHost;
    use crate::up::process::Process;

    fn cluster(host: &FakeHost) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("temporary directory");
        let directory = ClusterDir::open(root.path()).expect("open");
        let options = UpOptions { masters: Some(2), ..UpOptions::in_directory(root.path()) };
        directory.load_or_make(host, &options).expect("make");
        for name in ["master-1", "master-2", BALANCER] {
            let data = directory.data(name).path().display().to_string();
            let process = Process { name: name.to_owned(), command: vec![name.to_owned(), data] };
            directory.processes.start(host, &process).expect("start");
        }
        host.done.borrow_mut().clear();
        root
    }

    #[tokio::test]
    async fn the_balancer_goes_first_and_pid_files_go_too() {
        let host = FakeHost::default();
        let root = cluster(&host);
        down(&host, root.path()).await.expect("down");
        assert_eq!(*host.done.borrow(), ["Terminate 102", "Terminate 100", "Terminate 101"]);
        assert_eq!(std::fs::read_dir(root.path().join("run")).expect("list").count(), 0);
        host.done.borrow_mut().clear();
        down(&host, root.path()).await.expect("again");
        assert!(host.done.borrow().is_empty(), "nothing is left to do");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_listen_is_killed() {
        let host = FakeHost { stubborn: vec![101], ..FakeHost::default() };
        let root = cluster(&host);
        down(&host, root.path()).await.expect("down");
        assert_eq!(*host.done.borrow(), ["Terminate 102", "Terminate 100", "Terminate 101", "Kill 101"]);
    }

    #[tokio::test]
    async fn a_master_whose_pid_file_was_lost_keeps_its_network() {
        let host = FakeHost { root: true, ..FakeHost::default() };
        let root = cluster(&host);
        let data = root.path().join("data/master-2");
        files::make_directory(&data).expect("make");
        let held = files::try_lock(&data.join("lock")).expect("lock");
        std::fs::remove_file(root.path().join("run/master-2.pid")).expect("lose the pid file");
        let refused = down(&host, root.path()).await.expect_err("it runs");
        assert!(refused.to_string().contains("master-2 still runs"), "{refused}");
        assert!(!host.done.borrow().iter().any(|line| line.starts_with("ip ")), "{:?}", host.done.borrow());
        drop(held);
        down(&host, root.path()).await.expect("down");
    }

    #[tokio::test]
    async fn a_directory_without_a_cluster_is_left_alone() {
        let root = tempfile::tempdir().expect("temporary directory");
        assert!(down(&FakeHost::default(), root.path()).await.is_err());
        assert_eq!(std::fs::read_dir(root.path()).expect("list").count(), 0);
    }
}
