//! Processes that outlive the command that started them, found again by pid files.
//!
//! `run/NAME.pid` holds the pid alone, also for people and scripts. Whether that process still is the one
//! that was started is told by its command line, so that a pid that now belongs to a stranger is never
//! touched. A process becomes the program when its pid is noted, and not before: a command that is killed while it
//! starts one leaves none behind that the next command does not find.

use std::path::{Path, PathBuf};

use super::host::{Command, Host, HostError, Signal, Spawn};
use base::files::{self, FileError};

/// One process of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// `master-1`, `balancer`...: also a word of its command line.
    pub name: String,
    /// What runs it. The last words (after a namespace's wrapper) are the program's own arguments.
    pub command: Command,
}

/// A process that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its pid.
    pub pid: u32,
    /// Boot id and start time.
    pub started: String,
    /// Its command line.
    pub command: Command,
}

/// Where a cluster's pid files and logs are.
#[derive(Clone, Debug)]
pub struct Processes {
    directory: PathBuf,
}

impl Processes {
    /// Those of the cluster in `directory`.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// `log/NAME.log`
    pub fn log(&self, name: &str) -> PathBuf {
        self.directory.join("log").join(format!("{name}.log"))
    }

    fn pid_file(&self, name: &str) -> PathBuf {
        self.directory.join("run").join(format!("{name}.pid"))
    }

    /// Names that have a pid file.
    pub fn names(&self) -> Result<Vec<String>, FileError> {
        let files = entries(&self.directory.join("run"))?.into_iter();
        let mut names: Vec<_> =
            files.filter_map(|file| file.strip_suffix(".pid").map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    /// The process behind a pid file; `None` when it is gone, also when its pid has a new owner.
    pub fn running(&self, host: &dyn Host, name: &str) -> Result<Option<Running>, FileError> {
        let Some(pid) = files::read(&self.pid_file(name))?.and_then(|text| text.trim().parse().ok()) else {
            return Ok(None);
        };
        let Some(facts) = host.process(pid) else { return Ok(None) };
        let ours = self.is_ours(name, &facts.command);
        Ok(ours.then_some(Running { pid, started: facts.started, command: facts.command }))
    }

    /// Whether a command line is that of this process: each of ours names a path in the cluster's directory, and has
    /// its name as a word of its own or at the end of such a path.
    fn is_ours(&self, name: &str, command: &Command) -> bool {
        let paths: Vec<&Path> =
            command.iter().map(Path::new).filter(|path| path.starts_with(&self.directory)).collect();
        let is_named = |path: &&Path| path.file_name().is_some_and(|last| last == name);
        !paths.is_empty() && (command.iter().any(|word| word == name) || paths.iter().any(is_named))
    }

    /// Starts a process, and notes its pid.
    pub fn start(&self, host: &dyn Host, process: &Process) -> anyhow::Result<Running> {
        files::make_directory(&self.directory.join("run"))?;
        files::make_directory(&self.directory.join("log"))?;
        let (log, pid_file) = (self.log(&process.name), self.pid_file(&process.name));
        let spawn = Spawn { command: process.command.clone(), log, pid_file };
        let pid = host.spawn(&spawn)?;
        // Gone already: the log says why, and the caller sees that it does not run.
        let facts = host.process(pid);
        let started = facts.map(|facts| facts.started).unwrap_or_default();
        Ok(Running { pid, started, command: process.command.clone() })
    }

    /// Asks a process to end, if it is still there.
    pub fn signal(&self, host: &dyn Host, running: &Running, signal: Signal) -> Result<(), HostError> {
        host.signal(running.pid, &running.started, signal)
    }

    /// Forgets a process that ended.
    pub fn forget(&self, name: &str) -> Result<(), FileError> {
        files::remove(&self.pid_file(name))
    }

    /// The last line of a log that is not empty, to be shown beside an error.
    pub fn last_words(&self, name: &str) -> String {
        let text = files::read(&self.log(name)).ok().flatten().unwrap_or_default();
        text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
    }
}

/// The names in a directory; none when it is not there.
pub fn entries(path: &Path) -> Result<Vec<String>, FileError> {
    match std::fs::read_dir(path) {
        Ok(entries) => Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(FileError { operation: "listing", path: path.to_owned(), source }),
    }
}

/// Whether `running` still is what it was.
pub fn is_alive(host: &dyn Host, running: &Running) -> bool {
    host.process(running.pid).is_some_and(|facts| facts.started == running.started)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::host::ProcessFacts;
    use crate::up::host::fake::FakeHost;

    struct Given {
        _root: tempfile::TempDir,
        processes: Processes,
        host: FakeHost,
        process: Process,
    }

    fn given() -> Given {
        let root = tempfile::tempdir().expect("temporary directory");
        let data = root.path().join("data/master-1").display().to_string();
        let command = ["keelson", "server", "--dir", &data, "--name", "master-1"].map(str::to_owned).to_vec();
        let process = Process { name: "master-1".to_owned(), command };
        Given { processes: Processes::new(root.path()), host: FakeHost::default(), process, _root: root }
    }

    #[test]
    fn a_started_process_is_found_again_and_stopped() {
        let Given { processes, host, process, _root } = given();
        let started = processes.start(&host, &process).expect("start");
        let pid = files::read(&processes.pid_file("master-1")).expect("read");
        assert_eq!(pid, Some(format!("{}\n", started.pid)), "the pid alone");
        let found = processes.running(&host, "master-1").expect("look");
        assert_eq!(found.as_ref(), Some(&started));
        assert_eq!(processes.names().expect("names"), ["master-1"]);
        processes.signal(&host, &started, Signal::Terminate).expect("signal");
        assert_eq!(processes.running(&host, "master-1").expect("look"), None);
        processes.forget("master-1").expect("forget");
        assert!(processes.names().expect("names").is_empty());
    }

    #[test]
    fn a_pid_that_belongs_to_a_stranger_is_not_ours() {
        let Given { processes, host, process, _root } = given();
        let started = processes.start(&host, &process).expect("start");
        let command = |line: &str| line.split(' ').map(str::to_owned).collect::<Command>();
        let another = process.command.iter().map(|word| word.replace("master-1", "master-2")).collect();
        let strangers = [
            ("another program", command("sleep 9")),
            ("another master of this cluster", another),
            (
                "a master of another cluster",
                command("keelson server --dir /other/data/master-1 --name master-1"),
            ),
        ];
        for (what, command) in strangers {
            let facts = ProcessFacts { started: started.started.clone(), command };
            host.processes.borrow_mut().insert(started.pid, facts);
            assert_eq!(processes.running(&host, "master-1").expect("look"), None, "{what}");
        }
    }

    #[test]
    fn a_damaged_pid_file_means_not_running() {
        let Given { processes, host, process, _root } = given();
        processes.start(&host, &process).expect("start");
        files::write(&processes.pid_file("master-1"), b"nonsense").expect("write");
        assert_eq!(processes.running(&host, "master-1").expect("look"), None);
    }

    #[test]
    fn a_log_gives_its_last_words() {
        let Given { processes, host, process, _root } = given();
        processes.start(&host, &process).expect("start");
        assert_eq!(processes.last_words("master-1"), "it said nothing");
        files::write(&processes.log("master-1"), b"first\nlast\n\n").expect("write");
        assert_eq!(processes.last_words("master-1"), "last");
    }
}
