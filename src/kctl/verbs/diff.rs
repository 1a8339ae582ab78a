//! `kctl diff`

use std::path::Path;
use std::process::Command;

use http::Method;
use serde_json::Value;

use super::apply;
use crate::failure::Failure;
use crate::flags::{DryRun, Files, Select, Validate};
use crate::manifest;
use crate::output::presented;
use crate::screen::Screen;
use crate::server::{Call, Server};
use crate::targets::{self, Given, Target};

/// Which files, and how they would be applied.
#[derive(clap::Args, Debug)]
#[command(after_help = "Exit codes: 0 no differences; 1 differences; above 1 it could not be told.\n\n\
    $KUBECTL_EXTERNAL_DIFF names another program than `diff -u -N`; it is given two folders.")]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// As `apply --server-side` would do it.
    #[arg(long)]
    server_side: bool,
    /// Take over fields that others set. Only with --server-side.
    #[arg(long, requires = "server_side")]
    force_conflicts: bool,
    /// Who would write.
    #[arg(long, value_name = "NAME")]
    field_manager: Option<String>,
    /// Show metadata.managedFields.
    #[arg(long)]
    show_managed_fields: bool,
}

/// What a failure ends with, since 1 means that there are differences.
const FAILED: u8 = 2;

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    compare(args, server, screen).await.map_err(|failure| match failure {
        Failure::Refused(_) | Failure::Server(_) => {
            crate::screen::warn(&failure.to_string());
            Failure::Exit(FAILED)
        }
        other => other,
    })
}

async fn compare(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    if args.files.names.is_empty() {
        return Err(Failure::Usage("must specify at least one of -f FILE".to_owned()));
    }
    let folder = || {
        let failed =
            |error: std::io::Error| Failure::Refused(format!("making a temporary folder failed: {error}"));
        tempfile::tempdir().map_err(failed)
    };
    let root = folder()?;
    let (live, merged) = (root.path().join("LIVE"), root.path().join("MERGED"));
    let select = Select::default();
    for target in
        targets::resolve(Given { words: &[], files: &args.files, select: &select, all: false }, server)?
    {
        let now = target.read_if_there(server).await?;
        let then = would_be(args, &target, now.as_ref(), server).await?;
        let name =
            [&*target.kind.group, &target.kind.version, &target.kind.kind, &target.namespace, &target.name]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(".");
        write(&live, &name, now, args.show_managed_fields)?;
        write(&merged, &name, Some(then), args.show_managed_fields)?;
    }
    shown(root.path(), screen)
}

/// What the server would keep.
async fn would_be(
    args: &Args,
    target: &Target,
    now: Option<&Value>,
    server: &Server,
) -> Result<Value, Failure> {
    let object = target.object.clone().unwrap_or_default();
    if args.server_side {
        let manager = args.field_manager.as_deref();
        return apply::server_side(
            manager,
            args.force_conflicts,
            DryRun::Server,
            Validate::Strict,
            target,
            &object,
            server,
        )
        .await;
    }
    let manager = args.field_manager.as_deref().unwrap_or("kctl-client-side-apply");
    let Some(now) = now else {
        let query = [("fieldManager", manager), ("dryRun", "All")];
        return targets::create(server, target, &apply::with_last_applied(object), &query).await;
    };
    // Without what apply remembers, which would always differ and nobody wants to read.
    let mut object = object;
    if !object["metadata"]["annotations"].is_object() {
        object["metadata"]["annotations"] = serde_json::json!({});
    }
    let patch = apply::patch(target, &object, now, true);
    if patch.is_empty() {
        return Ok(now.clone());
    }
    let call = Call::new(Method::PATCH, target.path())
        .with("fieldManager", manager)
        .with("dryRun", "All")
        .body(patch.media, &patch.body);
    server.json(call).await
}

fn write(folder: &Path, name: &str, object: Option<Value>, show_managed_fields: bool) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::Refused(format!("writing to {} failed: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let Some(object) = object else { return Ok(()) };
    std::fs::write(folder.join(name), manifest::yaml(&presented(object, show_managed_fields))).map_err(failed)
}

fn shown(root: &Path, screen: Screen) -> Result<(), Failure> {
    let named = std::env::var("KUBECTL_EXTERNAL_DIFF").ok().filter(|named| !named.trim().is_empty());
    let line = named.unwrap_or_else(|| "diff -u -N".to_owned());
    let mut words = line.split_whitespace();
    let program = words.next().unwrap_or("diff");
    let output = Command::new(program).args(words).args(["LIVE", "MERGED"]).current_dir(root).output();
    let output = output.map_err(|error| {
        Failure::Refused(format!(
            "starting {program} failed: {error}: install it, or name another in $KUBECTL_EXTERNAL_DIFF"
        ))
    })?;
    screen.print(&String::from_utf8_lossy(&output.stdout))?;
    match output.status.code() {
        Some(0) => Ok(()),
        Some(1) => Err(Failure::Exit(1)),
        _ => Err(Failure::Refused(format!(
            "{line} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
    }
}
