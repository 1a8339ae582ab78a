//! `kctl rollout history`

use std::collections::BTreeMap;

use serde_json::Value;

use super::{chosen, is_deployment};
use crate::describe::template_text;
use crate::failure::{Failure, Tally};
use crate::manifest;
use crate::output::{Form, presented, printed_name};
use crate::screen::Screen;
use crate::server::Server;
use crate::targets::{Objects, Target};
use crate::workload;

/// Which rollouts, and what of them.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    objects: Objects,
    /// Show the template of this revision.
    #[arg(
        long,
        default_value_t = 0,
        hide_default_value = true,
        allow_negative_numbers = true,
        value_name = "NUMBER"
    )]
    revision: i64,
    /// What to print instead: json, yaml, name, jsonpath=TEMPLATE...
    #[arg(short, long, default_value = "", hide_default_value = true, value_name = "FORM")]
    output: String,
}

/// Where an object says why it was changed.
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    if args.revision < 0 {
        return Err(Failure::Usage(format!("revision must be a positive integer: {}", args.revision)));
    }
    let form = Form::parse(&args.output)?;
    let mut tally = Tally::default();
    for target in chosen(&args.objects, server).await? {
        let told = one(args, &form, &target, server).await;
        if let Some(text) = tally.take(told)? {
            screen.print(&text)?;
        }
    }
    tally.close()
}

async fn one(args: &Args, form: &Form, target: &Target, server: &Server) -> Result<String, Failure> {
    if !is_deployment(&target.kind) {
        return Err(Failure::Refused(format!(
            "no history viewer has been implemented for \"{}\"",
            target.kind.group_kind()
        )));
    }
    let revisions = revisions(target, server).await?;
    let unknown = || Failure::Refused("unable to find the specified revision".to_owned());
    if !form.is_human() {
        let shown = |set: Value| presented(set, false);
        if args.revision > 0 {
            let set = revisions.get(&args.revision).cloned().ok_or_else(unknown)?;
            return form.print(&shown(set), printed_name);
        }
        return form.print(&manifest::list(revisions.into_values().map(shown).collect()), printed_name);
    }
    if revisions.is_empty() {
        return Ok(format!("{} \nNo rollout history found.\n", target.printed()));
    }
    if args.revision == 0 {
        return Ok(format!("{} \n{}\n", target.printed(), overview(&revisions)));
    }
    let set = revisions.get(&args.revision).ok_or_else(unknown)?;
    let mut template = set["spec"]["template"].clone();
    if let Some(cause) = cause(set) {
        template["metadata"]["annotations"][CHANGE_CAUSE] = cause.into();
    }
    let template = template_text(&template);
    Ok(format!("{} with revision #{}\n{template}\n", target.printed(), args.revision))
}

/// The ReplicaSets that have a revision, by it.
pub async fn revisions(target: &Target, server: &Server) -> Result<BTreeMap<i64, Value>, Failure> {
    let deployment = target.read(server).await?;
    let sets = workload::replica_sets(server, &deployment).await?;
    Ok(sets.into_iter().filter_map(|set| Some((workload::revision(&set)?, set))).collect())
}

fn cause(set: &Value) -> Option<&str> {
    set["metadata"]["annotations"][CHANGE_CAUSE].as_str().filter(|cause| !cause.is_empty())
}

/// A line for each revision.
fn overview(revisions: &BTreeMap<i64, Value>) -> String {
    const HEAD: &str = "REVISION  ";
    let line = |(number, set): (&i64, &Value)| {
        format!("{number:<width$}{}\n", cause(set).unwrap_or("<none>"), width = HEAD.len())
    };
    format!("{HEAD}CHANGE-CAUSE\n{}", revisions.iter().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::super::tests::{deployment, fake};
    use crate::fake::Fake;

    #[test]
    fn revisions_are_listed_with_their_causes() {
        expect![[r#"
            deployment.apps/web 
            REVISION  CHANGE-CAUSE
            1         <none>
            2         a better web
            3         <none>

        "#]]
        .assert_eq(&fake(json!({})).run("rollout history deploy web"));
        let none = Fake::of([deployment(json!({}))]);
        assert_eq!(
            none.run("rollout history deploy/web"),
            "deployment.apps/web \nNo rollout history found.\n"
        );
        let names = fake(json!({})).run("rollout history deploy -o name");
        assert_eq!(names, "replicaset.apps/web-1\nreplicaset.apps/web-2\nreplicaset.apps/web-3\n");
    }

    #[test]
    fn a_revision_is_shown_by_its_template() {
        expect![[r#"
            deployment.apps/web with revision #2
            Pod Template:
              Labels:       app=web
                            pod-template-hash=2
              Annotations:  kubernetes.io/change-cause: a better web
              Containers:
                web:
                  Image:        web:2
                  Port:         <none>
                  Host Port:    <none>
                  Environment:  <none>
                  Mounts:       <none>
              Volumes:          <none>
              Node-Selectors:   <none>
              Tolerations:      <none>

        "#]]
        .assert_eq(&fake(json!({})).run("rollout history deploy web --revision=2"));
        let missing = fake(json!({})).run("rollout history deploy web --revision=7");
        assert_eq!(missing, "kctl: unable to find the specified revision\n[exit code 1]\n");
        let wrong = fake(json!({})).run("rollout history rs web-1");
        assert_eq!(
            wrong,
            "kctl: no history viewer has been implemented for \"ReplicaSet.apps\"\n[exit code 1]\n"
        );
    }
}
