//! `kctl rollout pause` and `kctl rollout resume`

use serde_json::{Value, json};

use super::{Change, cannot, chosen, is_deployment, sent};
use crate::failure::{Failure, Tally};
use crate::flags::DryRun;
use crate::patch::{Patch, STRATEGIC};
use crate::screen::Screen;
use crate::server::Server;
use crate::targets::Target;
use crate::verbs::written::Report;

/// Runs either verb.
pub(super) async fn run(
    args: &Change,
    is_to_pause: bool,
    server: &Server,
    screen: Screen,
) -> Result<(), Failure> {
    let mut report = Report::new(&args.writing, screen)?;
    let mut tally = Tally::default();
    for target in chosen(&args.objects, server).await? {
        let outcome = one(args, is_to_pause, &target, server).await;
        if let Some(object) = tally.take(outcome)? {
            report.add(&target, if is_to_pause { "paused" } else { "resumed" }, object)?;
        }
    }
    report.close()?;
    tally.close()
}

async fn one(args: &Change, is_to_pause: bool, target: &Target, server: &Server) -> Result<Value, Failure> {
    let mut object = target.read(server).await?;
    if !is_deployment(&target.kind) {
        let doing = if is_to_pause { "pausing" } else { "resuming" };
        return Err(cannot(target, &format!("{doing} is not supported")));
    }
    let is_paused = object["spec"]["paused"] == true;
    if is_paused == is_to_pause {
        return Err(cannot(target, if is_paused { "is already paused" } else { "is not paused" }));
    }
    if args.writing.dry_run == DryRun::Client {
        object["spec"]["paused"] = json!(is_to_pause);
        return Ok(object);
    }
    // What is false is not there.
    let paused = if is_to_pause { json!(true) } else { Value::Null };
    let patch = Patch { media: STRATEGIC, body: json!({"spec": {"paused": paused}}) };
    sent(target, &patch, &args.field_manager, &args.writing, server).await
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::super::tests::fake;

    #[test]
    fn a_rollout_is_paused_and_resumed_once() {
        let fake = fake(json!({}));
        let lines = [
            "rollout resume deploy/web",
            "rollout pause deploy/web",
            "rollout pause deploy/web",
            "rollout resume deploy",
        ];
        let shown: String = lines.iter().map(|line| fake.run(line)).collect();
        expect![[r#"
            kctl: deployments.apps "web" is not paused
            [exit code 1]
            deployment.apps/web paused
            > PATCH /apis/apps/v1/namespaces/default/deployments/web?fieldManager=kctl-rollout {"spec":{"paused":true}}
            kctl: deployments.apps "web" is already paused
            [exit code 1]
            deployment.apps/web resumed
            > PATCH /apis/apps/v1/namespaces/default/deployments/web?fieldManager=kctl-rollout {"spec":{"paused":null}}
        "#]]
        .assert_eq(&shown);
        let wrong = fake.run("rollout pause rs/web-1");
        assert_eq!(wrong, "kctl: replicasets.apps \"web-1\" pausing is not supported\n[exit code 1]\n");
    }
}
