//! What a node has left.

use std::borrow::Cow;

use crate::case::Case;
use crate::filters::Misfit;
use crate::snapshot::Snapshot;

/// Whether it is enough. All that is short is told, not the first only.
pub fn check(snapshot: &Snapshot<'_>, case: &Case, seat: usize) -> Result<(), Misfit> {
    let seat = &snapshot.seats[seat];
    let (has, taken, asked) = (&seat.node.allocatable, &seat.usage.requests, &case.class.requests);
    let mut short: Vec<Cow<'static, str>> = Vec::new();
    let mut is_resolvable = true;
    if seat.usage.pods + 1 > seat.node.pods_max {
        short.push("Too many pods".into());
    }
    let mut check = |name: &str, asked: i64, has: i64, taken: i64| {
        if asked > 0 && asked > has - taken {
            short.push(match name {
                "cpu" => "Insufficient cpu".into(),
                "memory" => "Insufficient memory".into(),
                other => format!("Insufficient {other}").into(),
            });
            is_resolvable &= asked <= has;
        }
    };
    check("cpu", asked.cpu_milli, has.cpu_milli, taken.cpu_milli);
    check("memory", asked.memory_bytes, has.memory_bytes, taken.memory_bytes);
    check("ephemeral-storage", asked.storage_bytes, has.storage_bytes, taken.storage_bytes);
    for (name, amount) in &asked.others {
        let of = |amounts: &projection::resources::Amounts| amounts.others.get(name).copied().unwrap_or(0);
        check(name, *amount, of(has), of(taken));
    }
    if short.is_empty() { Ok(()) } else { Err(Misfit { reasons: short, is_resolvable }) }
}
