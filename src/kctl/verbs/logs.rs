//! `kctl logs`

use std::time::Duration;

use base::env;
use futures::AsyncBufReadExt;
use futures::future::try_join_all;
use serde_json::Value;

use crate::failure::{Failure, Refusal};
use crate::flags::{Select, duration};
use crate::manifest::{name, namespace};
use crate::pods::{self, Purpose};
use crate::screen::{Screen, warn};
use crate::server::{Call, Server};
use crate::targets::{self, Target};
use crate::workload::items;

/// Whose logs, and how much of them.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A pod, or TYPE/NAME, which picks one of its pods; and a container of it.
    #[arg(num_args = 0..=2, value_name = "POD [CONTAINER]")]
    words: Vec<String>,
    /// All pods with these labels: a=b, a!=b, a in (b,c), a, !a.
    #[arg(short = 'l', long, default_value = "", hide_default_value = true, value_name = "QUERY")]
    selector: String,
    /// Of this container.
    #[arg(short, long, default_value = "", hide_default_value = true, value_name = "NAME")]
    container: String,
    /// Of all containers.
    #[arg(long)]
    all_containers: bool,
    /// Of all pods of the object.
    #[arg(long)]
    all_pods: bool,
    /// Go on with what is written.
    #[arg(short, long)]
    follow: bool,
    /// What the container wrote before it was started again.
    #[arg(short, long)]
    previous: bool,
    /// Only what is younger: 5s, 2m, 3h.
    #[arg(long, default_value = "0", hide_default_value = true, value_name = "DURATION")]
    since: String,
    /// Only from this moment on, in RFC 3339.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TIME")]
    since_time: String,
    /// How many lines, of the last ones; -1: all [default: -1, 10 with -l].
    #[arg(long, allow_negative_numbers = true, value_name = "LINES")]
    tail: Option<i64>,
    /// How many bytes.
    #[arg(
        long,
        default_value_t = 0,
        hide_default_value = true,
        allow_negative_numbers = true,
        value_name = "BYTES"
    )]
    limit_bytes: i64,
    /// With the moment before each line.
    #[arg(long)]
    timestamps: bool,
    /// With the pod and the container before each line.
    #[arg(long)]
    prefix: bool,
    /// How many logs to follow at once.
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    max_log_requests: usize,
    /// What one log refuses does not end the others.
    #[arg(long)]
    ignore_errors: bool,
    /// How long to wait for a pod, and for its container to begin.
    #[arg(long, default_value = "20s", value_name = "DURATION")]
    pod_running_timeout: String,
}

/// How many lines of each pod there are with a selector.
const SELECTED_TAIL: i64 = 10;

/// How much of a line is kept until its end comes; the rest is another line.
const LINE_BYTES_MAX: usize = 256 * 1024;

/// How long it waits before it asks again for a log that cannot be followed yet.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where logs come from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    namespace: String,
    pod: String,
    container: String,
}

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let query = args.query()?;
    let patience = duration("--pod-running-timeout", &args.pod_running_timeout)?;
    let pods = pods_of(args, server, patience).await?;
    let mut sources = Vec::new();
    for pod in &pods {
        sources.extend(sources_of(args, pod, pods.len() > 1)?);
    }
    let follows = args.follow && sources.len() > 1;
    if follows && sources.len() > args.max_log_requests {
        return Err(Failure::Refused(format!(
            "you are attempting to follow {} log streams, but maximum allowed concurrency is {}, use --max-log-requests \
             to increase the limit",
            sources.len(),
            args.max_log_requests
        )));
    }
    let copies = sources.iter().map(|source| copied(args, source, &query, patience, server, screen));
    if follows {
        return try_join_all(copies).await.map(drop);
    }
    for copy in copies {
        copy.await?;
    }
    Ok(())
}

impl Args {
    fn container(&self) -> &str {
        self.words.get(1).unwrap_or(&self.container)
    }

    /// How much is asked for of each log.
    fn query(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let usage = |why: String| Err(Failure::Usage(why));
        let since = duration("--since", &self.since)?;
        match () {
            () if self.words.is_empty() && self.selector.is_empty() => {
                return usage(
                    "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required \
                     argument for the logs command"
                        .to_owned(),
                );
            }
            () if self.words.len() == 1 && !self.selector.is_empty() => {
                return usage("only a selector (-l) or a POD name is allowed".to_owned());
            }
            () if !self.since_time.is_empty() && !since.is_zero() => {
                return usage("at most one of `sinceTime` or `sinceSeconds` may be specified".to_owned());
            }
            () if !self.since_time.is_empty() && api::time::parse(&self.since_time).is_none() => {
                return usage(format!(
                    "--since-time {}: write it like 2026-11-22T04:26:44Z",
                    self.since_time
                ));
            }
            () if self.words.len() == 2 && !self.container.is_empty() => {
                return usage("only one of -c or an inline [CONTAINER] arg is allowed".to_owned());
            }
            () if self.all_containers && !self.container().is_empty() => {
                return usage(format!(
                    "--all-containers=true should not be specified with container name {}",
                    self.container()
                ));
            }
            () if self.limit_bytes < 0 => return usage("--limit-bytes must be greater than 0".to_owned()),
            () if self.tail.is_some_and(|lines| lines < -1) => {
                return usage("--tail must be greater than or equal to -1".to_owned());
            }
            () => {}
        }
        let usual = if self.selector.is_empty() { -1 } else { SELECTED_TAIL };
        let tail = Some(self.tail.unwrap_or(usual)).filter(|lines| *lines >= 0);
        let flag = |is_set: bool| if is_set { "true".to_owned() } else { String::new() };
        let number = |number: i64| if number > 0 { number.to_string() } else { String::new() };
        // To the nearest second, as kubectl rounds.
        let seconds = (since + Duration::from_millis(500)).as_secs();
        Ok(vec![
            ("follow", flag(self.follow)),
            ("previous", flag(self.previous)),
            ("timestamps", flag(self.timestamps)),
            ("sinceTime", self.since_time.clone()),
            ("sinceSeconds", if since.is_zero() { String::new() } else { seconds.to_string() }),
            ("tailLines", tail.map_or_else(String::new, |lines| lines.to_string())),
            ("limitBytes", number(self.limit_bytes)),
        ])
    }
}

async fn pods_of(args: &Args, server: &Server, patience: Duration) -> Result<Vec<Value>, Failure> {
    if !args.selector.is_empty() {
        let all = Target::all(&server.catalog.find("pods")?, &server.namespace);
        let select = Select { labels: args.selector.clone(), ..Select::default() };
        let pods = targets::list(server, &all, &select).await?;
        if pods.is_empty() {
            warn(&format!("No resources found in {} namespace.", server.namespace));
        }
        return Ok(pods);
    }
    let word = &args.words[0];
    let found = pods::of(server, word, Purpose::Logs, patience).await;
    let (pod, count) = found.map_err(|failure| in_namespace(failure, &server.namespace))?;
    if count == 1 {
        return Ok(vec![pod]);
    }
    if args.all_pods {
        let (_, object) = pods::named(server, word).await?;
        return crate::workload::pods(server, &object).await;
    }
    warn(&format!("Found {count} pods, using pod/{}", name(&pod)));
    Ok(vec![pod])
}

fn in_namespace(failure: Failure, namespace: &str) -> Failure {
    match failure {
        Failure::Server(refusal) if refusal.reason == "NotFound" => Failure::Server(Box::new(Refusal {
            message: format!("{} in namespace \"{namespace}\"", refusal.message),
            ..*refusal
        })),
        other => other,
    }
}

/// Whose logs of a pod are meant.
fn sources_of(args: &Args, pod: &Value, is_one_of_many: bool) -> Result<Vec<Source>, Failure> {
    let source = |container: String| Source {
        namespace: namespace(pod).to_owned(),
        pod: name(pod).to_owned(),
        container,
    };
    if !args.all_containers {
        let is_quiet = is_one_of_many && args.all_pods;
        return Ok(vec![source(pods::container(pod, args.container(), is_quiet)?)]);
    }
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let all = lists.iter().flat_map(|list| items(&pod["spec"][list]));
    Ok(all.map(|container| source(container["name"].as_str().unwrap_or_default().to_owned())).collect())
}

/// Prints a log; one that cannot be followed yet is waited for.
async fn copied(
    args: &Args,
    source: &Source,
    query: &[(&'static str, String)],
    patience: Duration,
    server: &Server,
    screen: Screen,
) -> Result<(), Failure> {
    let deadline = env::monotonic() + patience;
    let prefix = match args.prefix || args.all_pods {
        true => format!("[pod/{}/{}] ", source.pod, source.container),
        false => String::new(),
    };
    loop {
        let path = format!("/api/v1/namespaces/{}/pods/{}/log", source.namespace, source.pod);
        let call = Call::get(path).with("container", &*source.container);
        let call = query.iter().fold(call, |call, (name, value)| call.with(name, &**value));
        let failure = match copy(call, &prefix, server, screen).await {
            Err(failure @ (Failure::Server(_) | Failure::Refused(_))) => failure,
            ended => return ended,
        };
        if args.ignore_errors {
            return screen.line(&format!("error: {}", failure.words()));
        }
        let is_refused = matches!(failure, Failure::Server(_));
        if !args.follow || !is_refused || env::monotonic() >= deadline {
            return Err(failure);
        }
        warn(&failure.words());
        env::sleep(RETRY_AFTER).await;
    }
}

/// Copies a log line by line: where several are followed, their lines are not mixed.
///
/// # Errors
/// When it is refused, or breaks.
pub async fn copy(call: Call, prefix: &str, server: &Server, screen: Screen) -> Result<(), Failure> {
    let mut body = server.stream(call).await?;
    let mut line = Vec::new();
    let print = |line: &mut Vec<u8>| {
        let whole = [prefix.as_bytes(), line].concat();
        line.clear();
        screen.write(&whole)
    };
    loop {
        let read = body.fill_buf().await;
        let chunk = read.map_err(|error| Failure::Refused(format!("reading the log failed: {error}")))?;
        if chunk.is_empty() {
            return if line.is_empty() { Ok(()) } else { print(&mut line) };
        }
        let end = chunk.iter().position(|byte| *byte == b'\n').map_or(chunk.len(), |at| at + 1);
        let taken = end.min(LINE_BYTES_MAX - line.len());
        line.extend_from_slice(&chunk[..taken]);
        body.consume_unpin(taken);
        if line.ends_with(b"\n") || line.len() == LINE_BYTES_MAX {
            print(&mut line)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use crate::fake::{Fake, refusal};

    fn pod(name: &str, containers: &[&str]) -> serde_json::Value {
        let containers: Vec<_> = containers.iter().map(|name| json!({"name": name})).collect();
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}, "creationTimestamp": name},
            "spec": {"nodeName": "n", "containers": containers}, "status": {"phase": "Running"},
        })
    }

    fn fake() -> Fake {
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}},
        });
        Fake::of([pod("a", &["app", "side"]), pod("b", &["app"]), deployment])
    }

    fn check(line: &str, answers: &[(&str, &str)], expected: &Expect) {
        let fake = fake();
        for (pod, text) in answers {
            fake.say(&format!("GET /api/v1/namespaces/default/pods/{pod}/log"), 200, text);
        }
        let asked = fake.run(&format!("{line} -v=6"));
        // Of the requests only those for logs.
        let is_other = |line: &&str| line.starts_with("GET ") && !line.contains("/log");
        expected.assert_eq(
            &asked.lines().filter(|line| !is_other(line)).map(|line| format!("{line}\n")).collect::<String>(),
        );
    }

    #[test]
    fn logs_are_printed_as_they_are_asked_for() {
        let text = "one\ntwo\nthree";
        check(
            "logs b",
            &[("b", text)],
            &expect![[r#"
            GET https://fake/api/v1/namespaces/default/pods/b/log?container=app
            one
            two
            three
        "#]],
        );
        check(
            "logs a side --tail=5 --since=90s --timestamps --previous --limit-bytes=9",
            &[("a", text)],
            &expect![[r#"
                GET https://fake/api/v1/namespaces/default/pods/a/log?container=side&previous=true&timestamps=true&sinceSeconds=90&tailLines=5&limitBytes=9
                one
                two
                three
            "#]],
        );
        check(
            "logs a --since-time=2026-01-01T00:00:00Z",
            &[("a", text)],
            &expect![[r#"
            Defaulted container "app" out of: app, side
            GET https://fake/api/v1/namespaces/default/pods/a/log?container=app&sinceTime=2026-01-01T00%3A00%3A00Z
            one
            two
            three
        "#]],
        );
        check(
            "logs deploy/web --prefix",
            &[("a", text)],
            &expect![[r#"
            Found 2 pods, using pod/a
            Defaulted container "app" out of: app, side
            GET https://fake/api/v1/namespaces/default/pods/a/log?container=app
            [pod/a/app] one
            [pod/a/app] two
            [pod/a/app] three
        "#]],
        );
        check(
            "logs deploy/web --all-pods --all-containers",
            &[("a", "1\n"), ("a", "2\n"), ("b", "3\n")],
            &expect![[r#"
                GET https://fake/api/v1/namespaces/default/pods/a/log?container=app
                [pod/a/app] 1
                GET https://fake/api/v1/namespaces/default/pods/a/log?container=side
                [pod/a/side] 2
                GET https://fake/api/v1/namespaces/default/pods/b/log?container=app
                [pod/b/app] 3
            "#]],
        );
        check(
            "logs -l app=web -f",
            &[("a", "1\n"), ("b", "2\n")],
            &expect![[r#"
            Defaulted container "app" out of: app, side
            GET https://fake/api/v1/namespaces/default/pods/a/log?container=app&follow=true&tailLines=10
            GET https://fake/api/v1/namespaces/default/pods/b/log?container=app&follow=true&tailLines=10
            1
            2
        "#]],
        );
    }

    #[test]
    fn a_log_that_is_not_there_yet_is_waited_for() {
        let fake = fake();
        let path = "GET /api/v1/namespaces/default/pods/b/log";
        fake.say(
            path,
            400,
            refusal(400, "BadRequest", "container \"app\" is waiting to start: ContainerCreating"),
        );
        fake.say(path, 200, "hello\n");
        expect![[r#"
            container "app" is waiting to start: ContainerCreating
            hello
        "#]]
        .assert_eq(&fake.run("logs b -f"));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        check(
            "logs",
            &[],
            &expect![[r#"
            kctl: expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.
            POD or TYPE/NAME is a required argument for the logs command
            [exit code 2]
        "#]],
        );
        check(
            "logs a -l app=web",
            &[],
            &expect![[r#"
            kctl: only a selector (-l) or a POD name is allowed
            [exit code 2]
        "#]],
        );
        check(
            "logs a -c none",
            &[],
            &expect![[r#"
            kctl: container none is not valid for pod a out of: app, side
            [exit code 1]
        "#]],
        );
        check(
            "logs a app -c app",
            &[],
            &expect![[r#"
            kctl: only one of -c or an inline [CONTAINER] arg is allowed
            [exit code 2]
        "#]],
        );
        check(
            "logs a app --all-containers",
            &[],
            &expect![[r#"
            kctl: --all-containers=true should not be specified with container name app
            [exit code 2]
        "#]],
        );
        check(
            "logs none",
            &[],
            &expect![[r#"
            Error from server (NotFound): pods "none" not found in namespace "default"
            [exit code 1]
        "#]],
        );
        check(
            "logs a --since=1s --since-time=2026-01-01T00:00:00Z",
            &[],
            &expect![[r#"
            kctl: at most one of `sinceTime` or `sinceSeconds` may be specified
            [exit code 2]
        "#]],
        );
        check(
            "logs -l app=web -f --max-log-requests=1",
            &[],
            &expect![[r#"
            Defaulted container "app" out of: app, side
            kctl: you are attempting to follow 2 log streams, but maximum allowed concurrency is 1, use --max-log-requests to increase the limit
            [exit code 1]
        "#]],
        );
    }
}
