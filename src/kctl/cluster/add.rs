//! `kctl cluster add`

use http::Method;
use serde::Deserialize;

use super::view::{self, Cluster};
use crate::failure::Failure;
use crate::masters::Masters;

/// Who is to be added.
#[derive(clap::Args)]
pub struct Args {
    /// The new master's name [default: the next free master-N].
    name: Option<String>,
    /// The host name or address of the new master.
    #[arg(long, default_value = "HOST")]
    host: String,
}

#[derive(Deserialize)]
struct Issued {
    token: String,
}

/// Runs the verb.
pub async fn run(args: Args, masters: &Masters) -> Result<String, Failure> {
    let cluster = view::cluster(masters).await?.value;
    let name = args.name.unwrap_or_else(|| next_name(&cluster));
    if cluster.members.iter().any(|member| member.name == name) {
        return Err(Failure::Refused(format!(
            "{name} is a member already: choose another name, or run `kctl cluster remove {name}` first if it is dead"
        )));
    }
    let issued = masters.ask::<Issued>(Method::POST, "/keelson/v1/tokens").await?;
    Ok(instructions(&name, &args.host, &issued.server, &issued.value.token))
}

fn next_name(cluster: &Cluster) -> String {
    let taken = |name: &String| cluster.members.iter().any(|member| member.name == *name);
    (1..).map(|number| format!("master-{number}")).find(|name| !taken(name)).expect("numbers do not run out")
}

fn instructions(name: &str, host: &str, server: &str, token: &str) -> String {
    format!(
        "Run this on the new master, with an empty data directory (the token lets one master in, within 24 hours):\n\n\
         keelson server --dir /var/lib/keelson --name {name} --api {host}:6443 --peer {host}:6444 \\\n  \
         --join {server} --token {token}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::Member;

    #[test]
    fn the_next_name_is_the_first_free_one() {
        let member = |name: &str| Member {
            name: name.to_owned(),
            api: String::new(),
            role: "voter".to_owned(),
            applied: None,
            lag: None,
            sync_p99_ms: None,
        };
        let members = ["master-1", "master-3"].map(member).to_vec();
        assert_eq!(next_name(&Cluster { leader: None, term: 0, members }), "master-2");
    }

    #[test]
    fn the_command_line_is_whole() {
        let text = instructions("master-4", "10.0.0.4", "https://10.0.0.1:6443", "a.b.c");
        let command: String = text.lines().skip(2).collect::<Vec<_>>().join("\n");
        assert_eq!(
            command.replace("\\\n ", ""),
            "keelson server --dir /var/lib/keelson --name master-4 --api 10.0.0.4:6443 --peer 10.0.0.4:6444  \
             --join https://10.0.0.1:6443 --token a.b.c"
        );
    }
}
