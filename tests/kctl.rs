//! A session with kctl: what it prints, and with what it ends.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use chaos::process::{self, Command};
use chaos::{Cluster, Options};
use expect_test::expect_file;

/// How long one command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// The commands, and below each what a terminal shows and the exit code, if it is not 0.
const SCREEN: &str = include_str!("kctl/screen.txt");

/// Lines of objects that are never the same twice.
const CHANGING: &[&str] = &[
    "creationTimestamp:",
    "CreationTimestamp:",
    "resourceVersion:",
    "uid:",
    "Creation Timestamp:",
    "Resource Version:",
    "UID:",
    "X509SHA256=",
];

/// Runs a command line in a shell, among the files of the session.
async fn run(cluster: &Cluster, kctl: &Path, line: &str) -> Result<String> {
    let folder = kctl.parent().context("kctl is in a folder")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([folder.to_owned()].into_iter().chain(std::env::split_paths(&path)))?;
    let mut command = Command::new("sh");
    command.args(["-c", line]).env("PATH", path).env("KUBECONFIG", cluster.directory().join("kubeconfig"));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kctl"));
    let ended = process::capture(&mut command, COMMAND_TIMEOUT).await?;
    let said = ended.stdout + &ended.stderr;
    let mut shown: String = said.lines().map(|line| steady(line) + "\n").collect();
    if let Some(code) = ended.code.filter(|code| *code != 0) {
        shown.push_str(&format!("[exit code {code}]\n"));
    }
    Ok(shown.replace(&cluster.directory().display().to_string(), "DIR"))
}

/// A line without what is never the same twice.
fn steady(line: &str) -> String {
    let changing = CHANGING.iter().find_map(|field| line.find(field).map(|at| at + field.len()));
    if let Some(end) = changing {
        return format!("{} ...", &line[..end]);
    }
    let is_age = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_digit())
            && word.ends_with(['s', 'm', 'h'])
            && word.chars().all(|c| c.is_ascii_digit() || "smh".contains(c))
    };
    line.split(' ').map(|word| if is_age(word) { "AGE" } else { word }).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_session_shows_what_kubectl_would() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let options = Options { masters: 1, unprivileged: true, ..Options::api_alone() };
        let cluster = Cluster::start(machine, options).await?;
        let mut screen = String::new();
        for command in SCREEN.lines().filter_map(|line| line.strip_prefix("$ ")) {
            screen
                .push_str(&format!("$ {command}\n{}", run(&cluster, &machine.programs.kctl, command).await?));
        }
        expect_file!["kctl/screen.txt"].assert_eq(&screen);
        cluster.down().await.map(drop)
    });
}
