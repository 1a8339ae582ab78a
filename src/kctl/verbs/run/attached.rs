//! A pod that was just made, with this process's input and output for its own.

use std::time::Duration;

use base::env;
use http::Method;
use serde_json::Value;

use crate::failure::Failure;
use crate::flags::{Cascade, DryRun};
use crate::manifest::{namespace, text};
use crate::progress;
use crate::screen::{Screen, warn};
use crate::server::{Call, Server};
use crate::targets::Target;
use crate::verbs::exec::Terminal;
use crate::verbs::{attach, delete, logs};
use crate::workload;

/// How often it is looked how a pod is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How it is attached to.
#[derive(Clone, Copy, Debug)]
pub struct How<'a> {
    /// How it is connected.
    pub terminal: &'a Terminal,
    /// How long to wait until it runs, and until it has ended.
    pub patience: Duration,
    /// Whether its end is waited for, and its exit code this process's.
    pub ends: bool,
    /// Whether it goes afterwards.
    pub is_removed: bool,
}

/// Waits until the pod runs, attaches, and removes it.
pub async fn run(target: &Target, how: How<'_>, server: &Server, screen: Screen) -> Result<(), Failure> {
    let outcome = attached(target, how, server, screen).await;
    if how.is_removed {
        let options = delete::options(Cascade::Background, None, DryRun::None);
        let call = Call::new(Method::DELETE, target.path()).body("application/json", &options);
        match server.json(call).await {
            Ok(_) if how.terminal.quiet => {}
            Ok(_) => screen.line(&delete::told(target, "deleted"))?,
            Err(failure) if failure.is("NotFound") => {}
            Err(failure) => warn(&failure.to_string()),
        }
    }
    outcome
}

async fn attached(target: &Target, how: How<'_>, server: &Server, screen: Screen) -> Result<(), Failure> {
    let runs = |pod: &Value| {
        is_over(pod) || text(pod, "/status/phase") == "Running" && workload::is_true(pod, "Ready")
    };
    let pod = until(target, how.patience, runs, server, screen).await?;
    if is_over(&pod) {
        // It was faster: what it printed is in its log.
        log(&pod, server, screen).await?;
    } else {
        match attach::to(&pod, how.terminal, server, screen).await {
            Err(failure @ (Failure::Server(_) | Failure::NoAnswer(_))) => {
                warn(&format!(
                    "warning: couldn't attach to pod/{}, falling back to streaming logs: {}",
                    target.name,
                    failure.words()
                ));
                log(&pod, server, screen).await?;
            }
            outcome => outcome?,
        }
    }
    if !how.ends {
        return Ok(());
    }
    let is_once = |pod: &Value| text(pod, "/spec/restartPolicy") == "Never";
    let ended = |pod: &Value| text(pod, "/status/phase") == "Succeeded" || is_over(pod) && is_once(pod);
    ended_as(&until(target, how.patience, ended, server, screen).await?)
}

fn is_over(pod: &Value) -> bool {
    ["Succeeded", "Failed"].contains(&text(pod, "/status/phase"))
}

/// What the end of a pod means here.
fn ended_as(pod: &Value) -> Result<(), Failure> {
    let whose = format!("pod {}/{}", namespace(pod), crate::manifest::name(pod));
    if text(pod, "/status/phase") == "Succeeded" {
        return Ok(());
    }
    let terminated = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    let Some(code) = terminated["exitCode"].as_i64().filter(|code| *code != 0) else {
        return Err(Failure::Refused(format!("{whose} failed with unknown exit code")));
    };
    let told =
        format!("{whose} terminated ({})\n{}", text(terminated, "/reason"), text(terminated, "/message"));
    warn(told.trim_end());
    Err(Failure::Exit(u8::try_from(code).unwrap_or(u8::MAX)))
}

/// Waits until something holds for the pod, and returns it.
async fn until(
    target: &Target,
    patience: Duration,
    holds: impl Fn(&Value) -> bool,
    server: &Server,
    screen: Screen,
) -> Result<Value, Failure> {
    let wait = async {
        loop {
            let pod = target.read(server).await?;
            if holds(&pod) {
                return Ok(pod);
            }
            env::sleep(LOOK_EVERY).await;
        }
    };
    let look = async || progress::look(server, target).await;
    match progress::during(screen, env::timeout(patience, wait), look).await {
        Ok(pod) => pod,
        Err(_) => {
            let words = "timed out waiting for the condition";
            Err(Failure::Refused(progress::in_vain(words, server, target).await))
        }
    }
}

async fn log(pod: &Value, server: &Server, screen: Screen) -> Result<(), Failure> {
    let path = format!("/api/v1/namespaces/{}/pods/{}/log", namespace(pod), crate::manifest::name(pod));
    let call = Call::get(path).with("container", text(pod, "/spec/containers/0/name"));
    logs::copy(call, "", server, screen).await
}
