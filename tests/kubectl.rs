//! Sessions with kubectl, the oldest and the newest one installed: what it prints is what it prints against
//! any Kubernetes. The scripts in tests/kubectl hold what a real one said; `tests/clients/record` asks it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;
use chaos::process;
use chaos::{Cluster, Need, Options};
use session::Session;

use crate::clients::go;
use crate::golden::{normal, recording};

mod script;
mod session;

/// Where the scripts are.
const FOLDER: &str = "kubectl";

/// How long one command may take.
const KUBECTL_TIMEOUT: Duration = Duration::from_secs(30);

/// The minor versions of kubectl whose words were recorded, the oldest first. Others are not asked.
const RECORDED: [u32; 2] = [27, 37];

/// Names the kubectl to record with.
const RECORD_WITH: &str = "KEELSON_RECORD_WITH";

/// Every kubectl that can be found whose words were recorded, each with its minor version: those in the path,
/// the versions that lie beside one (`kubectl.1.27`...), and for want of the newest the one that Go builds.
fn programs() -> Result<Vec<(u32, PathBuf)>> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join("kubectl"));
    let found = found.filter_map(|program| program.canonicalize().ok());
    let mut versions = Vec::new();
    for program in found.flat_map(|program| beside(&program)) {
        let minor = minor(&program).with_context(|| format!("the version of {}", program.display()))?;
        versions.push((minor, program));
    }
    versions.retain(|(minor, _)| RECORDED.contains(minor));
    versions.sort();
    versions.dedup_by_key(|(minor, _)| *minor);
    let newest = RECORDED[RECORDED.len() - 1];
    if !versions.iter().any(|(minor, _)| *minor == newest) {
        match go::program("kubectl") {
            Ok(program) => versions.push((newest, program)),
            Err(missing) => chaos::report_skipped(&format!("the kubectl built from its sources: {missing}")),
        }
    }
    for minor in RECORDED.iter().filter(|minor| !versions.iter().any(|(known, _)| known == *minor)) {
        chaos::report_skipped(&format!("kubectl 1.{minor} was not found"));
    }
    Ok(versions)
}

/// The versions that lie beside `program`; itself where there are none.
fn beside(program: &Path) -> Vec<PathBuf> {
    let entries = program.parent().and_then(|directory| directory.read_dir().ok()).into_iter().flatten();
    let paths = entries.flatten().map(|entry| entry.path());
    let versions: Vec<PathBuf> =
        paths.filter(|path| path.to_string_lossy().contains("/kubectl.1.")).collect();
    if versions.is_empty() { vec![program.to_owned()] } else { versions }
}

/// The minor version that a kubectl says it has.
fn minor(program: &Path) -> Result<u32> {
    let output = Command::new(program).args(["version", "--client", "--output=json"]).output()?;
    let version: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let minor = version["clientVersion"]["minor"].as_str().context("no minor version")?;
    Ok(minor.trim_end_matches('+').parse()?)
}

/// Runs every script; returns the commands that show something else than expected, and prints both.
async fn compare(session: &mut Session, minor: u32) -> Result<BTreeSet<String>> {
    let mut different = BTreeSet::new();
    for path in recording::scripts(FOLDER)? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for step in script::parse(&std::fs::read_to_string(&path)?) {
            let shown = session.run(&step.command).await?;
            let expected = step.expected(minor);
            if shown != expected {
                println!(
                    "--- {name}, kubectl 1.{minor}\n$ {}\n{expected}\n+++ but shown is\n{shown}\n",
                    step.command
                );
                different.insert(format!("{name}: {}", step.command));
            }
        }
    }
    Ok(different)
}

/// Runs every script against a real Kubernetes, and writes down what it shows.
async fn record(kubeconfig: &Path) -> Result<()> {
    let program = PathBuf::from(std::env::var_os(RECORD_WITH).context(RECORD_WITH)?);
    let minor = minor(&program)?;
    let home = std::env::temp_dir().join(format!("keelson-record-{}", std::process::id()));
    let mut session = Session::new(&program, kubeconfig, &home, &recording::folder(FOLDER))?;
    for path in recording::scripts(FOLDER)? {
        let mut steps = script::parse(&std::fs::read_to_string(&path)?);
        for step in &mut steps {
            let screen = session.run(&step.command).await?;
            step.record(minor, minor == RECORDED[0], screen);
        }
        std::fs::write(&path, script::render(&steps))?;
    }
    std::fs::remove_dir_all(&home)?;
    Ok(())
}

#[test]
fn a_session_shows_what_kubernetes_shows() {
    if let Some(kubeconfig) = recording::kubeconfig() {
        recording::run(record(&kubeconfig));
        return;
    }
    chaos::run(&chaos::programs!(), &[Need::Kubectl], async |machine| {
        let mut different = BTreeSet::new();
        let mut newest = 0;
        for (minor, program) in programs()? {
            newest = minor.max(newest);
            println!("with {}", program.display());
            let cluster = Cluster::start(machine, Options::api_alone()).await?;
            let kubeconfig = cluster.directory().join("kubeconfig");
            let home = cluster.directory().join("home");
            let mut session = Session::new(&program, &kubeconfig, &home, &recording::folder(FOLDER))?;
            different.extend(compare(&mut session, minor).await?);
        }
        // Some differences are in the words of the newest alone.
        let all = RECORDED.last() == Some(&newest);
        recording::check_differences(&different, &recording::folder(FOLDER).join("differences.list"), all)
    });
}

/// Runs kubectl command lines, one after the other on the next master, and returns what a terminal
/// would show.
async fn session(cluster: &Cluster, program: &Path, script: &[&str]) -> Result<String> {
    let masters = cluster.masters();
    let mut screen = String::new();
    for (turn, line) in script.iter().enumerate() {
        let mut command =
            cluster.kubectl(&program.to_string_lossy(), Some(&masters[turn % masters.len()]))?;
        let ended = process::capture(command.args(line.split(' ')), KUBECTL_TIMEOUT).await?;
        screen.push_str(&(ended.stdout + &ended.stderr));
    }
    Ok(screen)
}

/// Waits until a file holds `lines` lines, and returns it.
async fn wait_for_lines(path: &std::path::Path, lines: usize) -> Result<String> {
    let read = || std::fs::read_to_string(path).unwrap_or_default();
    let is_there =
        env::wait_until(KUBECTL_TIMEOUT, Duration::from_millis(20), || read().lines().count() >= lines);
    ensure!(is_there.await, "fewer than {lines} lines in {KUBECTL_TIMEOUT:?}: {}", read());
    Ok(read())
}

/// What is watched, what is there before, what happens then, and what a watch shows of both.
struct Watched {
    resource: &'static str,
    before: &'static [&'static str],
    then: &'static [&'static str],
    shown: &'static str,
}

const WATCHED: &[Watched] = &[
    Watched {
        resource: "configmaps",
        before: &["create configmap seen --from-literal=a=1"],
        then: &["create configmap new --from-literal=a=1", "delete configmap new seen"],
        shown: "\
EVENT      NAME   DATA   AGE
ADDED      seen   1      AGE
ADDED      new    1      AGE
DELETED    new    1      AGE
DELETED    seen   1      AGE",
    },
    Watched {
        resource: "secrets",
        before: &["create secret generic seen --from-literal=a=1"],
        then: &["create secret generic new --from-literal=a=1", "delete secret new seen"],
        shown: "\
EVENT      NAME   TYPE     DATA   AGE
ADDED      seen   Opaque   1      AGE
ADDED      new    Opaque   1      AGE
DELETED    new    Opaque   1      AGE
DELETED    seen   Opaque   1      AGE",
    },
    Watched {
        resource: "namespaces",
        before: &[],
        then: &["create namespace new", "delete namespace new"],
        shown: "\
EVENT      NAME              STATUS        AGE
ADDED      default           Active        AGE
ADDED      kube-node-lease   Active        AGE
ADDED      kube-public       Active        AGE
ADDED      kube-system       Active        AGE
ADDED      new               Active        AGE
MODIFIED   new               Terminating   AGE
DELETED    new               Terminating   AGE",
    },
];

/// Watches on every master what happens through all of them.
async fn check_watched(cluster: &Cluster, program: &Path, watched: &Watched) -> Result<()> {
    let Watched { resource, before, then, shown } = watched;
    session(cluster, program, before).await?;
    let there = session(cluster, program, &[&format!("get {resource} -o name")]).await?.lines().count();
    let mut watches = Vec::new();
    for master in cluster.masters() {
        let path = cluster.directory().join(format!("watch-{master}"));
        let mut command = cluster.kubectl(&program.to_string_lossy(), Some(&master))?;
        command.args(["get", resource, "-w", "--output-watch-events"]);
        command.kill_on_drop(true).stdout(std::fs::File::create(&path)?);
        watches.push((path, command.spawn().context("kubectl get -w")?));
    }
    for (path, _) in &watches {
        wait_for_lines(path, 1 + there).await?;
    }
    session(cluster, program, then).await?;
    for (path, mut watch) in watches {
        let screen = wait_for_lines(&path, shown.lines().count()).await?;
        let screen: Vec<String> = normal::screen(&screen).lines().map(single_spaced).collect();
        let expected: Vec<String> = shown.lines().map(single_spaced).collect();
        assert_eq!(screen, expected);
        watch.kill().await?;
    }
    Ok(())
}

/// Columns are as wide as what was known when they were first shown, which a watch does not decide.
fn single_spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_watch_on_any_master_shows_what_happens_on_the_others() {
    chaos::run(&chaos::programs!(), &[Need::Kubectl], async |machine| {
        let cluster = Cluster::start(machine, Options::api_alone()).await?;
        for (_, program) in programs()? {
            for watched in WATCHED {
                check_watched(&cluster, &program, watched)
                    .await
                    .with_context(|| format!("a watch of {}", watched.resource))?;
            }
        }
        Ok(())
    });
}
