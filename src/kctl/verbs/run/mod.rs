//! `kctl run`

mod attached;

use attached::How;
use serde_json::{Value, json};

use super::exec::Terminal;
use super::expose::labels;
use super::written::Report;
use crate::failure::Failure;
use crate::flags::{DryRun, Writing, duration};
use crate::screen::Screen;
use crate::server::Server;
use crate::targets::{self, Target};

/// What to run.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The pod's name.
    name: String,
    /// Arguments of the image's command, or with --command what to run in its place.
    arguments: Vec<String>,
    #[command(flatten)]
    writing: Writing,
    /// The image.
    #[arg(long, default_value = "", hide_default_value = true)]
    image: String,
    /// NAME=VALUE; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// The pod's labels: a=b,c=d [default: run=NAME].
    #[arg(short, long, default_value = "", hide_default_value = true)]
    labels: String,
    /// The port that it serves.
    #[arg(long)]
    port: Option<u16>,
    /// Whether it is started again when it ends: Always, OnFailure, Never.
    #[arg(long, default_value = "Always", value_name = "POLICY")]
    restart: String,
    /// The words behind -- are the command, not its arguments.
    #[arg(long)]
    command: bool,
    /// Attach to it [default: with -i].
    #[arg(long)]
    attach: bool,
    /// Give it what is typed here.
    #[arg(short = 'i', long)]
    stdin: bool,
    /// In a terminal.
    #[arg(short, long)]
    tty: bool,
    /// It may read on when nobody is attached any more.
    #[arg(long)]
    leave_stdin_open: bool,
    /// Delete the pod when it was attached to.
    #[arg(long)]
    rm: bool,
    /// Print only what the pod prints.
    #[arg(short, long)]
    quiet: bool,
    /// How long to wait until the pod runs.
    #[arg(long, default_value = "1m", value_name = "DURATION")]
    pod_running_timeout: String,
    /// Who writes.
    #[arg(long, default_value = "kctl-run", value_name = "NAME")]
    field_manager: String,
}

const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let mut pod = pod(args).map_err(Failure::Usage)?;
    let patience = duration("--pod-running-timeout", &args.pod_running_timeout)?;
    let kind = server.catalog.of_object("v1", "Pod")?;
    let target = Target { name: args.name.clone(), ..Target::all(&kind, &server.namespace) };
    let mut report = Report::new(&args.writing, screen)?;
    if args.writing.dry_run == DryRun::Client {
        if server.is_namespace_given {
            pod["metadata"]["namespace"] = json!(server.namespace);
        }
        report.add(&target, "created", pod)?;
        return report.close();
    }
    pod["metadata"]["namespace"] = json!(server.namespace);
    let query = [("fieldManager", args.field_manager.as_str()), ("dryRun", args.writing.dry_run.query())];
    let created = targets::create(server, &target, &pod, &query).await?;
    if args.is_attached() {
        let terminal = Terminal {
            container: args.name.clone(),
            stdin: args.stdin,
            tty: args.tty,
            quiet: args.quiet,
            pod_running_timeout: args.pod_running_timeout.clone(),
        };
        let ends = !args.leave_stdin_open && args.restart != "Always";
        let how = How { terminal: &terminal, patience, ends, is_removed: args.rm };
        return attached::run(&target, how, server, screen).await;
    }
    report.add(&target, "created", created)?;
    report.close()
}

impl Args {
    fn is_attached(&self) -> bool {
        self.attach || self.stdin
    }
}

/// The pod.
fn pod(args: &Args) -> Result<Value, String> {
    if args.image.is_empty() {
        return Err("--image is required".to_owned());
    }
    if !RESTART_POLICIES.contains(&args.restart.as_str()) {
        return Err(format!(
            "invalid restart policy: {}, valid values are: {}",
            args.restart,
            RESTART_POLICIES.join(", ")
        ));
    }
    if args.tty && !args.stdin {
        return Err("-i/--stdin is required for containers with -t/--tty=true".to_owned());
    }
    if args.rm && !args.is_attached() {
        return Err("--rm should only be used for attached containers".to_owned());
    }
    if args.is_attached() && args.writing.dry_run != DryRun::None {
        return Err("--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or \
                    --tty)"
            .to_owned());
    }
    let labels = match args.labels.as_str() {
        "" => labels(&format!("run={}", args.name))?,
        text => labels(text)?,
    };
    let mut container = json!({"name": args.name, "image": args.image, "resources": {}});
    if !args.arguments.is_empty() {
        container[if args.command { "command" } else { "args" }] = json!(args.arguments);
    }
    if !args.env.is_empty() {
        container["env"] = args.env.iter().map(|text| variable(text)).collect::<Result<Vec<_>, _>>()?.into();
    }
    if args.stdin {
        container["stdin"] = json!(true);
        container["stdinOnce"] = json!(!args.leave_stdin_open);
    }
    if args.tty {
        container["tty"] = json!(true);
    }
    if let Some(port) = args.port {
        container["ports"] = json!([{"containerPort": port}]);
    }
    Ok(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": args.name, "labels": labels},
        "spec": {"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": args.restart},
    }))
}

/// An environment variable.
fn variable(text: &str) -> Result<Value, String> {
    let is_name = |name: &str| !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
    match text.split_once('=') {
        Some((name, value)) if is_name(name) => Ok(json!({"name": name, "value": value})),
        _ => Err(format!("invalid env: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use crate::fake::Fake;

    fn check(words: &[&str], expected: &Expect) {
        expected.assert_eq(&Fake::default().run_words(words));
    }

    #[test]
    fn a_pod_is_made_of_few_words() {
        check(
            &["run", "web", "--image=web:1"],
            &expect![[r#"
            pod/web created
            > POST /api/v1/namespaces/default/pods?fieldManager=kctl-run {"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","labels":{"run":"web"},"namespace":"default"},"spec":{"containers":[{"name":"web","image":"web:1","resources":{}}],"dnsPolicy":"ClusterFirst","restartPolicy":"Always"}}
        "#]],
        );
        check(
            &[
                "run",
                "job",
                "--image=tool",
                "--env=A=b=c",
                "--env=D=",
                "-l",
                "x=y",
                "--restart=Never",
                "--port=80",
                "-n",
                "shop",
                "--",
                "--all",
                "x y",
            ],
            &expect![[r#"
                pod/job created
                > POST /api/v1/namespaces/shop/pods?fieldManager=kctl-run {"apiVersion":"v1","kind":"Pod","metadata":{"name":"job","labels":{"x":"y"},"namespace":"shop"},"spec":{"containers":[{"name":"job","image":"tool","resources":{},"args":["--all","x y"],"env":[{"name":"A","value":"b=c"},{"name":"D","value":""}],"ports":[{"containerPort":80}]}],"dnsPolicy":"ClusterFirst","restartPolicy":"Never"}}
            "#]],
        );
        check(
            &[
                "run",
                "job",
                "--image=tool",
                "--command",
                "--dry-run=client",
                "-o",
                "yaml",
                "--",
                "sh",
                "-c",
                "true",
            ],
            &expect![[r#"
                apiVersion: v1
                kind: Pod
                metadata:
                  labels:
                    run: job
                  name: job
                spec:
                  containers:
                  - command:
                    - sh
                    - -c
                    - "true"
                    image: tool
                    name: job
                    resources: {}
                  dnsPolicy: ClusterFirst
                  restartPolicy: Always
            "#]],
        );
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        check(
            &["run", "web"],
            &expect![[r#"
            kctl: --image is required
            [exit code 2]
        "#]],
        );
        check(
            &["run", "web", "--image=x", "--restart=Sometimes"],
            &expect![[r#"
            kctl: invalid restart policy: Sometimes, valid values are: Always, OnFailure, Never
            [exit code 2]
        "#]],
        );
        check(
            &["run", "web", "--image=x", "--env=1A=b"],
            &expect![[r#"
            kctl: invalid env: 1A=b
            [exit code 2]
        "#]],
        );
        check(
            &["run", "web", "--image=x", "-l", "a"],
            &expect![[r#"
            kctl: unexpected label spec: a
            [exit code 2]
        "#]],
        );
    }

    /// A server on which a pod is as it is said, one after the other.
    fn attached(words: &[&str], statuses: &[serde_json::Value], expected: &Expect) {
        let fake = Fake::default();
        let path = "GET /api/v1/namespaces/default/pods/job";
        for status in statuses {
            let pod = json!({
                "kind": "Pod", "metadata": {"name": "job", "namespace": "default"},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "job", "stdin": true}]}, "status": status,
            });
            fake.say(path, 200, pod);
        }
        fake.say(&format!("{path}/log"), 200, "logged\n");
        crate::terminal::tests::INPUT.set(Some("typed\n".to_owned()));
        let words = [&["run", "job", "--image=x", "--restart=Never"], words].concat();
        let shown = fake.run_words(&words);
        let shown: String =
            shown.lines().filter(|line| !line.contains("> POST")).map(|line| format!("{line}\n")).collect();
        expected.assert_eq(&shown);
    }

    #[test]
    fn a_pod_is_attached_to_and_removed() {
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let runs = json!({"phase": "Running", "conditions": ready});
        let waits = json!({"phase": "Pending"});
        let failed = json!({"phase": "Failed", "containerStatuses": [
            {"state": {"terminated": {"exitCode": 3, "reason": "Error"}}},
        ]});
        let done = json!({"phase": "Succeeded"});
        attached(
            &["-i", "--rm"],
            &[waits.clone(), runs.clone(), runs.clone(), done.clone()],
            &expect![[r#"
                If you don't see a command prompt, try pressing enter.
                typed
                pod "job" deleted from default namespace
                > DELETE /api/v1/namespaces/default/pods/job {"apiVersion":"v1","kind":"DeleteOptions","propagationPolicy":"Background"}
            "#]],
        );
        attached(
            &["-i", "--rm", "-q"],
            &[runs, failed],
            &expect![[r#"
            typed
            pod default/job terminated (Error)
            [exit code 3]
            > DELETE /api/v1/namespaces/default/pods/job {"apiVersion":"v1","kind":"DeleteOptions","propagationPolicy":"Background"}
        "#]],
        );
        attached(
            &["--attach"],
            &[done.clone(), done],
            &expect![[r#"
            logged
        "#]],
        );
        let pulling = json!({"phase": "Pending", "containerStatuses": [
            {"name": "job", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}},
        ]});
        let statuses = vec![pulling; 9];
        attached(
            &["-i", "--pod-running-timeout=2s"],
            &statuses,
            &expect![[r#"
            kctl: timed out waiting for the condition: Pending; job: ErrImagePull: no such image
            [exit code 1]
        "#]],
        );
    }
}
