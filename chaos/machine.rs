//! The machine that tests run on: what it can do, whose turn it is, and what others left behind.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use parking_lot::Mutex;

use crate::process;

/// Something that not every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// `iptables`, and a kernel that lets bridged packets pass through it (br_netfilter).
    BridgedFirewall,
    /// `/dev/fuse` and the right to mount.
    Fuse,
    /// `kubectl` in the path.
    Kubectl,
    /// Docker engines in network namespaces, and images made of a static busybox.
    Engines,
    /// Network namespaces and nftables: root, `ip`, `nft` and `nsenter`.
    Namespaces,
    /// `python3` in the path.
    Python,
    /// The right to mount a tmpfs.
    Tmpfs,
}

impl Need {
    /// Why the machine lacks it; `None` when it has it.
    pub fn missing(self) -> Option<&'static str> {
        let is_root = rustix::process::geteuid().is_root();
        let has = |program: &str| {
            std::env::var_os("PATH").is_some_and(|path| {
                std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
            })
        };
        match self {
            Self::BridgedFirewall if !has("iptables") => Some("iptables is not installed"),
            Self::BridgedFirewall if !Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables").exists() => {
                Some("bridged packets pass no firewall here: br_netfilter is not loaded")
            }
            Self::Fuse if !is_root || !Path::new("/dev/fuse").exists() => {
                Some("FUSE needs root and /dev/fuse")
            }
            Self::Engines if !is_root => Some("engines in network namespaces need root"),
            Self::Engines if !["dockerd", "docker", "ip", "nft", "nsenter"].into_iter().all(has) => {
                Some("dockerd, docker, ip, nft or nsenter is not installed")
            }
            Self::Engines if !Path::new("/bin/busybox").exists() => Some("busybox-static is not installed"),
            Self::Kubectl if !has("kubectl") => Some("kubectl is not installed"),
            Self::Namespaces if !is_root => Some("network namespaces need root"),
            Self::Namespaces if !["ip", "nft", "nsenter"].into_iter().all(has) => {
                Some("ip, nft or nsenter is not installed")
            }
            Self::Python if !has("python3") => Some("python3 is not installed"),
            Self::Tmpfs if !is_root => Some("mounting a tmpfs needs root"),
            _ => None,
        }
    }
}

/// The two programs under test.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `keelson`
    pub keelson: PathBuf,
    /// `kctl`
    pub kctl: PathBuf,
}

/// One test's hold on the machine. One process of tests has the machine at a time, because a cluster that starves
/// fails for reasons of its own; how many of its tests run at once is for the process to say.
pub struct Machine {
    /// The programs under test.
    pub programs: Programs,
    /// What the logs of the last cluster ended with.
    last_words: Mutex<String>,
    /// Where the logs of the last cluster stay.
    kept_logs: PathBuf,
}

/// Names the directories of clusters: `PREFIX-PID-NUMBER`.
const PREFIX: &str = "keelson-test";

/// Held until this process ends.
static TURN: Mutex<Option<File>> = Mutex::new(None);

impl Machine {
    /// Waits for the turn of this process, then removes what tests that were killed left behind.
    ///
    /// # Errors
    /// When the lock file cannot be opened.
    pub fn claim(programs: &Programs) -> Result<Self> {
        let test = std::thread::current().name().unwrap_or("test").replace("::", "-");
        let kept_logs = std::env::temp_dir().join(format!("{PREFIX}.logs")).join(test);
        let machine = Self { programs: programs.clone(), last_words: Mutex::default(), kept_logs };
        let mut held = TURN.lock();
        if held.is_none() {
            let path = std::env::temp_dir().join(format!("{PREFIX}.lock"));
            let turn = File::options().create(true).truncate(false).write(true).open(&path);
            let turn = turn.with_context(|| format!("open {}", path.display()))?;
            turn.lock().with_context(|| format!("lock {}", path.display()))?;
            *held = Some(turn);
            machine.sweep();
        }
        Ok(machine)
    }

    /// A new empty directory that [`Machine::sweep`] knows.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn directory(&self) -> Result<PathBuf> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("{PREFIX}-{}-{number}", std::process::id()));
        // Left by a process that had the same id before the machine started anew.
        self.remove(&path);
        std::fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }

    /// Stops and removes the clusters of test processes that are gone.
    fn sweep(&self) {
        let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').nth(1)?.parse().ok());
            if owner.is_some_and(|pid| !process::is_alive(pid)) {
                eprintln!("removing {}, left by a test that was killed", entry.path().display());
                self.remove(&entry.path());
            }
        }
    }

    /// Stops the cluster in `directory` if there is one, unmounts what is below, and removes it.
    pub fn remove(&self, directory: &Path) {
        if directory.join("run").exists() {
            self.stop(directory);
        }
        unmount_below(directory);
        let _ = std::fs::remove_dir_all(directory);
    }

    /// Remembers how the logs of a cluster ended, to be shown if its test fails.
    pub fn keep_words(&self, words: String) {
        *self.last_words.lock() = words;
    }

    /// Keeps the logs of the cluster in `directory`, which is about to be removed, until the test has passed. The next
    /// replaces them.
    pub fn keep_logs(&self, directory: &Path) {
        let _ = std::fs::remove_dir_all(&self.kept_logs);
        let _ = std::fs::create_dir_all(&self.kept_logs);
        let _ = std::fs::rename(directory.join("log"), &self.kept_logs);
    }

    /// Stops the cluster in `directory`, in order if it can be, else by force.
    pub fn stop(&self, directory: &Path) {
        let pids = pids(directory);
        // A paused process answers no SIGTERM.
        pids.iter().for_each(|pid| _ = process::signal(*pid, process::Signal::CONT));
        let mut down = Command::new("timeout");
        down.args(["--kill-after=5", "30"])
            .arg(&self.programs.keelson)
            .args(["down", "--dir"])
            .arg(directory);
        match down.output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => eprintln!("keelson down failed: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => eprintln!("keelson down did not start: {error}"),
        }
        pids.iter().for_each(|pid| _ = process::signal(*pid, process::Signal::KILL));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}the whole logs are in {}", self.last_words.lock(), self.kept_logs.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.kept_logs);
        }
    }
}

/// The processes of the cluster in `directory` that run.
pub(crate) fn pids(directory: &Path) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(directory.join("run")) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "pid"))
        .filter_map(|p| process::read_pid(&p))
        .collect()
}

fn unmount_below(directory: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    for point in points.filter(|point| point.starts_with(directory)) {
        let _ = Command::new("umount").arg("-l").arg(point).output();
    }
}
