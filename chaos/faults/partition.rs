//! Packets between masters are dropped, by nftables rules in the network namespace of one of them.
//! Clients outside still reach it: that is when it must not answer with what it no longer knows.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Injury;
use crate::cluster::Cluster;

/// Which packets are dropped, as seen by the master that is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// All.
    Both,
    /// Those that come in: it is deaf.
    In,
    /// Those that go out: it is mute.
    Out,
}

/// Rules that stand in a network namespace.
pub struct Cut {
    /// Keeps the namespace reachable, even when the process in it is gone.
    namespace: File,
}

/// Cuts the leader off from all others.
///
/// # Errors
/// When there is no leader, or the rules cannot be set.
pub async fn leader(cluster: &Cluster) -> Result<Injury> {
    let (leader, followers) = cluster.roles().await?;
    cut(cluster, &leader, &followers, Direction::Both).await
}

/// The leader hears nobody, and everybody hears it.
///
/// # Errors
/// As [`leader`].
pub async fn leader_deaf(cluster: &Cluster) -> Result<Injury> {
    let (leader, followers) = cluster.roles().await?;
    cut(cluster, &leader, &followers, Direction::In).await
}

/// Nobody hears the leader, and it hears everybody.
///
/// # Errors
/// As [`leader`].
pub async fn leader_mute(cluster: &Cluster) -> Result<Injury> {
    let (leader, followers) = cluster.roles().await?;
    cut(cluster, &leader, &followers, Direction::Out).await
}

/// Cuts the leader off from one follower; the other one reaches both.
///
/// # Errors
/// As [`leader`].
pub async fn leader_from_one(cluster: &Cluster) -> Result<Injury> {
    let (leader, followers) = cluster.roles().await?;
    cut(cluster, &leader, &followers[..1], Direction::Both).await
}

/// Cuts a follower off from all others.
///
/// # Errors
/// As [`leader`].
pub async fn follower(cluster: &Cluster) -> Result<Injury> {
    let (leader, followers) = cluster.roles().await?;
    cut(cluster, &followers[0], &[leader, followers[1].clone()], Direction::Both).await
}

/// Drops what `name` and `others` send each other.
///
/// # Errors
/// When `name` does not run, or the rules cannot be set.
pub async fn cut(cluster: &Cluster, name: &str, others: &[String], direction: Direction) -> Result<Injury> {
    let path = format!("/proc/{}/ns/net", cluster.pid(name)?);
    let namespace = File::open(&path).with_context(|| format!("open {path}"))?;
    let hosts: Vec<String> =
        others.iter().map(|other| Ok(cluster.client(other)?.host().to_owned())).collect::<Result<_>>()?;
    let cut = Cut { namespace };
    cut.nft(&rules(&hosts, direction)).await?;
    Ok(Injury::Cut(cut))
}

fn rules(hosts: &[String], direction: Direction) -> String {
    let hosts = hosts.join(", ");
    let drop = |hook: &str, field: &str| {
        format!("chain {hook} {{ type filter hook {hook} priority 0; ip {field} {{ {hosts} }} drop; }}\n")
    };
    let (input, output) = (drop("input", "saddr"), drop("output", "daddr"));
    let chains = match direction {
        Direction::Both => format!("{input}{output}"),
        Direction::In => input,
        Direction::Out => output,
    };
    format!("table inet chaos {{\n{chains}}}\n")
}

impl Cut {
    /// Lets packets through again.
    ///
    /// # Errors
    /// When the rules cannot be removed.
    pub async fn mend(self) -> Result<()> {
        self.nft("delete table inet chaos\n").await
    }

    /// Runs an nft script in the namespace.
    async fn nft(&self, script: &str) -> Result<()> {
        let namespace = format!("--net=/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd());
        let mut nft = Command::new("nsenter")
            .args([&namespace, "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("run nsenter")?;
        let mut input = nft.stdin.take().context("nft has no standard input")?;
        input.write_all(script.as_bytes()).await?;
        drop(input);
        let output = nft.wait_with_output().await?;
        ensure!(output.status.success(), "nft: {}\n{script}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_drop_the_chosen_direction() {
        let hosts = ["10.0.0.1".to_owned(), "10.0.0.2".to_owned()];
        let input =
            "chain input { type filter hook input priority 0; ip saddr { 10.0.0.1, 10.0.0.2 } drop; }\n";
        let output =
            "chain output { type filter hook output priority 0; ip daddr { 10.0.0.1, 10.0.0.2 } drop; }\n";
        let cases = [
            (Direction::Both, format!("{input}{output}")),
            (Direction::In, input.to_owned()),
            (Direction::Out, output.to_owned()),
        ];
        for (direction, chains) in cases {
            assert_eq!(rules(&hosts, direction), format!("table inet chaos {{\n{chains}}}\n"));
        }
    }
}
