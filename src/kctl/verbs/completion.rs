//! `kctl completion`

use clap::{CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};

use crate::cli::Cli;
use crate::failure::Failure;
use crate::screen::Screen;

/// For which shell.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The shell. For bash: `source <(kctl completion bash)`
    #[arg(value_enum)]
    shell: Kind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Bash,
    Fish,
    Zsh,
}

impl Args {
    /// Runs the verb, for which no server is needed.
    pub fn run(&self, screen: Screen) -> Result<(), Failure> {
        let shell = match self.shell {
            Kind::Bash => Shell::Bash,
            Kind::Fish => Shell::Fish,
            Kind::Zsh => Shell::Zsh,
        };
        let mut script = Vec::new();
        generate(shell, &mut Cli::command(), "kctl", &mut script);
        screen.print(&String::from_utf8_lossy(&script))
    }
}
