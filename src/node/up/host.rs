//! The machine below a cluster: commands, processes, the few facts that planning needs.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal as KernelSignal, pidfd_open, pidfd_send_signal};

/// Something the host refused.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A program could not be started.
    #[error("running `{command}` failed: {source}")]
    NotRun {
        /// The command line.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// A program ended with an error.
    #[error("`{command}` failed: {stderr}")]
    Failed {
        /// The command line.
        command: String,
        /// What it said.
        stderr: String,
    },
    /// A signal could not be sent.
    #[error("signalling process {pid} failed: {source}")]
    NotSignalled {
        /// The process.
        pid: u32,
        /// Why.
        source: rustix::io::Errno,
    },
}

/// A command line: program, then arguments.
pub type Command = Vec<String>;

/// Splits at spaces: for commands whose parts hold none.
pub fn command(line: &str) -> Command {
    line.split_whitespace().map(str::to_owned).collect()
}

/// A process to be started on its own, beyond the life of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spawn {
    /// Program and arguments.
    pub command: Command,
    /// Where its output is appended.
    pub log: PathBuf,
    /// Where its pid is noted.
    pub pid_file: PathBuf,
}

/// Where programs are looked for without a `PATH`.
const PATH_DEFAULT: &str = "/bin:/usr/bin";

/// Becomes what its arguments say once it is told to. Whoever would tell it may be killed first: then it ends.
const BEGIN_WHEN_TOLD: &str = r#"read -r told && exec "$@" < /dev/null"#;

/// A process as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Boot id and start time: with the pid, unlike that of any other process ever.
    pub started: String,
    /// Its command line.
    pub command: Command,
}

/// A process among all, with what tells whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its pid.
    pub pid: u32,
    /// Since when it runs, and as what.
    pub facts: ProcessFacts,
    /// Its network namespace, as [`Host::namespace`] names it; `None` when the kernel does not tell.
    pub network: Option<u64>,
    /// Its control groups, as the kernel lists them. Those of a container carry its id.
    pub cgroups: String,
}

/// How a process is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: in order.
    Terminate,
    /// SIGKILL: at once.
    Kill,
}

/// The machine, as `up` and `down` use it.
pub trait Host {
    /// Whether network namespaces can be made.
    fn is_root(&self) -> bool;
    /// Whether commands can run a program of this name, or at this path.
    fn has(&self, program: &str) -> bool;
    /// Runs a command to its end and returns what it printed.
    fn run(&self, command: &Command) -> Result<String, HostError>;
    /// Starts a process that is nothing yet before its pid is noted, and returns its pid.
    fn spawn(&self, spawn: &Spawn) -> Result<u32, HostError>;
    /// What runs under `pid`; `None` when nothing does, or only a zombie.
    fn process(&self, pid: u32) -> Option<ProcessFacts>;
    /// Everything that runs, but for this process.
    fn processes(&self) -> Vec<Seen>;
    /// The number of the network namespace of this name; `None` when there is none.
    fn namespace(&self, name: &str) -> Option<u64>;
    /// Signals the process `pid` if it still is the one that `started` then; otherwise does nothing.
    fn signal(&self, pid: u32, started: &str, signal: Signal) -> Result<(), HostError>;
}

/// The real machine.
#[derive(Debug, Default)]
pub struct Linux;

impl Host for Linux {
    fn is_root(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    fn has(&self, program: &str) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into());
        let is_program = |file: PathBuf| {
            std::fs::metadata(file).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        };
        // A path of its own is joined to nothing.
        std::env::split_paths(&path).any(|directory| is_program(directory.join(program)))
            || program.starts_with('/') && is_program(program.into())
    }

    fn run(&self, command: &Command) -> Result<String, HostError> {
        let line = command.join(" ");
        tracing::debug!(command = line, "running");
        let output = std::process::Command::new(&command[0])
            .args(&command[1..])
            .stdin(std::process::Stdio::null())
            .output()
            .map_err(|source| HostError::NotRun { command: line.clone(), source })?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(HostError::Failed { command: line, stderr });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// In a session of its own: it neither sees the terminal's Ctrl-C nor ends with it.
    fn spawn(&self, spawn: &Spawn) -> Result<u32, HostError> {
        let start = || -> std::io::Result<u32> {
            let log = std::fs::OpenOptions::new().create(true).append(true).open(&spawn.log)?;
            let mut child = std::process::Command::new("setsid")
                .args(["sh", "-c", BEGIN_WHEN_TOLD, "sh"])
                .args(&spawn.command)
                .stdin(std::process::Stdio::piped())
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()?;
            std::fs::write(&spawn.pid_file, format!("{}\n", child.id()))?;
            // One that has ended already says in its log why.
            let _ = child.stdin.take().map(|mut begin| begin.write_all(b"begin\n"));
            Ok(child.id())
        };
        start().map_err(|source| HostError::NotRun { command: spawn.command.join(" "), source })
    }

    fn process(&self, pid: u32) -> Option<ProcessFacts> {
        let directory = PathBuf::from(format!("/proc/{pid}"));
        let started = started(&directory)?;
        let command = std::fs::read(directory.join("cmdline")).ok()?;
        let parts = command.split(|byte| *byte == 0).filter(|part| !part.is_empty());
        let command = parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect();
        Some(ProcessFacts { started, command })
    }

    fn processes(&self) -> Vec<Seen> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let seen = |pid: u32| {
            let directory = PathBuf::from(format!("/proc/{pid}"));
            Some(Seen {
                pid,
                facts: self.process(pid)?,
                network: number_of(&directory.join("ns/net")),
                cgroups: std::fs::read_to_string(directory.join("cgroup")).unwrap_or_default(),
            })
        };
        pids.filter(|pid| *pid != std::process::id()).filter_map(seen).collect()
    }

    fn namespace(&self, name: &str) -> Option<u64> {
        number_of(&Path::new("/run/netns").join(name))
    }

    fn signal(&self, pid: u32, expected: &str, signal: Signal) -> Result<(), HostError> {
        let failed = |source| HostError::NotSignalled { pid, source };
        let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
        // The descriptor first: once it is open the pid cannot change its owner unnoticed.
        let process = match pidfd_open(number, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        if self.process(pid).is_none_or(|facts| facts.started != expected) {
            return Ok(());
        }
        let signal = match signal {
            Signal::Terminate => KernelSignal::TERM,
            Signal::Kill => KernelSignal::KILL,
        };
        match pidfd_send_signal(&process, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

/// The number of the namespace that a file stands for.
fn number_of(namespace: &Path) -> Option<u64> {
    std::fs::metadata(namespace).ok().map(|file| file.ino())
}

/// Boot id and start time of the process in `/proc/PID`; `None` for a zombie.
fn started(directory: &Path) -> Option<String> {
    let stat = std::fs::read_to_string(directory.join("stat")).ok()?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let (state, start_ticks) = parse_stat(&stat)?;
    (!matches!(state, 'Z' | 'X')).then(|| format!("{} {start_ticks}", boot.trim()))
}

/// Fields 3 and 22 of `/proc/PID/stat`, counted behind the last `)`: the name may hold anything.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
pub(crate) mod fake {
    //! A machine that writes down what is asked of it.

    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::*;

    /// Answers by command line, processes by pid, and everything that was done.
    #[derive(Default)]
    pub struct FakeHost {
        pub root: bool,
        /// Programs that are not there.
        pub lacking: Vec<&'static str>,
        /// Commands with one of these in them fail.
        pub refused: Vec<&'static str>,
        /// What commands print; others print nothing and count as done.
        pub answers: BTreeMap<String, String>,
        pub processes: RefCell<BTreeMap<u32, ProcessFacts>>,
        /// Processes that ignore SIGTERM.
        pub stubborn: Vec<u32>,
        /// Numbers of network namespaces, by name.
        pub namespaces: BTreeMap<String, u64>,
        /// The network namespaces and control groups of processes that are not the host's own.
        pub places: BTreeMap<u32, (u64, String)>,
        pub done: RefCell<Vec<String>>,
    }

    impl Host for FakeHost {
        fn is_root(&self) -> bool {
            self.root
        }

        fn has(&self, program: &str) -> bool {
            !self.lacking.contains(&program)
        }

        fn run(&self, command: &Command) -> Result<String, HostError> {
            let line = command.join(" ");
            if let Some(answer) = self.answers.get(&line) {
                return Ok(answer.clone());
            }
            if self.refused.iter().any(|refused| line.contains(refused)) {
                return Err(HostError::Failed { command: line, stderr: "not permitted\n".to_owned() });
            }
            self.done.borrow_mut().push(line);
            Ok(String::new())
        }

        fn spawn(&self, spawn: &Spawn) -> Result<u32, HostError> {
            let mut processes = self.processes.borrow_mut();
            let pid = processes.keys().last().map_or(100, |last| last + 1);
            let facts = ProcessFacts { started: format!("boot {pid}"), command: spawn.command.clone() };
            processes.insert(pid, facts);
            let _ = std::fs::write(&spawn.pid_file, format!("{pid}\n"));
            self.done.borrow_mut().push(format!("spawn {}", spawn.command.join(" ")));
            Ok(pid)
        }

        fn process(&self, pid: u32) -> Option<ProcessFacts> {
            self.processes.borrow().get(&pid).cloned()
        }

        fn processes(&self) -> Vec<Seen> {
            let seen = |(pid, facts): (&u32, &ProcessFacts)| {
                let (network, cgroups) = self.places.get(pid).cloned().unwrap_or_default();
                Seen { pid: *pid, facts: facts.clone(), network: Some(network), cgroups }
            };
            self.processes.borrow().iter().map(seen).collect()
        }

        fn namespace(&self, name: &str) -> Option<u64> {
            self.namespaces.get(name).copied()
        }

        fn signal(&self, pid: u32, started: &str, signal: Signal) -> Result<(), HostError> {
            if self.process(pid).is_some_and(|facts| facts.started == started) {
                self.done.borrow_mut().push(format!("{signal:?} {pid}"));
                if signal == Signal::Kill || !self.stubborn.contains(&pid) {
                    self.processes.borrow_mut().remove(&pid);
                }
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_the_name() {
        let stat = "77 (a) S 9 (b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        assert_eq!(parse_stat(stat), Some(('S', 4242)));
        assert_eq!(parse_stat("77 (a"), None);
    }

    #[test]
    fn this_process_is_known_and_a_stranger_is_not_signalled() {
        let me = std::process::id();
        let facts = Linux.process(me).expect("this process");
        assert!(!facts.command.is_empty());
        // Would end the test if it were sent.
        Linux.signal(me, "another boot 1", Signal::Kill).expect("nothing to do");
        assert_eq!(Linux.process(me), Some(facts));
    }

    #[test]
    fn programs_are_found_by_name_and_path() {
        assert!(Linux.has("sh") && Linux.has("/bin/sh"));
        assert!(!Linux.has("keelson-no-such-program") && !Linux.has("/etc/passwd") && !Linux.has("/"));
    }

    #[test]
    fn all_processes_are_seen_with_their_network() {
        let parent = std::os::unix::process::parent_id();
        let seen = Linux.processes();
        let found = seen.iter().find(|seen| seen.pid == parent).expect("this test's parent");
        assert_eq!(Some(&found.facts), Linux.process(parent).as_ref());
        assert_eq!(found.network, number_of(Path::new("/proc/self/ns/net")));
        assert!(!seen.iter().any(|seen| seen.pid == std::process::id()), "this process");
        assert_eq!(Linux.namespace("keelson-no-such-namespace"), None);
    }

    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
    const GLANCE: std::time::Duration = std::time::Duration::from_millis(1);

    #[tokio::test]
    async fn a_process_becomes_what_it_is_told_to_when_its_pid_is_noted() {
        let root = tempfile::tempdir().expect("temporary directory");
        let pid_file = root.path().join("a b.pid");
        let spawn = Spawn { command: command("sleep 77"), log: root.path().join("log"), pid_file };
        let pid = Linux.spawn(&spawn).expect("spawn");
        assert_eq!(std::fs::read_to_string(&spawn.pid_file).expect("read"), format!("{pid}\n"));
        let became = || Linux.process(pid).is_some_and(|facts| facts.command == spawn.command);
        assert!(base::env::wait_until(PATIENCE, GLANCE, became).await);
        Linux.signal(pid, &Linux.process(pid).expect("it runs").started, Signal::Kill).expect("kill");
    }

    #[tokio::test]
    async fn a_process_whose_pid_was_not_noted_ends_as_nothing() {
        let root = tempfile::tempdir().expect("temporary directory");
        let done = root.path().join("done").display().to_string();
        let spawn = Spawn {
            command: vec!["touch".to_owned(), done.clone()],
            log: root.path().join("log"),
            pid_file: root.path().join("missing/it.pid"),
        };
        assert!(Linux.spawn(&spawn).is_err());
        let has_ended = || !Linux.processes().iter().any(|seen| seen.facts.command.contains(&done));
        assert!(base::env::wait_until(PATIENCE, GLANCE, has_ended).await);
        assert!(!Path::new(&done).exists(), "it began");
    }

    #[test]
    fn a_failed_command_tells_what_it_said() {
        let failed = Linux.run(&vec!["sh".to_owned(), "-c".to_owned(), "echo why >&2; exit 3".to_owned()]);
        assert_eq!(failed.expect_err("fails").to_string(), "`sh -c echo why >&2; exit 3` failed: why");
        let missing = Linux.run(&command("keelson-no-such-program"));
        assert!(matches!(missing, Err(HostError::NotRun { .. })));
    }
}
