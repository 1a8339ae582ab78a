//! How far something is that is waited for, and what keeps it.
//!
//! On a terminal one line tells, rewritten in place; elsewhere what keeps it is told when the wait was in vain.

mod blocking;

use std::pin::pin;
use std::time::Duration;

use base::env;
use serde_json::Value;

pub use blocking::{blocking, deletion};

use crate::manifest;
use crate::screen::{Screen, erase};
use crate::server::Server;
use crate::targets::Target;
use crate::workload;

/// How often it is looked how far it is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many characters the bar has.
const BAR: usize = 12;

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// What is waited for.
    pub name: String,
    /// Of how many, if it can be counted, how many are as wanted.
    pub counted: Option<(u64, u64)>,
    /// The same in words.
    pub words: String,
    /// What keeps it, if that is known.
    pub why: Option<String>,
}

impl State {
    /// How far it is and what keeps it, in one sentence; empty where neither is known.
    pub fn told(&self) -> String {
        let parts = [Some(self.words.as_str()), self.why.as_deref()];
        let parts: Vec<&str> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        parts.join("; ")
    }

    /// The same on one line of a terminal. Where that is too narrow for the reason, the bar gives way to it, then the
    /// name.
    fn line(&self, elapsed: Duration, width: usize) -> String {
        let bar = self.counted.map_or_else(String::new, |(done, total)| {
            let full = usize::try_from(done * BAR as u64 / total.max(1)).unwrap_or(BAR).min(BAR);
            format!("[{}{}] ", "#".repeat(full), "-".repeat(BAR - full))
        });
        let (name, told) = (&self.name, format!("{} s; {}", elapsed.as_secs(), self.told()));
        // Behind the last column the terminal would begin another line, which could not be erased.
        let room = width.saturating_sub(1);
        // What follows is a message of any length.
        let cut =
            self.why.as_ref().map_or(0, |why| why.splitn(3, ": ").nth(2).map_or(0, |rest| rest.len() + 2));
        let needed = told[..told.len() - cut].chars().count();
        let heads = [format!("{name} {bar}"), format!("{name} "), String::new()];
        let head = heads.iter().find(|head| head.chars().count() + needed <= room);
        let line = format!("{}{told}", head.map_or("", String::as_str)).replace(['\n', '\r', '\t'], " ");
        match line.chars().count() > room {
            true => line.chars().take(room.saturating_sub(1)).chain(['…']).collect(),
            false => line,
        }
    }
}

/// Waits; meanwhile, on a terminal, a line tells what `look` sees.
pub async fn during<T>(
    screen: Screen,
    wait: impl Future<Output = T>,
    mut look: impl AsyncFnMut() -> Option<State>,
) -> T {
    if !screen.is_live {
        return wait.await;
    }
    let begun = env::monotonic();
    let mut wait = pin!(wait);
    let mut ticks = env::interval(LOOK_EVERY);
    loop {
        let next = async {
            ticks.tick().await;
            look().await
        };
        let state = tokio::select! {
            biased;
            done = &mut wait => {
                erase();
                return done;
            }
            // Dropped, it is looked again: nothing is lost.
            state = next => state,
        };
        if let Some(state) = state {
            screen.show(&state.line(begun.elapsed(), screen.width()));
        }
    }
}

/// What is said of a wait in vain, with how far it was and what kept it.
pub async fn in_vain(words: &str, server: &Server, target: &Target) -> String {
    let told = look(server, target).await.map(|state| state.told()).unwrap_or_default();
    if told.is_empty() { words.to_owned() } else { format!("{words}: {told}") }
}

/// How far an object is; `None` where the server does not tell.
pub async fn look(server: &Server, target: &Target) -> Option<State> {
    let object = target.read_if_there(server).await.ok()??;
    let why = why(server, target, &object).await;
    let (counted, words) = count(target, &object);
    Some(State { name: target.printed(), counted, words, why })
}

/// What keeps an object.
async fn why(server: &Server, target: &Target, object: &Value) -> Option<String> {
    if object["metadata"]["deletionTimestamp"].is_string() {
        return deletion(object);
    }
    match (target.kind.group.as_str(), target.kind.kind.as_str()) {
        ("", "Pod") => blocking::of_pods(std::iter::once(object)),
        ("apps", "Deployment") => {
            let sets = workload::replica_sets(server, object).await.ok()?;
            blocking(object, &sets, &workload::pods(server, object).await.ok()?)
        }
        _ if object["spec"]["selector"].is_object() && object["spec"]["template"].is_object() => {
            let pods = workload::pods(server, object).await.ok()?;
            let its = pods.iter().filter(|pod| workload::is_controlled_by(pod, object));
            blocking::refused(object).or_else(|| blocking::of_pods(its))
        }
        _ => None,
    }
}

/// How many of its pods are as wanted, in numbers and in words.
fn count(target: &Target, object: &Value) -> (Option<(u64, u64)>, String) {
    let Some(total) = object["spec"]["replicas"].as_u64() else {
        return (None, manifest::text(object, "/status/phase").to_owned());
    };
    let status = |field: &str| object["status"][field].as_u64().unwrap_or(0);
    let ready = status("readyReplicas");
    if target.kind.kind != "Deployment" {
        return (Some((ready, total)), format!("{ready}/{total} ready"));
    }
    // Until the newest template was looked at, the counts are those of another.
    let is_observed = object["status"]["observedGeneration"].as_i64().unwrap_or(0)
        >= object["metadata"]["generation"].as_i64().unwrap_or(0);
    let updated = if is_observed { status("updatedReplicas") } else { 0 };
    let done = updated.min(status("availableReplicas"));
    (Some((done, total)), format!("{updated}/{total} updated, {ready}/{total} ready"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_far_it_is() {
        let state = State {
            name: "deployment.apps/web".to_owned(),
            counted: Some((2, 3)),
            words: "3/3 updated, 2/3 ready".to_owned(),
            why: Some("web-a: ImagePullBackOff: Back-off\npulling image \"x\"".to_owned()),
        };
        let elapsed = Duration::from_millis(12_900);
        let cases = [
            (
                120,
                "deployment.apps/web [########----] 12 s; 3/3 updated, 2/3 ready; web-a: ImagePullBackOff: Back-off \
                 pulling image \"x\"",
            ),
            // What is to be known comes first.
            (80, "deployment.apps/web 12 s; 3/3 updated, 2/3 ready; web-a: ImagePullBackOff: Bac…"),
            (60, "12 s; 3/3 updated, 2/3 ready; web-a: ImagePullBackOff: Bac…"),
            (40, "12 s; 3/3 updated, 2/3 ready; web-a: I…"),
        ];
        for (width, expected) in cases {
            assert_eq!(state.line(elapsed, width), expected);
        }
        let pod = State { name: "pod/a".to_owned(), why: Some("a: Pending".to_owned()), ..State::default() };
        assert_eq!(pod.line(elapsed, 80), "pod/a 12 s; a: Pending");
    }
}
