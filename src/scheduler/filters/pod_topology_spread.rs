//! How unevenly pods may be spread.

use crate::case::Case;
use crate::filters::Misfit;
use crate::snapshot::Snapshot;

const UNEVEN: &str = "node(s) didn't match pod topology spread constraints";
const UNLABELLED: &str = "node(s) didn't match pod topology spread constraints (missing required label)";

/// Whether, with one more here, no domain has too many more than the one that has least.
pub fn check(snapshot: &Snapshot<'_>, case: &Case, seat: usize) -> Result<(), Misfit> {
    for spread in &case.spread_required {
        let Some(count) = spread.tally.at(snapshot, seat) else { return Err(Misfit::lasting(UNLABELLED)) };
        let skew = count + i64::from(spread.counts_itself) - spread.floor();
        if skew > spread.skew_max {
            return Err(Misfit::resolvable(UNEVEN));
        }
    }
    Ok(())
}
