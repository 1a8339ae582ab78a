//! `kctl patch`

use clap::ValueEnum;
use http::Method;
use serde_json::Value;

use super::written::Report;
use crate::failure::{Failure, Tally};
use crate::flags::{DryRun, Files, Select, Writing};
use crate::patch::{self, Patch};
use crate::screen::Screen;
use crate::server::{Call, Server};
use crate::targets::{Given, Target, objects};

/// Which objects, and what of them.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// TYPE NAME... or TYPE/NAME...
    words: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    writing: Writing,
    /// The patch, in JSON or YAML.
    #[arg(short, long, default_value = "", hide_default_value = true, conflicts_with = "patch_file")]
    patch: String,
    /// A file with the patch.
    #[arg(long, value_name = "FILE")]
    patch_file: Option<std::path::PathBuf>,
    /// How the patch is meant.
    #[arg(long, value_enum, default_value_t = Kind::Strategic, value_name = "KIND")]
    r#type: Kind,
    /// A part of the objects: status, scale...
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    subresource: String,
    /// Who writes.
    #[arg(long, default_value = "kctl-patch", value_name = "NAME")]
    field_manager: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A list of operations: add, remove, replace, move, copy, test.
    Json,
    /// Members replace members, lists replace lists, null removes.
    Merge,
    /// As merge, but lists of things with names are merged too. Built-in kinds only.
    Strategic,
}

impl Kind {
    fn media(self) -> &'static str {
        match self {
            Self::Json => patch::JSON,
            Self::Merge => patch::MERGE,
            Self::Strategic => patch::STRATEGIC,
        }
    }
}

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let patch = Patch { media: args.r#type.media(), body: body(args)? };
    let mut report = Report::new(&args.writing, screen)?;
    let mut tally = Tally::default();
    let select = Select::default();
    let given = Given { words: &args.words, files: &args.files, select: &select, all: false };
    for target in objects(given, server).await? {
        let outcome = one(args, &patch, &target, server).await;
        if let Some((done, object)) = tally.take(outcome)? {
            report.add(&target, done, object)?;
        }
    }
    report.close()?;
    tally.close()
}

fn body(args: &Args) -> Result<Value, Failure> {
    let text = match &args.patch_file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Failure::Refused(format!("reading {} failed: {error}", path.display())))?,
        None if args.patch.is_empty() => {
            return Err(Failure::Usage(
                "must specify --patch or --patch-file containing the contents of the patch".to_owned(),
            ));
        }
        None => args.patch.clone(),
    };
    let decoded = api::decode::yaml(text.as_bytes());
    decoded
        .map(|decoded| decoded.value)
        .map_err(|error| Failure::Usage(format!("unable to parse the patch: {error}")))
}

async fn one(
    args: &Args,
    patch: &Patch,
    target: &Target,
    server: &Server,
) -> Result<(&'static str, Value), Failure> {
    let before = target.read(server).await?;
    let after = if args.writing.dry_run == DryRun::Client {
        patched_here(target, before.clone(), patch)?
    } else {
        let call = Call::new(Method::PATCH, target.path_of(&args.subresource))
            .with("fieldManager", &args.field_manager)
            .with("dryRun", args.writing.dry_run.query())
            .body(patch.media, &patch.body);
        server.json(call).await?
    };
    let is_changed = args.subresource.is_empty() && before == after;
    Ok((if is_changed { "patched (no change)" } else { "patched" }, after))
}

fn patched_here(target: &Target, mut object: Value, patch: &Patch) -> Result<Value, Failure> {
    if patch.media != patch::JSON {
        return Ok(super::apply::patched_here(target, object, patch));
    }
    let applied = api::patch::json(&mut object, patch.body.to_string().as_bytes());
    applied.map(|()| object).map_err(|error| Failure::Refused(format!("{}: {error}", target.printed())))
}
