//! `kctl delete`

use base::env;
use futures::StreamExt;
use http::Method;
use serde_json::{Value, json};

use crate::failure::{Failure, Tally};
use crate::flags::{Cascade, DryRun, PATIENCE, duration};
use crate::manifest;
use crate::output::Form;
use crate::progress;
use crate::screen::{Screen, warn};
use crate::server::{Call, Server};
use crate::targets::{Objects, Target, objects};

/// Which objects, and how.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    objects: Objects,
    /// What becomes of what belongs to them.
    #[arg(long, value_enum, default_value_t = Cascade::Background, num_args = 0..=1, default_missing_value = "background", value_name = "HOW")]
    cascade: Cascade,
    /// How many seconds they have to end; negative: as many as they say themselves.
    #[arg(long, default_value_t = -1, hide_default_value = true, allow_negative_numbers = true, value_name = "SECONDS")]
    grace_period: i64,
    /// One second to end.
    #[arg(long, conflicts_with = "grace_period")]
    now: bool,
    /// Do not wait for whatever runs to end.
    #[arg(long)]
    force: bool,
    /// What is not there is no error.
    #[arg(long)]
    ignore_not_found: bool,
    /// Return when they are gone.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", hide_default_value = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    wait: bool,
    /// How long to wait; 0: a week.
    #[arg(long, default_value = "0", hide_default_value = true, value_name = "DURATION")]
    timeout: String,
    /// Whether to really do it.
    #[arg(long, value_enum, default_value_t = DryRun::None, value_name = "STRATEGY")]
    dry_run: DryRun,
    /// name: print only the names.
    #[arg(short, long, default_value = "", hide_default_value = true, value_name = "FORM")]
    output: String,
}

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let form = Form::parse(&args.output)?;
    if !form.is_human() && form != Form::Name {
        return Err(Failure::Usage(format!(
            "-o {}: what is deleted can only be printed with -o name",
            args.output
        )));
    }
    let limit =
        Some(duration("--timeout", &args.timeout)?).filter(|limit| !limit.is_zero()).unwrap_or(PATIENCE);
    if args.force {
        warn(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. \
             The resource may continue to run on the cluster indefinitely.",
        );
    }
    let targets = objects(args.objects.given(), server).await?;
    if targets.is_empty() {
        return screen.line("No resources found");
    }
    let mut tally = Tally::default();
    let mut deleted = Vec::new();
    for target in &targets {
        let Some(uid) = tally.take(delete(args, target, server).await)? else { continue };
        let Some(uid) = uid else { continue };
        let line = match form {
            Form::Name => target.printed(),
            _ => {
                let deleted = if args.force { "force deleted" } else { "deleted" };
                told(target, deleted) + args.dry_run.note()
            }
        };
        screen.line(&line)?;
        deleted.push((target, uid));
    }
    if args.wait && args.dry_run == DryRun::None {
        let deadline = env::monotonic() + limit;
        for (target, uid) in deleted {
            let left = deadline.saturating_duration_since(env::monotonic());
            let look = async || progress::look(server, target).await;
            let gone = env::timeout(left, wait_gone(target, &uid, server));
            let outcome = match progress::during(screen, gone, look).await {
                Ok(outcome) => outcome,
                Err(_) => Err(timed_out(target, server).await),
            };
            tally.take(outcome)?;
        }
    }
    tally.close()
}

/// A wait in vain, with what keeps the object as it is.
pub async fn timed_out(target: &Target, server: &Server) -> Failure {
    let words = format!("timed out waiting for the condition on {}/{}", target.kind.plural, target.name);
    Failure::Refused(progress::in_vain(&words, server, target).await)
}

/// What is said of an object that was `deleted`.
pub fn told(target: &Target, deleted: &str) -> String {
    let place = if target.namespace.is_empty() {
        String::new()
    } else {
        format!(" from {} namespace", target.namespace)
    };
    format!("{} \"{}\" {deleted}{place}", target.kind.singular_resource(), target.name)
}

/// Asks for the deletion; returns the UID of what goes, or nothing where nothing was there.
async fn delete(args: &Args, target: &Target, server: &Server) -> Result<Option<String>, Failure> {
    let outcome = match args.dry_run {
        DryRun::Client => target.read(server).await,
        _ => {
            let grace = match () {
                () if args.now => 1,
                () if args.force && args.grace_period < 0 => 0,
                () => args.grace_period,
            };
            let options = options(args.cascade, Some(grace).filter(|grace| *grace >= 0), args.dry_run);
            server.json(Call::new(Method::DELETE, target.path()).body("application/json", &options)).await
        }
    };
    match outcome {
        // The object, or a Status that names it.
        Ok(answer) => Ok(Some(uid(&answer).to_owned())),
        Err(failure) if args.ignore_not_found && failure.is("NotFound") => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The body of a DELETE; without a grace period the object's own counts.
pub fn options(cascade: Cascade, grace_seconds: Option<i64>, dry_run: DryRun) -> Value {
    let mut options =
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": cascade.policy()});
    if let Some(seconds) = grace_seconds {
        options["gracePeriodSeconds"] = json!(seconds);
    }
    if dry_run == DryRun::Server {
        options["dryRun"] = json!(["All"]);
    }
    options
}

fn uid(answer: &Value) -> &str {
    match manifest::text(answer, "/metadata/uid") {
        "" => manifest::text(answer, "/details/uid"),
        uid => uid,
    }
}

/// Returns when the object with this UID is gone.
async fn wait_gone(target: &Target, uid: &str, server: &Server) -> Result<(), Failure> {
    let is_it = |object: &Value| uid.is_empty() || self::uid(object) == uid;
    loop {
        let Some(object) = target.read_if_there(server).await?.filter(|object| is_it(object)) else {
            return Ok(());
        };
        let call = Call::get(target.collection())
            .with("fieldSelector", format!("metadata.name={}", target.name))
            .with("resourceVersion", manifest::text(&object, "/metadata/resourceVersion"));
        let mut events = server.watch(call).await?;
        while let Some(event) = events.next().await {
            let event = event?;
            if event.kind == "DELETED" || !is_it(&event.object) {
                return Ok(());
            }
        }
    }
}

/// Deletes an object, if it is there, and waits until it is gone.
pub async fn gone(target: &Target, server: &Server) -> Result<(), Failure> {
    let options = options(Cascade::Background, Some(0), DryRun::None);
    match server.json(Call::new(Method::DELETE, target.path()).body("application/json", &options)).await {
        Ok(answer) => wait_gone(target, uid(&answer), server).await,
        Err(failure) if failure.is("NotFound") => Ok(()),
        Err(failure) => Err(failure),
    }
}
