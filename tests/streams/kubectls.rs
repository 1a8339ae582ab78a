//! The kubectls that there are, each at one master.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use chaos::Cluster;
use chaos::process::Command;

/// The minor version of the last kubectl that knows SPDY alone.
const OLD: &str = "kubectl.1.27";

/// The old one and the newest: that in the path, and those beside any in the path. The newest is the last.
pub fn programs() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join("kubectl"));
    let found: Vec<PathBuf> = found.filter_map(|program| program.canonicalize().ok()).collect();
    let old = found.iter().map(|program| program.with_file_name(OLD)).find(|program| program.is_file());
    if old.is_none() && !found.is_empty() {
        chaos::report_skipped("kubectl 1.27, which knows SPDY alone, was not found");
    }
    old.into_iter().chain(found.into_iter().next()).collect()
}

/// A kubectl at a master.
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    context: String,
    home: PathBuf,
}

impl Kubectl {
    /// One that asks this master alone.
    pub fn new(cluster: &Cluster, program: &Path, master: &str) -> Result<Self> {
        let words = cluster.kubectl(&program.to_string_lossy(), Some(master))?;
        let words: Vec<String> =
            words.as_std().get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let home = cluster.directory().to_owned();
        let kubeconfig = home.join("kubeconfig");
        Ok(Self { program: program.to_owned(), kubeconfig, context: words.join("="), home })
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
    }
}

impl fmt::Display for Kubectl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words())
    }
}
