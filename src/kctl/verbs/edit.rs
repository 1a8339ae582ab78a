//! `kctl edit`

use std::io::Write;
use std::path::Path;
use std::process::Command;

use http::Method;
use serde_json::Value;

use super::written::Report;
use crate::failure::{Failure, Tally};
use crate::flags::{Files, Select, Validate, Writing};
use crate::manifest;
use crate::output::presented;
use crate::patch::three_way;
use crate::screen::{Screen, warn};
use crate::server::{Call, Server};
use crate::targets::{Given, Target, objects};

/// Which objects, and how.
#[derive(clap::Args, Debug)]
#[command(after_help = "The editor is $KUBE_EDITOR, else $EDITOR, else vi.")]
pub struct Args {
    /// TYPE NAME... or TYPE/NAME...
    words: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    writing: Writing,
    /// A part of the objects: status, scale...
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    subresource: String,
    /// Who writes.
    #[arg(long, default_value = "kctl-edit", value_name = "NAME")]
    field_manager: String,
    /// What to do about fields that the server does not know.
    #[arg(long, value_enum, default_value_t = Validate::Strict, num_args = 0..=1, default_missing_value = "strict", value_name = "HOW")]
    validate: Validate,
}

const HEADER: &str = "\
# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
";

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let mut report = Report::new(&args.writing, screen)?;
    let mut tally = Tally::default();
    let select = Select::default();
    let given = Given { words: &args.words, files: &args.files, select: &select, all: false };
    for target in objects(given, server).await? {
        let outcome = one(args, &target, server).await;
        if let Some(Some(object)) = tally.take(outcome)? {
            report.add(&target, "edited", object)?;
        }
    }
    report.close()?;
    tally.close()
}

/// Lets the user edit until the server takes it, or the user gives up.
async fn one(args: &Args, target: &Target, server: &Server) -> Result<Option<Value>, Failure> {
    let before = server.json(Call::get(target.path_of(&args.subresource))).await?;
    let before = presented(before, args.writing.show_managed_fields);
    let mut text = manifest::yaml(&before);
    let mut complaint = String::new();
    let file = tempfile::Builder::new().prefix("kctl-edit-").suffix(".yaml").tempfile();
    let file = file.map_err(|error| Failure::Refused(format!("making a temporary file failed: {error}")))?;
    loop {
        let edited = edited(file.path(), &format!("{HEADER}{complaint}{text}"))?;
        let edited = without_comments(&edited);
        if edited.trim().is_empty() {
            warn("Edit cancelled, saved file was empty.");
            return Ok(None);
        }
        if edited == text && complaint.is_empty() {
            warn("Edit cancelled, no changes made.");
            return Ok(None);
        }
        if edited == text {
            return Err(given_up(file, &edited));
        }
        text = edited;
        let failure = match saved(args, target, &before, &text, server).await {
            Ok(None) => {
                warn("Edit cancelled, no changes made.");
                return Ok(None);
            }
            Ok(saved) => return Ok(saved),
            Err(failure @ Failure::NoAnswer(_)) => {
                warn(&given_up(file, &text).to_string());
                return Err(failure);
            }
            Err(failure) => failure,
        };
        warn(&failure.to_string());
        complaint = commented(target, &failure);
    }
}

/// Sends what was changed; `None` when nothing was.
async fn saved(
    args: &Args,
    target: &Target,
    before: &Value,
    text: &str,
    server: &Server,
) -> Result<Option<Value>, Failure> {
    let after = manifest::parse(text)
        .map_err(|why| Failure::Refused(format!("the edited file is no object: {why}")))?;
    let [after] = &after[..] else {
        return Err(Failure::Refused("the edited file holds more than one object".to_owned()));
    };
    for path in ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"] {
        if manifest::text(before, path) != manifest::text(after, path) {
            let field = path[1..].replace('/', ".");
            return Err(Failure::Refused(format!(
                "{field} may not be changed: it says which object this is"
            )));
        }
    }
    let patch = three_way(&target.kind, before, after, before);
    if patch.is_empty() {
        return Ok(None);
    }
    let call = Call::new(Method::PATCH, target.path_of(&args.subresource))
        .with("fieldManager", &args.field_manager)
        .with("fieldValidation", args.validate.query())
        .with("dryRun", args.writing.dry_run.query())
        .body(patch.media, &patch.body);
    server.json(call).await.map(Some)
}

/// What the editor leaves of a text.
fn edited(path: &Path, text: &str) -> Result<String, Failure> {
    let failed = |what: &str, error: std::io::Error| Failure::Refused(format!("{what} failed: {error}"));
    std::fs::write(path, text).map_err(|error| failed("writing the file to edit", error))?;
    let named = |name: &str| std::env::var(name).ok().filter(|editor| !editor.trim().is_empty());
    let editor = named("KUBE_EDITOR").or_else(|| named("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    // The variable may hold arguments, and quotes around them.
    let status = Command::new("sh").args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(path).status();
    let status = status.map_err(|error| failed(&format!("starting {editor}"), error))?;
    if !status.success() {
        return Err(Failure::Refused(format!(
            "the editor {editor} ended with {status}: $KUBE_EDITOR or $EDITOR names another"
        )));
    }
    std::fs::read_to_string(path).map_err(|error| failed("reading the edited file", error))
}

fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.to_owned() + "\n").collect()
}

/// Why the file is opened again.
fn commented(target: &Target, failure: &Failure) -> String {
    let lines: String = failure.to_string().lines().map(|line| format!("# {line}\n")).collect();
    format!("# {} \"{}\" was not valid:\n{lines}#\n", target.kind.plural, target.name)
}

/// Keeps the user's work where it can be found.
fn given_up(mut file: tempfile::NamedTempFile, text: &str) -> Failure {
    let kept = file.as_file_mut().flush().and_then(|()| std::fs::write(file.path(), text));
    match (kept, file.keep()) {
        (Ok(()), Ok((_, path))) => Failure::Refused(format!(
            "Edit cancelled, no valid changes were saved. A copy of your changes has been stored to \"{}\"",
            path.display()
        )),
        _ => Failure::Refused("Edit cancelled, no valid changes were saved.".to_owned()),
    }
}
