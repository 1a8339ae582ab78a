//! `kctl rollout`: one file per thing that can be done to a rollout.
//!
//! Each looks at the kind itself and says what it is not made for: what rolls out by other means than ReplicaSets
//! gets an arm there.

mod history;
mod pause;
mod restart;
mod status;
mod undo;

use clap::Subcommand;
use http::Method;
use serde_json::Value;

use crate::catalog::Kind;
use crate::failure::Failure;
use crate::flags::Writing;
use crate::patch::Patch;
use crate::screen::Screen;
use crate::server::{Call, Server};
use crate::targets::{Given, Objects, Target, objects, resolve};

/// What to do.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the templates that there were, or one of them.
    History(history::Args),
    /// Keep a changed template from being rolled out.
    Pause(Change),
    /// Replace all pods.
    Restart(Change),
    /// Let what was paused go on.
    Resume(Change),
    /// Tell how far it is, until it is done.
    Status(status::Args),
    /// Go back to a template of before.
    Undo(undo::Args),
}

/// Which rollouts, and how to change them.
#[derive(clap::Args, Debug)]
struct Change {
    #[command(flatten)]
    objects: Objects,
    #[command(flatten)]
    writing: Writing,
    /// Who writes.
    #[arg(long, default_value = "kctl-rollout", value_name = "NAME")]
    field_manager: String,
}

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    match &args.verb {
        Verb::History(args) => history::run(args, server, screen).await,
        Verb::Pause(args) => pause::run(args, true, server, screen).await,
        Verb::Restart(args) => restart::run(args, server, screen).await,
        Verb::Resume(args) => pause::run(args, false, server, screen).await,
        Verb::Status(args) => status::run(args, server, screen).await,
        Verb::Undo(args) => undo::run(args, server, screen).await,
    }
}

/// The objects that are named, or all of a type that is named alone.
async fn chosen(args: &Objects, server: &Server) -> Result<Vec<Target>, Failure> {
    let given = args.given();
    if given.words.is_empty() && given.files.names.is_empty() {
        return Err(Failure::Usage("required resource not specified".to_owned()));
    }
    let is_type = resolve(given, server)?.iter().any(|target| target.name.is_empty());
    let targets = objects(Given { all: is_type, ..given }, server).await?;
    if targets.is_empty() {
        crate::screen::warn(&format!("No resources found in {} namespace.", server.namespace));
    }
    Ok(targets)
}

fn is_deployment(kind: &Kind) -> bool {
    (kind.group.as_str(), kind.kind.as_str()) == ("apps", "Deployment")
}

/// That something cannot be done to an object.
fn cannot(target: &Target, why: &str) -> Failure {
    Failure::Refused(format!("{} \"{}\" {why}", target.kind.resource(), target.name))
}

async fn sent(
    target: &Target,
    patch: &Patch,
    manager: &str,
    writing: &Writing,
    server: &Server,
) -> Result<Value, Failure> {
    let call = Call::new(Method::PATCH, target.path())
        .with("fieldManager", manager)
        .with("dryRun", writing.dry_run.query())
        .body(patch.media, &patch.body);
    server.json(call).await
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::fake::Fake;

    /// A Deployment of three pods.
    pub fn deployment(status: Value) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "namespace": "default", "uid": "uid", "generation": 2, "resourceVersion": "9",
                "annotations": {"deployment.kubernetes.io/revision": "3", "mine": "x"},
            },
            "spec": {
                "replicas": 3, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:3"}]}},
            },
            "status": status,
        })
    }

    /// A ReplicaSet of it.
    pub fn set(revision: u8, cause: &str) -> Value {
        let mut set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": format!("web-{revision}"), "namespace": "default", "uid": format!("uid-{revision}"),
                "labels": {"app": "web"},
                "ownerReferences": [{"controller": true, "uid": "uid"}],
                "annotations": {
                    "deployment.kubernetes.io/revision": revision.to_string(),
                    "deployment.kubernetes.io/desired-replicas": "3",
                },
            },
            "spec": {"template": {
                "metadata": {"labels": {"app": "web", "pod-template-hash": revision.to_string()}},
                "spec": {"containers": [{"name": "web", "image": format!("web:{revision}")}]},
            }},
        });
        if !cause.is_empty() {
            set["metadata"]["annotations"]["kubernetes.io/change-cause"] = json!(cause);
        }
        set
    }

    /// The Deployment with its ReplicaSets.
    pub fn fake(status: Value) -> Fake {
        Fake::of([deployment(status), set(1, ""), set(2, "a better web"), set(3, "")])
    }
}
