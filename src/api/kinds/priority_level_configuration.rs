//! `flowcontrol.apiserver.k8s.io/v1 PriorityLevelConfiguration`: how many requests are in work at once.

use super::flow_schema::conditions;
use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};

/// What is particular. The fixed values of the levels that every cluster has are not compared.
pub static KIND: Particular = Particular {
    group: "flowcontrol.apiserver.k8s.io",
    kind: "PriorityLevelConfiguration",
    counted: Some("spec"),
    declared: &[
        ("spec.exempt", "Forbidden"),
        ("spec.limited", "Forbidden"),
        ("spec.limited", "Required value"),
        ("spec.type", "Required value"),
        ("spec.limited.limitResponse.queuing", "Forbidden"),
        ("spec.limited.limitResponse.queuing", "Required value"),
        ("spec.limited.limitResponse.type", "Required value"),
    ],
    strategy: Strategy {
        validate,
        validate_update: |new, _| validate(new),
        validate_status: |new, _| conditions(new),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

const ZERO_SHARES: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";
const ENTROPY_BITS_MAX: i64 = 60;
const QUEUES_MAX: i64 = 10_000_000;
const RANGE: &str = "must be between 0 and 100, inclusive";
const NOT_NEGATIVE: &str = "must be a non-negative integer";

fn validate(new: Root<'_>) {
    if new.meta().annotations.contains_key(ZERO_SHARES) {
        new.meta_field("annotations").forbidden(&format!("annotation '{ZERO_SHARES}' is forbidden"));
    }
    let spec = new.field("spec");
    let (kind, exempt, limited) = (spec.field("type"), spec.field("exempt"), spec.field("limited"));
    if (new.meta().name == "exempt") != (kind.text() == "Exempt") {
        kind.invalid_value(kind.text(), "must be 'Exempt' if and only if `name` is 'exempt'");
    }
    kind.require_one_of(&["Exempt", "Limited"]);
    belongs(exempt, kind.text() == "Exempt", false);
    belongs(limited, kind.text() == "Limited", true);
    if kind.text() == "Exempt" {
        shares(exempt);
    }
    if limited.is_set() {
        response(limited.field("limitResponse"), kind.text() == "Limited");
        if kind.text() == "Limited" {
            limits(limited);
        }
    }
    conditions(new);
}

/// A part that stands with one type only.
fn belongs(part: At<'_>, fits: bool, required: bool) {
    if part.is_set() && !fits {
        part.forbidden("");
    } else if required && fits && !part.is_set() {
        part.required("");
    }
}

fn shares(part: At<'_>) {
    let (shares, lendable) = (part.field("nominalConcurrencyShares"), part.field("lendablePercent"));
    if shares.number() < 0 {
        shares.invalid(NOT_NEGATIVE);
    }
    if !(0..=100).contains(&lendable.number()) {
        lendable.invalid(RANGE);
    }
}

fn limits(limited: At<'_>) {
    shares(limited);
    let borrowed = limited.field("borrowingLimitPercent");
    if borrowed.number() < 0 {
        borrowed.invalid("if specified, must be a non-negative integer");
    }
}

/// Some of the rules hold wherever a response stands, some only where it counts.
fn response(response: At<'_>, counts: bool) {
    let (kind, queuing) = (response.field("type"), response.field("queuing"));
    if kind.require_text() && counts {
        kind.one_of(&["Queue", "Reject"]);
    }
    belongs(queuing, kind.text() == "Queue", true);
    if counts && kind.text() == "Queue" && queuing.is_set() {
        queues(queuing);
    }
}

fn queues(queuing: At<'_>) {
    let [length, queues, hand] = ["queueLengthLimit", "queues", "handSize"].map(|field| queuing.field(field));
    if length.number() <= 0 {
        length.invalid_value(length.number(), "must be positive");
    }
    if queues.number() <= 0 {
        queues.invalid_value(queues.number(), "must be positive");
    } else if queues.number() > QUEUES_MAX {
        queues.invalid(&format!("must not be greater than {QUEUES_MAX}"));
    }
    if hand.number() <= 0 {
        return hand.invalid_value(hand.number(), "must be positive");
    }
    if hand.number() > queues.number() {
        return hand.invalid(&format!("should not be greater than queues ({})", queues.number()));
    }
    if entropy_bits(queues.number(), hand.number()) > ENTROPY_BITS_MAX {
        hand.invalid(&format!(
            "required entropy bits of deckSize {} and handSize {} should not be greater than {ENTROPY_BITS_MAX}",
            queues.number(),
            hand.number()
        ));
    }
}

/// How much chance it takes to deal a hand from a deck.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "so does Kubernetes")]
fn entropy_bits(deck: i64, hand: i64) -> i64 {
    ((deck as f64).log2() * hand as f64).ceil() as i64
}
