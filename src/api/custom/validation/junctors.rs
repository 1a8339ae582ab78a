//! `anyOf`, `oneOf`, `allOf` and `not`.

use serde_json::Value;

use super::found::{Found, Mistake, Place, Wrong};
use super::run;
use crate::custom::structural::Rules;
use crate::field_error::quoted;

pub(super) fn junctors(
    value: &Value,
    rules: &Rules,
    place: &Place<'_>,
    old: Option<&Value>,
    found: &mut Found,
) {
    let name = || quoted(&place.to_string());
    if !rules.any_of.is_empty() {
        let mut best: Option<Found> = None;
        let good = rules.any_of.iter().find_map(|branch| {
            let branch = run(value, branch, place, old);
            if branch.is_good() {
                return Some(branch);
            }
            if best.as_ref().is_none_or(|best| branch.passed > best.passed) {
                best = Some(branch);
            }
            None
        });
        if good.is_none() {
            composite(found, format!("{} must validate at least one schema (anyOf)", name()));
        }
        found.merge(good.or(best).unwrap_or_default());
    }
    if !rules.one_of.is_empty() {
        let mut first: Option<Found> = None;
        let mut best: Option<Found> = None;
        let mut count = 0;
        for branch in &rules.one_of {
            let branch = run(value, branch, place, old);
            if branch.is_good() {
                count += 1;
                best = None;
                first.get_or_insert(branch);
            } else if count == 0 && best.as_ref().is_none_or(|best| branch.passed > best.passed) {
                best = Some(branch);
            }
        }
        let why = match count {
            0 => Some("Found none valid".to_owned()),
            1 => None,
            many => Some(format!("Found {many} valid alternatives")),
        };
        match why {
            Some(why) => {
                composite(found, format!("{} must validate one and only one schema (oneOf). {why}", name()));
                found.merge(best.unwrap_or_default());
            }
            None => found.merge(first.unwrap_or_default()),
        }
    }
    if !rules.all_of.is_empty() {
        let mut count = 0;
        for branch in &rules.all_of {
            let branch = run(value, branch, place, old);
            count += usize::from(branch.is_good());
            found.merge(branch);
        }
        if count != rules.all_of.len() {
            let why = if count == 0 { ". None validated" } else { "" };
            composite(found, format!("{} must validate all the schemas (allOf){why}", name()));
        }
    }
    if rules.not.as_ref().is_some_and(|not| run(value, not, place, old).is_good()) {
        composite(found, format!("{} must not validate the schema (not)", name()));
    }
}

fn composite(found: &mut Found, text: String) {
    found.push(Wrong { place: String::new(), mistake: Mistake::Composite, text });
}
