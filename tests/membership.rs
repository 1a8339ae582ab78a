//! Masters that are run by hand: killed while they make a cluster or join one, removed from one, and found to
//! differ from the others.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base::env;
use chaos::by_hand::{ASK_EVERY, Master, PATIENCE, Scratch, role, wait_for_role};
use chaos::client::Method;
use chaos::cluster::STATES_DIFFER;
use chaos::process::{self, Command};
use chaos::{Cluster, Options};
use serde_json::{Value, json};

/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(90);

/// How long a master may take to end that two others contradict: they compare every 10 s, and a comparison
/// counts only once all can reach each other again.
const OUTVOTED_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a file is looked for: a new master writes all of its own within some milliseconds.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// What a new master has done when a file is there, or holds some words.
#[derive(Debug)]
struct Step(&'static str, &'static str);

impl Step {
    fn is_done(&self, directory: &Path) -> bool {
        let Self(file, words) = self;
        let path = directory.join(file);
        match words.is_empty() {
            true => path.exists(),
            false => std::fs::read_to_string(path).is_ok_and(|text| text.contains(words)),
        }
    }
}

/// Starts it, kills it as soon as `step` is done, and returns its identity if it had one by then.
async fn killed_at(master: &Master, step: &Step, arguments: &[&str]) -> Result<Option<Value>> {
    let mut child = master.start(arguments)?;
    let done = env::wait_until(PATIENCE, LOOK_EVERY, || step.is_done(&master.directory)).await;
    child.kill().await?;
    ensure!(done, "{step:?} was never done:\n{}", std::fs::read_to_string(master.log())?);
    Ok(identity(&master.directory))
}

/// What `kctl cluster verify` says of masters that differ, once all that are there answer it.
async fn difference(scratch: &Scratch, master: &Master) -> Result<String> {
    let deadline = env::monotonic() + PATIENCE;
    loop {
        let said = scratch.kctl_ended(master, &["cluster", "verify"]).await?.failure()?;
        if said.contains(STATES_DIFFER) {
            return Ok(said);
        }
        ensure!(env::monotonic() < deadline, "no difference is found: {said}");
        env::sleep(ASK_EVERY).await;
    }
}

fn identity(directory: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(directory.join("identity.json")).ok()?).ok()
}

/// Which cluster and which id: what a master never changes once it has it.
fn who(identity: &Value) -> [Value; 2] {
    [identity["cluster"].clone(), identity["node"].clone()]
}

/// What a first master does one after the other.
const INIT: &[Step] = &[
    Step("lock", ""),
    Step("pki/ca.key", ""),
    Step("pki/ca.crt", ""),
    Step("token", ""),
    Step("kubeconfig", ""),
    Step("identity.json", ""),
    Step("store", ""),
    Step("identity.json", "\"started\": true"),
    Step("identity.json", "\"stage\": \"member\""),
];

#[test]
fn a_first_master_that_is_killed_anywhere_makes_its_cluster_when_started_again() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let scratch = Scratch::new(machine)?;
        for (at, step) in INIT.iter().enumerate() {
            let master = scratch.master(&format!("killed-{at}"), 1);
            let before = killed_at(&master, step, &["--init"]).await?;
            let mut second = master.start(&["--init"])?;
            let served = async { anyhow::Ok(master.ready().await?.create("x", "y").await?) };
            served.await.with_context(|| format!("killed at {step:?}"))?;
            let after = identity(&master.directory).context("an identity")?;
            if let Some(before) = before {
                ensure!(who(&before) == who(&after), "killed at {step:?}: {before} -> {after}");
            }
            second.kill().await?;
        }

        // Killed with all of that in the log, but before it noted that it is done with it.
        let master = scratch.master(&format!("killed-{}", INIT.len() - 1), 1);
        let path = master.directory.join("identity.json");
        let noted = std::fs::read_to_string(&path)?;
        std::fs::write(&path, noted.replace("\"stage\": \"member\"", "\"stage\": \"init\""))?;
        let _third = master.start(&["--init"])?;
        master.ready().await?.get("x").await.context("written before the kill")?;
        ensure!(std::fs::read_to_string(&path)? == noted, "it did not note that it votes");
        Ok(())
    });
}

/// What a master that joins does one after the other, up to its first vote.
const JOIN: &[Step] = &[
    Step("join.json", ""),
    Step("pki/ca.key", ""),
    Step("identity.json", ""),
    Step("identity.json", "\"started\": true"),
];

#[test]
fn a_join_that_is_killed_anywhere_goes_on_with_the_token_it_used() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let scratch = Scratch::new(machine)?;
        let first = scratch.master("first", 1);
        let mut running = vec![first.start(&["--init"])?];
        let client = first.ready().await?;
        let url = first.url();
        for (at, step) in JOIN.iter().enumerate() {
            let token = scratch.token(&first).await?;
            let flags = ["--join", &url, "--token", &token];
            let master = scratch.master(&format!("killed-{at}"), at + 2);
            let before = killed_at(&master, step, &flags).await?;
            running.push(master.start(&flags)?);
            let joined = wait_for_role(&client, &master.name, "voter").await;
            joined.with_context(|| {
                let log = std::fs::read_to_string(master.log()).unwrap_or_default();
                format!("killed at {step:?}:\n{log}")
            })?;
            let after = identity(&master.directory).context("an identity")?;
            if let Some(before) = before {
                ensure!(who(&before) == who(&after), "killed at {step:?}: {before} -> {after}");
            }
            client.create(&format!("after-{at}"), "x").await?;
        }
        scratch.kctl(&first, &["cluster", "verify"]).await.map(drop)
    });
}

/// A master whose way in stops at fixed points, because the test holds the port it needs next.
#[test]
fn a_token_lets_one_master_in_however_often_that_one_has_to_ask() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let scratch = Scratch::new(machine)?;
        let first = scratch.master("first", 1);
        let _first = first.start(&["--init"])?;
        let client = first.ready().await?;
        let token = scratch.token(&first).await?;
        let url = first.url();
        let flags = ["--join", &url, "--token", &token];
        let second = scratch.master("second", 2);
        let held = std::net::TcpListener::bind(second.address(6444))?;
        let stuck = second.ended(&flags).await?.failure()?;
        ensure!(stuck.contains("listening on"), "{stuck}");
        let known = identity(&second.directory).context("it got an id")?;

        // As if it had been killed before the answer was written down: it asks again, and is answered.
        std::fs::remove_file(second.directory.join("identity.json"))?;
        std::fs::remove_dir_all(second.directory.join("pki"))?;
        second.ended(&flags).await?.failure()?;
        let again = identity(&second.directory).context("it got an id again")?;
        ensure!(who(&known) == who(&again), "{known} -> {again}");

        let third = scratch.master("third", 3);
        let refused = third.ended(&flags).await?.failure()?;
        ensure!(refused.contains("it was used") && refused.contains("kctl cluster add"), "{refused}");

        // Admitted as a learner while it does not run.
        let path = format!("/keelson/v1/cluster/members/{}/admit", second.name);
        let body = json!({ "node": known["node"] });
        let admitting = first.client()?.with_timeout(PATIENCE);
        let admission = env::spawn(async move { admitting.request(Method::POST, &path, Some(&body)).await });
        wait_for_role(&client, &second.name, "learner").await?;
        drop(held);
        let mut running = second.start(&[])?;
        wait_for_role(&client, &second.name, "voter").await?;
        admission.abort();

        // From now on nothing is committed without it.
        running.kill().await?;
        let _running = second.start(&flags)?;
        first.ready().await?.create("after", "x").await?;
        scratch.kctl(&first, &["cluster", "verify"]).await.map(drop)
    });
}

#[test]
fn a_master_that_is_removed_stops_and_says_what_to_do_now_and_later() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let scratch = Scratch::new(machine)?;
        let first = scratch.master("first", 1);
        let _first = first.start(&["--init"])?;
        let client = first.ready().await?;
        let token = scratch.token(&first).await?;
        let url = first.url();
        let second = scratch.master("second", 2);
        let mut running = second.start(&["--join", &url, "--token", &token])?;
        wait_for_role(&client, &second.name, "voter").await?;

        scratch.kctl(&first, &["cluster", "remove", &second.name]).await?;
        let ended = env::timeout(PATIENCE, running.wait()).await.context("it runs on")??;
        ensure!(!ended.success(), "it ended with {ended}");
        let log = std::fs::read_to_string(second.log())?;
        let later = second.ended(&[]).await?.failure()?;
        for said in [log, later] {
            for words in ["was removed", "empty its data directory", "kctl cluster add"] {
                ensure!(said.contains(words), "{words:?} is missing in {said}");
            }
        }
        ensure!(role(&client, &second.name).await?.is_none(), "it is a member again");
        client.create("without-it", "x").await?;

        std::fs::remove_dir_all(&second.directory)?;
        let token = scratch.token(&first).await?;
        let _running = second.start(&["--join", &url, "--token", &token])?;
        wait_for_role(&client, &second.name, "voter").await
    });
}

#[test]
fn a_master_whose_state_differs_is_told_by_verify_and_ends_once_two_others_agree() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let scratch = Scratch::new(machine)?;
        let masters = [("first", 1), ("second", 2), ("third", 3)].map(|(name, at)| scratch.master(name, at));
        let [first, second, third] = &masters;
        let _first = first.start(&["--init"])?;
        let client = first.ready().await?;
        let url = first.url();
        let mut running = Vec::new();
        for master in [second, third] {
            let token = scratch.token(first).await?;
            running.push(master.start(&["--join", &url, "--token", &token])?);
            wait_for_role(&client, &master.name, "voter").await?;
        }
        scratch.kctl(first, &["cluster", "verify"]).await.context("they agree")?;
        for child in &mut running {
            child.kill().await?;
        }

        // The two that differ are alone: none of them can know that it is the wrong one.
        let mut diverging = second.command(&[]);
        diverging.env("KEELSON_MUTANT", "diverge");
        let mut diverging = second.spawn(diverging)?;
        first.ready().await?.create("differs", "x").await?;
        let told = difference(&scratch, first).await?;
        ensure!(told.contains("kctl cluster remove"), "{told}");
        let hash = |master: &Master| {
            let row = told.lines().find(|line| line.starts_with(&master.name))?;
            row.split_whitespace().last().filter(|hash| hash.len() == 32)
        };
        let hashes = [hash(first), hash(second)];
        ensure!(hashes[0].is_some() && hashes[1].is_some() && hashes[0] != hashes[1], "{told}");
        ensure!(diverging.try_wait()?.is_none(), "it ended before anybody could tell who is wrong");

        let _third = third.start(&[])?;
        let ended = env::timeout(OUTVOTED_TIMEOUT, diverging.wait()).await.context("it runs on")??;
        ensure!(!ended.success(), "it ended with {ended}");
        let log = std::fs::read_to_string(second.log())?;
        let words = log.lines().rfind(|line| line.starts_with("keelson: ")).unwrap_or_default();
        for said in ["differs from the majority's", "kctl cluster remove master-2", "kctl cluster add"] {
            ensure!(words.contains(said), "{said:?} is missing in {words:?}");
        }
        first.ready().await?.create("without-it", "x").await.context("the others go on")?;
        scratch.kctl(first, &["cluster", "remove", &second.name]).await?;
        scratch.kctl(first, &["cluster", "verify"]).await.map(drop)
    });
}

#[test]
fn a_master_that_was_removed_while_it_was_down_disturbs_nobody_when_it_comes_back() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let cluster = Cluster::start(machine, Options::default()).await?;
        let (_, followers) = cluster.roles().await?;
        let removed = &followers[0];
        cluster.kill(std::slice::from_ref(removed)).await?;
        process::run(cluster.kctl().args(["cluster", "remove", removed]), COMMAND_TIMEOUT).await?;
        let before = cluster.status().await?;

        let refused = process::capture(&mut cluster.keelson("up"), COMMAND_TIMEOUT).await?.failure()?;
        for words in [removed.as_str(), "was removed", "empty its data directory"] {
            ensure!(refused.contains(words), "{words:?} is missing in {refused}");
        }
        let after = cluster.status().await?;
        ensure!((after.term, &after.leader) == (before.term, &before.leader), "{before:?} -> {after:?}");
        ensure!(!after.members.iter().any(|member| member.name == *removed), "it is a member again");

        std::fs::remove_dir_all(cluster.data(removed))?;
        cluster.up().await.context("with an empty directory it joins anew")?;
        cluster.check_whole().await
    });
}

/// Flips a bit in every line of the journal of a master's log, and returns the journal's path.
fn damage_log(data: &Path) -> Result<PathBuf> {
    let files = std::fs::read_dir(data.join("store/log"))?;
    let paths = files.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    let journals =
        paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let size_bytes = |path: &PathBuf| path.metadata().map_or(0, |metadata| metadata.len());
    let path = journals.max_by_key(size_bytes).context("a log has a journal")?;
    let mut content = std::fs::read(&path)?;
    // All of it was written, record by record, each with a checksum; the end alone might not be synced.
    let (from, to) = (content.len() / 4, content.len() / 2);
    ensure!(from < to, "{} is empty", path.display());
    content[from..to].iter_mut().step_by(64).for_each(|byte| *byte ^= 1);
    std::fs::write(&path, content)?;
    Ok(path)
}

#[test]
fn a_master_whose_log_is_damaged_does_not_start_and_is_replaced_as_it_says() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let cluster = Cluster::start(machine, Options::default()).await?;
        cluster.any_client()?.create("before", "x").await?;
        // The one that made the cluster: it must not come back as that.
        let victim = &cluster.masters()[0];
        cluster.kill(std::slice::from_ref(victim)).await?;
        let damaged = damage_log(&cluster.data(victim))?.display().to_string();
        let mut said = String::new();
        // Twice: the evidence must not be gone at the next try, though RocksDB has thrown the journal away.
        let log = cluster.data(victim).join("store/log").display().to_string();
        for (attempt, named) in [("first", damaged), ("second", log)] {
            said = process::capture(&mut cluster.keelson("up"), COMMAND_TIMEOUT).await?.failure()?;
            for words in [format!("{victim} does not run"), named, "be trusted".to_owned()] {
                ensure!(said.contains(&words), "{words:?} is missing in what the {attempt} up says: {said}");
            }
            cluster.leader().await.context("the others serve on")?;
            cluster.any_client()?.create(attempt, "x").await.context("the others serve on")?;
        }

        let shown: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
        let [remove, empty, "kctl cluster add", "keelson up"] = shown[..] else {
            bail!("{shown:?} in {said}")
        };
        let words = remove.strip_prefix("kctl ").context("kctl removes a master")?.split(' ');
        process::run(cluster.kctl().args(words), COMMAND_TIMEOUT).await?;
        process::run(Command::new("sh").args(["-c", empty]), COMMAND_TIMEOUT).await?;
        cluster.up().await.context("with an empty directory it joins anew")?;
        cluster.check_holds(&["before", "first", "second"]).await?;
        cluster.check_whole().await
    });
}
