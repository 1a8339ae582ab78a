//! `networking.k8s.io/v1 NetworkPolicy`: who may talk to which pods.

use crate::resource::{Particular, Strategy};
use crate::validate::at::At;
use crate::validate::network::Range;
use crate::validate::text;

/// What is particular.
pub static KIND: Particular = Particular {
    group: "networking.k8s.io",
    kind: "NetworkPolicy",
    counted: Some("spec"),
    declared: &[
        ("spec.ingress[].from[].ipBlock.cidr", "Required value"),
        ("spec.egress[].to[].ipBlock.cidr", "Required value"),
    ],
    strategy: Strategy {
        validate: |new| spec(new.field("spec"), &Tolerated::default()),
        validate_update: |new, old| spec(new.field("spec"), &Tolerated::of(old.field("spec"))),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

/// What was allowed once, and stays so.
#[derive(Default)]
struct Tolerated<'a> {
    /// Values in selectors that no label has.
    label_values: bool,
    ranges: Vec<&'a str>,
}

impl<'a> Tolerated<'a> {
    fn of(old: At<'a>) -> Self {
        let mut ranges = Vec::new();
        for block in peers(old).map(|peer| peer.field("ipBlock")).filter(|block| block.is_set()) {
            ranges.push(block.field("cidr").text());
            ranges.extend(block.field("except").items().map(At::text));
        }
        Self { label_values: old.field("podSelector").has_odd_label_values(), ranges }
    }

    fn check_range(&self, range: At<'_>) {
        if !self.ranges.contains(&range.text()) {
            range.check(text::legacy_cidr);
        }
    }

    fn check_selector(&self, selector: At<'_>) {
        selector.label_selector_unless(self.label_values);
    }
}

/// Where rules of each direction name the other side.
const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

fn peers<'a>(spec: At<'a>) -> impl Iterator<Item = At<'a>> {
    let of = move |(rules, side)| spec.field(rules).items().flat_map(move |rule| rule.field(side).items());
    DIRECTIONS.into_iter().flat_map(of)
}

fn spec(spec: At<'_>, tolerated: &Tolerated<'_>) {
    tolerated.check_selector(spec.field("podSelector"));
    for (rules, side) in DIRECTIONS {
        for rule in spec.field(rules).items() {
            rule.field("ports").items().for_each(port);
            rule.field(side).items().for_each(|each| peer(each, tolerated));
        }
    }
    let types = spec.field("policyTypes");
    if types.count() > 2 {
        return types.invalid("may not specify more than two policyTypes");
    }
    types.items().for_each(|kind| kind.one_of(&["Ingress", "Egress"]));
}

fn port(at: At<'_>) {
    let (protocol, port, end) = (at.field("protocol"), at.field("port"), at.field("endPort"));
    if protocol.is_set() {
        protocol.one_of(&["TCP", "UDP", "SCTP"]);
    }
    if port.is_set() {
        port.port_number_or_name();
    }
    match (port.int(), end.int()) {
        (Some(first), Some(last)) => {
            if last < first {
                end.invalid("must be greater than or equal to `port`");
            }
            end.port_number();
        }
        (None, Some(_)) if port.is_set() => end.invalid("may not be specified when `port` is non-numeric"),
        (None, Some(_)) => end.invalid("may not be specified when `port` is not specified"),
        _ => {}
    }
}

fn peer(peer: At<'_>, tolerated: &Tolerated<'_>) {
    let selectors = ["podSelector", "namespaceSelector"].map(|field| peer.field(field));
    let block = peer.field("ipBlock");
    for selector in selectors {
        tolerated.check_selector(selector);
    }
    if block.is_set() {
        ip_block(block, tolerated);
    }
    let has_selector = selectors.iter().any(|selector| selector.is_set());
    match (has_selector, block.is_set()) {
        (false, false) => peer.required("must specify a peer"),
        (true, true) => peer.forbidden("may not specify both ipBlock and another peer"),
        _ => {}
    }
}

fn ip_block(block: At<'_>, tolerated: &Tolerated<'_>) {
    let whole = block.field("cidr");
    if !whole.require_text() {
        return;
    }
    tolerated.check_range(whole);
    let Some(range) = Range::parse(whole.text()) else { return };
    for except in block.field("except").items() {
        tolerated.check_range(except);
        if Range::parse(except.text()).is_some_and(|except| !range.holds(except)) {
            except.invalid("must be a strict subset of `cidr`");
        }
    }
}
