//! A session with kubectl, the oldest and the newest one installed: what it prints is what it prints
//! against any Kubernetes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;
use chaos::process;
use chaos::{Cluster, Need, Options};

/// How long one command may take.
const KUBECTL_TIMEOUT: Duration = Duration::from_secs(30);

/// The minor version from which on kubectl names the namespace of what it deletes.
const NAMES_PLACE_SINCE: u32 = 34;

/// The oldest and the newest kubectl that can be found, each with its minor version: every one in the
/// path, and the versions that lie beside it (`kubectl.1.27`...) where it only chooses between them.
fn programs() -> Result<Vec<(u32, String)>> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join("kubectl"));
    let found = found.filter_map(|program| program.canonicalize().ok());
    let mut versions = Vec::new();
    for program in found.flat_map(|program| beside(&program)) {
        let minor = minor(&program).with_context(|| format!("the version of {}", program.display()))?;
        versions.push((minor, program.to_string_lossy().into_owned()));
    }
    versions.sort();
    versions.dedup_by_key(|(minor, _)| *minor);
    let newest = if versions.len() > 1 { versions.pop() } else { None };
    let chosen: Vec<(u32, String)> = versions.into_iter().take(1).chain(newest).collect();
    ensure!(!chosen.is_empty(), "kubectl is installed, but none was found in {}", path.display());
    Ok(chosen)
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

/// Runs kubectl command lines, one after the other on the next master, and returns what a terminal
/// would show. Ages are replaced by `AGE`.
async fn session(cluster: &Cluster, program: &str, script: &[&str]) -> Result<String> {
    let masters = cluster.masters();
    let mut screen = String::new();
    for (turn, line) in script.iter().enumerate() {
        let mut command = cluster.kubectl(program, Some(&masters[turn % masters.len()]))?;
        let ended = process::capture(command.args(line.split(' ')), KUBECTL_TIMEOUT).await?;
        let said = ended.stdout + &ended.stderr;
        screen.push_str(&format!("$ kubectl {line}\n"));
        let shown = said.lines().map(without_age);
        shown.for_each(|line| screen.push_str(&format!("{line}\n")));
    }
    Ok(screen)
}

/// A table's line with its last column replaced when it is an age, like `5s` or `2m10s`.
fn without_age(line: &str) -> String {
    let Some((rest, last)) = line.rsplit_once(' ') else { return line.to_owned() };
    let is_age = last.starts_with(|c: char| c.is_ascii_digit())
        && last.ends_with(['s', 'm', 'h'])
        && last.chars().all(|c| c.is_ascii_digit() || "smh".contains(c));
    if is_age { format!("{rest} AGE") } else { line.to_owned() }
}

const SCRIPT: &[&str] = &[
    "create namespace shop",
    "create configmap web -n shop --from-literal=color=red",
    "get configmap web -n shop",
    "get configmap web -n shop -o jsonpath={.data}",
    "create configmap web -n shop --from-literal=color=blue",
    "get configmaps -n shop",
    "get cm/nothing -n shop",
    "create configmap lost -n nowhere",
    "create configmap Bad_Name -n shop",
    "create secret generic key -n shop --from-literal=password=1234",
    "get secret key -n shop",
    "get secret key -n shop -o jsonpath={.data.password}",
    "get configmaps,secrets -n shop -o name",
    "delete configmap web -n shop",
    "get configmap web -n shop",
    "get configmaps -n shop",
    "create secret generic other -n shop --from-literal=a=b",
    "delete secret other -n shop",
    "get secrets -n shop",
    "delete namespace shop",
    "get secrets -n shop",
    "get namespace shop",
    "get namespaces",
    "get pods",
];

/// What a terminal shows. `PLACE` is where kubectl names the namespace, if it does.
const SCREEN: &str = r#"$ kubectl create namespace shop
namespace/shop created
$ kubectl create configmap web -n shop --from-literal=color=red
configmap/web created
$ kubectl get configmap web -n shop
NAME   DATA   AGE
web    1      AGE
$ kubectl get configmap web -n shop -o jsonpath={.data}
{"color":"red"}
$ kubectl create configmap web -n shop --from-literal=color=blue
error: failed to create configmap: configmaps "web" already exists
$ kubectl get configmaps -n shop
NAME   DATA   AGE
web    1      AGE
$ kubectl get cm/nothing -n shop
Error from server (NotFound): configmaps "nothing" not found
$ kubectl create configmap lost -n nowhere
error: failed to create configmap: namespaces "nowhere" not found
$ kubectl create configmap Bad_Name -n shop
error: failed to create configmap: ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
$ kubectl create secret generic key -n shop --from-literal=password=1234
secret/key created
$ kubectl get secret key -n shop
NAME   TYPE     DATA   AGE
key    Opaque   1      AGE
$ kubectl get secret key -n shop -o jsonpath={.data.password}
MTIzNA==
$ kubectl get configmaps,secrets -n shop -o name
configmap/web
secret/key
$ kubectl delete configmap web -n shop
configmap "web" deletedPLACE
$ kubectl get configmap web -n shop
Error from server (NotFound): configmaps "web" not found
$ kubectl get configmaps -n shop
No resources found in shop namespace.
$ kubectl create secret generic other -n shop --from-literal=a=b
secret/other created
$ kubectl delete secret other -n shop
secret "other" deletedPLACE
$ kubectl get secrets -n shop
NAME   TYPE     DATA   AGE
key    Opaque   1      AGE
$ kubectl delete namespace shop
namespace "shop" deleted
$ kubectl get secrets -n shop
No resources found in shop namespace.
$ kubectl get namespace shop
Error from server (NotFound): namespaces "shop" not found
$ kubectl get namespaces
NAME              STATUS   AGE
default           Active   AGE
kube-node-lease   Active   AGE
kube-public       Active   AGE
kube-system       Active   AGE
$ kubectl get pods
error: the server doesn't have a resource type "pods"
"#;

#[test]
fn a_session_shows_what_kubernetes_shows() {
    chaos::run(&chaos::programs!(), &[Need::Kubectl], async |machine| {
        let cluster = Cluster::start(machine, Options::default()).await?;
        for (minor, program) in programs()? {
            println!("with {program}");
            let screen = session(&cluster, &program, SCRIPT).await?;
            let place = if minor < NAMES_PLACE_SINCE { "" } else { " from shop namespace" };
            assert_eq!(screen, SCREEN.replace("PLACE", place), "1.{minor}");
        }
        Ok(())
    });
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
async fn check_watched(cluster: &Cluster, program: &str, watched: &Watched) -> Result<()> {
    let Watched { resource, before, then, shown } = watched;
    session(cluster, program, before).await?;
    let there = session(cluster, program, &[&format!("get {resource} -o name")]).await?.lines().count() - 1;
    let mut watches = Vec::new();
    for master in cluster.masters() {
        let path = cluster.directory().join(format!("watch-{master}"));
        let mut command = cluster.kubectl(program, Some(&master))?;
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
        let screen: Vec<String> = screen.lines().map(without_age).map(single_spaced).collect();
        let expected: Vec<String> = shown.lines().map(str::to_owned).map(single_spaced).collect();
        assert_eq!(screen, expected);
        watch.kill().await?;
    }
    Ok(())
}

/// Columns are as wide as what was known when they were first shown, which a watch does not decide.
fn single_spaced(line: String) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_watch_on_any_master_shows_what_happens_on_the_others() {
    chaos::run(&chaos::programs!(), &[Need::Kubectl], async |machine| {
        let cluster = Cluster::start(machine, Options::default()).await?;
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
