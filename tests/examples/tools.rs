//! What the tests with nodes do over and over: commands, pages, and waiting until something is so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base::env;
use chaos::Cluster;
use chaos::process::{self, Command};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long anything may take that is waited for: a machine that builds at the same time is slow.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How long one command may take: longer than what it may wait for itself.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(150);

/// How long one page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(15);

/// How often things are looked at while something is waited for.
const GLANCE: Duration = Duration::from_millis(100);

/// The pause of traffic after each answer.
const BREATH: Duration = Duration::from_millis(10);

/// What `kubectl` prints for a line of words between spaces, where the examples are found.
pub async fn kubectl(cluster: &Cluster, line: &str) -> Result<String> {
    process::run(&mut command(cluster, line)?, COMMAND_TIMEOUT).await
}

fn command(cluster: &Cluster, line: &str) -> Result<Command> {
    let mut command = cluster.kubectl("kubectl", None)?;
    // Asked for at run time: checkouts share compiled tests.
    let top = std::env::var_os("CARGO_MANIFEST_DIR").context("cargo tells its tests")?;
    command.current_dir(PathBuf::from(top)).args(line.split_whitespace());
    Ok(command)
}

/// The same with one more argument, which may hold spaces.
pub async fn kubectl_with(cluster: &Cluster, line: &str, last: &str) -> Result<String> {
    process::run(command(cluster, line)?.arg(last), COMMAND_TIMEOUT).await
}

/// Tries until it works.
pub async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = env::monotonic() + PATIENCE;
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => ensure!(env::monotonic() < deadline, "{what}: not within {PATIENCE:?}: {error:#}"),
        }
        env::sleep(GLANCE).await;
    }
}

/// Waits until the output of a command holds every one of these.
pub async fn shows(cluster: &Cluster, line: &str, expected: &[&str]) -> Result<String> {
    eventually(line, async || {
        let shown = kubectl(cluster, line).await?;
        for part in expected {
            ensure!(shown.contains(part), "{part:?} is not in\n{shown}");
        }
        Ok(shown)
    })
    .await
}

/// The page at `HOST:PORT`; with a body, what is answered to that. An error for anything but 200.
pub async fn ask(place: &str, body: Option<&str>) -> Result<String> {
    let request = match body {
        None => "GET / HTTP/1.0\r\n\r\n".to_owned(),
        Some(body) => format!("POST / HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
    };
    let asked = async {
        let mut stream = tokio::net::TcpStream::connect(place).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        std::io::Result::Ok(text)
    };
    let answer = env::timeout(PAGE_TIMEOUT, asked).await.context("no answer")??;
    let (head, page) =
        answer.split_once("\r\n\r\n").with_context(|| format!("half an answer: {answer:?}"))?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.split(' ').nth(1) == Some("200"), "{status}: {page}");
    Ok(page.trim().to_owned())
}

/// Where a Service is reached from outside, on every node.
pub async fn node_ports(cluster: &Cluster, service: &str) -> Result<Vec<String>> {
    let line = format!("get service {service} -o jsonpath={{.spec.ports[0].nodePort}}");
    let port = kubectl(cluster, &line).await?;
    Ok(cluster.nodes().addresses()?.iter().map(|node| format!("{node}:{port}")).collect())
}

/// Answers that were counted, and what failed.
#[derive(Default)]
struct Tally {
    answers: BTreeMap<String, usize>,
    failures: Vec<String>,
}

impl Tally {
    fn count(&mut self, place: &str, answer: Result<String>) {
        match answer {
            Ok(page) => *self.answers.entry(page).or_default() += 1,
            Err(error) => self.failures.push(format!("{place}: {error:#}")),
        }
    }
}

/// Requests from outside, one after the other at each of some places, until it is dropped.
pub struct Traffic {
    tally: Arc<Mutex<Tally>>,
    tasks: Vec<env::JoinHandle<()>>,
}

impl Traffic {
    /// Begins.
    pub fn start(places: &[String]) -> Self {
        let tally = Arc::<Mutex<Tally>>::default();
        let task = |place: &String| {
            let (place, tally) = (place.clone(), Arc::clone(&tally));
            env::spawn(async move {
                loop {
                    let answer = ask(&place, None).await;
                    tally.lock().count(&place, answer);
                    env::sleep(BREATH).await;
                }
            })
        };
        Self { tasks: places.iter().map(task).collect(), tally }
    }

    /// What was answered so far, when no request failed.
    pub fn check(&self) -> Result<BTreeSet<String>> {
        let tally = self.tally.lock();
        let answered: usize = tally.answers.values().sum();
        let (failed, failures) = (tally.failures.len(), tally.failures.join("\n"));
        ensure!(failed == 0, "{failed} requests failed beside {answered} that did not:\n{failures}");
        Ok(tally.answers.keys().cloned().collect())
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.tasks.iter().for_each(env::JoinHandle::abort);
    }
}

/// Waits until none of the pods with a label is left.
pub async fn no_pods(cluster: &Cluster, label: &str) -> Result<()> {
    let line = format!("get pods -l {label} -o name");
    eventually(&line, async || {
        let left = kubectl(cluster, &line).await?;
        if left.is_empty() { Ok(()) } else { bail!("there are {left}") }
    })
    .await
}
