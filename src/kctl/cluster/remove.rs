//! `kctl cluster remove`

use http::Method;

use super::view::Done;
use crate::failure::Failure;
use crate::masters::Masters;

/// Who is to be removed.
#[derive(clap::Args)]
pub struct Args {
    /// The master's name.
    name: String,
}

/// Runs the verb.
pub async fn run(args: &Args, masters: &Masters) -> Result<String, Failure> {
    let name = &args.name;
    let path = format!("/keelson/v1/cluster/members/{name}/remove");
    masters.ask::<Done>(Method::POST, &path).await?;
    Ok(format!(
        "{name} is no longer a member, and stops if it still runs. To use its machine again, empty its data \
         directory and join with `kctl cluster add`\n"
    ))
}
