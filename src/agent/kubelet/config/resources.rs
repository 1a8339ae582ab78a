//! From requests and limits to control groups, with the formulas of Kubernetes.

use api::quantity::Quantity;

use crate::engine::Resources;
use crate::pod::{DesiredPod, Member};

/// Shares that a whole processor has.
const SHARES_PER_CPU: i64 = 1024;

/// The fewest shares that the kernel takes.
const SHARES_MIN: i64 = 2;

/// The most shares that the kernel takes.
const SHARES_MAX: i64 = 262_144;

/// The length over which a limit of processor time is counted, in microseconds.
const PERIOD_US: i64 = 100_000;

/// The shortest processor time of a period, in microseconds.
const QUOTA_MIN_US: i64 = 1_000;

/// A sandbox needs next to nothing, and takes next to nothing from others.
pub(super) fn sandbox() -> Resources {
    Resources { cpu_shares: Some(SHARES_MIN), ..Resources::default() }
}

/// The limits of a container. One without its own has those of its pod: the most that it could take there, for no control
/// group holds the pod together.
pub(super) fn container(desired: &DesiredPod, member: &Member) -> Resources {
    let resources = member.container.resources.clone().unwrap_or_default();
    let of_pod = desired.spec().resources.as_ref().and_then(|resources| resources.limits.as_ref());
    // Thousandths of a processor, whole bytes.
    let amount = |list: Option<&std::collections::BTreeMap<String, _>>, name: &str, scale: i32| {
        let quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity = list?.get(name)?;
        i64::try_from(Quantity::parse(&quantity.0).ok()?.in_units(scale)).ok()
    };
    let limit = |name: &str, scale: i32| {
        let own = amount(resources.limits.as_ref(), name, scale);
        own.or_else(|| amount(of_pod, name, scale)).filter(|limit| *limit > 0)
    };
    let quota = limit("cpu", -3);
    let cpu_limit = amount(resources.limits.as_ref(), "cpu", -3);
    let cpu_request = amount(resources.requests.as_ref(), "cpu", -3).or(cpu_limit).unwrap_or(0);
    Resources {
        cpu_shares: Some((cpu_request * SHARES_PER_CPU / 1000).clamp(SHARES_MIN, SHARES_MAX)),
        cpu_quota_us: quota.map(|milli| (milli * PERIOD_US / 1000).max(QUOTA_MIN_US)),
        cpu_period_us: quota.map(|_| PERIOD_US),
        memory_bytes: limit("memory", 0),
    }
}
