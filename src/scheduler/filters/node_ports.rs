//! Ports of the node that a pod takes.

use projection::pods::HostPort;

use crate::case::Case;
use crate::filters::Misfit;
use crate::snapshot::Snapshot;

const REASON: &str = "node(s) didn't have free ports for the requested pod ports";

/// All addresses of a node.
const ANY: &str = "0.0.0.0";

fn conflicts(one: &HostPort, other: &HostPort) -> bool {
    let (here, there) = (&*one.address, &*other.address);
    (one.port, &one.protocol) == (other.port, &other.protocol)
        && (here == there || here == ANY || there == ANY)
}

/// Whether they are free.
pub fn check(snapshot: &Snapshot<'_>, case: &Case, seat: usize) -> Result<(), Misfit> {
    let taken = &snapshot.seats[seat].usage.ports;
    if case.class.ports.iter().any(|port| taken.iter().any(|held| conflicts(port, held))) {
        return Err(Misfit::resolvable(REASON));
    }
    Ok(())
}
