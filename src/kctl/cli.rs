//! The command line of `kctl`, and its exit codes.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::cluster;
use crate::masters::{Masters, MastersError};

/// The admin CLI of a Keelson cluster.
///
/// Finds the cluster through --kubeconfig, else $KUBECONFIG, else .keelson/kubeconfig, else ~/.kube/config, and asks
/// the masters of all its contexts, the current one first, until one answers.
///
/// Exit codes: 0 done; 1 refused, or the answer is bad news (masters differ); 2 wrong usage; 3 no answer: of no master,
/// or of one that was needed.
#[derive(Parser)]
#[command(name = "kctl", version, arg_required_else_help = true)]
struct Cli {
    /// The kubeconfig to use.
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    #[command(subcommand)]
    family: Family,
}

#[derive(Subcommand)]
enum Family {
    /// The masters: who they are, who leads, who joins and leaves.
    #[command(subcommand)]
    Cluster(cluster::Verb),
}

/// Why a verb did not succeed. Each kind has its exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A master said no, or the answer is bad news. Exit code 1.
    #[error("{0}")]
    Refused(String),
    /// Somebody who was needed did not answer. Exit code 3.
    #[error("{0}")]
    NoAnswer(String),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::NoAnswer(_) => 3,
        }
    }
}

impl From<MastersError> for Failure {
    fn from(error: MastersError) -> Self {
        match &error {
            MastersError::Refused { .. }
            | MastersError::Kubeconfig { .. }
            | MastersError::NoKubeconfig { .. } => Self::Refused(error.to_string()),
            MastersError::NoAnswer { .. } | MastersError::Malformed { .. } => {
                Self::NoAnswer(error.to_string())
            }
        }
    }
}

/// Runs the `kctl` command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(output) => {
            // Whoever closed the pipe does not want to know.
            let _ = std::io::stdout().write_all(output.as_bytes());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("kctl: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<String, Failure> {
    let variable = std::env::var_os("KUBECONFIG");
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let candidates = candidates(cli.kubeconfig, variable, home.as_deref());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Refused(format!("starting the runtime failed: {error}")))?;
    runtime.block_on(async {
        let masters = Masters::open(&candidates).await?;
        match cli.family {
            Family::Cluster(verb) => verb.run(&masters).await,
        }
    })
}

/// Where a kubeconfig may be: what was named must be there, others are looked for in turn. The variable may name
/// several files, which count as one.
fn candidates(flag: Option<PathBuf>, variable: Option<OsString>, home: Option<&Path>) -> Vec<Vec<PathBuf>> {
    if let Some(named) = flag {
        return vec![vec![named]];
    }
    let listed: Vec<_> = variable.iter().flat_map(std::env::split_paths).collect();
    let named: Vec<_> = listed.into_iter().filter(|path| !path.as_os_str().is_empty()).collect();
    if !named.is_empty() {
        return vec![named];
    }
    let local = PathBuf::from(".keelson/kubeconfig");
    let usual = home.map(|home| home.join(".kube/config"));
    std::iter::once(local).chain(usual).map(|path| vec![path]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn where_a_kubeconfig_is_looked_for() {
        let path = |text: &str| Some(PathBuf::from(text));
        let home = Path::new("/home/a");
        let cases = [
            (path("flag"), Some("variable"), vec![vec!["flag"]]),
            (None, Some("variable"), vec![vec!["variable"]]),
            (None, Some("one:/the/other:"), vec![vec!["one", "/the/other"]]),
            (None, Some(""), vec![vec![".keelson/kubeconfig"], vec!["/home/a/.kube/config"]]),
            (None, None, vec![vec![".keelson/kubeconfig"], vec!["/home/a/.kube/config"]]),
        ];
        for (flag, variable, expected) in cases {
            let variable = variable.map(OsString::from);
            let paths = |files: Vec<&str>| files.into_iter().map(PathBuf::from).collect::<Vec<_>>();
            let expected: Vec<_> = expected.into_iter().map(paths).collect();
            assert_eq!(candidates(flag, variable, Some(home)), expected);
        }
    }
}
