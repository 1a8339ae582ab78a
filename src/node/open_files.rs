//! How many files this process may open, and what of them goes to whom.
//!
//! A connection is an open file, and a store that cannot open one has failed: connections must never take
//! what the store needs. Systems start programs with a low limit for the sake of very old ones, and let
//! each raise its own.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that a master keeps for other things than its API's connections: the tables of two stores and of
/// one being received (512 each) with their journals, 768 connections of other masters, and room.
const MASTER_KEEPS: u64 = 4_000;

/// Files that a balancer keeps for other things than connections: its listener, its probes, and room.
const BALANCER_KEEPS: u64 = 200;

/// Connections that are served however few files there may be: without any, nobody could see what is wrong.
const CONNECTIONS_MIN: u64 = 64;

/// Lets this process open as many files as the system allows it to, and tells how many these are.
pub fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    // None means that there is no limit.
    now.unwrap_or(u64::MAX)
}

/// Connections that a master may take at a time when it may open `files`.
pub fn of_master(files: u64) -> usize {
    let left = files.saturating_sub(MASTER_KEEPS).max(CONNECTIONS_MIN);
    at_most(files, left, apiserver::limits::CONNECTIONS_MAX)
}

/// Connections that a balancer may take at a time when it may open `files`: each is two, one to either side.
pub fn of_balancer(files: u64, connections_max: usize) -> usize {
    let left = (files.saturating_sub(BALANCER_KEEPS) / 2).max(CONNECTIONS_MIN);
    at_most(files, left, connections_max)
}

/// The smaller of what is left and what is ever wanted.
fn at_most(files: u64, left: u64, wanted: usize) -> usize {
    let connections = usize::try_from(left).unwrap_or(usize::MAX).min(wanted);
    if connections < wanted {
        tracing::warn!(files, connections, wanted, "few open files are allowed: raise the limit (ulimit -n)");
    }
    connections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_the_store() {
        let cases =
            [(u64::MAX, 16_000), (20_000, 16_000), (16_384, 12_384), (4_096, 96), (1_024, 64), (0, 64)];
        for (files, connections) in cases {
            assert_eq!(of_master(files), connections, "{files}");
        }
        let cases = [(u64::MAX, 9_000), (20_000, 9_000), (10_200, 5_000), (1_024, 412), (0, 64)];
        for (files, connections) in cases {
            assert_eq!(of_balancer(files, 9_000), connections, "{files}");
        }
    }

    #[test]
    fn the_limit_is_raised_to_what_is_allowed() {
        let before = getrlimit(Resource::Nofile);
        let lowered = before.maximum.map_or(1 << 20, |maximum| maximum - 1);
        let lowered = Rlimit { current: Some(lowered), maximum: before.maximum };
        setrlimit(Resource::Nofile, lowered).expect("the current limit may always be lowered");
        assert_eq!(raise(), before.maximum.unwrap_or(u64::MAX));
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
    }
}
