//! Random scales of valid objects: Kubernetes shows the same, refuses the same, and stores the same objects.

mod common;

use api::Resource;
use api::lens::Lens;
use common::mutate::{Pieces, mutate};
use common::oracle::Oracle;
use common::rules::{self, Told, rounds};
use common::samples::Sample;
use common::{Dice, samples};
use serde_json::{Value, json};

#[test]
fn scales_are_shown_accepted_and_refused_as_by_kubernetes() {
    let Some(mut oracle) = Oracle::start() else { return };
    let samples = samples::of("workloads");
    let pieces = Pieces::of(samples.iter().map(|sample| &sample.object));
    let mut told = Told::default();
    for (at, Sample { row, object }) in samples.iter().filter(|sample| sample.row.scale.is_some()).enumerate()
    {
        let lens = Lens::of(row, "scale");
        let valid = rules::create(&mut oracle, object, row).stored();
        for seed in 0..rounds() {
            let mut dice = Dice::new(seed * 1_000 + at as u64 + 1);
            let mut old = valid.clone();
            resize(&mut old, row, &mut dice);
            let seen = lens.read(old.to_string().as_bytes()).expect("an object");
            let shown: Value = serde_json::from_slice(&seen.bytes(&lens.shown)).expect("JSON");
            assert_eq!(
                shown,
                oracle.ask(&json!({"operation": "rescale", "current": old}))["object"],
                "{old}"
            );
            let mut new = shown.clone();
            mutate(
                &mut new,
                &lens.shown.schema,
                if dice.chance(2) { "/spec" } else { "" },
                &mut dice,
                &pieces,
            );
            rules::keep_name(&mut new, &shown);
            told.note(&row.kind, seed, &rules::rescale(&mut oracle, &new, &old, row), &new, &old);
        }
    }
    told.must_agree();
}

/// Gives an object other numbers of replicas, and now and then another selector.
fn resize(object: &mut Value, row: &Resource, dice: &mut Dice) {
    object["spec"]["replicas"] = dice.below(4).into();
    object["status"]["replicas"] = dice.below(4).into();
    if dice.chance(3) {
        object["spec"]["selector"] = if row.kind == "ReplicationController" {
            json!({"z": "y", "app": "web"})
        } else {
            let values = json!(["web", "a"]);
            let term = match dice.one_of(&["In", "NotIn", "Exists", "DoesNotExist"]) {
                operator @ ("In" | "NotIn") => json!({"key": "app", "operator": operator, "values": values}),
                operator => json!({"key": "tier", "operator": operator}),
            };
            json!({"matchLabels": {"app": "web", "z": ""}, "matchExpressions": [term, {"key": "b", "operator": "Exists"}]})
        };
    }
}
