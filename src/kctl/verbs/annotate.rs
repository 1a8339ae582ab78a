//! `kctl annotate`

use super::marks::{self, Marks, What};
use crate::failure::Failure;
use crate::screen::Screen;
use crate::server::Server;

/// Which annotations of which objects.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    marks: Marks,
}

const ANNOTATIONS: What = What {
    field: "annotations",
    singular: "annotation",
    done: "annotated",
    undone: "annotated",
    not_done: "annotated",
    manager: "kctl-annotate",
};

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    marks::run(&args.marks, &ANNOTATIONS, server, screen).await
}
