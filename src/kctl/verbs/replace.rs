//! `kctl replace`

use http::Method;
use serde_json::Value;

use super::delete;
use super::written::Report;
use crate::failure::{Failure, Tally};
use crate::flags::{DryRun, Files, Select, Validate, Writing};
use crate::screen::Screen;
use crate::server::{Call, Server};
use crate::targets::{self, Given, Target};

/// Which files, and how.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    writing: Writing,
    /// Delete what is there first, and create it anew.
    #[arg(long)]
    force: bool,
    /// Who writes.
    #[arg(long, default_value = "kctl-replace", value_name = "NAME")]
    field_manager: String,
    /// A part of the objects: status, scale...
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    subresource: String,
    /// Remember what was written, for a later apply.
    #[arg(long)]
    save_config: bool,
    /// What to do about fields that the server does not know.
    #[arg(long, value_enum, default_value_t = Validate::Strict, num_args = 0..=1, default_missing_value = "strict", value_name = "HOW")]
    validate: Validate,
}

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    if args.files.names.is_empty() {
        return Err(Failure::Usage("must specify --filename to replace".to_owned()));
    }
    let mut report = Report::new(&args.writing, screen)?;
    let mut tally = Tally::default();
    let select = Select::default();
    for target in
        targets::resolve(Given { words: &[], files: &args.files, select: &select, all: false }, server)?
    {
        let outcome = one(args, &target, server).await;
        let doing = format!("error when replacing \"{}\"", target.source);
        if let Some(object) = tally.take(outcome.map_err(|failure| failure.doing(&doing)))? {
            report.add(&target, "replaced", object)?;
        }
    }
    report.close()?;
    tally.close()
}

async fn one(args: &Args, target: &Target, server: &Server) -> Result<Value, Failure> {
    let mut object = target.object.clone().unwrap_or_default();
    if args.save_config {
        object = super::apply::with_last_applied(object);
    }
    let query = [
        ("fieldManager", args.field_manager.as_str()),
        ("fieldValidation", args.validate.query()),
        ("dryRun", args.writing.dry_run.query()),
    ];
    if args.writing.dry_run == DryRun::Client {
        target.read(server).await?;
        return Ok(object);
    }
    if args.force {
        delete::gone(target, server).await?;
        return targets::create(server, target, &object, &query).await;
    }
    let metadata = &mut object["metadata"];
    if metadata["resourceVersion"].as_str().unwrap_or_default().is_empty() {
        // Whatever is there is meant.
        metadata["resourceVersion"] = target.read(server).await?["metadata"]["resourceVersion"].take();
    }
    let call = Call::new(Method::PUT, target.path_of(&args.subresource)).body("application/json", &object);
    server.json(query.iter().fold(call, |call, (name, value)| call.with(name, *value))).await
}
