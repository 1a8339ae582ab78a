//! Members that go: asked through whichever master, and found through whichever is left.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use base::env;
use chaos::Machine;
use chaos::by_hand::{ASK_EVERY, Master, PATIENCE, Scratch, role, wait_for_role};
use chaos::client::{Client, Method};
use chaos::process::Child;

/// Three masters by hand, the first of which made the cluster, with their processes. All know each other.
async fn three(machine: &Arc<Machine>) -> Result<(Scratch, Vec<Master>, Vec<Child>)> {
    let scratch = Scratch::new(machine)?;
    let masters: Vec<_> = (1..=3).map(|number| scratch.master(&format!("data-{number}"), number)).collect();
    let mut running = vec![masters[0].start(&["--init"])?];
    let first = masters[0].ready().await?;
    for master in &masters[1..] {
        let token = scratch.token(&masters[0]).await?;
        running.push(master.start(&["--join", &masters[0].url(), "--token", &token])?);
        wait_for_role(&first, &master.name, "voter").await?;
    }
    for master in &masters {
        knows(master, &masters).await?;
    }
    Ok((scratch, masters, running))
}

/// Waits until the kubeconfig of `master` names all of `others`.
async fn knows(master: &Master, others: &[Master]) -> Result<()> {
    let text = || std::fs::read_to_string(master.kubeconfig()).unwrap_or_default();
    let all = || others.iter().all(|other| text().contains(&other.url()));
    ensure!(env::wait_until(PATIENCE, ASK_EVERY, all).await, "{} knows not all: {}", master.name, text());
    Ok(())
}

/// Removes a master through its own API alone.
async fn remove_through_itself(removed: &Master, others: &Client) -> Result<()> {
    let path = format!("/keelson/v1/cluster/members/{}/remove", removed.name);
    removed.client()?.request(Method::POST, &path, None).await?;
    let there = role(others, &removed.name).await?;
    ensure!(there.is_none(), "{} still is {there:?}", removed.name);
    Ok(())
}

async fn ended(master: &Master, mut running: Child) -> Result<()> {
    let ended = env::timeout(PATIENCE, running.wait()).await;
    ended.with_context(|| format!("{} runs on", master.name))??;
    let log = std::fs::read_to_string(master.log())?;
    ensure!(log.contains("was removed"), "{log}");
    Ok(())
}

#[test]
fn a_master_is_removed_also_when_it_is_the_one_that_is_asked() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let (_scratch, mut masters, mut running) = three(machine).await?;
        let first = masters[0].client()?;
        let leads = role(&first, &masters[0].name).await?.as_deref() == Some("leader");
        // A follower, and then the leader of the two that are left.
        let follower = if leads { 2 } else { 0 };
        for at in [follower, 0] {
            let (removed, process) = (masters.remove(at), running.remove(at));
            remove_through_itself(&removed, &masters[0].client()?).await?;
            ended(&removed, process).await?;
            masters[0].client()?.create(&format!("without-{}", removed.name), "x").await?;
        }
        Ok(())
    });
}

#[test]
fn every_kubeconfig_leads_to_whoever_is_left() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let (scratch, masters, mut running) = three(machine).await?;
        running[0].kill().await?;
        for master in &masters {
            let status = scratch.kctl(master, &["cluster", "status"]).await?;
            ensure!(masters.iter().all(|known| status.contains(&known.name)), "{status}");
        }
        scratch.kctl(&masters[0], &["cluster", "remove", &masters[0].name]).await?;
        let there = role(&masters[1].client()?, &masters[0].name).await?;
        ensure!(there.is_none(), "it still is {there:?}");
        Ok(())
    });
}
