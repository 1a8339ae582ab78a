//! `kctl set image`

use http::Method;
use serde_json::{Value, json};

use crate::failure::{Failure, Tally};
use crate::flags::{DryRun, Files, Select, Writing};
use crate::patch::three_way;
use crate::screen::Screen;
use crate::server::{Call, Server};
use crate::targets::{Given, Target, objects};
use crate::verbs::written::Report;

/// Which objects, and which images.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// TYPE NAME... or TYPE/NAME..., then CONTAINER=IMAGE...; the container * is all of them.
    words: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    writing: Writing,
    /// All objects of the type.
    #[arg(long)]
    all: bool,
    /// Who writes.
    #[arg(long, default_value = "kctl-set", value_name = "NAME")]
    field_manager: String,
}

/// Containers, each with its image.
type Images<'a> = Vec<(&'a str, &'a str)>;

/// All containers.
const ALL: &str = "*";

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let (words, images) = parted(args)?;
    let given = Given { words, files: &args.files, select: &args.select, all: args.all };
    let mut report = Report::new(&args.writing, screen)?;
    let mut tally = Tally::default();
    for target in objects(given, server).await? {
        let outcome = one(args, &images, &target, server, &mut tally).await;
        if let Some(Some(object)) = tally.take(outcome)? {
            report.add(&target, "image updated", object)?;
        }
    }
    report.close()?;
    tally.close()
}

/// The words that name objects, and the images behind them.
fn parted(args: &Args) -> Result<(&[String], Images<'_>), Failure> {
    let usage = |why: &str| Err(Failure::Usage(why.to_owned()));
    let from = args.words.iter().position(|word| word.contains('=')).unwrap_or(args.words.len());
    let (words, pairs) = args.words.split_at(from);
    let mut images = Vec::new();
    for pair in pairs {
        match pair.split_once('=') {
            Some((container, image)) if !container.is_empty() && !image.is_empty() => {
                images.push((container, image));
            }
            _ => return usage(&format!("invalid image format: {pair}: write CONTAINER=IMAGE")),
        }
    }
    match () {
        () if args.all && args.select.is_given() => usage("cannot set --all and --selector at the same time"),
        () if words.is_empty() && args.files.names.is_empty() => {
            usage("one or more resources must be specified as <resource> <name> or <resource>/<name>")
        }
        () if images.is_empty() => usage("at least one image update is required"),
        () if images.len() > 1 && images.iter().any(|(container, _)| *container == ALL) => usage(
            "all containers are already specified by *, but saw more than one container_name=container_image pairs",
        ),
        () => Ok((words, images)),
    }
}

/// Sends what changes; `None` where nothing does.
async fn one(
    args: &Args,
    images: &[(&str, &str)],
    target: &Target,
    server: &Server,
    tally: &mut Tally,
) -> Result<Option<Value>, Failure> {
    let before = target.read(server).await?;
    let mut after = before.clone();
    let place = place(target);
    let Some(spec) = after.pointer_mut(place).filter(|spec| spec["containers"].is_array()) else {
        return Err(Failure::Refused(format!(
            "{} has no containers whose images can be set",
            target.printed()
        )));
    };
    for (container, image) in images {
        if !set(spec, container, image) {
            // The other images are set all the same.
            tally.take::<()>(Err(Failure::Refused(format!(
                "unable to find container named \"{container}\""
            ))))?;
        }
    }
    let patch = three_way(&target.kind, &before, &after, &before);
    if patch.is_empty() {
        return Ok(None);
    }
    if args.writing.dry_run == DryRun::Client {
        return Ok(Some(after));
    }
    let call = Call::new(Method::PATCH, target.path())
        .with("fieldManager", &args.field_manager)
        .with("dryRun", args.writing.dry_run.query())
        .body(patch.media, &patch.body);
    let sent = server.json(call).await;
    sent.map(Some).map_err(|failure| failure.doing("failed to patch image update to pod template"))
}

/// Where an object says which containers it wants.
fn place(target: &Target) -> &'static str {
    match target.kind.kind.as_str() {
        "Pod" => "/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        _ => "/spec/template/spec",
    }
}

/// Whether there is such a container.
fn set(spec: &mut Value, name: &str, image: &str) -> bool {
    let mut is_found = false;
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if name == ALL || container["name"] == name {
                container["image"] = json!(image);
                is_found = true;
            }
        }
    }
    is_found
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::fake::Fake;

    fn check(line: &str, expected: &Expect) {
        let containers = json!([{"name": "app", "image": "app:1"}, {"name": "side", "image": "side:1"}]);
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"template": {"spec": {
                "containers": containers, "initContainers": [{"name": "first", "image": "first:1"}],
            }}},
        });
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "namespace": "default"},
            "spec": {"containers": containers},
        });
        expected.assert_eq(&Fake::of([deployment, pod]).run(line));
    }

    #[test]
    fn images_are_set_by_the_names_of_containers() {
        check(
            "set image deploy/web app=app:2",
            &expect![[r#"
                deployment.apps/web image updated
                > PATCH /apis/apps/v1/namespaces/default/deployments/web?fieldManager=kctl-set {"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"app"},{"name":"side"}],"containers":[{"image":"app:2","name":"app"}]}}}}
            "#]],
        );
        check(
            "set image deploy/web pod/one *=all:2",
            &expect![[r#"
                deployment.apps/web image updated
                pod/one image updated
                > PATCH /apis/apps/v1/namespaces/default/deployments/web?fieldManager=kctl-set {"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"app"},{"name":"side"}],"containers":[{"image":"all:2","name":"app"},{"image":"all:2","name":"side"}],"$setElementOrder/initContainers":[{"name":"first"}],"initContainers":[{"image":"all:2","name":"first"}]}}}}
                > PATCH /api/v1/namespaces/default/pods/one?fieldManager=kctl-set {"spec":{"$setElementOrder/containers":[{"name":"app"},{"name":"side"}],"containers":[{"image":"all:2","name":"app"},{"image":"all:2","name":"side"}]}}
            "#]],
        );
        check("set image deploy web app=app:1", &expect![""]);
        check(
            "set image deploy web app=app:2 none=x:1 --dry-run=client",
            &expect![[r#"
                kctl: unable to find container named "none"
                deployment.apps/web image updated (dry run)
                [exit code 1]
            "#]],
        );
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let cases = [
            (
                "set image app=x",
                "one or more resources must be specified as <resource> <name> or <resource>/<name>",
            ),
            ("set image deploy/web", "at least one image update is required"),
            (
                "set image deploy/web *=a app=b",
                "all containers are already specified by *, but saw more than one container_name=container_image pairs",
            ),
            ("set image deploy/web app=", "invalid image format: app=: write CONTAINER=IMAGE"),
            ("set image deploy --all -l a=b app=x", "cannot set --all and --selector at the same time"),
        ];
        for (line, expected) in cases {
            assert_eq!(Fake::default().run(line), format!("kctl: {expected}\n[exit code 2]\n"), "{line}");
        }
    }
}
