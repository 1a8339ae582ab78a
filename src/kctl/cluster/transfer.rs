//! `kctl cluster transfer`

use http::Method;

use super::view::{self, Done};
use crate::failure::Failure;
use crate::masters::Masters;

/// Who is to lead.
#[derive(clap::Args)]
pub struct Args {
    /// The master's name [default: the voter that has come furthest].
    name: Option<String>,
}

/// Runs the verb.
pub async fn run(args: &Args, masters: &Masters) -> Result<String, Failure> {
    let path = match &args.name {
        Some(name) => format!("/keelson/v1/cluster/transfer?to={name}"),
        None => "/keelson/v1/cluster/transfer".to_owned(),
    };
    masters.ask::<Done>(Method::POST, &path).await?;
    let leader = view::cluster(masters).await?.value.leader;
    Ok(format!("{} leads\n", leader.as_deref().unwrap_or("nobody yet")))
}
