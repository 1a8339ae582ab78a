//! The lines of the table: one file each, one signature.

mod bootstrap;
mod creates;
mod faults;
mod idle_cpu;
mod kills;
mod kubectl;
mod list;
mod memory;
mod one_client;
mod pod_lists;
mod pod_memory;
mod pods;
mod proposals;
mod restart;
mod selector;
mod watchers;
mod written;

use anyhow::Result;
use futures::future::BoxFuture;

use crate::bench::{Bench, Stage};
use crate::etcd::reference::Need;
use crate::report::Row;

/// One line.
pub struct Line {
    /// As `--only` takes it.
    pub name: &'static str,
    /// What it measures.
    pub about: &'static str,
    /// What of etcd it is held against.
    pub needs: &'static [Need],
    /// What it finds when it starts.
    pub stage: Stage,
    /// Whether it makes masters stop or fall silent. In any other line an election is a fault.
    pub provokes_elections: bool,
    /// Does it.
    pub run: for<'a> fn(&'a mut Bench) -> BoxFuture<'a, Result<Vec<Row>>>,
}

/// All lines, in the order in which they run: by stage, so that a cluster is started and filled once.
pub const LINES: [Line; 18] = [
    Line {
        name: "bootstrap",
        about: "three masters on empty directories, from exec to the first accepted write",
        needs: &[Need::Bootstrap],
        stage: Stage::Empty,
        provokes_elections: true,
        run: |bench| Box::pin(bootstrap::run(bench)),
    },
    Line {
        name: "idle-cpu",
        about: "CPU of three idle masters",
        needs: &[],
        stage: Stage::Small,
        provokes_elections: false,
        run: |bench| Box::pin(idle_cpu::run(bench)),
    },
    Line {
        name: "proposals",
        about: "durable 2 KB proposals through Raft, 256 in flight",
        needs: &[Need::Load],
        stage: Stage::Small,
        provokes_elections: false,
        run: |bench| Box::pin(proposals::run(bench)),
    },
    Line {
        name: "creates",
        about: "ConfigMap creates over HTTPS, 256 clients",
        needs: &[Need::Load],
        stage: Stage::Small,
        provokes_elections: false,
        run: |bench| Box::pin(creates::run(bench)),
    },
    Line {
        name: "one-client",
        about: "one client, one create after another",
        needs: &[Need::OneClient],
        stage: Stage::Small,
        provokes_elections: false,
        run: |bench| Box::pin(one_client::run(bench)),
    },
    Line {
        name: "pods",
        about: "creates, patches, updates and applies of pods and Deployments, 64 clients",
        needs: &[Need::Load],
        stage: Stage::Small,
        provokes_elections: false,
        run: |bench| Box::pin(pods::run(bench)),
    },
    Line {
        name: "pod-reads",
        about: "reads of one pod, 64 clients, against the same bytes from memory",
        needs: &[],
        stage: Stage::Small,
        provokes_elections: false,
        run: |bench| Box::pin(pods::reads(bench)),
    },
    Line {
        name: "pod-lists",
        about: "LIST of 10,000 pods in protobuf, as a Table and in pages, against the same in JSON",
        needs: &[],
        stage: Stage::Small,
        provokes_elections: false,
        run: |bench| Box::pin(pod_lists::run(bench)),
    },
    Line {
        name: "kubectl",
        about: "kubectl get of 1,000 pods, apply of 100 objects, explain",
        needs: &[],
        stage: Stage::Small,
        provokes_elections: false,
        run: |bench| Box::pin(kubectl::run(bench)),
    },
    Line {
        name: "list",
        about: "LIST of 10,000 ConfigMaps of 1 KB, against the same bytes from memory",
        needs: &[],
        stage: Stage::Small,
        provokes_elections: false,
        run: |bench| Box::pin(list::run(bench)),
    },
    Line {
        name: "watchers",
        about: "1,000 watchers, events offered at half of what the bare TLS stack pushes",
        needs: &[],
        stage: Stage::Small,
        provokes_elections: false,
        run: |bench| Box::pin(watchers::run(bench)),
    },
    Line {
        name: "kills",
        about: "leader SIGKILL to the first accepted write",
        needs: &[Need::Kills],
        stage: Stage::Small,
        provokes_elections: true,
        run: |bench| Box::pin(kills::run(bench)),
    },
    Line {
        name: "faults",
        about: "leader SIGSTOP, and leader cut off by the network, to the first accepted write",
        needs: &[],
        stage: Stage::Small,
        provokes_elections: true,
        run: |bench| Box::pin(faults::run(bench)),
    },
    Line {
        name: "pod-memory",
        about: "resident memory of a master with 100,000 pods of 2 KB",
        needs: &[],
        stage: Stage::Pods,
        provokes_elections: false,
        run: |bench| Box::pin(pod_memory::run(bench)),
    },
    Line {
        name: "memory",
        about: "resident memory of a master, idle and with 100,000 objects of 2 KB",
        needs: &[Need::Idle],
        stage: Stage::Large,
        provokes_elections: false,
        run: |bench| Box::pin(memory::run(bench)),
    },
    Line {
        name: "written",
        about: "bytes written to disk per byte proposed",
        needs: &[],
        stage: Stage::Large,
        provokes_elections: false,
        run: |bench| Box::pin(written::run(bench)),
    },
    Line {
        name: "selector",
        about: "LIST of 300,000 ConfigMaps with a selector that matches nothing",
        needs: &[],
        stage: Stage::Large,
        provokes_elections: false,
        run: |bench| Box::pin(selector::run(bench)),
    },
    Line {
        name: "restart",
        about: "restart of a master with 300,000 objects, until it is ready",
        needs: &[],
        stage: Stage::Large,
        provokes_elections: false,
        run: |bench| Box::pin(restart::run(bench)),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_stages_are_not_entered_twice() {
        let mut names: Vec<_> = LINES.iter().map(|line| line.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), LINES.len());
        let mut stages: Vec<_> = LINES.iter().map(|line| line.stage).collect();
        stages.dedup();
        assert_eq!(stages, [Stage::Empty, Stage::Small, Stage::Pods, Stage::Large]);
    }
}
