//! `kctl cluster verify`

use http::Method;
use serde::Deserialize;

use super::view::{self, Cluster};
use crate::failure::Failure;
use crate::masters::Masters;
use crate::table::render;

#[derive(Deserialize)]
struct Hash {
    hash: String,
}

/// What a master said about its state.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    member: String,
    /// The hash, or why there is none.
    hash: Result<String, String>,
}

/// Runs the verb: all masters are asked for the hash at what the leader has applied now.
pub async fn run(masters: &Masters) -> Result<String, Failure> {
    let cluster = view::cluster(masters).await?.value;
    let index = leader_applied(&cluster)?;
    let mut findings = Vec::new();
    for member in &cluster.members {
        let path = format!("/keelson/v1/cluster/hash?index={index}");
        let answer = masters.ask_at::<Hash>(&member.api, Method::GET, &path).await;
        let hash = answer.map(|answer| answer.value.hash).map_err(|error| error.to_string());
        findings.push(Finding { member: member.name.clone(), hash });
    }
    judge(index, &findings)
}

fn leader_applied(cluster: &Cluster) -> Result<u64, Failure> {
    let leader = cluster.members.iter().find(|member| Some(&member.name) == cluster.leader.as_ref());
    let applied = leader.and_then(|leader| leader.applied);
    applied.ok_or_else(|| {
        Failure::NoAnswer(
            "no leader answers, so there is no index to compare at: see `kctl cluster status`".to_owned(),
        )
    })
}

fn judge(index: u64, findings: &[Finding]) -> Result<String, Failure> {
    let row = |finding: &Finding| {
        let said = finding.hash.as_ref().map_or("no answer", String::as_str);
        vec![finding.member.clone(), index.to_string(), said.to_owned()]
    };
    let table = render(&["NAME", "INDEX", "HASH"], &findings.iter().map(row).collect::<Vec<_>>());
    let hashes: Vec<&String> = findings.iter().filter_map(|finding| finding.hash.as_ref().ok()).collect();
    if hashes.iter().any(|hash| *hash != hashes[0]) {
        return Err(Failure::Refused(format!(
            "the masters' states differ at log index {index}: stop the one that differs from the others, keep its data \
             directory for analysis, and replace it with a new one (`kctl cluster remove`, `kctl cluster add`)\n\n{table}"
        )));
    }
    let silent = findings.iter().find_map(|finding| Some((&finding.member, finding.hash.as_ref().err()?)));
    match silent {
        None => Ok(format!("{table}\nall {} masters agree at log index {index}\n", findings.len())),
        Some((member, reason)) => {
            Err(Failure::NoAnswer(format!("{member} could not be compared: {reason}\n\n{table}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(member: &str, hash: Result<&str, &str>) -> Finding {
        Finding { member: member.to_owned(), hash: hash.map(str::to_owned).map_err(str::to_owned) }
    }

    #[test]
    fn agreement_is_told_with_what_was_compared() {
        let agreed =
            judge(9, &[finding("master-1", Ok("aa")), finding("master-2", Ok("aa"))]).expect("agreed");
        assert_eq!(
            agreed,
            "NAME       INDEX   HASH\nmaster-1   9       aa\nmaster-2   9       aa\n\nall 2 masters agree at log index 9\n"
        );
    }

    #[test]
    fn a_difference_outweighs_a_missing_answer() {
        let findings = [finding("a", Ok("aa")), finding("b", Err("gone")), finding("c", Ok("bb"))];
        assert!(matches!(judge(9, &findings), Err(Failure::Refused(_))));
        assert!(matches!(judge(9, &findings[..2]), Err(Failure::NoAnswer(_))));
    }

    #[test]
    fn without_a_leader_there_is_nothing_to_compare_at() {
        let cluster = Cluster { leader: None, term: 3, members: vec![] };
        assert!(matches!(leader_applied(&cluster), Err(Failure::NoAnswer(_))));
    }
}
