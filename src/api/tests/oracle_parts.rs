//! Parts of objects that are written under paths of their own, changed at random, and what Kubernetes makes of that: the
//! same refusals, or the same objects stored.

mod common;

use std::collections::BTreeSet;

use api::RESOURCES;
use common::mutate::{Pieces, mutate};
use common::oracle::Oracle;
use common::rules::{self, Told, rounds};
use common::samples::Sample;
use common::{Dice, samples};
use serde_json::Value;

/// Where the parts of an object are.
const PLACES: &[(&str, &str)] = &[
    ("approval", "/status/conditions"),
    ("ephemeralcontainers", "/spec/ephemeralContainers"),
    ("finalize", "/spec"),
    ("resize", "/spec"),
    ("status", "/status"),
];

#[test]
fn statuses_are_accepted_and_refused_as_by_kubernetes() {
    check(|part| part == "status");
}

#[test]
fn other_parts_are_accepted_and_refused_as_by_kubernetes() {
    check(|part| part != "status");
}

/// Kinds without rules of their own. For the first, Kubernetes says in the words of its parser why a path is none; for
/// the others it compares what was issued or allocated with what was asked for: certificates with their keys, and
/// devices with requests, of which nothing here knows the rules.
const WITHOUT_RULES: &[(&str, &str)] = &[
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("certificates.k8s.io", "PodCertificateRequest"),
    ("resource.k8s.io", "ResourceClaim"),
];

#[test]
fn every_part_is_tried() {
    let tried: BTreeSet<(String, String)> = samples::json("parts")
        .iter()
        .map(|case| (sample(text(case, "sample")).row.plural.clone(), text(case, "part").to_owned()))
        .collect();
    for row in RESOURCES.iter().filter(|row| !row.is_one_of(WITHOUT_RULES)) {
        for part in row.subresources.iter().filter_map(|below| api::parts::find(row, &below.name)) {
            assert!(
                tried.contains(&(row.plural.clone(), part.of[2].to_owned())),
                "{} {}",
                row.kind,
                part.of[2]
            );
        }
    }
}

/// A part of a valid object: `old` is merged into the object that is there, `new` into the one that is sent.
fn check(is_meant: impl Fn(&str) -> bool) {
    let Some(mut oracle) = Oracle::start() else { return };
    let cases = samples::json("parts");
    let pieces = Pieces::of(&cases);
    let mut told = Told::default();
    for (at, case) in cases.iter().filter(|case| is_meant(text(case, "part"))).enumerate() {
        let Sample { row, object } = sample(text(case, "sample"));
        let part = api::parts::find(&row, text(case, "part")).expect("served");
        let (_, place) = PLACES.iter().find(|(name, _)| *name == part.of[2]).expect("a part");
        let mut old = rules::create(&mut oracle, &object, &row).stored();
        api::patch::merge(&mut old, &case["old"]);
        let mut wanted = old.clone();
        api::patch::merge(&mut wanted, &case["new"]);
        let what = format!("{} {}", row.kind, part.of[2]);
        for seed in 0..rounds() {
            let mut dice = Dice::new(seed * 1_000 + at as u64 + 1);
            let mut new = wanted.clone();
            if seed > 0 {
                let within = if dice.chance(6) { "" } else { place };
                mutate(&mut new, &row.schema, within, &mut dice, &pieces);
                rules::keep_name(&mut new, &old);
            }
            told.note(&what, seed, &rules::update(&mut oracle, &new, &old, &row, Some(part)), &new, &old);
        }
    }
    told.must_agree();
}

fn text<'c>(case: &'c Value, field: &str) -> &'c str {
    case[field].as_str().unwrap_or_else(|| panic!("{field} of {case}"))
}

/// The one of a file that has this name, or this number.
fn sample(named: &str) -> Sample {
    let (file, name) = named.split_once(' ').expect("a file and a name");
    let mut samples = samples::of(file);
    let at = name
        .parse()
        .ok()
        .or_else(|| samples.iter().position(|sample| sample.object["metadata"]["name"] == name));
    samples.swap_remove(at.unwrap_or_else(|| panic!("{named} is not there")))
}
