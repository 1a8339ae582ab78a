//! `kctl rollout status`

use base::env;
use futures::StreamExt;
use serde_json::Value;

use super::{chosen, is_deployment};
use crate::failure::{Failure, Tally};
use crate::flags::{PATIENCE, duration};
use crate::manifest::{name, text};
use crate::progress;
use crate::screen::Screen;
use crate::server::{Call, Server};
use crate::targets::{Objects, Target};
use crate::workload;

/// Which rollouts, and for how long to look at them.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    objects: Objects,
    /// Wait until it is done.
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", hide_default_value = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    watch: bool,
    /// How long to wait; 0: a week.
    #[arg(long, default_value = "0", hide_default_value = true, value_name = "DURATION")]
    timeout: String,
    /// Only this revision; 0: whichever is the newest.
    #[arg(
        long,
        default_value_t = 0,
        hide_default_value = true,
        allow_negative_numbers = true,
        value_name = "NUMBER"
    )]
    revision: i64,
}

/// How far a rollout is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Status {
    /// There is nothing left to do.
    Done(String),
    /// It will not be done by itself.
    Failed(String),
    /// It goes on.
    Going(String),
}

/// Runs the verb.
pub(super) async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    if args.revision < 0 {
        return Err(Failure::Usage(format!("revision must be a positive integer: {}", args.revision)));
    }
    let limit = duration("--timeout", &args.timeout)?;
    let limit = if limit.is_zero() { PATIENCE } else { limit };
    let mut tally = Tally::default();
    for target in chosen(&args.objects, server).await? {
        let wait = env::timeout(limit, settled(args, &target, server, screen));
        let look = async || progress::look(server, &target).await;
        let waited = progress::during(screen, wait, look).await;
        let outcome =
            match waited.unwrap_or_else(|_| Ok(Err("timed out waiting for the condition".to_owned()))) {
                Ok(Err(words)) => Err(Failure::Refused(progress::in_vain(&words, server, &target).await)),
                Ok(Ok(())) => Ok(()),
                Err(failure) => Err(failure),
            };
        tally.take(outcome)?;
    }
    tally.close()
}

/// Tells how far it is until it is done, or until it is known that it will not be.
async fn settled(
    args: &Args,
    target: &Target,
    server: &Server,
    screen: Screen,
) -> Result<Result<(), String>, Failure> {
    let tell = |object: &Value| -> Result<Option<Result<(), String>>, Failure> {
        match status(target, object, args.revision)? {
            Status::Failed(words) => Ok(Some(Err(words))),
            Status::Done(words) => screen.line(&words).map(|()| Some(Ok(()))),
            Status::Going(words) if !args.watch => screen.line(&words).map(|()| Some(Ok(()))),
            // There a line tells more.
            Status::Going(_) if screen.is_live => Ok(None),
            Status::Going(words) => screen.line(&words).map(|()| None),
        }
    };
    let version = |object: &Value| text(object, "/metadata/resourceVersion").to_owned();
    let mut told = None;
    loop {
        let object = target.read(server).await?;
        let mut seen = version(&object);
        if told.as_ref() != Some(&seen)
            && let Some(end) = tell(&object)?
        {
            return Ok(end);
        }
        let call = Call::get(target.collection())
            .with("fieldSelector", format!("metadata.name={}", target.name))
            .with("resourceVersion", &*seen);
        let mut events = server.watch(call).await?;
        while let Some(event) = events.next().await {
            let event = event?;
            if event.kind == "DELETED" {
                return Err(Failure::Refused("object has been deleted".to_owned()));
            }
            seen = version(&event.object);
            if let Some(end) = tell(&event.object)? {
                return Ok(end);
            }
        }
        told = Some(seen);
    }
}

fn status(target: &Target, object: &Value, revision: i64) -> Result<Status, Failure> {
    if !is_deployment(&target.kind) {
        return Err(Failure::Refused(format!(
            "no status viewer has been implemented for {}",
            target.kind.group_kind()
        )));
    }
    let running = workload::revision(object).unwrap_or(0);
    if revision > 0 && revision != running {
        return Err(Failure::Refused(format!(
            "desired revision ({revision}) is different from the running revision ({running})"
        )));
    }
    Ok(deployment(object))
}

fn deployment(object: &Value) -> Status {
    let count = |path: &str| object.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    if count("/metadata/generation") > count("/status/observedGeneration") {
        return Status::Going("Waiting for deployment spec update to be observed...".to_owned());
    }
    let name = name(object);
    let progressing = workload::condition(object, "Progressing");
    if progressing.is_some_and(|one| one["reason"] == "ProgressDeadlineExceeded") {
        return Status::Failed(format!("deployment \"{name}\" exceeded its progress deadline"));
    }
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    let [all, updated, available] =
        ["replicas", "updatedReplicas", "availableReplicas"].map(|field| count(&format!("/status/{field}")));
    let waiting = match () {
        () if updated < wanted => format!("{updated} out of {wanted} new replicas have been updated..."),
        () if all > updated => format!("{} old replicas are pending termination...", all - updated),
        () if available < updated => format!("{available} of {updated} updated replicas are available..."),
        () => return Status::Done(format!("deployment \"{name}\" successfully rolled out")),
    };
    Status::Going(format!("Waiting for deployment \"{name}\" rollout to finish: {waiting}"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::super::tests::{deployment, fake};

    const WATCHED: &str = "WATCH /apis/apps/v1/namespaces/default/deployments";

    fn counts(all: u8, updated: u8, available: u8) -> Value {
        json!({
            "observedGeneration": 2, "replicas": all, "updatedReplicas": updated, "availableReplicas": available,
            "readyReplicas": available,
        })
    }

    fn event(kind: &str, status: Value) -> String {
        json!({"type": kind, "object": deployment(status)}).to_string() + "\n"
    }

    #[test]
    fn a_rollout_is_told_until_it_is_done() {
        let fake = fake(json!({"observedGeneration": 1}));
        let events = [counts(4, 1, 3), counts(4, 3, 3), counts(3, 3, 2), counts(3, 3, 3)];
        let events: String = events.into_iter().map(|status| event("MODIFIED", status)).collect();
        fake.say(WATCHED, 200, events);
        expect![[r#"
            Waiting for deployment spec update to be observed...
            Waiting for deployment "web" rollout to finish: 1 out of 3 new replicas have been updated...
            Waiting for deployment "web" rollout to finish: 1 old replicas are pending termination...
            Waiting for deployment "web" rollout to finish: 2 of 3 updated replicas are available...
            deployment "web" successfully rolled out
        "#]]
        .assert_eq(&fake.run("rollout status deploy/web"));
    }

    #[test]
    fn it_may_be_looked_at_once() {
        expect![[r#"
            Waiting for deployment "web" rollout to finish: 0 out of 3 new replicas have been updated...
        "#]]
        .assert_eq(&fake(counts(3, 0, 3)).run("rollout status deploy web --watch=false"));
        let done = fake(counts(3, 3, 3)).run("rollout status deploy web --revision=3");
        assert_eq!(done, "deployment \"web\" successfully rolled out\n");
    }

    #[test]
    fn what_keeps_it_is_named_in_the_end() {
        let pulling = |fake: &crate::fake::Fake| {
            fake.put(json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": "web-3-x", "namespace": "default", "labels": {"app": "web"},
                    "ownerReferences": [{"controller": true, "uid": "uid-3"}],
                },
                "status": {"phase": "Pending", "containerStatuses": [{"name": "web", "state": {"waiting": {
                    "reason": "ImagePullBackOff", "message": "Back-off pulling image \"web:3\"",
                }}}]},
            }));
        };
        let slow = fake(counts(4, 1, 3));
        pulling(&slow);
        expect![[r#"
            Waiting for deployment "web" rollout to finish: 1 out of 3 new replicas have been updated...
            kctl: timed out waiting for the condition: 1/3 updated, 3/3 ready; web-3-x: ImagePullBackOff: Back-off pulling image "web:3"
            [exit code 1]
        "#]]
        .assert_eq(&slow.run("rollout status deploy/web --timeout=1m"));
        let mut status = counts(4, 1, 3);
        status["conditions"] = json!([
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
        ]);
        let failed = fake(status);
        pulling(&failed);
        expect![[r#"
            kctl: deployment "web" exceeded its progress deadline: 1/3 updated, 3/3 ready; web-3-x: ImagePullBackOff: Back-off pulling image "web:3"
            [exit code 1]
        "#]]
        .assert_eq(&failed.run("rollout status deploy/web"));
    }

    #[test]
    fn what_is_not_waited_for_is_told() {
        let cases = [
            (
                "rollout status deploy/web --revision=2",
                "kctl: desired revision (2) is different from the running revision (3)\n[exit code 1]\n",
            ),
            (
                "rollout status rs/web-1",
                "kctl: no status viewer has been implemented for ReplicaSet.apps\n[exit code 1]\n",
            ),
            (
                "rollout status deploy/none",
                "Error from server (NotFound): deployments.apps \"none\" not found\n[exit code 1]\n",
            ),
            ("rollout status", "kctl: required resource not specified\n[exit code 2]\n"),
        ];
        for (line, expected) in cases {
            assert_eq!(fake(json!({})).run(line), expected, "{line}");
        }
        let gone = fake(counts(3, 0, 3));
        gone.say(WATCHED, 200, event("DELETED", json!({})));
        let told = gone.run("rollout status deploy/web");
        assert!(told.ends_with("kctl: object has been deleted\n[exit code 1]\n"), "{told}");
    }
}
