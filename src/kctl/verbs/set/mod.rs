//! `kctl set`: one file per thing that can be set.

mod image;

use clap::Subcommand;

use crate::failure::Failure;
use crate::screen::Screen;
use crate::server::Server;

/// What to set.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The images of containers.
    Image(image::Args),
}

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    match &args.what {
        What::Image(args) => image::run(args, server, screen).await,
    }
}
