//! `kctl apply`

use http::Method;
use serde_json::{Map, Value, json};

use super::prune;
use super::written::Report;
use crate::failure::{Failure, Refusal, Tally};
use crate::flags::{DryRun, Files, Validate, Writing};
use crate::manifest;
use crate::patch::{Patch, three_way};
use crate::screen::{Screen, warn};
use crate::server::{Call, Server};
use crate::targets::{self, Target};

/// Which files, and how.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    writing: Writing,
    /// Let the server merge, which keeps account of who set which field.
    #[arg(long)]
    server_side: bool,
    /// Take over fields that others set. Only with --server-side.
    #[arg(long, requires = "server_side")]
    force_conflicts: bool,
    /// Who writes [default: kctl-client-side-apply, or kctl with --server-side].
    #[arg(long, value_name = "NAME")]
    field_manager: Option<String>,
    /// What changed meanwhile may be overwritten.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", hide_default_value = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    overwrite: bool,
    /// Where an object cannot be changed, delete it and create it anew.
    #[arg(long)]
    force: bool,
    /// What to do about fields that the server does not know.
    #[arg(long, value_enum, default_value_t = Validate::Strict, num_args = 0..=1, default_missing_value = "strict", value_name = "HOW")]
    validate: Validate,
    #[command(flatten)]
    prune: prune::Options,
}

/// Where an object remembers what was applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// How often a patch is made anew when the object changed meanwhile.
const ATTEMPTS_MAX: usize = 5;

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    if args.files.names.is_empty() {
        return Err(Failure::Usage("must specify at least one of -f FILE".to_owned()));
    }
    let mut report = Report::new(&args.writing, screen)?;
    let mut tally = Tally::default();
    let none = crate::flags::Select::default();
    let given = targets::Given { words: &[], files: &args.files, select: &none, all: false };
    let mut pruning = args.prune.begin(server)?;
    for target in args.prune.selected(targets::resolve(given, server)?)? {
        let outcome = one(args, &target, server).await;
        if let Some((done, object)) = tally.take(outcome)? {
            if let Some(pruning) = &mut pruning {
                pruning.keep(&target, &object);
            }
            report.add(&target, done, object)?;
        }
    }
    report.close()?;
    tally.close()?;
    let Some(pruning) = pruning else { return Ok(()) };
    let mut pruned = Report::new(&args.writing, screen)?;
    pruning.finish(server, args.writing.dry_run, &mut pruned).await?;
    pruned.close()
}

async fn one(args: &Args, target: &Target, server: &Server) -> Result<(&'static str, Value), Failure> {
    if target.name.is_empty() {
        return Err(Failure::Refused(format!(
            "error when applying \"{}\": resource name may not be empty",
            target.source
        )));
    }
    let object = target.object.clone().unwrap_or_default();
    if args.server_side {
        let applied = server_side(
            args.field_manager.as_deref(),
            args.force_conflicts,
            args.writing.dry_run,
            args.validate,
            target,
            &object,
            server,
        )
        .await?;
        return Ok(("serverside-applied", applied));
    }
    client_side(args, target, object, server).await
}

/// Sends the whole intent.
pub async fn server_side(
    manager: Option<&str>,
    force: bool,
    dry_run: DryRun,
    validate: Validate,
    target: &Target,
    object: &Value,
    server: &Server,
) -> Result<Value, Failure> {
    let call = Call::new(Method::PATCH, target.path())
        .with("fieldManager", manager.unwrap_or("kctl"))
        .with("fieldValidation", validate.query())
        .with("force", if force { "true" } else { "" })
        .with("dryRun", dry_run.query())
        .body("application/apply-patch+yaml", object);
    server.json(call).await.map_err(with_ways_out)
}

fn with_ways_out(failure: Failure) -> Failure {
    match failure {
        Failure::Server(refusal) if refusal.reason == "Conflict" => Failure::Server(Box::new(Refusal {
            message: format!(
                "{}\n  next: take the fields over with --force-conflicts, leave them out of the file, or give them the \
                 values that they have",
                refusal.message
            ),
            ..*refusal
        })),
        other => other,
    }
}

async fn client_side(
    args: &Args,
    target: &Target,
    object: Value,
    server: &Server,
) -> Result<(&'static str, Value), Failure> {
    let modified = with_last_applied(object);
    let mut attempt = 0;
    loop {
        attempt += 1;
        let reading = target.read_if_there(server).await;
        let reading = reading.map_err(|failure| {
            failure.doing(&format!("error when retrieving current configuration of {}", target.printed()))
        });
        let Some(current) = reading? else {
            return created(args, target, modified, server).await.map(|object| ("created", object));
        };
        if attempt == 1 && last_applied(&current).is_none() {
            warn(&missing_annotation(target));
        }
        let patch = patch(target, &modified, &current, args.overwrite);
        if patch.is_empty() {
            return Ok(("unchanged", current));
        }
        if args.writing.dry_run == DryRun::Client {
            return Ok(("configured", patched_here(target, current, &patch)));
        }
        let failure = match send(args, target, &patch, server).await {
            Ok(object) => return Ok(("configured", object)),
            Err(failure) => failure,
        };
        if failure.is("Conflict") && attempt < ATTEMPTS_MAX {
            continue;
        }
        if args.force && (failure.is("Conflict") || failure.is("Invalid")) {
            super::delete::gone(target, server).await?;
            return created(args, target, modified, server).await.map(|object| ("configured", object));
        }
        return Err(failure.doing(&format!(
            "error when applying patch to {} from \"{}\"",
            target.printed(),
            target.source
        )));
    }
}

async fn send(args: &Args, target: &Target, patch: &Patch, server: &Server) -> Result<Value, Failure> {
    let call = Call::new(Method::PATCH, target.path())
        .with("fieldManager", manager(args))
        .with("fieldValidation", args.validate.query())
        .with("dryRun", args.writing.dry_run.query())
        .body(patch.media, &patch.body);
    server.json(call).await
}

fn manager(args: &Args) -> &str {
    args.field_manager.as_deref().unwrap_or("kctl-client-side-apply")
}

async fn created(args: &Args, target: &Target, object: Value, server: &Server) -> Result<Value, Failure> {
    if args.writing.dry_run == DryRun::Client {
        return Ok(object);
    }
    let query = [
        ("fieldManager", manager(args)),
        ("fieldValidation", args.validate.query()),
        ("dryRun", args.writing.dry_run.query()),
    ];
    let created = targets::create(server, target, &object, &query).await;
    created.map_err(|failure| failure.doing(&format!("error when creating \"{}\"", target.source)))
}

/// The patch from what is there to what is wanted.
///
/// Without `overwrite` it names the version that it was made for, so that what changed meanwhile is not overwritten.
pub fn patch(target: &Target, modified: &Value, current: &Value, overwrite: bool) -> Patch {
    let original = last_applied(current).unwrap_or_default();
    let mut patch = three_way(&target.kind, &original, modified, current);
    if !overwrite && !patch.is_empty() {
        patch.body["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"].clone();
    }
    patch
}

/// What `patch` makes of an object, as far as this program can tell.
pub fn patched_here(target: &Target, mut object: Value, patch: &Patch) -> Value {
    match (crate::patch::builtin(&target.kind), &mut object, &patch.body) {
        (Some(of), Value::Object(members), Value::Object(changes))
            if patch.media == crate::patch::STRATEGIC =>
        {
            // It was made for this object, so it fits.
            let _ = api::patch::strategic(members, changes.clone(), &of.schema);
        }
        (_, object, changes) => api::patch::merge(object, changes),
    }
    object
}

/// What was applied last, if the object remembers.
pub fn last_applied(object: &Value) -> Option<Value> {
    serde_json::from_str(object["metadata"]["annotations"][LAST_APPLIED].as_str()?).ok()
}

/// The object with itself in its annotations.
pub fn with_last_applied(mut object: Value) -> Value {
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        annotations.shift_remove(LAST_APPLIED);
    }
    let mut remembered = object.clone();
    let metadata = &mut remembered["metadata"];
    if !metadata["annotations"].is_object() {
        metadata["annotations"] = Value::Object(Map::new());
    }
    // As kubectl writes it, byte by byte: whoever applies the same with the other program changes nothing.
    let text = api::field_error::escaped(&manifest::sorted(&remembered).to_string()) + "\n";
    if !object["metadata"]["annotations"].is_object() {
        object["metadata"]["annotations"] = json!({});
    }
    object["metadata"]["annotations"][LAST_APPLIED] = json!(text);
    object
}

fn missing_annotation(target: &Target) -> String {
    format!(
        "Warning: resource {}/{} is missing the {LAST_APPLIED} annotation which is required by kctl apply. kctl apply \
         should only be used on resources created declaratively by either kctl create --save-config or kctl apply. The \
         missing annotation will be patched automatically.",
        target.kind.plural, target.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_written_as_kubectl_writes_it() {
        let object = json!({"metadata": {"name": "a"}, "b": "a <b> && \u{2028}c"});
        let applied = with_last_applied(object.clone());
        let text = applied["metadata"]["annotations"][LAST_APPLIED].as_str().expect("text");
        assert!(text.contains(r#""b":"a \u003cb\u003e \u0026\u0026 \u2028c""#), "{text}");
        assert_eq!(last_applied(&applied).expect("remembered")["b"], object["b"]);
    }

    #[test]
    fn an_object_remembers_what_was_applied() {
        let object = json!({"kind": "A", "apiVersion": "v1", "metadata": {"name": "a"}, "b": 1});
        let first = with_last_applied(object.clone());
        let text = first["metadata"]["annotations"][LAST_APPLIED].as_str().expect("text");
        assert_eq!(
            text,
            "{\"apiVersion\":\"v1\",\"b\":1,\"kind\":\"A\",\"metadata\":{\"annotations\":{},\"name\":\"a\"}}\n"
        );
        assert_eq!(with_last_applied(first.clone()), first);
        assert_eq!(last_applied(&object), None);
    }
}
