//! The kubectls that there are, each at one master.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use chaos::Cluster;
use chaos::process::Command;

/// The minor version of the last kubectl that knows SPDY alone.
const OLD: &str = "kubectl.1.27";

/// What has a newer one speak SPDY alone as well.
const NO_WEB_SOCKETS: [(&str, &str); 2] =
    [("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false"), ("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false")];

/// A kubectl as it is run.
pub struct Program {
    path: PathBuf,
    environment: &'static [(&'static str, &'static str)],
}

/// One that speaks SPDY alone, and the newest: that in the path, and the old one beside any in the path. The newest is the
/// last.
pub fn programs() -> Vec<Program> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join("kubectl"));
    let found: Vec<PathBuf> = found.filter_map(|program| program.canonicalize().ok()).collect();
    let old = found.iter().map(|program| program.with_file_name(OLD)).find(|program| program.is_file());
    let Some(newest) = found.into_iter().next() else { return Vec::new() };
    let spdy = match old {
        Some(old) => Program { path: old, environment: &[] },
        None => {
            let missing =
                "kubectl 1.27, which knows SPDY alone, was not found: the newest speaks it in its place";
            chaos::report_skipped(missing);
            Program { path: newest.clone(), environment: &NO_WEB_SOCKETS }
        }
    };
    vec![spdy, Program { path: newest, environment: &[] }]
}

/// A kubectl at a master.
pub struct Kubectl {
    program: PathBuf,
    environment: &'static [(&'static str, &'static str)],
    kubeconfig: PathBuf,
    context: String,
    home: PathBuf,
}

impl Kubectl {
    /// One that asks this master alone.
    pub fn new(cluster: &Cluster, program: &Program, master: &str) -> Result<Self> {
        let Program { path, environment } = program;
        let words = cluster.kubectl(&path.to_string_lossy(), Some(master))?;
        let words: Vec<String> =
            words.as_std().get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let home = cluster.directory().to_owned();
        let kubeconfig = home.join("kubeconfig");
        Ok(Self { program: path.clone(), environment, kubeconfig, context: words.join("="), home })
    }

    /// A command of it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(&self.context);
        self.equip(&mut command);
        command
    }

    /// What a shell calls it.
    pub fn words(&self) -> String {
        format!("{} {}", self.program.display(), self.context)
    }

    /// Where it may write.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The environment that it needs.
    pub fn equip(&self, command: &mut Command) {
        command.env("KUBECONFIG", &self.kubeconfig).env("HOME", &self.home);
        command.envs(self.environment.iter().copied());
    }
}

impl fmt::Display for Kubectl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words())
    }
}
