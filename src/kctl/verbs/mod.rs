//! The verbs for objects: one file each.

mod annotate;
mod api_resources;
mod api_versions;
mod apply;
mod attach;
mod auth;
mod completion;
mod cordon;
mod cp;
mod create;
mod delete;
mod diff;
mod drain;
mod edit;
mod exec;
mod expose;
mod get;
mod label;
mod logs;
mod marks;
mod patch;
mod plan;
mod port_forward;
mod prune;
mod replace;
mod rollout;
mod run;
mod scale;
mod set;
mod version;
mod wait;
mod written;

pub use apply::LAST_APPLIED;

use clap::Subcommand;

use crate::failure::Failure;
use crate::flags::Global;
use crate::masters::Masters;
use crate::screen::Screen;
use crate::server::Server;
use crate::{describe, explain};

/// The verbs.
#[derive(Subcommand)]
pub enum Verb {
    /// Set or remove annotations.
    Annotate(annotate::Args),
    /// List the kinds that the server has.
    ApiResources(api_resources::Args),
    /// List the groups and versions that the server has.
    ApiVersions,
    /// Make objects be as files say; what was there before and is in no file stays, but with --prune.
    Apply(apply::Args),
    /// Join what runs in a container.
    Attach(attach::Args),
    /// Who you are to the server.
    Auth(auth::Args),
    /// Print a script that completes kctl's command lines in a shell.
    Completion(completion::Args),
    /// Let no more pods come to nodes.
    Cordon(cordon::Args),
    /// Copy files to and from containers.
    Cp(cp::Args),
    /// Create objects from files, or from a few words.
    Create(create::Args),
    /// Delete objects.
    Delete(delete::Args),
    /// Tell all about objects, with what happened to them lately.
    Describe(describe::Args),
    /// Show what `apply` would change.
    Diff(diff::Args),
    /// Cordon nodes, and move their pods away.
    Drain(drain::Args),
    /// Change objects in an editor.
    Edit(edit::Args),
    /// Run a command in a container.
    Exec(exec::Args),
    /// Tell what the fields of a kind are for.
    Explain(explain::Args),
    /// Put a Service before pods.
    Expose(expose::Args),
    /// Show objects.
    Get(get::Args),
    /// Set or remove labels.
    Label(label::Args),
    /// Print what containers wrote.
    Logs(logs::Args),
    /// Change fields of objects.
    Patch(patch::Args),
    /// Tell what would happen if files were applied, where pods would land or why not; change nothing.
    Plan(plan::Args),
    /// Lead connections to ports here to a pod.
    PortForward(port_forward::Args),
    /// Put objects in the place of those that there are.
    Replace(replace::Args),
    /// Look after the rollout of a template: its status, its history, the way back.
    Rollout(rollout::Args),
    /// Run a pod from a few words.
    Run(run::Args),
    /// Say how many pods something is to have.
    Scale(scale::Args),
    /// Set a part of objects: images.
    Set(set::Args),
    /// Let pods come to nodes again.
    Uncordon(cordon::Args),
    /// Say how new kctl and the server are.
    Version(version::Args),
    /// Wait until something holds for objects.
    Wait(wait::Args),
}

impl Verb {
    /// Runs the verb.
    pub async fn run(self, masters: &Masters, global: &Global, screen: Screen) -> Result<(), Failure> {
        let server = Server::connect(masters, global).await?;
        self.run_on(&server, global, screen).await
    }

    /// Runs the verb on a server that is known.
    pub async fn run_on(self, server: &Server, global: &Global, screen: Screen) -> Result<(), Failure> {
        match self {
            Self::Annotate(args) => annotate::run(&args, server, screen).await,
            Self::ApiResources(args) => api_resources::run(&args, server, screen),
            Self::ApiVersions => api_versions::run(server, screen),
            Self::Apply(args) => apply::run(&args, server, screen).await,
            Self::Attach(args) => attach::run(&args, server, screen).await,
            Self::Auth(args) => auth::run(&args, server, screen).await,
            Self::Completion(args) => args.run(screen),
            Self::Cordon(args) => cordon::run(&args, true, server, screen).await,
            Self::Cp(args) => cp::run(&args, server).await,
            Self::Create(args) => create::run(&args, server, screen).await,
            Self::Delete(args) => delete::run(&args, server, screen).await,
            Self::Describe(args) => describe::run(&args, server, screen).await,
            Self::Diff(args) => diff::run(&args, server, screen).await,
            Self::Drain(args) => drain::run(&args, server, screen).await,
            Self::Edit(args) => edit::run(&args, server, screen).await,
            Self::Exec(args) => exec::run(&args, server, screen).await,
            Self::Explain(args) => explain::run(&args, server, screen).await,
            Self::Expose(args) => expose::run(&args, server, screen).await,
            Self::Get(args) => get::run(&args, server, global, screen).await,
            Self::Label(args) => label::run(&args, server, screen).await,
            Self::Logs(args) => logs::run(&args, server, screen).await,
            Self::Patch(args) => patch::run(&args, server, screen).await,
            Self::Plan(args) => plan::run(&args, server, screen).await,
            Self::PortForward(args) => port_forward::run(&args, server, screen).await,
            Self::Replace(args) => replace::run(&args, server, screen).await,
            Self::Rollout(args) => rollout::run(&args, server, screen).await,
            Self::Run(args) => run::run(&args, server, screen).await,
            Self::Scale(args) => scale::run(&args, server, screen).await,
            Self::Set(args) => set::run(&args, server, screen).await,
            Self::Uncordon(args) => cordon::run(&args, false, server, screen).await,
            Self::Version(args) => version::run(&args, server, screen).await,
            Self::Wait(args) => wait::run(&args, server, screen).await,
        }
    }
}
