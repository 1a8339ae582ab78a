//! What the kernel says about a process: CPU time, memory, bytes written.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// A process as the kernel numbers it.
pub type Pid = u32;

/// CPU time (user and system) that a process has used, its ended children not counted.
pub fn cpu_time(pid: Pid) -> Result<Duration> {
    let ticks = parse_cpu_ticks(&read(pid, "stat")?)
        .with_context(|| format!("/proc/{pid}/stat has no CPU times where proc(5) puts them"))?;
    Ok(ticks_to_time(ticks))
}

/// The same with its ended children, as far as it has waited for them.
pub fn cpu_time_with_children(pid: Pid) -> Result<Duration> {
    let ticks = parse_ticks(&read(pid, "stat")?, 4)
        .with_context(|| format!("/proc/{pid}/stat has no CPU times where proc(5) puts them"))?;
    Ok(ticks_to_time(ticks))
}

/// Bytes that a process caused to be sent to disks (pages made dirty; not what it wrote into caches
/// that were dirty already).
pub fn bytes_written(pid: Pid) -> Result<u64> {
    parse_field(&read(pid, "io")?, "write_bytes:").context("reading the bytes a process wrote")
}

/// Resident memory in bytes.
pub fn resident_bytes(pid: Pid) -> Result<u64> {
    let kib = parse_field(&read(pid, "status")?, "VmRSS:").context("reading a process's resident memory")?;
    Ok(kib * 1024)
}

/// CPU time by thread name: which part of a process works.
pub fn cpu_time_by_thread(pid: Pid) -> BTreeMap<String, Duration> {
    let mut times = BTreeMap::new();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for task in tasks {
        // A thread may end between the two reads: it is then not counted.
        let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
        let (Some(name), Some(ticks)) = (parse_name(&stat), parse_cpu_ticks(&stat)) else { continue };
        *times.entry(name.to_owned()).or_insert(Duration::ZERO) += ticks_to_time(ticks);
    }
    times
}

fn read(pid: Pid, file: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).with_context(|| format!("reading {path}: has the process ended?"))
}

fn ticks_to_time(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The name of a process or thread: between the first `(` and the last `)`, as it may hold both.
fn parse_name(stat: &str) -> Option<&str> {
    stat.get(stat.find('(')? + 1..stat.rfind(')')?)
}

/// utime + stime.
fn parse_cpu_ticks(stat: &str) -> Option<u64> {
    parse_ticks(stat, 2)
}

/// The first of utime, stime, cutime and cstime: fields 14 to 17, counted from the end of the name, which may hold
/// spaces.
fn parse_ticks(stat: &str, count: usize) -> Option<u64> {
    let fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(11).take(count);
    let times: Vec<u64> = fields.map(|field| field.parse().ok()).collect::<Option<_>>()?;
    (times.len() == count).then(|| times.iter().sum())
}

fn parse_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// CPU time used between two moments by each of several processes, as parts of one core.
#[derive(Debug)]
pub struct CpuMeter {
    started: base::env::Instant,
    processes: Vec<(String, Pid, Duration)>,
}

impl CpuMeter {
    /// Starts counting for these processes and for this one, called `client`.
    pub fn start(processes: &[(String, Pid)]) -> Result<Self> {
        let mut all = processes.to_vec();
        all.push(("client".to_owned(), std::process::id()));
        let processes: Result<Vec<_>> =
            all.into_iter().map(|(name, pid)| Ok((name, pid, cpu_time(pid)?))).collect();
        Ok(Self { started: base::env::monotonic(), processes: processes? })
    }

    /// Cores used since the start, by process.
    pub fn cores(&self) -> Result<Vec<(String, f64)>> {
        let elapsed = self.started.elapsed().as_secs_f64();
        let cores = |(name, pid, before): &(String, Pid, Duration)| {
            let used = cpu_time(*pid)?.saturating_sub(*before);
            Ok((name.clone(), used.as_secs_f64() / elapsed))
        };
        self.processes.iter().map(cores).collect()
    }

    /// Cores used since the start by this process.
    pub fn client_cores(&self) -> Result<f64> {
        Ok(self.cores()?.last().map_or(0.0, |(_, cores)| *cores))
    }

    /// All of them as text: `CPU in cores: client 0.31, etcd-1 0.52`.
    pub fn text(&self) -> Result<String> {
        let parts: Vec<String> =
            self.cores()?.iter().map(|(name, cores)| format!("{name} {cores:.2}")).collect();
        Ok(format!("CPU in cores: {}", parts.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_ticks_follow_a_name_with_spaces_and_parentheses() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 10 0 0 0 70 5 0 0 20 0 9 0 100 1 2";
        assert_eq!((parse_name(stat), parse_cpu_ticks(stat)), (Some("a (b) c"), Some(75)));
        assert_eq!(parse_ticks("42 (x) S 1 42 42 0 -1 4194560 10 0 0 0 70 5 3 2 20", 4), Some(80));
    }

    #[test]
    fn unreadable_text_is_none() {
        for stat in ["", "42 (x", "42 (x) S 1 2", "42 (x) S 1 42 42 0 -1 4194560 10 0 0 0 a b"] {
            assert_eq!(parse_cpu_ticks(stat), None, "{stat:?}");
        }
    }

    #[test]
    fn fields_by_name() {
        let io = "wchar: 9\nwrite_bytes: 4096\ncancelled_write_bytes: 7\n";
        assert_eq!(parse_field(io, "write_bytes:"), Some(4096));
        assert_eq!(parse_field("VmHWM:\t 99 kB\nVmRSS:\t  312 kB\n", "VmRSS:"), Some(312));
        assert_eq!(parse_field(io, "VmRSS:"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let me = std::process::id();
        assert!(resident_bytes(me).expect("status") > 4096);
        cpu_time(me).expect("stat");
        bytes_written(me).expect("io");
        assert!(!cpu_time_by_thread(me).is_empty());
    }
}
