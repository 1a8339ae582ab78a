//! `kctl api-versions`

use std::collections::BTreeSet;

use crate::failure::Failure;
use crate::screen::Screen;
use crate::server::Server;

/// Runs the verb.
pub fn run(server: &Server, screen: Screen) -> Result<(), Failure> {
    let versions: BTreeSet<String> = server.catalog.kinds().map(|kind| kind.api_version()).collect();
    screen.print(&versions.into_iter().map(|version| version + "\n").collect::<String>())
}
