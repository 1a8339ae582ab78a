//! The command line of `kctl`, and its exit codes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory, Parser, Subcommand};

use crate::cluster;
use crate::failure::Failure;
use crate::flags::Global;
use crate::masters::Masters;
use crate::screen::Screen;
use crate::verbs;

/// The CLI of a Keelson cluster: kubectl's verbs, and the cluster's own.
///
/// Finds the cluster through --kubeconfig, else $KUBECONFIG, else .keelson/kubeconfig, else ~/.kube/config. Asks the
/// current context's master, and while that does not answer those of the other contexts that trust the same authority.
///
/// Exit codes: 0 done; 1 refused, or the answer is bad news (masters differ, `wait` timed out, `diff` found
/// differences); 2 wrong usage, and whatever keeps `diff` from comparing; 3 no answer: of no master, or of one that
/// was needed.
#[derive(Parser)]
#[command(name = "kctl", version, arg_required_else_help = true, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    family: Family,
}

#[derive(Subcommand)]
enum Family {
    /// The masters: who they are, who leads, who joins and leaves.
    #[command(subcommand)]
    Cluster(cluster::Verb),
    #[command(flatten)]
    Object(Box<verbs::Verb>),
}

impl Cli {
    fn parsed(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(plain(words, &Self::command()))
    }
}

/// A command line as clap reads it: flags that are there or not take `=true` and `=false` as well, in Go's spellings, for
/// so kubectl's users type them. Nothing behind `--` is touched.
fn plain(words: impl IntoIterator<Item = OsString>, root: &clap::Command) -> Vec<OsString> {
    let (mut verb, mut is_rest, mut plain) = (root, false, Vec::new());
    for word in words {
        let text = word.to_str().filter(|_| !is_rest).unwrap_or_default();
        is_rest |= text == "--";
        verb = verb.find_subcommand(text).unwrap_or(verb);
        let (flag, value) = text.split_once('=').unwrap_or((text, ""));
        match value {
            "1" | "t" | "T" | "true" | "True" | "TRUE" if is_switch(verb, flag) => plain.push(flag.into()),
            "0" | "f" | "F" | "false" | "False" | "FALSE" if is_switch(verb, flag) => {}
            _ => plain.push(word),
        }
    }
    plain
}

/// Whether a verb knows this flag as one that is there or not.
fn is_switch(verb: &clap::Command, flag: &str) -> bool {
    let is_it = |arg: &clap::Arg| match (flag.strip_prefix("--"), flag.strip_prefix('-')) {
        (Some(long), _) => arg.get_long() == Some(long),
        (None, Some(short)) => arg.get_short().is_some_and(|letter| short.chars().eq([letter])),
        (None, None) => false,
    };
    verb.get_arguments().any(|arg| matches!(arg.get_action(), ArgAction::SetTrue) && is_it(arg))
}

/// Runs the `kctl` command.
pub fn main() -> ExitCode {
    let outcome = run(Cli::parsed(std::env::args_os()).unwrap_or_else(|error| error.exit()));
    crate::screen::erase();
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    let words = failure.to_string();
    if !words.is_empty() {
        eprintln!("{words}");
    }
    ExitCode::from(failure.exit_code())
}

fn run(cli: Cli) -> Result<(), Failure> {
    let screen = Screen::new();
    if let Family::Object(verb) = &cli.family
        && let verbs::Verb::Completion(args) = &**verb
    {
        return args.run(screen);
    }
    let variable = std::env::var_os("KUBECONFIG");
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let candidates = candidates(cli.global.kubeconfig.clone(), variable, home.as_deref());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Refused(format!("starting the runtime failed: {error}")))?;
    runtime.block_on(async {
        let open = || Masters::open(&candidates, cli.global.context.as_deref());
        match cli.family {
            Family::Cluster(verb) => screen.print(&verb.run(&open().await?).await?),
            Family::Object(verb) => match *verb {
                // Nobody needs to be there to say how new this program is.
                verbs::Verb::Version(args) if args.client => args.run_alone(screen),
                verb => Box::pin(verb.run(&open().await?, &cli.global, screen)).await,
            },
        }
    })
}

/// Runs a command line on a server that is known.
#[cfg(test)]
pub async fn run_on(words: &[&str], connected: (kube::Client, crate::dial::Dialer)) -> Result<(), Failure> {
    let words = std::iter::once("kctl").chain(words.iter().copied()).map(OsString::from);
    let cli = Cli::parsed(words).map_err(|error| Failure::Usage(error.to_string()))?;
    let Family::Object(verb) = cli.family else { return Err(Failure::Usage("of masters".to_owned())) };
    let namespace = cli.global.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let server =
        crate::server::Server::over(connected, "https://fake".to_owned(), namespace, &cli.global).await?;
    verb.run_on(&server, &cli.global, Screen { colored: false, is_live: false }).await
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
    fn flags_take_what_kubectls_do() {
        let reads = |line: &str| {
            let words = std::iter::once("kctl").chain(line.split(' ')).map(OsString::from);
            let read = Cli::parsed(words).map(|cli| match cli.family {
                Family::Object(verb) => match *verb {
                    verbs::Verb::Logs(args) => format!("{args:?}"),
                    verbs::Verb::Exec(args) => format!("{args:?}"),
                    _ => String::new(),
                },
                Family::Cluster(_) => String::new(),
            });
            read.unwrap_or_else(|error| error.to_string())
        };
        for line in ["logs p --follow --timestamps=true -p=false", "logs p -f --timestamps --previous=false"]
        {
            let read = reads(line);
            let expected = ["follow: true", "timestamps: true", "previous: false"];
            assert!(expected.iter().all(|one| read.contains(one)), "{line}: {read}");
        }
        for line in ["exec -it p -- sh", "exec -i -t=true p -- sh", "exec --stdin=true --tty p -- sh"] {
            let read = reads(line);
            assert!(["stdin: true", "tty: true"].iter().all(|one| read.contains(one)), "{line}: {read}");
        }
        assert!(reads("logs p --follow=perhaps").contains("unexpected value 'perhaps'"));
        assert!(reads("exec p -- sh --stdin=true").contains("--stdin=true"), "what is run is left alone");
        // What is not asked for is in nobody's way.
        assert_eq!(reads("delete pod p --now=false --grace-period=5"), "");
    }

    #[test]
    fn the_command_line_is_consistent() {
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
