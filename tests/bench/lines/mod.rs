//! The lines of the table: one file each, one signature.

mod bootstrap;
mod cluster_cpu;
mod creates;
mod deployment;
mod faults;
mod gated;
mod hollow_memory;
mod idle_cpu;
mod kills;
mod kubectl;
mod list;
mod memory;
mod node_death;
mod one_client;
mod pod_lists;
mod pod_memory;
mod pod_starts;
mod pods;
mod proposals;
mod replaced;
mod restart;
mod selector;
mod services;
mod up;
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
pub const LINES: [Line; 29] = [
    Line {
        name: "bootstrap",
        about: "three masters on empty directories, from exec to the first accepted write",
        needs: &[Need::Bootstrap],
        stage: Stage::Empty,
        provokes_elections: true,
        run: |bench| Box::pin(bootstrap::run(bench)),
    },
    Line {
        name: "up",
        about: "make up on a finished build, until the sample answers",
        needs: &[],
        stage: Stage::Empty,
        provokes_elections: true,
        run: |bench| Box::pin(up::run(bench)),
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
        name: "pods",
        about: "creates, patches, updates and applies of pods and Deployments, 64 clients",
        needs: &[Need::Load],
        stage: Stage::Api,
        provokes_elections: false,
        run: |bench| Box::pin(pods::run(bench)),
    },
    Line {
        name: "pod-reads",
        about: "reads of one pod, 64 clients, against the same bytes from memory",
        needs: &[],
        stage: Stage::Api,
        provokes_elections: false,
        run: |bench| Box::pin(pods::reads(bench)),
    },
    Line {
        name: "pod-lists",
        about: "LIST of 10,000 pods in protobuf, as a Table and in pages, against the same in JSON",
        needs: &[],
        stage: Stage::Api,
        provokes_elections: false,
        run: |bench| Box::pin(pod_lists::run(bench)),
    },
    Line {
        name: "kubectl",
        about: "kubectl get of 1,000 pods, apply of 100 objects, explain",
        needs: &[],
        stage: Stage::Api,
        provokes_elections: false,
        run: |bench| Box::pin(kubectl::run(bench)),
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
    Line {
        name: "hollow-cpu",
        about: "CPU of three masters and 5,000 hollow nodes, idle",
        needs: &[],
        stage: Stage::Hollow,
        provokes_elections: false,
        run: |bench| Box::pin(cluster_cpu::hollow(bench)),
    },
    Line {
        name: "gated",
        about: "10,000 pods released at once onto 5,000 hollow nodes",
        needs: &[],
        stage: Stage::Hollow,
        provokes_elections: false,
        run: |bench| Box::pin(gated::run(bench)),
    },
    Line {
        name: "deployment",
        about: "a Deployment of 1,000 replicas on 100 hollow nodes comes and goes",
        needs: &[],
        stage: Stage::Workers,
        provokes_elections: false,
        run: |bench| Box::pin(deployment::run(bench)),
    },
    Line {
        name: "replaced",
        about: "leader SIGKILL to the replacement of a deleted pod bound",
        needs: &[],
        stage: Stage::Workers,
        provokes_elections: true,
        run: |bench| Box::pin(replaced::run(bench)),
    },
    Line {
        name: "hollow-memory",
        about: "resident memory of the leader with 100,000 pods that run on hollow nodes",
        needs: &[],
        stage: Stage::Workers,
        provokes_elections: false,
        run: |bench| Box::pin(hollow_memory::run(bench)),
    },
    Line {
        name: "cluster-cpu",
        about: "CPU of three masters, two nodes and the sample, idle",
        needs: &[],
        stage: Stage::Nodes,
        provokes_elections: false,
        run: |bench| Box::pin(cluster_cpu::nodes(bench)),
    },
    Line {
        name: "pod-start",
        about: "one pod created to Running, against docker run",
        needs: &[],
        stage: Stage::Nodes,
        provokes_elections: false,
        run: |bench| Box::pin(pod_starts::one(bench)),
    },
    Line {
        name: "pod-burst",
        about: "30 pods created at once to Running, against docker run",
        needs: &[],
        stage: Stage::Nodes,
        provokes_elections: false,
        run: |bench| Box::pin(pod_starts::burst(bench)),
    },
    Line {
        name: "node-death",
        about: "a node killed to its pods running elsewhere",
        needs: &[],
        stage: Stage::Nodes,
        provokes_elections: false,
        run: |bench| Box::pin(node_death::run(bench)),
    },
    Line {
        name: "services",
        about: "first packets among 10,000 Services, and packets that follow a change",
        needs: &[],
        stage: Stage::Nodes,
        provokes_elections: false,
        run: |bench| Box::pin(services::run(bench)),
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
        use Stage::{Api, Empty, Hollow, Large, Nodes, Pods, Small, Workers};
        assert_eq!(stages, [Empty, Small, Api, Pods, Large, Hollow, Workers, Nodes]);
    }
}
