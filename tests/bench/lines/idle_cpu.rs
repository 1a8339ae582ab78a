//! CPU of three masters that nobody asks anything.

use anyhow::Result;
use base::env;

use crate::bench::Bench;
use crate::procfs::CpuMeter;
use crate::report::{Row, Target, Value};
use crate::scale;

const PERCENT_OF_CORE_MAX: f64 = 3.0;

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    env::sleep(scale::SETTLE).await;
    let meter = CpuMeter::start(&bench.cluster()?.processes())?;
    env::sleep(scale::IDLE).await;
    let cores = meter.cores()?;
    let masters: f64 =
        cores.iter().filter(|(name, _)| name.starts_with("master")).map(|(_, cores)| cores).sum();
    let percent = Value::PercentOfCore;
    let row = Row::alone(
        "three idle masters, of one core",
        percent(masters * 100.0),
        Target::AtMost(percent(PERCENT_OF_CORE_MAX)),
    );
    Ok(vec![row.note(format!("over {:?}; {}", scale::IDLE, meter.text()?))])
}
