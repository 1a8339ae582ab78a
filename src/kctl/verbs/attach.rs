//! `kctl attach`

use std::time::Duration;

use serde_json::Value;
use streams::remote_command::{Options, TerminalSize};

use super::exec::Terminal;
use crate::failure::Failure;
use crate::flags::duration;
use crate::manifest::{name, text};
use crate::pods::{self, Purpose};
use crate::screen::{Screen, warn};
use crate::server::Server;
use crate::workload::items;
use crate::{session, terminal};

/// To what.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A pod, or TYPE/NAME, which picks one of its pods.
    pod: String,
    #[command(flatten)]
    terminal: Terminal,
}

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let patience = duration("--pod-running-timeout", &args.terminal.pod_running_timeout)?;
    if patience == Duration::ZERO {
        return Err(Failure::Usage("--pod-running-timeout must be higher than zero".to_owned()));
    }
    let (pod, _) = pods::of(server, &args.pod, Purpose::Work, patience).await?;
    let phase = text(&pod, "/status/phase");
    if ["Succeeded", "Failed"].contains(&phase) {
        return Err(Failure::Refused(format!(
            "cannot attach a container in a completed pod; current phase is {phase}"
        )));
    }
    to(&pod, &args.terminal, server, screen).await
}

/// Attaches to a container of a pod.
///
/// # Errors
/// When there is none, or it ends badly.
pub async fn to(pod: &Value, wanted: &Terminal, server: &Server, screen: Screen) -> Result<(), Failure> {
    let container = pods::container(pod, &wanted.container, wanted.quiet)?;
    let all = items(&pod["spec"]["containers"]).iter().chain(items(&pod["spec"]["ephemeralContainers"]));
    let has_tty = all.clone().any(|one| one["name"] == container.as_str() && one["tty"] == true);
    if wanted.tty && !has_tty && !wanted.quiet {
        warn(&format!("error: Unable to use a TTY - container {container} did not allocate one"));
    }
    // A container with a terminal sends no stderr of its own, whether or not there is one here.
    let tty = has_tty && (wanted.stdin && terminal::is_typed());
    let options = Options {
        stdin: wanted.stdin,
        stdout: true,
        stderr: !has_tty,
        tty,
        command: Vec::new(),
        container: Some(container.clone()),
    };
    if !wanted.quiet {
        warn("If you don't see a command prompt, try pressing enter.");
    }
    // Another size first, so that what runs there draws its screen anew.
    let other = terminal::size().map(|size| TerminalSize {
        width: size.width.saturating_add(1),
        height: size.height.saturating_add(1),
    });
    session::run(server, pod, "attach", &options, other.into_iter().collect(), screen).await?;
    if !wanted.quiet && tty && text(pod, "/spec/restartPolicy") == "Always" {
        return screen.line(&format!(
            "Session ended, resume using 'kctl attach {} -c {container} -i -t' command when the pod is running",
            name(pod)
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use crate::fake::Fake;

    fn check(line: &str, expected: &Expect) {
        let pod = |name: &str, phase: &str| {
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"containers": [{"name": "app", "stdin": true}]}, "status": {"phase": phase},
            })
        };
        crate::terminal::tests::INPUT.set(Some("typed\n".to_owned()));
        expected.assert_eq(&Fake::of([pod("web", "Running"), pod("over", "Failed")]).run(line));
    }

    #[test]
    fn what_runs_is_joined() {
        check(
            "attach web -i",
            &expect![[r#"
            If you don't see a command prompt, try pressing enter.
            typed
        "#]],
        );
        check(
            "attach web -i -t",
            &expect![[r#"
            error: Unable to use a TTY - container app did not allocate one
            If you don't see a command prompt, try pressing enter.
            typed
        "#]],
        );
        check(
            "attach over",
            &expect![[r#"
            kctl: cannot attach a container in a completed pod; current phase is Failed
            [exit code 1]
        "#]],
        );
        check(
            "attach none",
            &expect![[r#"
            Error from server (NotFound): pods "none" not found
            [exit code 1]
        "#]],
        );
    }
}
