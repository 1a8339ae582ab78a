//! `kctl create`: from files, or by one of the [`generators`].

mod generators;

use serde_json::Value;

use super::apply::with_last_applied;
use super::written::Report;
use crate::failure::{Failure, Tally};
use crate::flags::{DryRun, Files, Select, Validate, Writing};
use crate::manifest;
use crate::screen::Screen;
use crate::server::Server;
use crate::targets::{self, Given, Target};

/// Which objects, and how.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = false, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    #[command(subcommand)]
    generator: Option<generators::Generator>,
    /// Whether to really do it.
    #[arg(long, global = true, value_enum, default_value_t = DryRun::None, value_name = "STRATEGY")]
    dry_run: DryRun,
    /// What to print instead of a line: json, yaml, name, jsonpath=TEMPLATE...
    #[arg(short, long, global = true, default_value = "", hide_default_value = true, value_name = "FORM")]
    output: String,
    /// Show metadata.managedFields in JSON and YAML.
    #[arg(long, global = true)]
    show_managed_fields: bool,
    /// Who writes.
    #[arg(long, global = true, default_value = "kctl-create", value_name = "NAME")]
    field_manager: String,
    /// Remember what was created, for a later apply.
    #[arg(long, global = true)]
    save_config: bool,
    /// What to do about fields that the server does not know.
    #[arg(long, global = true, value_enum, default_value_t = Validate::Strict, num_args = 0..=1, default_missing_value = "strict", value_name = "HOW")]
    validate: Validate,
}

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let writing = Writing {
        dry_run: args.dry_run,
        output: args.output.clone(),
        show_managed_fields: args.show_managed_fields,
    };
    let mut report = Report::new(&writing, screen)?;
    let mut tally = Tally::default();
    for (target, doing) in wanted(args, server)? {
        let outcome = one(args, &target, server).await;
        if let Some(object) = tally.take(outcome.map_err(|failure| failure.doing(&doing)))? {
            report.add(&target, "created", object)?;
        }
    }
    report.close()?;
    tally.close()
}

/// What to create, and how to call it when that fails.
fn wanted(args: &Args, server: &Server) -> Result<Vec<(Target, String)>, Failure> {
    let Some(generator) = &args.generator else {
        if args.files.names.is_empty() {
            return Err(Failure::Usage(
                "must specify at least one of -f FILE, or what to create: see `kctl create --help`"
                    .to_owned(),
            ));
        }
        let select = Select::default();
        let given = Given { words: &[], files: &args.files, select: &select, all: false };
        let named = |target: Target| {
            let doing = format!("error when creating \"{}\"", target.source);
            (target, doing)
        };
        return Ok(targets::resolve(given, server)?.into_iter().map(named).collect());
    };
    let mut object = generator.object(server)?;
    let kind =
        server.catalog.of_object(manifest::text(&object, "/apiVersion"), manifest::text(&object, "/kind"))?;
    let namespace = if kind.namespaced { server.namespace.clone() } else { String::new() };
    if kind.namespaced && (server.is_namespace_given || args.dry_run != DryRun::Client) {
        object["metadata"]["namespace"] = namespace.clone().into();
    }
    let doing = format!("failed to create {}", kind.singular);
    let name = manifest::name(&object).to_owned();
    Ok(vec![(Target { kind, namespace, name, object: Some(object), source: String::new() }, doing)])
}

async fn one(args: &Args, target: &Target, server: &Server) -> Result<Value, Failure> {
    let object = target.object.clone().unwrap_or_default();
    let object = if args.save_config { with_last_applied(object) } else { object };
    if args.dry_run == DryRun::Client {
        return Ok(object);
    }
    let query = [
        ("fieldManager", args.field_manager.as_str()),
        ("fieldValidation", args.validate.query()),
        ("dryRun", args.dry_run.query()),
    ];
    targets::create(server, target, &object, &query).await
}
