//! Each check finds its own violation, and nothing in evidence that is in order.

use super::*;
use crate::evidence::{Listing, Operation, Outcome, Read, WatchLog, Write};
use crate::watch::{Event, EventKind};

fn write(name: &str, operation: Operation, outcome: Outcome, at_us: u64) -> Write {
    Write { name: name.into(), operation, outcome, started_us: at_us, ended_us: at_us + 5 }
}

fn event(kind: EventKind, name: &str, value: &str, revision: u64) -> Event {
    Event { kind, name: name.into(), value: value.into(), revision }
}

/// Three writes to `a`, one of unknown outcome to `b`, one refused to `c`; all in order.
fn sound() -> Evidence {
    let listing = |master: &str| Listing {
        master: master.into(),
        objects: [("b".to_owned(), ("created".to_owned(), 7)), ("d".to_owned(), ("created".to_owned(), 9))]
            .into(),
    };
    let watch = |masters: &[&str]| WatchLog {
        from: 4,
        events: vec![
            event(EventKind::Added, "a", "created", 5),
            event(EventKind::Modified, "a", "updated", 6),
            event(EventKind::Bookmark, "", "", 6),
            event(EventKind::Added, "b", "created", 7),
            event(EventKind::Deleted, "a", "updated", 8),
            event(EventKind::Added, "d", "created", 9),
        ],
        masters: masters.iter().map(|master| (*master).to_owned()).collect(),
        failure: None,
    };
    Evidence {
        writes: vec![
            write("a", Operation::Create, Outcome::Acknowledged(Some(5)), 10),
            write("a", Operation::Update, Outcome::Acknowledged(Some(6)), 20),
            write("b", Operation::Create, Outcome::Open, 20),
            write("c", Operation::Create, Outcome::Refused(String::new()), 20),
            write("a", Operation::Delete, Outcome::Acknowledged(None), 30),
            write("d", Operation::Create, Outcome::Acknowledged(Some(9)), 40),
        ],
        reads: vec![Read { master: "m1".into(), revision: 6, started_us: 28 }],
        listings: vec![listing("m1"), listing("m2")],
        watches: vec![watch(&["m1", "m2"]), watch(&["m3"])],
        verify_failure: None,
    }
}

/// Breaks sound evidence and checks which checks notice.
fn check(what: &str, break_it: impl Fn(&mut Evidence), expect: &[&str]) {
    let mut evidence = sound();
    break_it(&mut evidence);
    let noticed: Vec<&str> =
        CHECKS.iter().filter(|check| !(check.find)(&evidence).is_empty()).map(|check| check.name).collect();
    assert_eq!(noticed, expect, "{what}:\n{}", violations(&evidence));
}

#[test]
fn sound_evidence_has_no_violation() {
    check("nothing broken", |_| {}, &[]);
    check(
        "a write of unknown outcome did not happen",
        |e| {
            e.listings.iter_mut().for_each(|listing| _ = listing.objects.remove("b"));
            e.watches.iter_mut().for_each(|watch| watch.events.retain(|event| event.name != "b"));
        },
        &[],
    );
}

#[test]
fn what_is_lost_or_done_twice_is_found() {
    check(
        "an acknowledged write is lost",
        |e| e.listings.iter_mut().for_each(|listing| _ = listing.objects.remove("d")),
        &["acknowledged"],
    );
    check(
        "a deleted object is back",
        |e| {
            for listing in &mut e.listings {
                listing.objects.insert("a".into(), ("updated".into(), 6));
            }
        },
        &["acknowledged"],
    );
    check(
        "a write took effect twice",
        |e| {
            e.watches
                .iter_mut()
                .for_each(|watch| watch.events.push(event(EventKind::Modified, "a", "updated", 10)))
        },
        &["applied_once"],
    );
    check(
        "a refused write took effect",
        |e| {
            e.watches
                .iter_mut()
                .for_each(|watch| watch.events.push(event(EventKind::Added, "c", "created", 10)))
        },
        &["applied_once"],
    );
    check(
        "an object that nobody wrote",
        |e| e.listings.iter_mut().for_each(|l| _ = l.objects.insert("x".into(), ("created".into(), 3))),
        &["applied_once"],
    );
}

#[test]
fn stale_reads_false_refusals_and_differences_are_found() {
    check("a stale read", |e| e.reads[0].revision = 5, &["fresh_reads"]);
    check(
        "refused by itself",
        |e| e.writes[3].outcome = Outcome::Refused("AlreadyExists".into()),
        &["refusals"],
    );
    check("hashes differ", |e| e.verify_failure = Some("m1 and m2 differ at 9".into()), &["replicas_agree"]);
    check(
        "one master differs",
        |e| _ = e.listings[1].objects.insert("d".into(), ("created".into(), 8)),
        &["replicas_agree"],
    );
}

#[test]
fn revisions_out_of_order_are_found() {
    check(
        "a revision given twice",
        |e| {
            e.writes[5].outcome = Outcome::Acknowledged(Some(6));
            e.writes[5].started_us = 20;
            e.watches.clear();
        },
        &["revisions_rise"],
    );
    check(
        "a revision that falls",
        |e| {
            e.writes[5].outcome = Outcome::Acknowledged(Some(4));
            e.watches.clear();
        },
        &["revisions_rise"],
    );
    check(
        "a gap in both watches",
        |e| e.watches.iter_mut().for_each(|w| _ = w.events.pop()),
        &["watches_exact"],
    );
    check("a gap in one watch", |e| _ = e.watches[1].events.remove(3), &["watches_exact"]);
    check("a watch that went back", |e| e.watches[1].events.swap(3, 4), &["watches_exact"]);
    check("a 410", |e| e.watches[0].failure = Some("410 Expired".into()), &["watches_exact"]);
    check(
        "an event seen twice",
        |e| {
            let again = e.watches[0].events[5].clone();
            e.watches[0].events.push(again);
        },
        &["applied_once", "watches_exact"],
    );
}
