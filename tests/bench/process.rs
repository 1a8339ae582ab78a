//! Processes that this program starts: found again in a log file, gone when dropped.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use chaos::process::{Signal, signal};

use crate::procfs::Pid;

/// A child process; killed (SIGKILL) and reaped when dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts `program` with both outputs appended to `log`.
    pub fn start<A: AsRef<OsStr>>(program: &Path, arguments: &[A], log: &Path) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| format!("opening the log {}", log.display()))?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("sharing a log between both outputs")?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        Ok(Self(child))
    }

    /// As the kernel numbers it.
    pub fn pid(&self) -> Pid {
        self.0.id()
    }

    /// Kills it without warning, and reaps it.
    pub fn kill(mut self) -> Result<()> {
        signal(self.pid(), Signal::KILL)?;
        self.0.wait().context("waiting for a process to end")?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_process_is_gone() {
        let directory = tempfile::tempdir().expect("directory");
        let process =
            Process::start(Path::new("sleep"), &["600"], &directory.path().join("log")).expect("sleep");
        let pid = process.pid();
        assert!(Path::new(&format!("/proc/{pid}")).exists());
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn an_absent_program_is_named() {
        let directory = tempfile::tempdir().expect("directory");
        let error = Process::start(Path::new("/absent/etcd"), &[""], &directory.path().join("log"));
        assert!(error.expect_err("absent").to_string().contains("/absent/etcd"));
    }
}
