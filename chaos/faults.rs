//! Ways to hurt a cluster that runs, one file each. A fault says what it leaves behind as an
//! [`Injury`], which knows how to heal.

use anyhow::Result;
use futures::future::BoxFuture;

use crate::cluster::Cluster;
use crate::machine::Need;
use crate::process::{self, Signal};

pub mod disk_full;
pub mod hung_disk;
pub mod idle_watch;
pub mod kill;
pub mod partition;
pub mod pause;
pub mod power_cut;
pub mod restart_all;
pub mod slow_follower;

/// One way to hurt a cluster.
pub struct Fault {
    /// What is done to whom.
    pub name: &'static str,
    /// What the machine must offer.
    pub needs: &'static [Need],
    /// Whether writes must go on before it is healed.
    pub keeps_quorum: bool,
    /// Whether a master goes on as if nothing was, and shows nothing new: who watches there must leave it.
    pub silences: bool,
    /// Does it.
    pub inject: fn(&Cluster) -> BoxFuture<'_, Result<Injury>>,
}

/// What a fault leaves behind.
pub enum Injury {
    /// Masters that were killed.
    Dead,
    /// A process that was stopped.
    Paused(u32),
    /// A network that was cut.
    Cut(partition::Cut),
    /// A process that is stopped again and again.
    Slow(slow_follower::DutyCycle),
    /// Watches that nobody reads.
    Unread(idle_watch::Unread),
}

impl Injury {
    /// Undoes it. Returns before the cluster has recovered.
    ///
    /// # Errors
    /// When the cluster cannot be made whole.
    pub async fn heal(self, cluster: &Cluster) -> Result<()> {
        match self {
            Self::Dead => cluster.up().await.map(|_| ()),
            Self::Paused(pid) => process::signal(pid, Signal::CONT),
            Self::Cut(cut) => cut.mend().await,
            Self::Slow(cycle) => cycle.end().await,
            Self::Unread(unread) => unread.read_to_the_end().await,
        }
    }
}

/// Faults that a cluster on plain disks must survive without losing anything, by name. A full disk, a
/// hung disk and a power cut need disks of their own, see `tests/durability.rs`.
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "idle_watch",
        needs: &[],
        keeps_quorum: true,
        silences: false,
        inject: |c| Box::pin(idle_watch::inject(c)),
    },
    Fault {
        name: "kill_follower",
        needs: &[],
        keeps_quorum: true,
        silences: false,
        inject: |c| Box::pin(kill::follower(c)),
    },
    Fault {
        name: "kill_leader",
        needs: &[],
        keeps_quorum: true,
        silences: false,
        inject: |c| Box::pin(kill::leader(c)),
    },
    Fault {
        name: "partition_follower",
        needs: &[Need::Namespaces],
        keeps_quorum: true,
        silences: true,
        inject: |c| Box::pin(partition::follower(c)),
    },
    Fault {
        name: "partition_leader",
        needs: &[Need::Namespaces],
        keeps_quorum: true,
        silences: true,
        inject: |c| Box::pin(partition::leader(c)),
    },
    Fault {
        name: "partition_leader_deaf",
        needs: &[Need::Namespaces],
        keeps_quorum: true,
        silences: false,
        inject: |c| Box::pin(partition::leader_deaf(c)),
    },
    Fault {
        name: "partition_leader_from_one",
        needs: &[Need::Namespaces],
        keeps_quorum: true,
        silences: false,
        inject: |c| Box::pin(partition::leader_from_one(c)),
    },
    Fault {
        name: "partition_leader_mute",
        needs: &[Need::Namespaces],
        keeps_quorum: true,
        silences: false,
        inject: |c| Box::pin(partition::leader_mute(c)),
    },
    Fault {
        name: "pause_follower",
        needs: &[],
        keeps_quorum: true,
        silences: true,
        inject: |c| Box::pin(pause::follower(c)),
    },
    Fault {
        name: "pause_leader",
        needs: &[],
        keeps_quorum: true,
        silences: true,
        inject: |c| Box::pin(pause::leader(c)),
    },
    Fault {
        name: "restart_all",
        needs: &[],
        keeps_quorum: false,
        silences: false,
        inject: |c| Box::pin(restart_all::inject(c)),
    },
    Fault {
        name: "slow_follower",
        needs: &[],
        keeps_quorum: true,
        silences: false,
        inject: |c| Box::pin(slow_follower::inject(c)),
    },
    Fault {
        name: "terminate_leader",
        needs: &[],
        keeps_quorum: true,
        silences: false,
        inject: |c| Box::pin(kill::terminate_leader(c)),
    },
];

/// The fault called `name`.
///
/// # Panics
/// When there is none.
pub fn named(name: &str) -> &'static Fault {
    FAULTS.iter().find(|fault| fault.name == name).expect("a test names a fault of the table")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_is_sorted_by_name() {
        assert!(super::FAULTS.is_sorted_by_key(|fault| fault.name));
    }
}
