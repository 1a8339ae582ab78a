//! `kctl label`

use super::marks::{self, Marks, What};
use crate::failure::Failure;
use crate::screen::Screen;
use crate::server::Server;

/// Which labels of which objects.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    marks: Marks,
}

const LABELS: What = What {
    field: "labels",
    singular: "label",
    done: "labeled",
    undone: "unlabeled",
    not_done: "not labeled",
    manager: "kctl-label",
};

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    marks::run(&args.marks, &LABELS, server, screen).await
}
