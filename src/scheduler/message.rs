//! Why a pod got no node, in the words of Kubernetes' `FitError`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::case::Case;
use crate::filters;
use crate::snapshot::Snapshot;

/// Of a pod that could go nowhere because there is nowhere.
const NO_NODES: &str = "no nodes available to schedule pods";

/// Of nodes that the pod's node affinity names none of.
const UNNAMED: &str = "node(s) didn't satisfy plugin(s) [NodeAffinity]";

const CONFLICT: &str = "pod affinity terms conflict";
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";
const NO_HELP: &str = "Preemption is not helpful for scheduling";
const NEVER: &str = "not eligible due to preemptionPolicy=Never.";

type Reasons = BTreeMap<Cow<'static, str>, usize>;

/// Why no node will do for a class; `None`: one will.
pub fn message(snapshot: &Snapshot<'_>, case: &Case) -> Option<String> {
    let nodes = snapshot.seats.len();
    if nodes == 0 {
        return Some(NO_NODES.to_owned());
    }
    let mut reasons = Reasons::new();
    let (mut without_victims, mut with_victims) = (0, 0);
    let mut look = |seat: usize| -> Option<()> {
        let (_, misfit) = filters::misfit(snapshot, case, seat)?;
        for reason in misfit.reasons {
            *reasons.entry(reason).or_default() += 1;
        }
        if misfit.is_resolvable {
            let lowest = snapshot.seats[seat].usage.priorities.first_key_value();
            let has_victims = lowest.is_some_and(|(priority, _)| *priority < case.class.priority);
            *(if has_victims { &mut with_victims } else { &mut without_victims }) += 1;
        }
        Some(())
    };
    match &case.only {
        Some(only) => {
            only.iter().try_for_each(|seat| look(*seat))?;
            *reasons.entry(UNNAMED.into()).or_default() += nodes - only.len();
        }
        None => (0..nodes).try_for_each(look)?,
    }
    if case.class.only_nodes().is_some_and(|names| names.is_empty()) {
        reasons = Reasons::new();
    }
    let mut text = available(nodes, &reasons);
    if reasons.is_empty() {
        text = format!("{text} {CONFLICT}.");
    }
    if !case.class.may_preempt {
        return Some(format!("{text} preemption: {NEVER}"));
    }
    if with_victims > 0 {
        // Others may have to make room; what comes of that is not for this message.
        return Some(text);
    }
    let helpless = [(NO_VICTIMS, without_victims), (NO_HELP, nodes - without_victims)];
    let helpless = helpless.map(|(reason, count)| (Cow::Borrowed(reason), count));
    Some(format!("{text} preemption: {}", available(nodes, &Reasons::from(helpless))))
}

/// `0/3 nodes are available: 1 Insufficient cpu, 2 Too many pods.`
fn available(nodes: usize, reasons: &Reasons) -> String {
    let counted = reasons.iter().filter(|(_, count)| **count > 0);
    let mut counted: Vec<String> = counted.map(|(reason, count)| format!("{count} {reason}")).collect();
    // As texts, as Kubernetes does: 10 comes before 2.
    counted.sort();
    let end = if counted.is_empty() { String::new() } else { format!(" {}.", counted.join(", ")) };
    format!("0/{nodes} nodes are available:{end}")
}
