//! `kctl rollout undo`

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::history::revisions;
use super::{chosen, is_deployment, sent};
use crate::describe::template_text;
use crate::failure::{Failure, Tally};
use crate::flags::{DryRun, Writing};
use crate::patch::{JSON, Patch};
use crate::screen::{Screen, warn};
use crate::server::Server;
use crate::targets::{Objects, Target};
use crate::verbs::LAST_APPLIED;
use crate::verbs::written::Report;

/// Which rollouts, and to what to go back.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    objects: Objects,
    #[command(flatten)]
    writing: Writing,
    /// The revision to go back to; 0: the one before this.
    #[arg(
        long,
        default_value_t = 0,
        hide_default_value = true,
        allow_negative_numbers = true,
        value_name = "NUMBER"
    )]
    to_revision: i64,
}

/// The label by which a ReplicaSet tells its pods from others'.
const HASH: &str = "pod-template-hash";

/// Annotations of a Deployment that do not come from its template.
const KEPT: &[&str] = &[
    LAST_APPLIED,
    "deployment.kubernetes.io/revision",
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

/// Runs the verb.
pub(super) async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let mut report = Report::new(&args.writing, screen)?;
    let mut tally = Tally::default();
    for target in chosen(&args.objects, server).await? {
        let outcome = one(args, &target, server).await;
        if let Some((done, object)) = tally.take(outcome)? {
            report.add(&target, &done, object)?;
        }
    }
    report.close()?;
    tally.close()
}

async fn one(args: &Args, target: &Target, server: &Server) -> Result<(String, Value), Failure> {
    let deployment = target.read(server).await?;
    if deployment["metadata"]["annotations"][LAST_APPLIED].is_string() {
        warn(&format!(
            "Warning: resource {} was previously managed with 'kctl apply'. Rolling back will not update the \
             {LAST_APPLIED} annotation, which may cause unexpected behavior on future 'kctl apply' operations. Consider \
             using 'kctl apply' with your previous configuration file instead.",
            target.printed()
        ));
    }
    if !is_deployment(&target.kind) {
        return Err(Failure::Refused(format!(
            "no rollbacker has been implemented for \"{}\"",
            target.kind.group_kind()
        )));
    }
    let revisions = revisions(target, server).await?;
    let set = wanted(&revisions, args.to_revision, target)?;
    if args.writing.dry_run == DryRun::Client {
        return Ok((template_text(&set["spec"]["template"]), deployment));
    }
    if deployment["spec"]["paused"] == true {
        return Err(Failure::Refused(
            "you cannot rollback a paused deployment; resume it first with 'kctl rollout resume' and try again"
                .to_owned(),
        ));
    }
    let template = without_hash(set);
    if template == without_hash(&deployment) {
        let done =
            format!("skipped rollback (current template already matches revision {})", args.to_revision);
        return Ok((done, deployment));
    }
    let body = json!([
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "replace", "path": "/metadata/annotations", "value": annotations(&deployment, set)},
    ]);
    let patch = Patch { media: JSON, body };
    let object = sent(target, &patch, "kctl-rollout", &args.writing, server).await;
    let doing = format!("failed restoring revision {}", args.to_revision);
    Ok(("rolled back".to_owned(), object.map_err(|failure| failure.doing(&doing))?))
}

/// The ReplicaSet of a revision; of 0 that before the newest.
fn wanted<'r>(
    revisions: &'r BTreeMap<i64, Value>,
    number: i64,
    target: &Target,
) -> Result<&'r Value, Failure> {
    let (found, missing) = match number {
        0 => (
            revisions.values().rev().nth(1),
            format!("no rollout history found for deployment \"{}\"", target.name),
        ),
        number => (revisions.get(&number), format!("unable to find specified revision {number} in history")),
    };
    found.ok_or(Failure::Refused(missing))
}

/// The template of a Deployment or a ReplicaSet, as a Deployment has it.
fn without_hash(object: &Value) -> Value {
    let mut template = object["spec"]["template"].clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.shift_remove(HASH);
    }
    template
}

/// The annotations of then, but for those that are the Deployment's own.
fn annotations(deployment: &Value, set: &Value) -> Map<String, Value> {
    let all = |object: &Value| object["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    let is_kept = |name: &String| KEPT.contains(&name.as_str());
    let its_own = all(deployment).into_iter().filter(|(name, _)| is_kept(name));
    its_own.chain(all(set).into_iter().filter(|(name, _)| !is_kept(name))).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::super::tests::{deployment, fake};

    #[test]
    fn the_template_of_before_is_put_back() {
        expect![[r#"
            deployment.apps/web rolled back
            > PATCH /apis/apps/v1/namespaces/default/deployments/web?fieldManager=kctl-rollout [{"op":"replace","path":"/spec/template","value":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":"web:2"}]}}},{"op":"replace","path":"/metadata/annotations","value":{"deployment.kubernetes.io/revision":"3","kubernetes.io/change-cause":"a better web"}}]
        "#]]
        .assert_eq(&fake(json!({})).run("rollout undo deploy/web"));
        let first = fake(json!({})).run("rollout undo deploy/web --to-revision=1 --dry-run=server");
        assert!(first.starts_with("deployment.apps/web rolled back (server dry run)\n> PATCH"), "{first}");
        assert!(first.contains("\"image\":\"web:1\"") && first.contains("dryRun=All"), "{first}");
    }

    #[test]
    fn what_cannot_be_undone_is_told() {
        let cases = [
            (
                "--to-revision=3",
                "deployment.apps/web skipped rollback (current template already matches revision 3)\n",
            ),
            ("--to-revision=8", "kctl: unable to find specified revision 8 in history\n[exit code 1]\n"),
            ("--to-revision=-1", "kctl: unable to find specified revision -1 in history\n[exit code 1]\n"),
        ];
        for (flag, expected) in cases {
            assert_eq!(fake(json!({})).run(&format!("rollout undo deploy/web {flag}")), expected);
        }
        let fake = fake(json!({}));
        let mut paused = deployment(json!({}));
        paused["spec"]["paused"] = json!(true);
        fake.put(paused);
        let told = fake.run("rollout undo deploy/web");
        assert!(told.contains("you cannot rollback a paused deployment"), "{told}");
    }
}
