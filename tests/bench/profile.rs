//! Where the masters' time goes: CPU time by thread, and by symbol where that is asked for and `perf` is
//! installed.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use chaos::process::{Signal, signal};

use crate::procfs::{Pid, cpu_time_by_thread};

/// Samples in a second of each CPU; not a divisor of timer frequencies, so that it does not beat with
/// them.
const SAMPLES_HZ: &str = "499";
/// Lines of the report that are shown.
const SYMBOLS_SHOWN: usize = 40;
/// Threads of each process that are shown.
const THREADS_SHOWN: usize = 8;

/// CPU time of some processes, being counted.
pub struct Profile {
    processes: Vec<(String, Pid)>,
    threads_before: Vec<BTreeMap<String, Duration>>,
}

/// Samples being taken.
pub struct Samples(Result<(Child, tempfile::TempDir)>);

impl Samples {
    /// Starts to sample.
    pub fn start(processes: &[(String, Pid)]) -> Self {
        Self(record(processes))
    }

    /// Stops, and says in which symbols the time went.
    pub fn finish(self) -> String {
        let symbols = self.0.and_then(|(perf, directory)| report(perf, &directory));
        symbols.unwrap_or_else(|error| format!("no symbols, only CPU time by thread: {error:#}\n"))
    }
}

impl Profile {
    /// Starts to count, which costs what is measured nothing.
    pub fn start(processes: Vec<(String, Pid)>) -> Self {
        let threads_before = processes.iter().map(|(_, pid)| cpu_time_by_thread(*pid)).collect();
        Self { processes, threads_before }
    }

    /// Where the time went: a line for each process.
    pub fn finish(&self) -> Vec<String> {
        let processes = self.processes.iter().zip(&self.threads_before);
        let line = |name: &str, pid: Pid, before| {
            format!("CPU by thread, {name}: {}", busiest(before, &cpu_time_by_thread(pid)))
        };
        processes.map(|((name, pid), before)| line(name, *pid, before)).collect()
    }
}

fn record(processes: &[(String, Pid)]) -> Result<(Child, tempfile::TempDir)> {
    let directory = tempfile::tempdir().context("making a directory for perf's samples")?;
    let pids: Vec<String> = processes.iter().map(|(_, pid)| pid.to_string()).collect();
    let mut perf = Command::new("perf");
    perf.args(["record", "--quiet", "-F", SAMPLES_HZ, "-p", &pids.join(","), "-o"]);
    perf.arg(directory.path().join("samples")).stdout(Stdio::null()).stderr(Stdio::null());
    Ok((perf.spawn().context("starting perf (Debian: linux-perf)")?, directory))
}

fn report(mut perf: Child, directory: &tempfile::TempDir) -> Result<String> {
    // An interrupt is how perf is asked to write what it has.
    signal(perf.id(), Signal::INT)?;
    perf.wait().context("waiting for perf to end")?;
    let mut report = Command::new("perf");
    report.args(["report", "--stdio", "--no-children", "--sort", "comm,symbol", "-i"]);
    let output = report.arg(directory.path().join("samples")).output().context("running perf report")?;
    anyhow::ensure!(output.status.success(), "perf report: {}", String::from_utf8_lossy(&output.stderr));
    Ok(top_symbols(&String::from_utf8_lossy(&output.stdout)))
}

/// Share, thread and symbol of the report's first lines. Longer symbols push what follows far to the right, and newer
/// versions of perf add columns.
fn top_symbols(report: &str) -> String {
    let lines = report.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.take(SYMBOLS_SHOWN).map(|line| format!("{}\n", columns(line).join("  "))).collect()
}

fn columns(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|text| !text.is_empty()).take(3).collect()
}

/// CPU time between two looks, the busiest thread names first.
fn busiest(before: &BTreeMap<String, Duration>, after: &BTreeMap<String, Duration>) -> String {
    let used =
        |name: &String, total: &Duration| total.saturating_sub(before.get(name).copied().unwrap_or_default());
    let mut threads: Vec<_> = after.iter().map(|(name, total)| (used(name, total), name)).collect();
    threads.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    let shown = threads.iter().filter(|(used, _)| !used.is_zero()).take(THREADS_SHOWN);
    shown.map(|(used, name)| format!("{name} {:.2} s", used.as_secs_f64())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_threads_come_first() {
        let times = |pairs: &[(&str, u64)]| -> BTreeMap<String, Duration> {
            pairs.iter().map(|(name, ms)| ((*name).to_owned(), Duration::from_millis(*ms))).collect()
        };
        let before = times(&[("raft", 1000), ("idle", 50)]);
        let after = times(&[("raft", 1500), ("idle", 50), ("flusher", 700)]);
        assert_eq!(busiest(&before, &after), "flusher 0.70 s, raft 0.50 s");
    }

    #[test]
    fn comments_of_a_report_are_left_out() {
        let report = "# To display\n#\n\n    12.00%  raft     [.] fsync<a b>      -      -   \n     1.00%  raft  [k] write\n\n";
        assert_eq!(top_symbols(report), "12.00%  raft  [.] fsync<a b>\n1.00%  raft  [k] write\n");
    }
}
