//! Whether a master that asks to join gets an id, and which. Pure.

use base::ids::NodeId;
use state::Guard;

use super::records::{self, KnownMember, MemberRecord};
use super::view::JoinRequest;
use crate::identity::is_name;
use crate::token::TokenRecord;

/// The answer to a request to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Write a new record under this guard: its revision is the id.
    Allocate(Guard),
    /// The same attempt was answered before, and the answer got lost: this id.
    Again(NodeId),
    /// Not like this. The text says what to do.
    Refuse(String),
}

/// Decides on `request`, given the records of all masters and which ids are in Raft's membership.
///
/// A name whose record is not in the membership belongs to a join that never ended: the next one takes
/// the name over, with an id of its own.
pub fn decide(request: &JoinRequest, known: &[KnownMember], is_member: impl Fn(NodeId) -> bool) -> Admission {
    if !is_name(&request.name) {
        return Admission::Refuse(format!("{:?} is no name for a master", request.name));
    }
    let taken = known.iter().find(|other| {
        let clash = other.record.api == request.api || other.record.peer == request.peer;
        clash && other.name != request.name && is_member(other.node)
    });
    if let Some(other) = taken {
        return Admission::Refuse(format!(
            "master {} already has the address {} or {}: give this one addresses of its own, or run \
             `kctl cluster remove {}` first if it is gone",
            other.name, request.api, request.peer, other.name
        ));
    }
    let key = api::Key::internal(records::MEMBERS, &request.name);
    match known.iter().find(|other| other.name == request.name) {
        None => Admission::Allocate(Guard::Absent { key }),
        Some(same) if same.record.attempt == request.attempt => Admission::Again(same.node),
        Some(member) if is_member(member.node) => Admission::Refuse(format!(
            "a master named {} is a member already: choose another name; or, if it is dead or its data is gone, \
             run `kctl cluster remove {}` and join again",
            request.name, request.name
        )),
        Some(left) => Admission::Allocate(Guard::AtRevision { key, revision: left.revision }),
    }
}

/// The record of the token that `request` shows: `stored` under its id, or else, when that is used up, the
/// one that let in the same attempt.
pub fn token<'a>(
    request: &JoinRequest,
    stored: Option<&'a TokenRecord>,
    known: &'a [KnownMember],
) -> Option<&'a TokenRecord> {
    let same =
        |member: &&KnownMember| member.name == request.name && member.record.attempt == request.attempt;
    stored.or_else(|| known.iter().find(same)?.record.token.as_ref())
}

/// The record that allocates an id to `request`, which `token` lets in.
pub fn record(request: &JoinRequest, token: TokenRecord) -> MemberRecord {
    MemberRecord {
        node: None,
        attempt: request.attempt.clone(),
        api: request.api.clone(),
        peer: request.peer.clone(),
        token: Some(token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::AuthorityHash;
    use crate::token::Token;

    fn request(name: &str, host: &str, attempt: &str) -> JoinRequest {
        JoinRequest {
            token: Token::random(AuthorityHash([0; 32])).credential(),
            attempt: attempt.to_owned(),
            name: name.to_owned(),
            api: format!("{host}:6443").parse().expect("address"),
            peer: format!("{host}:6444").parse().expect("address"),
        }
    }

    fn known(name: &str, host: &str, node: NodeId) -> KnownMember {
        let token = Token::random(AuthorityHash([0; 32])).record(0, 1);
        let record = record(&request(name, host, &format!("attempt-{name}")), token);
        KnownMember { name: name.to_owned(), node, revision: node, record }
    }

    fn check(request: &JoinRequest, members: &[NodeId]) -> Admission {
        let all = [known("master-1", "a", 1), known("master-2", "b", 7)];
        decide(request, &all, |node| members.contains(&node))
    }

    #[test]
    fn who_gets_which_id() {
        let key = |name| api::Key::internal(records::MEMBERS, name);
        let absent = Admission::Allocate(Guard::Absent { key: key("master-3") });
        assert_eq!(check(&request("master-3", "c", "x"), &[1, 7]), absent);
        let lost_reply = request("master-2", "b", "attempt-master-2");
        assert_eq!(check(&lost_reply, &[1]), Admission::Again(7));
        assert_eq!(check(&lost_reply, &[1, 7]), Admission::Again(7));
        let crashed_before = Admission::Allocate(Guard::AtRevision { key: key("master-2"), revision: 7 });
        assert_eq!(check(&request("master-2", "b", "y"), &[1]), crashed_before);
        assert_eq!(
            check(&request("master-3", "b", "y"), &[1]),
            absent,
            "an address of a master that never came"
        );
    }

    #[test]
    fn a_token_that_is_used_up_is_known_to_the_attempt_it_let_in() {
        let all = [known("master-1", "a", 1), known("master-2", "b", 7)];
        let its_own = all[1].record.token.as_ref();
        assert_eq!(token(&request("master-2", "b", "attempt-master-2"), None, &all), its_own);
        for stranger in [("master-2", "other"), ("master-3", "attempt-master-2")] {
            assert_eq!(token(&request(stranger.0, "b", stranger.1), None, &all), None, "{stranger:?}");
        }
        let fresh = all[0].record.token.as_ref();
        assert_eq!(token(&request("master-2", "b", "attempt-master-2"), fresh, &all), fresh);
    }

    #[test]
    fn who_is_refused_is_told_what_to_do() {
        let cases = [
            (request("master-2", "b", "wiped"), "kctl cluster remove master-2"),
            (request("master-3", "b", "x"), "kctl cluster remove master-2"),
            (request("Master", "c", "x"), "no name for a master"),
        ];
        for (request, expected) in cases {
            let Admission::Refuse(reason) = check(&request, &[1, 7]) else {
                panic!("{} was let in", request.name)
            };
            assert!(reason.contains(expected), "{reason}");
        }
    }
}
