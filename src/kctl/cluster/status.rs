//! `kctl cluster status`

use clap::ValueEnum;

use super::view::{self, Cluster, Member};
use crate::failure::Failure;
use crate::masters::Masters;
use crate::table::{cell, render};

/// What to show.
#[derive(clap::Args)]
pub struct Args {
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For programs: leader, term, members.
    Json,
    /// For people.
    Table,
}

/// Runs the verb.
pub async fn run(args: &Args, masters: &Masters) -> Result<String, Failure> {
    let cluster = view::cluster(masters).await?.value;
    match args.output {
        Output::Json => {
            let json = serde_json::to_string_pretty(&cluster);
            let json = json.map_err(|error| Failure::Refused(format!("writing JSON failed: {error}")))?;
            Ok(format!("{json}\n"))
        }
        Output::Table => Ok(table(&cluster)),
    }
}

fn table(cluster: &Cluster) -> String {
    let leader = cluster.leader.as_deref().unwrap_or("nobody: a quorum of masters is not reachable");
    let head = ["NAME", "API", "ROLE", "APPLIED", "LAG", "SYNC P99 MS"];
    let rows: Vec<Vec<String>> = cluster.members.iter().map(row).collect();
    format!("leader {leader}, term {}\n\n{}", cluster.term, render(&head, &rows))
}

fn row(member: &Member) -> Vec<String> {
    let sync = member.sync_p99_ms.map(|millis| format!("{millis:.2}"));
    let role = match member.applied {
        Some(_) => member.role.clone(),
        None => format!("{} (no answer)", member.role),
    };
    vec![member.name.clone(), member.api.clone(), role, cell(member.applied), cell(member.lag), cell(sync)]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn cluster() -> Cluster {
        let member = |name: &str, role: &str, applied: Option<u64>| Member {
            name: name.to_owned(),
            api: format!("https://{name}:6443"),
            role: role.to_owned(),
            applied,
            lag: applied.map(|applied| 42 - applied),
            sync_p99_ms: applied.map(|_| 1.25),
        };
        let members = vec![
            member("master-1", "voter", Some(40)),
            member("master-2", "leader", Some(42)),
            member("master-3", "learner", None),
        ];
        Cluster { leader: Some("master-2".to_owned()), term: 7, members }
    }

    #[test]
    fn for_people() {
        expect![[r"
            leader master-2, term 7

            NAME       API                     ROLE                  APPLIED   LAG   SYNC P99 MS
            master-1   https://master-1:6443   voter                 40        2     1.25
            master-2   https://master-2:6443   leader                42        0     1.25
            master-3   https://master-3:6443   learner (no answer)   -         -     -
        "]]
        .assert_eq(&table(&cluster()));
    }

    #[test]
    fn without_a_leader_it_says_why() {
        let headless = Cluster { leader: None, ..cluster() };
        assert!(table(&headless).starts_with("leader nobody: a quorum"));
    }

    #[test]
    fn for_programs() {
        let one = Cluster { members: vec![cluster().members[0].clone()], ..cluster() };
        expect![[r#"{"leader":"master-2","term":7,"members":[{"name":"master-1","api":"https://master-1:6443","role":"voter","applied":40,"lag":2,"sync_p99_ms":1.25}]}"#]]
            .assert_eq(&serde_json::to_string(&one).expect("json"));
    }
}
