//! Answers of upstream servers, kept for as long as they say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::env::Instant;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// The longest that an answer is kept, whatever it says: names of the world move too.
const KEPT_MAX: Duration = Duration::from_secs(30);

/// What answers are kept by: the question, and whether signatures were wanted.
type Key = (Name, RecordType, DNSClass, bool);

/// A bounded number of answers. The one that ends first makes room.
#[derive(Debug)]
pub(crate) struct Cache {
    answers_max: usize,
    answers: BTreeMap<Key, Kept>,
    by_end: BTreeSet<(Instant, Key)>,
}

#[derive(Debug)]
struct Kept {
    answer: Message,
    since: Instant,
    until: Instant,
}

impl Cache {
    pub(crate) fn new(answers_max: usize) -> Self {
        Self { answers_max, answers: BTreeMap::new(), by_end: BTreeSet::new() }
    }

    /// The answer to the same question, with what is left of its time. Its id is another question's.
    pub(crate) fn get(&self, question: &Message, now: Instant) -> Option<Message> {
        let kept = self.answers.get(&key_of(question)?)?;
        if now >= kept.until {
            return None;
        }
        let mut answer = kept.answer.clone();
        let age_s = (now - kept.since).as_secs() as u32;
        let sections = [&mut answer.answers, &mut answer.authorities, &mut answer.additionals];
        for record in sections.into_iter().flatten() {
            record.decrement_ttl(age_s);
        }
        Some(answer)
    }

    /// Keeps an answer, if it says for how long.
    pub(crate) fn put(&mut self, question: &Message, answer: Message, now: Instant) {
        let (Some(key), Some(kept_for)) = (key_of(question), kept_for(&answer)) else { return };
        if let Some(old) = self.answers.remove(&key) {
            self.by_end.remove(&(old.until, key.clone()));
        }
        while self.answers.len() >= self.answers_max {
            let Some((_, first)) = self.by_end.pop_first() else { return };
            self.answers.remove(&first);
        }
        let until = now + kept_for;
        self.by_end.insert((until, key.clone()));
        self.answers.insert(key, Kept { answer, since: now, until });
    }
}

fn key_of(question: &Message) -> Option<Key> {
    let query = one_query(question)?;
    let signed = question.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
    Some((query.name().to_lowercase(), query.query_type(), query.query_class(), signed))
}

/// The question of a message that has one, as every message has in practice.
pub(crate) fn one_query(message: &Message) -> Option<&Query> {
    match &message.queries[..] {
        [query] => Some(query),
        _ => None,
    }
}

fn kept_for(answer: &Message) -> Option<Duration> {
    if answer.metadata.truncation {
        return None;
    }
    let seconds = match answer.metadata.response_code {
        ResponseCode::NoError if !answer.answers.is_empty() => {
            answer.answers.iter().map(|record| record.ttl).min()
        }
        ResponseCode::NoError | ResponseCode::NXDomain => answer.authorities.iter().find_map(negative_ttl_s),
        _ => None,
    };
    let kept = Duration::from_secs(seconds?.into()).min(KEPT_MAX);
    (!kept.is_zero()).then_some(kept)
}

/// How long it may be kept that there is nothing (RFC 2308).
fn negative_ttl_s(record: &Record) -> Option<u32> {
    match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    }
}
