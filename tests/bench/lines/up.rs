//! `make up` on a finished build: a whole cluster on an empty directory, until the sample answers through its Service.

use std::path::Path;

use anyhow::Result;
use base::env;
use chaos::process;
use tokio::process::Command;

use crate::bench::{Bench, Stage};
use crate::keelson::cluster::Cluster;
use crate::report::{Row, Target, Value};
use crate::scale;
use crate::stats::Samples;

const UP_MAX_MS: f64 = 10_000.0;
/// k3d until an application runs and its name is known, as minikube's benchmark of version 1.36 published it.
const K3D_MS: f64 = 19_900.0;
/// A finished build is found to be finished within this, or it was none.
const BUILD_MAX: std::time::Duration = std::time::Duration::from_secs(600);

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let (mut all, mut up) = (Samples::default(), Samples::default());
    let makes = bench.binaries.are_made_here() && Path::new("Makefile").exists();
    for round in 0..=scale::STARTS {
        let started = env::monotonic();
        if makes {
            process::run(&mut make_build(), BUILD_MAX).await?;
        }
        let built = env::monotonic();
        let cluster = Cluster::up(&bench.binaries, Stage::Nodes.parts()).await?;
        let (took, took_up) = (started.elapsed(), built.elapsed());
        drop(cluster);
        // The first brings programs and images into memory, as building them did: it is not counted.
        if round > 0 {
            all.push(took);
            up.push(took_up);
        }
    }
    let row = Row::compared(
        "start to the sample's answer through its Service, median; k3d as published",
        Value::ms(all.median()),
        Value::Ms(K3D_MS),
        Target::AtMost(Value::Ms(UP_MAX_MS)),
    );
    let without =
        if makes { "of it `keelson up`" } else { "`keelson up` alone, without make's look at what is built" };
    Ok(vec![row.note(format!("{}; {without}: {}", all.listed_ms(), up.listed_ms()))])
}

/// Looks at what is built as a user's shell does. What cargo tells the program that it runs would make build scripts run
/// again, here and after this.
fn make_build() -> Command {
    let mut make = Command::new("make");
    make.arg("build");
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let told =
        names.filter(|name| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.starts_with(start)));
    told.for_each(|name| _ = make.env_remove(name));
    make
}
