//! Whether a machine runs short of something, by the thresholds of kubelet's `--eviction-hard`. Nothing is evicted: the
//! node says so, and gets no more pods.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use api::quantity::Quantity;
use base::env;

/// For how long a shortage is told after it was seen last: kubelet's `--eviction-pressure-transition-period`.
const TRANSITION: Duration = Duration::from_secs(300);

/// What a machine can run short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Memory that processes can have without swapping.
    Memory,
    /// The disk of the agent's directory.
    Disk,
    /// Processes and threads.
    Pids,
}

/// How kubelet calls them.
const SIGNALS: [(&str, Signal); 3] = [
    ("memory.available", Signal::Memory),
    ("nodefs.available", Signal::Disk),
    ("pid.available", Signal::Pids),
];

/// How much must be left.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Amount {
    /// Bytes or processes.
    Units(u64),
    /// Of all that there is.
    Percent(f64),
}

/// How much must be left of what, as `memory.available<100Mi,nodefs.available<10%`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thresholds(BTreeMap<Signal, Amount>);

/// A text that says no thresholds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not of the form SIGNAL<AMOUNT: signals are memory.available, nodefs.available and pid.available, \
     amounts are quantities or percentages"
)]
pub struct ThresholdError(String);

impl FromStr for Thresholds {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let one = |part: &str| {
            let (name, amount) = part.split_once('<')?;
            let (_, signal) = SIGNALS.iter().find(|(known, _)| *known == name.trim())?;
            let amount = match amount.trim().strip_suffix('%') {
                Some(percent) => {
                    Amount::Percent(percent.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))?)
                }
                None => Amount::Units(u64::try_from(Quantity::parse(amount.trim()).ok()?.in_units(0)).ok()?),
            };
            Some((*signal, amount))
        };
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        parts
            .map(|part| one(part).ok_or_else(|| ThresholdError(part.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// How much is left of what, and how much there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured(BTreeMap<Signal, (u64, u64)>);

impl Measured {
    /// Looks at the machine that this program runs on. What cannot be read is left out.
    pub fn look(directory: &Path) -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let disk = rustix::fs::statvfs(directory).ok();
        let disk = disk.map(|stat| (stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize));
        let limits = [text("/proc/sys/kernel/pid_max"), text("/proc/sys/kernel/threads-max")];
        let found = [
            (Signal::Memory, memory(&text("/proc/meminfo"))),
            (Signal::Disk, disk),
            (Signal::Pids, pids(&text("/proc/loadavg"), &limits)),
        ];
        Self(found.into_iter().filter_map(|(signal, found)| Some((signal, found?))).collect())
    }
}

fn memory(meminfo: &str) -> Option<(u64, u64)> {
    let bytes = |name: &str| {
        let rest = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
    };
    Some((bytes("MemAvailable")?, bytes("MemTotal")?))
}

/// The fourth word of `/proc/loadavg` is `running/all`.
fn pids(loadavg: &str, limits: &[String]) -> Option<(u64, u64)> {
    let all: u64 = loadavg.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
    let most = limits.iter().filter_map(|limit| limit.trim().parse::<u64>().ok()).min()?;
    Some((most.saturating_sub(all), most))
}

/// What there was too little of, and when last.
#[derive(Debug, Default)]
pub struct Pressures(BTreeMap<Signal, env::Instant>);

impl Pressures {
    /// What there is too little of, or was a moment ago.
    pub fn look(
        &mut self,
        thresholds: &Thresholds,
        measured: &Measured,
        now: env::Instant,
    ) -> BTreeSet<Signal> {
        for (signal, amount) in &thresholds.0 {
            let Some((left, all)) = measured.0.get(signal) else { continue };
            let is_short = match amount {
                Amount::Units(least) => left < least,
                Amount::Percent(percent) => (*left as f64) < *all as f64 * percent / 100.0,
            };
            if is_short {
                self.0.insert(*signal, now);
            }
        }
        self.0.retain(|_, seen| now.saturating_duration_since(*seen) <= TRANSITION);
        self.0.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_read_as_kubelet_writes_them() {
        let read: Thresholds =
            "memory.available<100Mi, nodefs.available<7.5%,pid.available<1k".parse().expect("good");
        let expected = [
            (Signal::Memory, Amount::Units(100 << 20)),
            (Signal::Disk, Amount::Percent(7.5)),
            (Signal::Pids, Amount::Units(1000)),
        ];
        assert_eq!(read, Thresholds(expected.into()));
        assert_eq!("".parse(), Ok(Thresholds::default()), "nothing is looked at");
        for bad in [
            "memory<1",
            "memory.available<",
            "memory.available>1Mi",
            "nodefs.available<101%",
            "pid.available<-1",
        ] {
            let said = bad.parse::<Thresholds>().map_err(|error| error.to_string());
            assert!(said.as_ref().is_err_and(|said| said.contains(bad)), "{bad}: {said:?}");
        }
    }

    #[test]
    fn a_shortage_is_told_for_five_minutes_after_it_was_seen_last() {
        env::simulate(1, async {
            let thresholds = "memory.available<100,nodefs.available<10%".parse().expect("good");
            let mut pressures = Pressures::default();
            let began = env::monotonic();
            let mut look = |second: u64, memory: u64, disk: u64| {
                let left =
                    [(Signal::Memory, (memory, 1000)), (Signal::Disk, (disk, 1000)), (Signal::Pids, (0, 10))];
                let now = began + Duration::from_secs(second);
                pressures.look(&thresholds, &Measured(left.into()), now).into_iter().collect::<Vec<_>>()
            };
            assert_eq!(look(0, 100, 100), [], "as much as must be left, and nobody asked for pids");
            assert_eq!(look(10, 99, 100), [Signal::Memory]);
            assert_eq!(look(100, 500, 99), [Signal::Memory, Signal::Disk]);
            assert_eq!(look(310, 500, 500), [Signal::Memory, Signal::Disk]);
            assert_eq!(look(311, 500, 500), [Signal::Disk]);
            assert_eq!(look(401, 500, 500), []);
        });
    }

    #[test]
    fn what_is_left_is_read_from_the_kernels_files() {
        let meminfo = "MemTotal:  2048 kB\nMemFree:  1 kB\nMemAvailable:  1024 kB\n";
        assert_eq!(memory(meminfo), Some((1 << 20, 2 << 20)));
        let limits = ["4194304\n".to_owned(), "1000\n".to_owned()];
        assert_eq!(pids("0.1 0.2 0.3 2/300 4711\n", &limits), Some((700, 1000)));
        assert_eq!((memory(""), pids("", &limits)), (None, None), "what is not there is no shortage");
    }
}
