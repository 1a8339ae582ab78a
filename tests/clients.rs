//! Programs written with the clients of three languages, against three masters of which the leader is killed in
//! the middle: each sees every object as it was written, and loses no event.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base::env;
use chaos::{Cluster, Options};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

pub(crate) mod go;
mod python;

/// How long a program may take.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(240);

/// How long the masters may take to be whole again, and a reflector to see what was written.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(60);

/// What a program prints when half of what it does is done.
const HALF: &str = "half";

/// How many objects the reflector follows.
const OBJECTS: usize = 300;

/// Kills the leader, and starts it again.
async fn replace_leader(cluster: &Cluster) -> Result<()> {
    let leader = cluster.leader().await?;
    cluster.kill(&[leader]).await?;
    cluster.up().await.map(drop)
}

/// Runs a program that follows what it writes; kills the leader when it says that half is done.
async fn drive(cluster: &Cluster, program: &mut Command) -> Result<()> {
    program.env("KUBECONFIG", cluster.directory().join("kubeconfig")).stdout(Stdio::piped());
    let mut running = program.kill_on_drop(true).spawn().context("start the program")?;
    let output = running.stdout.take().context("its output is piped")?;
    let mut lines = BufReader::new(output).lines();
    let mut is_killed = false;
    let follow = async {
        while let Some(line) = lines.next_line().await? {
            println!("{line}");
            if line == HALF {
                replace_leader(cluster).await?;
                is_killed = true;
            }
        }
        anyhow::Ok(running.wait().await?)
    };
    let status = env::timeout(PROGRAM_TIMEOUT, follow).await.context("the program takes too long")??;
    ensure!(status.success(), "the program ended with {status}");
    ensure!(is_killed, "it never said that half is done");
    Ok(())
}

#[test]
fn informers_a_watch_and_a_lease_of_client_go_survive_the_leader() {
    let program = match go::program("follow") {
        Ok(program) => program,
        Err(missing) => return chaos::report_skipped(missing),
    };
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let cluster = Cluster::start(machine, Options::api_alone()).await?;
        drive(&cluster, &mut Command::new(&program)).await
    });
}

#[test]
fn a_watch_of_the_python_client_survives_the_leader() {
    let python = match python::interpreter() {
        Ok(python) => python,
        Err(missing) => return chaos::report_skipped(missing),
    };
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let cluster = Cluster::start(machine, Options::api_alone()).await?;
        drive(&cluster, Command::new(&python).arg(python::program())).await
    });
}

/// A client of kube-rs for the address that any live master answers.
async fn maps(kubeconfig: &Path) -> Result<Api<ConfigMap>> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Api::namespaced(kube::Client::try_from(config)?, "default"))
}

/// Does a write until it certainly happened: `done` says of what is there whether it did.
async fn surely(
    api: &Api<ConfigMap>,
    name: &str,
    mut write: impl AsyncFnMut() -> kube::Result<()>,
    done: impl Fn(Option<&ConfigMap>) -> bool,
) -> Result<Option<ConfigMap>> {
    let deadline = env::monotonic() + WHOLE_TIMEOUT;
    loop {
        let written = write().await;
        if let Ok(known) = api.get_opt(name).await
            && done(known.as_ref())
        {
            return Ok(known);
        }
        if env::monotonic() > deadline {
            bail!("{name} was not written within {WHOLE_TIMEOUT:?}: {written:?}");
        }
        env::sleep(Duration::from_millis(50)).await;
    }
}

/// Creates a ConfigMap, changes every third and deletes every fifth; returns what is there then.
async fn write(api: &Api<ConfigMap>, number: usize) -> Result<Option<ConfigMap>> {
    let name = format!("map-{number}");
    let given: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": name}, "data": {"number": number.to_string()}}))?;
    let create = async || api.create(&PostParams::default(), &given).await.map(drop);
    let mut known = surely(api, &name, create, |known| known.is_some()).await?;
    if number.is_multiple_of(3) {
        let patch = Patch::Merge(json!({"data": {"changed": "yes"}}));
        let change = async || api.patch(&name, &PatchParams::default(), &patch).await.map(drop);
        let is_changed = |known: Option<&ConfigMap>| {
            known.and_then(|map| map.data.as_ref()).is_some_and(|data| data.contains_key("changed"))
        };
        known = surely(api, &name, change, is_changed).await?;
    }
    if number.is_multiple_of(5) {
        let delete = async || api.delete(&name, &DeleteParams::default()).await.map(drop);
        known = surely(api, &name, delete, |known| known.is_none()).await?;
    }
    Ok(known)
}

/// Waits until the reflector holds exactly what was written.
async fn wait_same(store: &Store<ConfigMap>, expected: &BTreeMap<String, ConfigMap>) -> Result<()> {
    let held = || -> BTreeMap<String, ConfigMap> {
        let maps = store.state().into_iter().map(|map| (*map).clone());
        maps.map(|map| (map.metadata.name.clone().unwrap_or_default(), map)).collect()
    };
    let is_same = || held() == *expected;
    let in_time = env::wait_until(WHOLE_TIMEOUT, Duration::from_millis(20), is_same).await;
    let held = held();
    let missing: Vec<_> = expected.keys().filter(|name| held.get(*name) != expected.get(*name)).collect();
    let more: Vec<_> = held.keys().filter(|name| !expected.contains_key(*name)).collect();
    ensure!(in_time, "the reflector lacks {missing:?} and has {more:?}");
    Ok(())
}

#[test]
fn a_reflector_of_kube_rs_survives_the_leader() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let cluster = Cluster::start(machine, Options::api_alone()).await?;
        let api = maps(&cluster.directory().join("kubeconfig")).await?;
        let (store, writer) = reflector::store();
        let events = reflector::reflector(writer, watcher(api.clone(), watcher::Config::default()));
        let following = env::spawn(events.default_backoff().for_each(|event| async move {
            // The watcher goes on by itself.
            if let Err(error) = event {
                println!("{error}");
            }
        }));
        store.wait_until_ready().await?;
        let mut expected = BTreeMap::new();
        let mut replaced = None;
        for number in 0..OBJECTS {
            let known = write(&api, number).await?;
            expected.extend(known.map(|map| (map.metadata.name.clone().unwrap_or_default(), map)));
            if number == OBJECTS / 2 {
                let leader = cluster.leader().await?;
                cluster.kill(std::slice::from_ref(&leader)).await?;
                replaced = Some(leader);
            }
        }
        ensure!(replaced.is_some(), "no leader was killed");
        wait_same(&store, &expected).await?;
        following.abort();
        cluster.up().await.map(drop)
    });
}
