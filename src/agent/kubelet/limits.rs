//! Every bound of this crate, in one place.

use std::time::Duration;

/// Pods of one node, as Kubernetes' default.
pub const PODS_MAX: usize = 110;

/// Containers and sandboxes that are created and started at the same moment, over all pods of the node.
pub const STARTS_AT_ONCE_MAX: usize = 8;

/// Images that are pulled at the same moment, over all pods of the node.
pub const PULLS_AT_ONCE_MAX: usize = 4;

/// Results of hooks, probes, pulls and reports that wait for the loop of their pod.
pub const OUTCOMES_MAX: usize = 256;

/// Orders (desired, gone, synced) that wait for the loop of the node.
pub const ORDERS_MAX: usize = 1024;

/// Steps that one pod may take in a row without waiting. Beyond it the pod rests for [`RETRY_MS`]: a plan that
/// never ends must not take a processor.
pub const STEPS_IN_A_ROW_MAX: usize = 200;

/// The first wait before a crashed container, or an image that could not be pulled, is tried again.
pub const BACKOFF_FIRST_MS: u64 = 10_000;

/// The longest such wait.
pub const BACKOFF_MAX_MS: u64 = 300_000;

/// How long after a pod's last sandbox, unless that was its first, the next may come.
pub const SANDBOX_PAUSE_MS: u64 = 10_000;

/// A container that ran for so long starts over with its waits.
pub const BACKOFF_RESET_MS: u64 = 600_000;

/// For how long a failure is shown before the wait for the next try is shown in its place. Kubernetes shows it
/// until its next look at the pod, some seconds later.
pub const FAILURE_SHOWN_MS: u64 = 5_000;

/// How long a report may be on its way back before a pod that shows something else is told again: the masters say of the
/// pods of a silent node that they are not ready, and only their kubelet says that they are.
pub const OVERWRITTEN_AFTER_MS: u64 = 2_000;

/// How often in a row the masters may refuse a pod's status before its deletion goes on without it: within 30 s whatever
/// passes has passed, and a pod that can say nothing must not stay forever.
pub const REFUSALS_MAX: u32 = 3;

/// The wait after anything else that failed: volumes, a sandbox, a configuration, an engine's refusal.
pub const RETRY_MS: u64 = 10_000;

/// The wait after the engine was out of reach.
pub const ENGINE_RETRY: Duration = Duration::from_secs(1);

/// How often a pod is looked at when nothing happens, to repair what an event did not tell.
pub const RELIST: Duration = Duration::from_secs(20);

/// The shortest time between SIGTERM and SIGKILL, whatever the grace period says.
pub const GRACE_MIN_MS: u64 = 2_000;

/// The grace period of a pod that names none.
pub const GRACE_DEFAULT_S: i64 = 30;

/// How often SIGKILL is repeated to a container that does not die.
pub const KILL_AGAIN_MS: u64 = 5_000;

/// The longest message of a container that ended, in bytes.
pub const TERMINATION_MESSAGE_BYTES_MAX: usize = 4096;

/// The longest message taken from a log instead, in lines and in bytes.
pub const TERMINATION_LOG_LINES_MAX: u64 = 80;
/// See [`TERMINATION_LOG_LINES_MAX`].
pub const TERMINATION_LOG_BYTES_MAX: usize = 2048;

/// What a probe or a hook reads of an answer, in bytes.
pub const PROBE_OUTPUT_BYTES_MAX: usize = 10 * 1024;

/// Redirects that an HTTP probe follows.
pub const REDIRECTS_MAX: usize = 10;

/// A wait of a client for an answer of the engine. Pulls, logs and sessions are not bound by it.
pub const ENGINE_TIMEOUT_S: u64 = 120;
