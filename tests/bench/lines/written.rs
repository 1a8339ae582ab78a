//! Bytes that a master writes to disk for each byte proposed: log, image, history, compaction.

use anyhow::Result;

use crate::bench::Bench;
use crate::report::{Row, Target, Value};

const TIMES_MAX: f64 = 5.0;

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let growth = bench.growth().await?;
    let times = |bytes: u64| bytes as f64 / growth.raw_bytes as f64;
    let most = growth.written_bytes.iter().map(|(_, bytes)| times(*bytes)).fold(0.0, f64::max);
    let each = |(name, bytes): &(String, u64)| format!("{name} {:.2}", times(*bytes));
    let listed = |all: &[(String, u64)]| all.iter().map(each).collect::<Vec<_>>().join(", ");
    let mut row = Row::alone(
        "written by the busiest master, per byte of the objects",
        Value::Times(most),
        Target::AtMost(Value::Times(TIMES_MAX)),
    );
    row = row.note(format!("by process, as the kernel counts: {}", listed(&growth.written_bytes)));
    for (name, parts) in &growth.written_by_part {
        let parts = if parts.is_empty() { "/metrics tells none".to_owned() } else { listed(parts) };
        row = row.note(format!("{name} by part: {parts}"));
    }
    Ok(vec![row])
}
