//! `kctl version`

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::manifest;
use crate::screen::Screen;
use crate::server::{Call, Server};

/// Whose version, and how.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only kctl's.
    #[arg(long)]
    pub client: bool,
    /// How to say it.
    #[arg(short, long, value_enum)]
    output: Option<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Json,
    Yaml,
}

impl Args {
    /// Runs the verb for kctl alone.
    pub fn run_alone(&self, screen: Screen) -> Result<(), Failure> {
        screen.print(&said(self.output, None))
    }
}

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let version = server.json(Call::get("/version")).await?;
    screen.print(&said(args.output, Some(&version)))
}

fn said(output: Option<Output>, server: Option<&Value>) -> String {
    let client = format!("v{}", env!("CARGO_PKG_VERSION"));
    let mut both = json!({"clientVersion": {"gitVersion": client, "platform": format!("linux/{}", std::env::consts::ARCH)}});
    if let Some(server) = server {
        both["serverVersion"] = server.clone();
    }
    match output {
        Some(Output::Json) => manifest::json(&both),
        Some(Output::Yaml) => manifest::yaml(&both),
        None => {
            let server =
                server.map(|server| format!("Server Version: {}\n", manifest::text(server, "/gitVersion")));
            format!("Client Version: {client}\n{}", server.unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_words_and_for_programs() {
        let server = json!({"gitVersion": "v1.37.0"});
        let client = env!("CARGO_PKG_VERSION");
        assert_eq!(
            said(None, Some(&server)),
            format!("Client Version: v{client}\nServer Version: v1.37.0\n")
        );
        assert_eq!(said(None, None), format!("Client Version: v{client}\n"));
        assert!(said(Some(Output::Yaml), Some(&server)).contains("serverVersion:\n  gitVersion: v1.37.0\n"));
    }
}
