//! A terminal: runs scripts with one kubectl against one cluster.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use chaos::kubeconfig::Kubeconfig;
use chaos::process::{self, Command};

use crate::golden::normal;

/// How long one command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// Where commands of a session find programs beside their own: kubectl tells of directories that are not there, and of
/// plugins.
const SYSTEM_PATH: &str = "/usr/bin:/bin";

/// A kubectl, the cluster it talks to, and a home of its own.
pub struct Session {
    home: PathBuf,
    scripts: PathBuf,
    kubeconfig: PathBuf,
    contexts: Vec<String>,
    turn: usize,
}

impl Session {
    /// Prepares `home`, where `kubectl` is `program` with the next of the kubeconfig's contexts: each is another
    /// master.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read, or `home` not written.
    pub fn new(program: &Path, kubeconfig: &Path, home: &Path, scripts: &Path) -> Result<Self> {
        let bin = home.join("bin");
        std::fs::create_dir_all(&bin).with_context(|| format!("make {}", bin.display()))?;
        let wrapper = bin.join("kubectl");
        let text = format!("#!/bin/sh\nexec {} --context \"$CONTEXT\" \"$@\"\n", program.display());
        std::fs::write(&wrapper, text).context("write the wrapper")?;
        std::fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755))?;
        let contexts = Kubeconfig::read(kubeconfig)?.contexts().map(str::to_owned).collect();
        Ok(Self {
            home: home.to_owned(),
            scripts: scripts.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
            contexts,
            turn: 0,
        })
    }

    /// What a terminal shows of a command, normalized.
    ///
    /// # Errors
    /// When it takes too long.
    pub async fn run(&mut self, line: &str) -> Result<String> {
        let mut command = Command::new("bash");
        command
            .args(["-c", line])
            .current_dir(&self.scripts)
            .env("PATH", format!("{}/bin:{SYSTEM_PATH}", self.home.display()))
            .env("HOME", &self.home)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("CONTEXT", &self.contexts[self.turn % self.contexts.len()])
            .env("LC_ALL", "C")
            // Where it is `dumb`, an old kubectl writes without colors.
            .env("TERM", "xterm");
        self.turn += 1;
        let ended = process::capture(&mut command, COMMAND_TIMEOUT).await?;
        let mut screen = normal::screen(&(ended.stdout + &ended.stderr));
        if ended.code != Some(0) {
            let code = ended.code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
            let gap = if screen.is_empty() { "" } else { "\n" };
            screen.push_str(&format!("{gap}=> {code}"));
        }
        Ok(screen)
    }
}
