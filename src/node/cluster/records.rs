//! The internal objects of State that the masters keep for themselves.

use api::Key;
use base::ids::NodeId;
use serde::{Deserialize, Serialize};
use state::{Guard, Meta, Object, State, Write};

use crate::address::HostPort;
use crate::token::TokenRecord;

/// The family of member records, by name.
pub const MEMBERS: &str = "members";
/// The family of token records, by id.
pub const TOKENS: &str = "tokens";

/// The id of the master that makes a cluster. Later ids are revisions of records written after its own,
/// so they are larger.
pub const FIRST_NODE: NodeId = 1;

/// Expired tokens that one transaction takes along: the next takes the rest.
const EXPIRED_MAX: usize = 100;

/// A write, and the condition that it is made under.
pub type Change = (Guard, Write);

/// A master that was given an id, whether it ever came or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Its id, if it was not allocated by this record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<NodeId>,
    /// The attempt that it was given to.
    pub attempt: String,
    /// `HOST:PORT` of its API.
    pub api: HostPort,
    /// `HOST:PORT` of its peer transport.
    pub peer: HostPort,
    /// The token that let it in, for the same attempt to ask again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<TokenRecord>,
}

/// A record as State holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownMember {
    /// Its name.
    pub name: String,
    /// Its id in Raft.
    pub node: NodeId,
    /// The revision of the record.
    pub revision: u64,
    /// The rest.
    pub record: MemberRecord,
}

/// The key of a record, and the write that stores it.
pub fn put(family: &str, name: &str, record: &impl Serialize) -> (Key, Write) {
    let key = Key::internal(family, name);
    let body = serde_json::to_vec(record).expect("records have only text keys and cannot fail to serialize");
    let write = Write::Put { key: key.clone(), body: body.into(), splice: None, meta: Meta::default() };
    (key, write)
}

/// Stores a record where there is none.
pub fn fresh(family: &str, name: &str, record: &impl Serialize) -> Change {
    let (key, put) = put(family, name, record);
    (Guard::Absent { key }, put)
}

/// A token's record as State holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownToken {
    key: Key,
    revision: u64,
    /// The rest.
    pub record: TokenRecord,
}

impl KnownToken {
    fn of(object: &Object) -> Option<Self> {
        let record = serde_json::from_slice(&object.bytes.to_bytes()).ok()?;
        Some(Self { key: object.key.clone(), revision: object.revision, record })
    }

    /// Takes one use off; the last one takes the record away.
    pub fn used(&self) -> Change {
        let left = TokenRecord { uses: self.record.uses.saturating_sub(1), ..self.record.clone() };
        let write = match left.uses {
            0 => Write::Delete { key: self.key.clone() },
            _ => put(TOKENS, self.key.name(), &left).1,
        };
        (self.unchanged(), write)
    }

    fn removed(self) -> Change {
        (self.unchanged(), Write::Delete { key: self.key })
    }

    fn unchanged(&self) -> Guard {
        Guard::AtRevision { key: self.key.clone(), revision: self.revision }
    }
}

/// The token of this id; `None` also when its record is of a form that this version does not know.
pub fn token(state: &State, id: &str) -> Option<KnownToken> {
    KnownToken::of(state.get(Key::internal(TOKENS, id).as_str())?)
}

/// Takes away tokens that have ended.
pub fn without_expired(state: &State, now_ms: u64) -> Vec<Change> {
    let tokens = state.range(&family(TOKENS)).filter_map(|object| KnownToken::of(object));
    let expired = tokens.filter(|token| token.record.is_expired(now_ms));
    expired.take(EXPIRED_MAX).map(KnownToken::removed).collect()
}

/// What the keys of a family begin with.
fn family(name: &str) -> String {
    format!("{}{name}/", api::key::INTERNAL)
}

/// The members that have a record, by name.
pub fn members(state: &State) -> Vec<KnownMember> {
    state.range(&family(MEMBERS)).filter_map(|object| known_member(object)).collect()
}

/// One of them.
pub fn member(state: &State, name: &str) -> Option<KnownMember> {
    known_member(state.get(Key::internal(MEMBERS, name).as_str())?)
}

fn known_member(object: &Object) -> Option<KnownMember> {
    let record: MemberRecord = serde_json::from_slice(&object.bytes.to_bytes()).ok()?;
    Some(KnownMember {
        name: object.key.name().to_owned(),
        node: record.node.unwrap_or(object.revision),
        revision: object.revision,
        record,
    })
}

#[cfg(test)]
mod tests {
    use state::{Batch, Entry, Outcome, Stamp, Txn, apply};

    use super::*;
    use crate::pki::AuthorityHash;
    use crate::token::Token;

    /// State after one more transaction, and what came of it.
    fn after(state: &State, changes: Vec<Change>) -> (State, Outcome) {
        let index = state.index() + 1;
        let stamp = Stamp { request: u128::from(index), actor: String::new() };
        let (guards, writes) = changes.into_iter().unzip();
        let batch = Batch { time_ms: 0, txns: vec![Txn { stamp, guards, writes }] };
        let mut applied = apply(state, &Entry { index, term: 1, batch: &batch });
        (applied.state, applied.outcomes.remove(0).1)
    }

    /// State with a token for each `(uses, made_ms)`, and their ids.
    fn given(tokens: &[(u32, u64)]) -> (State, Vec<String>) {
        let mut state = State::default();
        let mut ids = Vec::new();
        for (uses, made_ms) in tokens {
            let token = Token::random(AuthorityHash([0; 32]));
            ids.push(token.credential().id);
            let change = fresh(TOKENS, &token.credential().id, &token.record(*made_ms, *uses));
            state = after(&state, vec![change]).0;
        }
        (state, ids)
    }

    #[test]
    fn a_token_goes_with_its_last_use_and_lets_nobody_in_twice_at_once() {
        let (state, ids) = given(&[(2, 0)]);
        let seen = token(&state, &ids[0]).expect("a token");
        let (once, outcome) = after(&state, vec![seen.used()]);
        assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
        let left = token(&once, &ids[0]).expect("one use is left");
        assert_eq!(left.record, TokenRecord { uses: 1, ..seen.record.clone() });
        let (_, outcome) = after(&once, vec![seen.used()]);
        assert!(matches!(outcome, Outcome::Refused(_)), "two used what both had seen: {outcome:?}");
        let before_uses_were_counted = format!(r#"{{"hash":"{}","expires_ms":9}}"#, left.record.hash);
        let parsed: TokenRecord = serde_json::from_str(&before_uses_were_counted).expect("json");
        let last = KnownToken { record: parsed, ..left.clone() };
        assert_eq!(last.used(), left.used());
        let (spent, _) = after(&once, vec![left.used()]);
        assert_eq!(token(&spent, &ids[0]), None);
        assert_eq!(spent.range(&family(TOKENS)).count(), 0);
    }

    #[test]
    fn tokens_that_have_ended_are_taken_along_a_page_at_a_time() {
        let mut made = vec![(1, 0); EXPIRED_MAX + 1];
        made.push((1, 5));
        let (mut state, ids) = given(&made);
        let now_ms = crate::token::TOKEN_LIFETIME_MS + 1;
        for expected in [EXPIRED_MAX, 1, 0] {
            let changes = without_expired(&state, now_ms);
            assert_eq!(changes.len(), expected);
            state = after(&state, changes).0;
        }
        assert!(token(&state, ids.last().expect("the young one")).is_some());
        assert_eq!(state.range(&family(TOKENS)).count(), 1);
    }

    #[test]
    fn the_last_write_decides_the_id() {
        let (state, ids) = given(&[(1, 0)]);
        let used = token(&state, &ids[0]).expect("a token").used();
        let address: HostPort = "10.0.0.1:1".parse().expect("address");
        let record = MemberRecord {
            node: None,
            attempt: "a".to_owned(),
            api: address.clone(),
            peer: address,
            token: None,
        };
        let (state, outcome) = after(&state, vec![used, fresh(MEMBERS, "master-2", &record)]);
        let node = member(&state, "master-2").expect("a member").node;
        assert_eq!(outcome, Outcome::Committed { revision: node });
    }
}
