//! `kctl rollout restart`

use base::env;
use serde_json::{Value, json};

use super::{Change, cannot, chosen, sent};
use crate::failure::{Failure, Tally};
use crate::flags::DryRun;
use crate::patch::{Patch, STRATEGIC};
use crate::screen::Screen;
use crate::server::Server;
use crate::targets::Target;
use crate::verbs::written::Report;

/// A template that says another moment is another template.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// What replaces its pods when its template changes.
const KINDS: &[&str] = &["DaemonSet", "Deployment", "StatefulSet"];

/// Runs the verb.
pub(super) async fn run(args: &Change, server: &Server, screen: Screen) -> Result<(), Failure> {
    let mut report = Report::new(&args.writing, screen)?;
    let mut tally = Tally::default();
    for target in chosen(&args.objects, server).await? {
        let outcome = one(args, &target, server).await;
        if let Some(object) = tally.take(outcome)? {
            report.add(&target, "restarted", object)?;
        }
    }
    report.close()?;
    tally.close()
}

async fn one(args: &Change, target: &Target, server: &Server) -> Result<Value, Failure> {
    let mut object = target.read(server).await?;
    if target.kind.group != "apps" || !KINDS.contains(&target.kind.kind.as_str()) {
        return Err(cannot(target, "restarting is not supported"));
    }
    if object["spec"]["paused"] == true {
        return Err(cannot(target, "can't restart paused deployment (run rollout resume first)"));
    }
    let now = api::time::rfc3339(env::wall_ms());
    if object["spec"]["template"]["metadata"]["annotations"][RESTARTED_AT] == now.as_str() {
        return Err(Failure::Refused(format!(
            "failed to create patch for {}: if restart has already been triggered within the past second, please wait \
             before attempting to trigger another",
            target.name
        )));
    }
    let body = json!({"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: now}}}}});
    if args.writing.dry_run == DryRun::Client {
        api::patch::merge(&mut object, &body);
        return Ok(object);
    }
    let patch = Patch { media: STRATEGIC, body };
    let sent = sent(target, &patch, &args.field_manager, &args.writing, server).await;
    sent.map_err(|failure| failure.doing("failed to patch"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::super::tests::{deployment, fake};

    #[test]
    fn a_template_says_when_it_was_restarted() {
        let fake = fake(json!({}));
        expect![[r#"
            deployment.apps/web restarted
            > PATCH /apis/apps/v1/namespaces/default/deployments/web?fieldManager=kctl-rollout {"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-01-01T00:00:00Z"}}}}}
        "#]]
        .assert_eq(&fake.run("rollout restart deploy/web"));
        // Each run begins at the same moment.
        let again = fake.run("rollout restart deploy/web");
        assert!(again.contains("if restart has already been triggered within the past second"), "{again}");
        let mut paused = deployment(json!({}));
        paused["spec"]["paused"] = json!(true);
        fake.put(paused);
        let told = fake.run("rollout restart deploy/web");
        assert!(told.contains("can't restart paused deployment (run rollout resume first)"), "{told}");
        let wrong = fake.run("rollout restart rs/web-1");
        assert!(wrong.contains("replicasets.apps \"web-1\" restarting is not supported"), "{wrong}");
    }
}
