//! What to do next about a pod: a pure function of what is wanted, what is there, what is known and the time.
//!
//! # Flow
//! Whatever woke the kubelet, it looks at the pod ([`Observed`]), makes a [`Plan`] and takes its steps in order, up to
//! the first that fails. Then it plans again, and looks before if containers may be others since. The same plan serves the first start, every repair and the start of a
//! kubelet beside containers that run.
//!
//! # Guarantees
//! - The plan has no memory of its own: what it needs is in the engine, in labels, or may be forgotten.
//! - A container that runs and should run has no step.

use k8s_openapi::api::core::v1::{PodStatus, Probe};

use crate::engine::{Container, State};
use crate::outside::Event;
use crate::pod::{DesiredPod, Member};
use crate::probe::{self, ProbeKind};
use crate::records::{Hook, Records, Why};
use crate::status;

mod end;
mod start;
#[cfg(test)]
mod tests;

/// What the engine shows of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Sandboxes, the newest first.
    pub sandboxes: Vec<Container>,
    /// Containers, the newest of each name first.
    pub containers: Vec<Container>,
}

impl Observed {
    /// Sorts what the engine listed.
    pub fn of(mut listed: Vec<Container>) -> Self {
        listed.sort_by_key(|container| std::cmp::Reverse(container.attempt()));
        let (sandboxes, containers) = listed.into_iter().partition(Container::is_sandbox);
        Self { sandboxes, containers }
    }

    /// The newest container of this name.
    pub fn newest(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.container_name() == name)
    }

    /// The sandbox that containers can join.
    pub fn sandbox(&self) -> Option<&Container> {
        self.sandboxes.first().filter(|sandbox| sandbox.is_running())
    }

    /// The newest container of this name in the sandbox of now: one of an older sandbox counts as history.
    pub fn active(&self, name: &str) -> Option<&Container> {
        let sandbox = self.sandboxes.first()?;
        let is_active = |container: &&Container| {
            container.label(crate::names::label::SANDBOX_ID).is_none_or(|id| id == sandbox.id)
        };
        self.newest(name).filter(is_active)
    }

    /// Everything, sandboxes too.
    pub fn all(&self) -> impl Iterator<Item = &Container> {
        self.sandboxes.iter().chain(&self.containers)
    }
}

/// One thing to do. Each is safe to do again after a crash in its middle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Has the volumes prepared.
    PrepareVolumes,
    /// Creates the container that owns the pod's network.
    CreateSandbox {
        /// How many were before it.
        attempt: u32,
    },
    /// Starts it.
    StartSandbox {
        /// The engine's id.
        id: String,
    },
    /// Connects it.
    AttachNetwork {
        /// The engine's id.
        sandbox: String,
        /// Its process.
        pid: u32,
    },
    /// Looks for the image and pulls it where the policy says so; goes on in the background.
    EnsureImage {
        /// Whose.
        container: String,
        /// For which start.
        attempt: u32,
    },
    /// Creates a container in the sandbox.
    CreateContainer {
        /// Its name in the pod.
        container: String,
        /// How many were before it.
        attempt: u32,
        /// See [`crate::backoff::next`].
        backoff_ms: u64,
    },
    /// Starts it.
    StartContainer {
        /// Its name in the pod.
        container: String,
        /// Which one.
        attempt: u32,
    },
    /// Runs a hook, in the background.
    RunHook {
        /// The container's name in the pod.
        container: String,
        /// The engine's id.
        id: String,
        /// Which.
        hook: Hook,
    },
    /// Runs a probe, in the background.
    RunProbe {
        /// The container's name in the pod.
        container: String,
        /// The engine's id.
        id: String,
        /// Which.
        kind: ProbeKind,
    },
    /// Notes that a container is to end, and says so.
    BeginStop {
        /// The container's name in the pod.
        container: String,
        /// The engine's id.
        id: String,
        /// The text of the event.
        message: String,
        /// Why.
        why: Why,
    },
    /// Asks it to end.
    Terminate {
        /// The engine's id.
        id: String,
    },
    /// Ends it.
    Kill {
        /// The engine's id.
        id: String,
    },
    /// Takes back the pod's addresses.
    DetachNetwork,
    /// Removes a container or a sandbox.
    Remove {
        /// The engine's id.
        id: String,
    },
    /// Takes back volumes and files.
    Release,
    /// Lets the object go.
    ConfirmDeletion,
}

impl Step {
    /// Whether the pod's containers are afterwards as they were: the engine need not be asked again for its sake.
    pub fn leaves_containers(&self) -> bool {
        match self {
            Self::PrepareVolumes
            | Self::AttachNetwork { .. }
            | Self::EnsureImage { .. }
            | Self::RunHook { .. }
            | Self::RunProbe { .. }
            | Self::BeginStop { .. }
            | Self::DetachNetwork
            | Self::Release
            | Self::ConfirmDeletion => true,
            Self::CreateSandbox { .. }
            | Self::StartSandbox { .. }
            | Self::CreateContainer { .. }
            | Self::StartContainer { .. }
            | Self::Terminate { .. }
            | Self::Kill { .. }
            | Self::Remove { .. } => false,
        }
    }
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In order, up to the first that fails.
    pub steps: Vec<Step>,
    /// What the control plane should show.
    pub status: PodStatus,
    /// When to look again even if nothing happens.
    pub wake_ms: Option<u64>,
    /// What to tell, apart from what the steps tell themselves.
    pub events: Vec<Event>,
    /// Nothing is left of the pod, and nothing to do.
    pub is_finished: bool,
}

/// Everything that a plan may look at.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// What is wanted.
    pub desired: &'a DesiredPod,
    /// What is there.
    pub observed: &'a Observed,
    /// What is known.
    pub records: &'a Records,
    /// The time.
    pub now_ms: u64,
}

impl View<'_> {
    /// Whether a container that ended starts again: as its policy says, or because it was ended to be replaced.
    pub fn restarts(&self, member: &Member, container: &Container) -> bool {
        let Some(exit) = container.exit() else { return false };
        let stopping = self.records.stopping.get(&container.id);
        stopping.is_some_and(|stop| stop.why == Why::Changed) || self.desired.restarts(member, exit.code)
    }
}

/// Steps and the time of the next look, while they are collected.
#[derive(Debug, Default)]
struct Draft {
    steps: Vec<Step>,
    wake_ms: Option<u64>,
}

impl Draft {
    fn wake(&mut self, at_ms: u64) {
        self.wake_ms = Some(self.wake_ms.map_or(at_ms, |earlier| earlier.min(at_ms)));
    }
}

/// See the module.
pub fn plan(desired: &DesiredPod, observed: &Observed, records: &Records, now_ms: u64) -> Plan {
    let view = View { desired, observed, records, now_ms };
    let status = status::generate(view);
    let mut draft = Draft::default();
    let is_ending = desired.is_deleted() || status::is_terminal(&status) || status::has_run(view);
    let is_finished = if is_ending {
        end::steps(view, &status, &mut draft)
    } else {
        start::steps(view, &mut draft);
        false
    };
    probes(view, is_ending, &mut draft);
    remove_history(view, &mut draft);
    if let (Some(deadline_ms), false) = (status::deadline_ms(view), is_ending) {
        draft.wake(deadline_ms);
    }
    let events = status::events(view, &status);
    // A time that has come already is one that the steps care for.
    let wake_ms = draft.wake_ms.map(|at_ms| at_ms.max(now_ms + 1));
    Plan { steps: draft.steps, status, wake_ms, events, is_finished }
}

/// Probes that are due.
fn probes(view: View<'_>, is_ending: bool, draft: &mut Draft) {
    for member in &view.desired.members {
        let Some(container) = view.observed.active(member.name()) else { continue };
        let State::Running { started_ms, .. } = container.state else { continue };
        if view.records.stopping.contains_key(&container.id) || view.records.is_starting(&container.id) {
            continue;
        }
        for kind in ProbeKind::ALL {
            // Who ends on purpose is not judged; others may still learn that it is not ready.
            if let Some(probe) = kind.of(member)
                && !(is_ending && kind != ProbeKind::Readiness)
                && status::has_started(view, member, container) != (kind == ProbeKind::Startup)
            {
                probe_if_due(view, (member, container), (kind, probe), started_ms, draft);
            }
        }
    }
}

fn probe_if_due(
    view: View<'_>,
    (member, container): (&Member, &Container),
    (kind, probe): (ProbeKind, &Probe),
    started_ms: u64,
    draft: &mut Draft,
) {
    let state = view.records.probes.get(&(container.id.clone(), kind)).copied().unwrap_or_default();
    if state.is_running || state.is_over {
        return;
    }
    let due_ms = probe::due_ms(probe, &state, started_ms);
    if due_ms <= view.now_ms {
        draft.steps.push(Step::RunProbe {
            container: member.name().to_owned(),
            id: container.id.clone(),
            kind,
        });
    } else {
        draft.wake(due_ms);
    }
}

/// Of each container the newest stays and the one before it: its exit code is shown, its log can be read.
fn remove_history(view: View<'_>, draft: &mut Draft) {
    const KEPT: usize = 2;
    for member in &view.desired.members {
        let of_member = |container: &&Container| container.container_name() == member.name();
        for old in view.observed.containers.iter().filter(of_member).skip(KEPT) {
            if !old.is_running() {
                draft.steps.push(Step::Remove { id: old.id.clone() });
            }
        }
    }
    for old in view.observed.sandboxes.iter().skip(1) {
        let is_planned = draft.steps.iter().any(|step| matches!(step, Step::Remove { id } if *id == old.id));
        if !is_planned {
            draft.steps.push(Step::Remove { id: old.id.clone() });
        }
    }
}
