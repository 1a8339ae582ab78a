//! Processes by id: signals, and waiting until one is gone.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;
use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;
pub use tokio::process::{Child, Command};

/// How often a process is looked at while waiting for its end.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Sends `signal` to process `pid`; fine when it is gone.
///
/// # Errors
/// When the operating system refuses.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    let target = Pid::from_raw(pid.cast_signed()).context("0 is no process")?;
    match kill_process(target, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(refused) => Err(refused).with_context(|| format!("signal {signal:?} to {pid}")),
    }
}

/// Whether `pid` runs: one that ended and was not collected yet does not.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in parentheses and may hold any character.
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Waits until `pid` has ended.
///
/// # Errors
/// When it has not within `limit`.
pub async fn wait_gone(pid: u32, limit: Duration) -> Result<()> {
    let is_gone = env::wait_until(limit, LOOK_EVERY, || !is_alive(pid)).await;
    ensure!(is_gone, "process {pid} still runs after {limit:?}");
    Ok(())
}

/// Waits until nothing of `pid` is left. Where the main thread has ended, another one may still wait for a
/// disk that hangs, and with it all files and ports of the process stay open.
///
/// # Errors
/// As [`wait_gone`].
pub async fn wait_ended(pid: u32, limit: Duration) -> Result<()> {
    let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    // The main thread of a process that nobody collected is all that is left.
    let has_ended = env::wait_until(limit, LOOK_EVERY, || !is_alive(pid) && threads() <= 1).await;
    ensure!(has_ended, "threads of process {pid} are left after {limit:?}");
    Ok(())
}

/// Bytes of memory that `pid` holds.
///
/// # Errors
/// When it does not run.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib << 10).with_context(|| format!("{path} names no VmRSS"))
}

/// The process id in a `NAME.pid` file; `None` when there is none, or the process has ended.
pub fn read_pid(path: &Path) -> Option<u32> {
    let pid = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    is_alive(pid).then_some(pid)
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The command line, for messages.
    pub command: String,
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// What it printed.
    ///
    /// # Errors
    /// When it failed, with all that it said.
    pub fn success(self) -> Result<String> {
        let Self { command, code, stdout, stderr } = self;
        ensure!(code == Some(0), "{command} failed:\n{stdout}{stderr}");
        Ok(stdout)
    }

    /// What it said while failing.
    ///
    /// # Errors
    /// When it succeeded.
    pub fn failure(self) -> Result<String> {
        ensure!(self.code != Some(0), "{} succeeded:\n{}", self.command, self.stdout);
        Ok(self.stdout + &self.stderr)
    }
}

/// Runs a command to its end, without input.
///
/// # Errors
/// When it does not start, or takes longer than `limit` (it is killed then).
pub async fn capture(command: &mut Command, limit: Duration) -> Result<Ended> {
    let shown = format!("{:?}", command.as_std());
    command.kill_on_drop(true).stdin(std::process::Stdio::null());
    let output = env::timeout(limit, command.output())
        .await
        .with_context(|| format!("{shown} took longer than {limit:?}"))?
        .with_context(|| format!("{shown} did not start"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    Ok(Ended { command: shown, code: output.status.code(), stdout, stderr })
}

/// What a command printed, when it succeeded.
///
/// # Errors
/// As [`capture`], and when the command failed.
pub async fn run(command: &mut Command, limit: Duration) -> Result<String> {
    capture(command, limit).await?.success()
}
