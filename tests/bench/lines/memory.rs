//! Resident memory of a master.

use anyhow::Result;

use crate::bench::Bench;
use crate::report::{Row, Target, Value};
use crate::scale;

const IDLE_MAX_MIB: f64 = 76.0;
const FILLED_RATIO_MAX: f64 = 2.5;

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let growth = bench.growth().await?;
    let largest = |sizes: &[(String, u64)]| sizes.iter().map(|(_, bytes)| *bytes).max().unwrap_or_default();
    let listed = |sizes: &[(String, u64)]| {
        let texts =
            sizes.iter().map(|(name, bytes)| format!("{name} {:.1}", *bytes as f64 / f64::from(1 << 20)));
        format!("MiB: {}", texts.collect::<Vec<_>>().join(", "))
    };
    let idle = Row::alone(
        "idle, the largest master; etcd idle",
        Value::mib(largest(&growth.idle_bytes)),
        Target::AtMost(Value::Mib(IDLE_MAX_MIB)),
    );
    let filled = Row::compared(
        "with 100,000 objects of 2 KB; the raw bytes",
        Value::mib(largest(&growth.filled_bytes)),
        Value::mib(growth.raw_bytes),
        Target::RatioAtMost(FILLED_RATIO_MAX),
    );
    let rate = scale::SIZED_OBJECTS as f64 / growth.took.as_secs_f64();
    Ok(vec![
        idle.against(bench.references.idle_bytes.map(Value::mib)).note(listed(&growth.idle_bytes)),
        filled.note(format!("{}; filled at {rate:.0} creates/s", listed(&growth.filled_bytes))),
    ])
}
