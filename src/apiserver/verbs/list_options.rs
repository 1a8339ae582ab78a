//! Which part of a collection a list, a watch or a delete is about, and of which revision.

use api::{FieldError, GroupResource, Status};

use super::Call;
use crate::filter::Filter;
use crate::request::Query;

/// What the query of such a request says beside its selectors.
#[derive(Debug)]
pub(super) struct ListOptions {
    /// How many objects at most; 0: all.
    pub(super) limit: usize,
    /// How long a watch lasts.
    pub(super) timeout_seconds: Option<i64>,
    /// `sendInitialEvents`, if it is given.
    pub(super) send_initial_events: Option<bool>,
}

impl ListOptions {
    /// Reads and checks the options of a call, with its selectors.
    ///
    /// # Errors
    /// 400 for what cannot be read, 422 for what does not go together.
    pub(super) fn of(call: &Call) -> Result<(Self, Filter), Status> {
        let query = &call.query;
        let timeout_seconds = query.number("timeoutSeconds")?;
        let limit = query.number("limit")?.unwrap_or(0);
        let options = Self {
            // Less than nothing is no limit.
            limit: usize::try_from(limit).unwrap_or(0),
            timeout_seconds,
            send_initial_events: query.has("sendInitialEvents").then(|| query.is_true("sendInitialEvents")),
        };
        let filter = Filter::of(query, call.lens.clone(), &call.path.name)?;
        let is_watch = query.is_true("watch");
        let errors = if is_watch { watch_errors(query) } else { list_errors(query) };
        if errors.is_empty() {
            return Ok((options, filter));
        }
        let kind = GroupResource { group: "meta.k8s.io", resource: "ListOptions" };
        Err(Status::invalid(kind, "", &errors))
    }
}

const MATCH: &str = "resourceVersionMatch";
const INITIAL: &str = "sendInitialEvents";

fn list_errors(query: &Query) -> Vec<FieldError> {
    let (matching, revision) = (query.get(MATCH), query.get("resourceVersion"));
    let rules = [
        (revision.is_empty(), "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        (!query.get("continue").is_empty(), "resourceVersionMatch is forbidden when continue is provided"),
    ];
    let exact = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
    let mut errors = Vec::new();
    if !matching.is_empty() {
        errors.extend(broken(&rules));
        if !matches!(matching, "Exact" | "NotOlderThan") {
            errors.push(FieldError::not_supported(MATCH, matching, &["Exact", "NotOlderThan", ""]));
        }
        errors.extend(broken(&[(matching == "Exact" && revision == "0", exact)]));
    }
    if query.has(INITIAL) {
        errors.push(FieldError::forbidden(INITIAL, "sendInitialEvents is forbidden for list"));
    }
    errors
}

fn watch_errors(query: &Query) -> Vec<FieldError> {
    let matching = query.get(MATCH);
    let (is_odd, is_initial) = (matching != "NotOlderThan", query.has(INITIAL));
    let requires = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
    let alone = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
    let mut errors =
        broken(&[(is_initial && is_odd, requires), (!is_initial && !matching.is_empty(), alone)]);
    if !matching.is_empty() {
        errors.extend(is_odd.then(|| FieldError::not_supported(MATCH, matching, &["NotOlderThan"])));
        let continues = !query.get("continue").is_empty();
        errors.extend(broken(&[(continues, "resourceVersionMatch is forbidden when continue is provided")]));
    }
    errors
}

/// The rules of [`MATCH`] that are broken.
fn broken(rules: &[(bool, &str)]) -> Vec<FieldError> {
    let broken = rules.iter().filter(|(is_broken, _)| *is_broken);
    broken.map(|(_, why)| FieldError::forbidden(MATCH, why)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together() {
        let told = |query: &str, errors: fn(&Query) -> Vec<FieldError>| {
            errors(&Query::parse(query)).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let lists = [
            ("", vec![]),
            ("resourceVersion=5&resourceVersionMatch=Exact", vec![]),
            (
                "sendInitialEvents",
                vec!["sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"],
            ),
            (
                "resourceVersionMatch=Nearly&continue=x",
                vec![
                    "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
                    "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided",
                    r#"resourceVersionMatch: Unsupported value: "Nearly": supported values: "Exact", "NotOlderThan", """#,
                ],
            ),
            (
                "resourceVersion=0&resourceVersionMatch=Exact",
                vec![
                    r#"resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0""#,
                ],
            ),
        ];
        for (query, expect) in lists {
            assert_eq!(told(query, list_errors), expect, "{query}");
        }
        let watches = [
            ("", vec![]),
            ("sendInitialEvents=false&resourceVersionMatch=NotOlderThan", vec![]),
            (
                "sendInitialEvents=true",
                vec![
                    "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                ],
            ),
            (
                "resourceVersionMatch=Exact",
                vec![
                    "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                    r#"resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan""#,
                ],
            ),
        ];
        for (query, expect) in watches {
            assert_eq!(told(query, watch_errors), expect, "{query}");
        }
    }
}
