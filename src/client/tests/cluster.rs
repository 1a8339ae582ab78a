//! Real masters for tests of several crates, where a built program is at hand.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Names the `keelson` to start; without, it is that of the workspace's `bin`.
const PROGRAM: &str = "KEELSON_PROGRAM";

/// Masters on loopback, stopped and forgotten when dropped.
pub struct Cluster {
    program: PathBuf,
    directory: tempfile::TempDir,
}

/// How an administrator reaches the masters. PEM.
pub struct Access {
    pub servers: Vec<String>,
    pub authority: String,
    pub certificate: String,
    pub key: String,
}

impl Cluster {
    /// Starts masters and waits until they serve; `None`, with a word why, where there is no program.
    pub fn start(masters: usize) -> Result<Option<Self>> {
        let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin/keelson");
        let program = std::env::var_os(PROGRAM).map_or_else(built, PathBuf::from);
        if !program.exists() {
            eprintln!("skipped: there is no {}: build it, or name one with {PROGRAM}", program.display());
            return Ok(None);
        }
        let cluster = Self { program, directory: tempfile::tempdir()? };
        let up = cluster.keelson(&["up", "--network", "loopback", "--masters", &masters.to_string()])?;
        ensure!(up.status.success(), "keelson up: {}", String::from_utf8_lossy(&up.stderr));
        Ok(Some(cluster))
    }

    fn keelson(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--dir").arg(self.directory.path());
        command.output().with_context(|| format!("running {}", self.program.display()))
    }

    /// How to reach each master.
    pub fn access(&self) -> Result<Access> {
        let text = std::fs::read_to_string(self.directory.path().join("kubeconfig"))?;
        let all = |field: &str| -> Vec<String> {
            let values = text.lines().filter_map(|line| line.trim().strip_prefix(field)?.strip_prefix(": "));
            values.map(str::to_owned).collect()
        };
        let pem = |field: &str| -> Result<String> {
            let values = all(field);
            let encoded = values.first().with_context(|| format!("a kubeconfig without {field}"))?;
            Ok(String::from_utf8(STANDARD.decode(encoded)?)?)
        };
        // The first is the address that leads to any of them.
        let servers = all("server").split_off(1);
        Ok(Access {
            servers,
            authority: pem("certificate-authority-data")?,
            certificate: pem("client-certificate-data")?,
            key: pem("client-key-data")?,
        })
    }

    /// Kills the master that leads, without a word.
    #[allow(dead_code, reason = "not every crate's tests kill")]
    pub fn kill_leader(&self) -> Result<()> {
        let shown = Command::new(self.program.with_file_name("kctl"))
            .args(["cluster", "status", "-o", "json", "--kubeconfig"])
            .arg(self.directory.path().join("kubeconfig"))
            .output()?;
        let status: serde_json::Value = serde_json::from_slice(&shown.stdout)?;
        let leader = status["leader"].as_str().context("nobody leads")?;
        let pid = self.directory.path().join("run").join(format!("{leader}.pid"));
        let pid = std::fs::read_to_string(pid)?;
        let killed = Command::new("kill").args(["-9", pid.trim()]).status()?;
        ensure!(killed.success(), "{leader} could not be killed");
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.keelson(&["down"]) {
            eprintln!("the masters were not stopped: {error}");
        }
    }
}
