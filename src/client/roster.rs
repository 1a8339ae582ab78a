//! Whom to ask first. Pure: the caller says what happened and when.

use std::collections::BTreeMap;
use std::time::Duration;

use base::env::Instant;

use crate::server::Server;

/// How long a master that failed comes last.
const AVOIDED_FOR: Duration = Duration::from_secs(5);

/// The masters, and what was seen of them.
#[derive(Debug)]
pub(crate) struct Roster {
    /// What the client was given: the way back when everything learned is wrong.
    configured: Vec<Server>,
    /// What the masters say; empty until they said it.
    members: Vec<Server>,
    leader: Option<Server>,
    /// Who answered last.
    current: Option<Server>,
    avoided: BTreeMap<Server, Instant>,
}

impl Roster {
    pub(crate) fn new(configured: Vec<Server>) -> Self {
        Self { configured, members: Vec::new(), leader: None, current: None, avoided: BTreeMap::new() }
    }

    /// All of them, in the order in which to ask: the leader, who answered last, the others, and at the end those
    /// that failed of late, who has been silent for longest first.
    pub(crate) fn order(&self, now: Instant) -> Vec<Server> {
        let mut order: Vec<Server> = Vec::new();
        let known = self.members.iter().chain(&self.configured);
        for server in self.leader.iter().chain(&self.current).chain(known) {
            if !order.contains(server) {
                order.push(server.clone());
            }
        }
        // Stable, and nobody is avoided before everybody else.
        order.sort_by_key(|server| self.avoided.get(server).copied().filter(|until| *until > now));
        order
    }

    /// Every address that is used.
    pub(crate) fn all(&self) -> Vec<Server> {
        self.members.iter().chain(&self.configured).cloned().collect()
    }

    /// Who leads, as far as anybody said.
    pub(crate) fn leader(&self) -> Option<&Server> {
        self.leader.as_ref()
    }

    /// Whether it failed of late.
    pub(crate) fn is_avoided(&self, server: &Server, now: Instant) -> bool {
        self.avoided.get(server).is_some_and(|until| *until > now)
    }

    /// It answered, and perhaps said who leads. Returns whether that is somebody who is not known as a master.
    pub(crate) fn answered(&mut self, server: &Server, leader: Option<Server>) -> bool {
        self.avoided.remove(server);
        self.current = Some(server.clone());
        let Some(leader) = leader else { return false };
        let is_unknown = !self.members.contains(&leader);
        self.leader = Some(leader);
        is_unknown
    }

    /// It did not answer, or could not do what a master does.
    pub(crate) fn failed(&mut self, server: &Server, now: Instant) {
        self.avoided.insert(server.clone(), now + AVOIDED_FOR);
        if self.current.as_ref() == Some(server) {
            self.current = None;
        }
    }

    /// The masters said who they are.
    pub(crate) fn replace(&mut self, members: Vec<Server>, leader: Option<Server>) {
        if !members.is_empty() {
            self.members = members;
        }
        self.leader = leader.or(self.leader.take()).filter(|leader| self.members.contains(leader));
        let all = self.all();
        self.current.take_if(|current| !all.contains(current));
        self.avoided.retain(|server, _| all.contains(server));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str) -> Server {
        format!("https://{host}:1").parse().expect("server")
    }

    fn servers(hosts: &str) -> Vec<Server> {
        hosts.split_whitespace().map(server).collect()
    }

    /// What happens, and in which order the masters are asked then.
    fn check(given: &[(&str, u64, &str)], at_s: u64, expect: &str) {
        base::env::simulate(1, async {
            let start = base::env::monotonic();
            let at = |seconds| start + Duration::from_secs(seconds);
            let mut roster = Roster::new(servers("a b c"));
            for (what, at_s, who) in given {
                let (first, rest) = who.split_once(" by ").unwrap_or((who, ""));
                match *what {
                    "answered" => drop(roster.answered(&server(first), None)),
                    "leads" => drop(roster.answered(&server(rest), Some(server(first)))),
                    "failed" => roster.failed(&server(first), at(*at_s)),
                    "members" => roster.replace(servers(first), None),
                    other => panic!("{other}"),
                }
            }
            let order: Vec<String> =
                roster.order(at(at_s)).iter().map(|server| server.host().to_owned()).collect();
            assert_eq!(order.join(" "), expect, "{given:?}");
        });
    }

    #[test]
    fn the_leader_is_asked_first_and_who_failed_last() {
        check(&[], 0, "a b c");
        check(&[("answered", 0, "b")], 0, "b a c");
        check(&[("leads", 0, "c by b")], 0, "c b a");
        check(&[("failed", 0, "a")], 1, "b c a");
        check(&[("failed", 0, "b"), ("failed", 1, "a")], 2, "c b a");
        check(&[("failed", 0, "a")], 6, "a b c");
        check(&[("failed", 0, "a"), ("answered", 1, "a")], 2, "a b c");
        check(&[("leads", 0, "c by b"), ("failed", 1, "c")], 2, "b a c");
        check(&[("answered", 0, "b"), ("failed", 1, "b")], 9, "a b c");
    }

    #[test]
    fn what_was_configured_is_the_last_resort() {
        check(&[("members", 0, "d e")], 0, "d e a b c");
        check(&[("leads", 0, "a by b"), ("members", 1, "d e")], 1, "b d e a c");
        check(&[("members", 0, "d e"), ("leads", 1, "e by d"), ("members", 2, "d f")], 2, "d f a b c");
        check(&[("members", 0, "d e"), ("members", 1, "")], 1, "d e a b c");
    }

    #[test]
    fn a_leader_that_nobody_knows_asks_for_a_new_list() {
        let mut roster = Roster::new(servers("a"));
        assert!(roster.answered(&server("a"), Some(server("d"))));
        roster.replace(servers("a d"), Some(server("d")));
        assert!(!roster.answered(&server("a"), Some(server("d"))));
    }
}
