//! `kctl scale`

use std::time::Duration;

use base::env;
use http::Method;
use serde_json::{Value, json};

use super::written::Report;
use crate::failure::{Failure, Tally};
use crate::flags::{DryRun, Writing, duration};
use crate::manifest;
use crate::patch::MERGE;
use crate::progress;
use crate::screen::Screen;
use crate::server::{Call, Server};
use crate::targets::{Objects, Target, objects};

/// Which objects, and how many pods they are to have.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    objects: Objects,
    #[command(flatten)]
    writing: Writing,
    /// How many.
    #[arg(long, allow_negative_numbers = true, value_name = "COUNT")]
    replicas: i64,
    /// Only if there are as many now; -1: however many there are.
    #[arg(long, default_value_t = -1, hide_default_value = true, allow_negative_numbers = true, value_name = "COUNT")]
    current_replicas: i64,
    /// Only if the object is of this version.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "VERSION")]
    resource_version: String,
    /// How long to wait until there are as many; 0: do not wait.
    #[arg(long, default_value = "0", hide_default_value = true, value_name = "DURATION")]
    timeout: String,
}

/// How often a write is tried again that met another, and how long it waits before.
const ATTEMPTS_MAX: usize = 10;
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How often it is looked whether there are as many.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    if args.replicas < 0 {
        return Err(Failure::Usage(
            "The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0".to_owned(),
        ));
    }
    if args.current_replicas < -1 {
        return Err(Failure::Usage(
            "The --current-replicas must specify an integer of -1 or greater".to_owned(),
        ));
    }
    let limit = duration("--timeout", &args.timeout)?;
    let targets = objects(args.objects.given(), server).await?;
    if targets.is_empty() {
        return Err(Failure::Refused("no objects passed to scale".to_owned()));
    }
    if !args.resource_version.is_empty() && targets.len() > 1 {
        return Err(Failure::Usage("cannot use --resource-version with multiple resources".to_owned()));
    }
    let mut report = Report::new(&args.writing, screen)?;
    let mut tally = Tally::default();
    for target in &targets {
        let outcome = one(args, target, limit, server, screen).await;
        if let Some(object) = tally.take(outcome)? {
            report.add(target, "scaled", object)?;
        }
    }
    report.close()?;
    tally.close()
}

async fn one(
    args: &Args,
    target: &Target,
    limit: Duration,
    server: &Server,
    screen: Screen,
) -> Result<Value, Failure> {
    // It must be there, whatever the scale says; and it is what may be printed.
    let mut object = target.read(server).await?;
    if args.writing.dry_run != DryRun::Client {
        scale(args, target, server).await?;
        if !limit.is_zero() && args.writing.dry_run == DryRun::None {
            let look = async || progress::look(server, target).await;
            let waited = progress::during(screen, env::timeout(limit, reached(args, target, server)), look);
            if waited.await.is_err() {
                let words = format!("timed out waiting for \"{}\" to be synced", target.name);
                return Err(Failure::Refused(progress::in_vain(&words, server, target).await));
            }
        }
    }
    if ["", "apps"].contains(&target.kind.group.as_str()) {
        object["spec"]["replicas"] = json!(args.replicas);
    }
    Ok(object)
}

/// Writes the number, with what it depends on.
async fn scale(args: &Args, target: &Target, server: &Server) -> Result<(), Failure> {
    let path = target.path_of("scale");
    let is_conditional = args.current_replicas != -1 || !args.resource_version.is_empty();
    for attempt in 1.. {
        let call = if is_conditional {
            let scale = conditional(args, server.json(Call::get(&*path)).await?)?;
            Call::new(Method::PUT, &*path).body("application/json", &scale)
        } else {
            Call::new(Method::PATCH, &*path).body(MERGE, &json!({"spec": {"replicas": args.replicas}}))
        };
        match server.json(call.with("dryRun", args.writing.dry_run.query())).await {
            Err(failure) if failure.is("Conflict") && attempt < ATTEMPTS_MAX => {
                env::sleep(RETRY_AFTER).await;
            }
            outcome => return outcome.map(drop),
        }
    }
    Ok(())
}

/// The scale with the number in it, if it is the one that was meant.
fn conditional(args: &Args, mut scale: Value) -> Result<Value, Failure> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    let version = manifest::text(&scale, "/metadata/resourceVersion");
    let unmet = |what: &str, wanted: &str, is: &str| {
        Err(Failure::Refused(format!("Expected {what} to be {wanted}, was {is}")))
    };
    if args.current_replicas != -1 && args.current_replicas != replicas {
        return unmet("replicas", &args.current_replicas.to_string(), &replicas.to_string());
    }
    if !args.resource_version.is_empty() && args.resource_version != version {
        return unmet("resource version", &args.resource_version, version);
    }
    scale["spec"]["replicas"] = json!(args.replicas);
    Ok(scale)
}

/// Returns when there are as many, or when somebody else wants another number.
async fn reached(args: &Args, target: &Target, server: &Server) -> Result<(), Failure> {
    loop {
        let scale = server.json(Call::get(target.path_of("scale"))).await?;
        let count = |path: &str| scale.pointer(path).and_then(Value::as_i64).unwrap_or(0);
        let wanted = count("/spec/replicas");
        if wanted != args.replicas || count("/status/replicas") == wanted {
            return Ok(());
        }
        env::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::fake::{Fake, refusal};

    fn fake() -> Fake {
        let of = |name: &str| {
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": name, "namespace": "default", "uid": name, "resourceVersion": "5"},
                "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}},
                "status": {"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
            })
        };
        Fake::of([of("db"), of("web")])
    }

    fn check(line: &str, expected: &Expect) {
        expected.assert_eq(&fake().run(line));
    }

    #[test]
    fn objects_are_scaled() {
        check(
            "scale deploy/web deploy/db --replicas=3",
            &expect![[r#"
                deployment.apps/web scaled
                deployment.apps/db scaled
                > PATCH /apis/apps/v1/namespaces/default/deployments/web/scale {"spec":{"replicas":3}}
                > PATCH /apis/apps/v1/namespaces/default/deployments/db/scale {"spec":{"replicas":3}}
            "#]],
        );
        check(
            "scale deploy web --replicas=0 --current-replicas=1 --resource-version=5 --dry-run=server",
            &expect![[r#"
                deployment.apps/web scaled (server dry run)
                > PUT /apis/apps/v1/namespaces/default/deployments/web/scale?dryRun=All {"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"web","namespace":"default","resourceVersion":"5"},"spec":{"replicas":0},"status":{"replicas":1}}
            "#]],
        );
        check("scale deploy web --replicas=2 --dry-run=client -o jsonpath={.spec.replicas}", &expect!["2"]);
    }

    #[test]
    fn what_is_not_as_expected_is_not_scaled() {
        check(
            "scale deploy web --replicas=3 --current-replicas=2",
            &expect![[r#"
                kctl: Expected replicas to be 2, was 1
                [exit code 1]
            "#]],
        );
        check(
            "scale deploy web --replicas=3 --resource-version=4",
            &expect![[r#"
                kctl: Expected resource version to be 4, was 5
                [exit code 1]
            "#]],
        );
        check(
            "scale deploy web db --replicas=3 --resource-version=4",
            &expect![[r#"
                kctl: cannot use --resource-version with multiple resources
                [exit code 2]
            "#]],
        );
        check(
            "scale deploy web --replicas=-1",
            &expect![[r#"
                kctl: The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0
                [exit code 2]
            "#]],
        );
        check(
            "scale deploy none --replicas=1",
            &expect![[r#"
                Error from server (NotFound): deployments.apps "none" not found
                [exit code 1]
            "#]],
        );
    }

    #[test]
    fn a_conflict_is_met_once_more() {
        let fake = fake();
        let path = "/apis/apps/v1/namespaces/default/deployments/web/scale";
        fake.say(&format!("PATCH {path}"), 409, refusal(409, "Conflict", "changed"));
        let shown = fake.run("scale deploy web --replicas=3");
        assert_eq!(shown.matches("> PATCH").count(), 2, "{shown}");
        assert!(shown.starts_with("deployment.apps/web scaled\n"), "{shown}");
    }

    #[test]
    fn a_wait_in_vain_names_what_keeps_it() {
        let fake = fake();
        fake.put(json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": "web-1", "namespace": "default", "uid": "web-1", "labels": {"app": "web"},
                "ownerReferences": [{"controller": true, "uid": "web"}],
            },
            "status": {"conditions": [
                {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: q"},
            ]},
        }));
        expect![[r#"
            kctl: timed out waiting for "web" to be synced: 1/3 updated, 1/3 ready; web-1: FailedCreate: exceeded quota: q
            [exit code 1]
            > PATCH /apis/apps/v1/namespaces/default/deployments/web/scale {"spec":{"replicas":3}}
        "#]]
        .assert_eq(&fake.run("scale deploy web --replicas=3 --timeout=5s"));
    }
}
