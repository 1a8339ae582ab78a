//! `kctl cluster`: one file per verb.

mod add;
mod remove;
mod status;
mod token;
mod transfer;
mod verify;
mod view;

use clap::Subcommand;

use crate::failure::Failure;
use crate::masters::Masters;

/// The verbs.
#[derive(Subcommand)]
pub enum Verb {
    /// Print the command line that adds a master.
    Add(add::Args),
    /// Take a master out of the cluster; its name may be given to a new one afterwards.
    Remove(remove::Args),
    /// Show the masters, who leads, and how far each has come.
    Status(status::Args),
    /// Print the command line that adds a node.
    Token,
    /// Hand leadership to another master.
    Transfer(transfer::Args),
    /// Compare the state of all masters at one log index.
    Verify,
}

impl Verb {
    /// Runs the verb and returns what it prints.
    pub async fn run(self, masters: &Masters) -> Result<String, Failure> {
        match self {
            Self::Add(args) => add::run(args, masters).await,
            Self::Remove(args) => remove::run(&args, masters).await,
            Self::Status(args) => status::run(&args, masters).await,
            Self::Token => token::run(masters).await,
            Self::Transfer(args) => transfer::run(&args, masters).await,
            Self::Verify => verify::run(masters).await,
        }
    }
}
