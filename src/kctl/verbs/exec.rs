//! `kctl exec`

use streams::remote_command::Options;

use crate::failure::Failure;
use crate::flags::duration;
use crate::manifest::text;
use crate::pods::{self, Purpose};
use crate::screen::{Screen, warn};
use crate::server::Server;
use crate::{session, terminal};

/// Where, and what.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A pod, or TYPE/NAME, which picks one of its pods.
    #[arg(value_name = "POD")]
    words: Vec<String>,
    #[command(flatten)]
    terminal: Terminal,
    /// The command, behind --.
    #[arg(last = true)]
    command: Vec<String>,
}

/// How a command is connected with this process.
#[derive(clap::Args, Debug)]
pub struct Terminal {
    /// In this container.
    #[arg(short, long, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub container: String,
    /// Give it what is typed here.
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// In a terminal.
    #[arg(short, long)]
    pub tty: bool,
    /// Print only what the command prints.
    #[arg(short, long)]
    pub quiet: bool,
    /// How long to wait for a pod.
    #[arg(long, default_value = "1m", value_name = "DURATION")]
    pub pod_running_timeout: String,
}

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let usage = |why: &str| Err(Failure::Usage(why.to_owned()));
    let pod = match (&args.words[..], &args.command[..]) {
        ([], _) => return usage("pod, type/name or --filename must be specified"),
        ([_, _, ..], _) => {
            return usage(
                "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead",
            );
        }
        (_, []) => return usage("you must specify at least one command for the container"),
        ([pod], _) => pod,
    };
    let patience = duration("--pod-running-timeout", &args.terminal.pod_running_timeout)?;
    let (pod, _) = pods::of(server, pod, Purpose::Work, patience).await?;
    let phase = text(&pod, "/status/phase");
    if ["Succeeded", "Failed"].contains(&phase) {
        return Err(Failure::Refused(format!(
            "cannot exec into a container in a completed pod; current phase is {phase}"
        )));
    }
    let container = pods::container(&pod, &args.terminal.container, args.terminal.quiet)?;
    let tty = args.terminal.usable();
    let options = Options {
        stdin: args.terminal.stdin,
        stdout: true,
        stderr: !tty,
        tty,
        command: args.command.clone(),
        container: Some(container),
    };
    session::run(server, &pod, "exec", &options, Vec::new(), screen).await
}

impl Terminal {
    /// Whether there is a terminal to give.
    pub fn usable(&self) -> bool {
        if self.stdin && self.tty && !terminal::is_typed() {
            if !self.quiet {
                warn("Unable to use a TTY - input is not a terminal or the right kind of file");
            }
            return false;
        }
        self.stdin && self.tty
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use crate::fake::Fake;

    fn check(line: &str, typed: &str, expected: &Expect) {
        let pod = |name: &str, phase: &str| {
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"nodeName": "n", "containers": [{"name": "app"}, {"name": "side"}]}, "status": {"phase": phase},
            })
        };
        crate::terminal::tests::INPUT.set(Some(typed.to_owned()));
        expected.assert_eq(&Fake::of([pod("web", "Running"), pod("over", "Succeeded")]).run(line));
    }

    #[test]
    fn a_command_has_this_processes_input_and_output() {
        check(
            "exec web -- echo a b",
            "",
            &expect![[r#"
            Defaulted container "app" out of: app, side
            a b
        "#]],
        );
        check(
            "exec web -i -c side -- cat",
            "typed\n",
            &expect![[r#"
            typed
        "#]],
        );
        check(
            "exec pod/web -q -- fail 7",
            "",
            &expect![[r#"
            it fails
            command terminated with exit code 7
            [exit code 7]
        "#]],
        );
        check(
            "exec web -q -it -- cat",
            "typed\n",
            &expect![[r#"
            typed
        "#]],
        );
        check(
            "exec web -q -- none",
            "",
            &expect![[r#"
            kctl: Internal error occurred: error executing command in container: none: not found
            [exit code 1]
        "#]],
        );
    }

    #[test]
    fn what_cannot_be_run_is_told() {
        check(
            "exec",
            "",
            &expect![[r#"
            kctl: pod, type/name or --filename must be specified
            [exit code 2]
        "#]],
        );
        check(
            "exec web",
            "",
            &expect![[r#"
            kctl: you must specify at least one command for the container
            [exit code 2]
        "#]],
        );
        check(
            "exec web ls",
            "",
            &expect![[r#"
            kctl: exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead
            [exit code 2]
        "#]],
        );
        check(
            "exec over -- ls",
            "",
            &expect![[r#"
            kctl: cannot exec into a container in a completed pod; current phase is Succeeded
            [exit code 1]
        "#]],
        );
        check(
            "exec web -c none -- ls",
            "",
            &expect![[r#"
            kctl: container none is not valid for pod web out of: app, side
            [exit code 1]
        "#]],
        );
        check(
            "exec web -q -- refused",
            "",
            &expect![[r#"
            Error from server (Forbidden): pods "web" is forbidden: no
              next: `kctl auth whoami` shows as whom you asked; a RoleBinding gives more rights
            [exit code 1]
        "#]],
        );
    }
}
