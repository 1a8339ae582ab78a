//! `kctl describe`: all about an object. One file for each kind with a layout of its own; the others share one.

mod deployment;
mod events;
mod generic;
mod node;
mod page;
mod pod;
mod pod_template;
mod service;

use serde_json::Value;

use crate::failure::{Failure, Tally};
use crate::flags::{Files, Select};
use crate::manifest;
use crate::screen::{Screen, warn};
use crate::server::{Call, Server};
use crate::targets::{Given, Target, list, resolve};
pub use deployment::template_text;
use page::Page;

/// Which objects.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// TYPE, TYPE NAME..., TYPE/NAME..., or a TYPE with what names begin with.
    words: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    select: Select,
    /// With what happened to them.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", hide_default_value = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    show_events: bool,
}

/// An object, and other objects that tell more of it.
struct Subject<'a> {
    object: &'a Value,
    /// What was asked for besides, by its name in [`Layout::besides`]. What could not be read is missing.
    besides: Vec<Value>,
}

/// How a kind is described.
struct Layout {
    group: &'static str,
    kind: &'static str,
    /// Paths of lists that tell more: path and query.
    besides: fn(&Value) -> Vec<Call>,
    /// Writes the page.
    write: fn(&Subject<'_>, &mut Page),
}

const LAYOUTS: &[Layout] = &[deployment::LAYOUT, node::LAYOUT, pod::LAYOUT, service::LAYOUT];

const GENERIC: Layout = Layout { group: "", kind: "", besides: |_| Vec::new(), write: generic::write };

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let given = Given { words: &args.words, files: &args.files, select: &args.select, all: false };
    let targets = resolve(given, server)?;
    let mut tally = Tally::default();
    let mut printed = 0;
    for target in &targets {
        let Some(found) = tally.take(found(args, target, server).await)? else { continue };
        for object in found {
            let gap = if printed > 0 { "\n\n" } else { "" };
            screen.print(&format!("{gap}{}", described(args, target, &object, server).await))?;
            printed += 1;
        }
    }
    let outcome = tally.close();
    if printed == 0 && outcome.is_ok() {
        match targets.iter().find(|target| !target.namespace.is_empty()) {
            Some(target) => warn(&format!("No resources found in {} namespace.", target.namespace)),
            None => warn("No resources found"),
        }
    }
    outcome
}

/// The object of that name, else those whose names begin so.
async fn found(args: &Args, target: &Target, server: &Server) -> Result<Vec<Value>, Failure> {
    if target.name.is_empty() {
        return list(server, target, &args.select).await;
    }
    let failure = match target.read(server).await {
        Ok(object) => return Ok(vec![object]),
        Err(failure) if failure.is("NotFound") => failure,
        Err(failure) => return Err(failure),
    };
    let all = Target { name: String::new(), ..target.clone() };
    let mut alike = list(server, &all, &args.select).await.unwrap_or_default();
    alike.retain(|object| manifest::name(object).starts_with(&target.name));
    if alike.is_empty() { Err(failure) } else { Ok(alike) }
}

async fn described(args: &Args, target: &Target, object: &Value, server: &Server) -> String {
    let is_its = |layout: &&Layout| (layout.group, layout.kind) == (&target.kind.group, &target.kind.kind);
    let layout = LAYOUTS.iter().find(is_its).unwrap_or(&GENERIC);
    let mut besides = Vec::new();
    for call in (layout.besides)(object) {
        besides.push(server.json(call).await.unwrap_or_default());
    }
    let mut page = Page::default();
    (layout.write)(&Subject { object, besides }, &mut page);
    if args.show_events {
        let known = server.json(events::call(object)).await;
        events::write(known.ok().as_ref(), object, &mut page);
    }
    page.text()
}

/// Name, namespace, labels and annotations, with which every page begins.
fn begin(object: &Value, page: &mut Page, between: impl FnOnce(&mut Page)) {
    page.field(0, "Name", manifest::name(object));
    if !manifest::namespace(object).is_empty() {
        page.field(0, "Namespace", manifest::namespace(object));
    }
    between(page);
    page.field(0, "Labels", pairs(&object["metadata"]["labels"], "="));
    let mut annotations = object["metadata"]["annotations"].clone();
    if let Some(members) = annotations.as_object_mut() {
        members.shift_remove(crate::verbs::LAST_APPLIED);
    }
    page.field(0, "Annotations", pairs(&annotations, ": "));
}

/// Members one below the other, `<none>` without any.
fn pairs(members: &Value, sign: &str) -> String {
    let members = members.as_object().filter(|members| !members.is_empty());
    let Some(members) = members else { return "<none>".to_owned() };
    let mut lines: Vec<String> =
        members.iter().map(|(name, value)| format!("{name}{sign}{}", text(value))).collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// A value between other text.
fn text(value: &Value) -> String {
    crate::jsonpath::plain(value)
}

/// The same, or what stands for nothing.
fn text_or(value: &Value, none: &str) -> String {
    Some(text(value)).filter(|text| !text.is_empty()).unwrap_or_else(|| none.to_owned())
}

/// The items of a list, of which there are none where there is no list.
fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A moment as people write it: `Sun, 22 Nov 2026 04:26:44 +0000`.
fn moment(value: &Value) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const DAY_US: i64 = 24 * 3600 * 1_000_000;
    let written = value.as_str().unwrap_or_default();
    let Some(at) = api::time::parse(written) else { return written.to_owned() };
    let utc = api::time::seconds(at);
    let number = |from: usize| utc.get(from..from + 2).and_then(|digits| digits.parse::<usize>().ok());
    let weekday = usize::try_from(at.div_euclid(DAY_US).rem_euclid(7)).unwrap_or(0);
    let month = number(5).and_then(|month| MONTHS.get(month.checked_sub(1)?)).unwrap_or(&"");
    format!("{}, {:02} {month} {} {} +0000", DAYS[weekday], number(8).unwrap_or(0), &utc[..4], &utc[11..19])
}

/// How long ago a moment was, in a word.
fn ago(value: &Value) -> String {
    let now = i64::try_from(base::env::wall_ms()).unwrap_or(i64::MAX).saturating_mul(1000);
    let at = value.as_str().and_then(api::time::parse);
    at.map_or_else(|| "<unknown>".to_owned(), |at| api::time::span(now.saturating_sub(at)))
}

/// Conditions, as far as they are known.
fn conditions(object: &Value, page: &mut Page) {
    let all = items(&object["status"]["conditions"]);
    if all.is_empty() {
        return;
    }
    page.head(0, "Conditions");
    page.line(1, &["Type", "Status", "Reason", "Message"]);
    page.line(1, &["----", "------", "------", "-------"]);
    for one in all {
        let cells = ["type", "status", "reason", "message"].map(|name| text(&one[name]));
        page.line(1, &cells.each_ref().map(String::as_str));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::Expect;
    use serde_json::json;

    use super::*;

    /// What a kind's page says of an object.
    pub fn check(layout: &Layout, object: &Value, besides: Vec<Value>, expected: &Expect) {
        let mut page = Page::default();
        (layout.write)(&Subject { object, besides }, &mut page);
        expected.assert_eq(&page.text());
    }

    #[test]
    fn moments_are_written_out() {
        assert_eq!(moment(&json!("2026-11-22T04:26:44Z")), "Sun, 22 Nov 2026 04:26:44 +0000");
        assert_eq!(moment(&json!("1970-01-01T00:00:00Z")), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(moment(&json!("then")), "then");
    }
}
