//! `kctl wait`

use std::time::Duration;

use base::env;
use futures::StreamExt;
use serde_json::Value;

use super::delete::timed_out;
use crate::failure::{Failure, Tally};
use crate::flags::{PATIENCE, duration};
use crate::jsonpath::{Template, plain};
use crate::manifest;
use crate::progress;
use crate::screen::Screen;
use crate::server::{Call, Server};
use crate::targets::{Objects, Target, objects, resolve};

/// For what, and for how long.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    objects: Objects,
    /// condition=NAME[=VALUE], delete, create, or jsonpath='{PATH}'[=VALUE].
    #[arg(long = "for", value_name = "WHAT")]
    what: String,
    /// How long; 0: look once; negative: a week.
    #[arg(long, default_value = "30s", allow_hyphen_values = true, value_name = "DURATION")]
    timeout: String,
}

/// How often it is looked for what cannot be watched, because it has no name yet.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What is waited for.
#[derive(Debug, PartialEq)]
enum Wish {
    Condition { name: String, value: String },
    Create,
    Delete,
    Path { template: Template, value: Option<String> },
}

impl Wish {
    fn parse(text: &str) -> Result<Self, Failure> {
        let (what, rest) = text.split_once('=').unwrap_or((text, ""));
        match what.to_lowercase().as_str() {
            "delete" => Ok(Self::Delete),
            "create" => Ok(Self::Create),
            "condition" if !rest.is_empty() => {
                let (name, value) = rest.split_once('=').unwrap_or((rest, "true"));
                Ok(Self::Condition { name: name.to_owned(), value: value.trim_matches('"').to_owned() })
            }
            "jsonpath" if !rest.is_empty() => {
                let (path, value) = match rest.find('}') {
                    Some(end) => (&rest[..=end], rest[end + 1..].strip_prefix('=')),
                    None => rest.split_once('=').map_or((rest, None), |(path, value)| (path, Some(value))),
                };
                let bad = |error| Failure::Usage(format!("--for {text}: error parsing jsonpath: {error}"));
                let template = Template::relaxed(path).map_err(bad)?;
                Ok(Self::Path {
                    template,
                    value: value.map(|value| value.trim_matches(['"', '\'']).to_owned()),
                })
            }
            _ => Err(Failure::Usage(format!(
                "unrecognized condition: \"{text}\": write condition=NAME, delete, create, or jsonpath='{{PATH}}'=VALUE"
            ))),
        }
    }

    /// Whether it holds for what is there.
    fn holds(&self, object: Option<&Value>) -> bool {
        let Some(object) = object else { return *self == Self::Delete };
        match self {
            Self::Create => true,
            Self::Delete => false,
            Self::Condition { name, value } => {
                let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
                let mut alike =
                    conditions.filter(|one| manifest::text(one, "/type").eq_ignore_ascii_case(name));
                let is_current = |one: &Value| match (
                    one["observedGeneration"].as_i64(),
                    object["metadata"]["generation"].as_i64(),
                ) {
                    (Some(observed), Some(generation)) => observed >= generation,
                    _ => true,
                };
                alike.any(|one| manifest::text(one, "/status").eq_ignore_ascii_case(value) && is_current(one))
            }
            Self::Path { template, value } => {
                let found = template.values(object).unwrap_or_default();
                match (&found[..], value) {
                    ([], _) => false,
                    (_, None) => true,
                    ([one], Some(value)) => plain(one) == *value,
                    _ => false,
                }
            }
        }
    }

    fn done(&self) -> &'static str {
        if *self == Self::Delete { "deleted" } else { "condition met" }
    }
}

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let wish = Wish::parse(&args.what)?;
    let limit = match args.timeout.strip_prefix('-') {
        Some(_) => PATIENCE,
        None => duration("--timeout", &args.timeout)?,
    };
    let deadline = env::monotonic() + limit;
    let mut tally = Tally::default();
    let mut met = 0;
    for target in targets(args, &wish, server, limit).await? {
        let left = deadline.saturating_duration_since(env::monotonic());
        // What holds already holds, even when there is no time to wait.
        let waited = if left.is_zero() {
            look(&target, &wish, server).await
        } else {
            wait(&target, &wish, server, left, screen).await
        };
        if tally.take(waited)?.is_some() {
            screen.line(&format!("{} {}", target.printed(), wish.done()))?;
        }
        met += 1;
    }
    if met == 0 && wish != Wish::Delete {
        return Err(Failure::Refused(
            "no matching resources found: name them, or check -l, -n and --all".to_owned(),
        ));
    }
    tally.close()
}

/// What is to be waited for: objects that need not be there yet when their creation is.
async fn targets(args: &Args, wish: &Wish, server: &Server, limit: Duration) -> Result<Vec<Target>, Failure> {
    let given = args.objects.given();
    let named = resolve(given, server)?.iter().all(|target| !target.name.is_empty());
    let deadline = env::monotonic() + limit;
    loop {
        let found = objects(given, server).await?;
        let is_late = env::monotonic() >= deadline;
        if named || !found.is_empty() || *wish != Wish::Create || is_late {
            return Ok(found);
        }
        env::sleep(LOOK_EVERY).await;
    }
}

async fn look(target: &Target, wish: &Wish, server: &Server) -> Result<(), Failure> {
    let object = target.read_if_there(server).await?;
    if wish.holds(object.as_ref()) { Ok(()) } else { Err(timed_out(target, server).await) }
}

async fn wait(
    target: &Target,
    wish: &Wish,
    server: &Server,
    left: Duration,
    screen: Screen,
) -> Result<(), Failure> {
    let look = async || progress::look(server, target).await;
    let waited = progress::during(screen, env::timeout(left, until(target, wish, server)), look).await;
    match waited {
        Ok(outcome) => outcome,
        Err(_) => Err(timed_out(target, server).await),
    }
}

/// Lists, then watches, until it holds.
async fn until(target: &Target, wish: &Wish, server: &Server) -> Result<(), Failure> {
    // Waiting for the end of another object of this name would be endless.
    let uid =
        target.object.as_ref().map(|object| manifest::text(object, "/metadata/uid")).unwrap_or_default();
    let is_it = |object: &Value| {
        *wish != Wish::Delete || uid.is_empty() || manifest::text(object, "/metadata/uid") == uid
    };
    loop {
        let this =
            || Call::get(target.collection()).with("fieldSelector", format!("metadata.name={}", target.name));
        let list = server.json(this()).await?;
        let found = list["items"].as_array().and_then(|items| items.first()).filter(|object| is_it(object));
        if wish.holds(found) {
            return Ok(());
        }
        if found.is_none() && *wish != Wish::Create {
            // Asked by name, the server says so in its own words.
            target.read(server).await?;
        }
        let call = this().with("resourceVersion", manifest::text(&list, "/metadata/resourceVersion"));
        let mut events = server.watch(call).await?;
        while let Some(event) = events.next().await {
            let event = event?;
            let object = Some(&event.object).filter(|object| event.kind != "DELETED" && is_it(object));
            if wish.holds(object) {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wishes_hold_or_not() {
        let object = json!({
            "metadata": {"generation": 2},
            "status": {"phase": "Running", "n": 3, "conditions": [
                {"type": "Ready", "status": "True"}, {"type": "Old", "status": "True", "observedGeneration": 1},
                {"type": "Bad", "status": "False"},
            ]},
        });
        let cases = [
            ("condition=Ready", true, false),
            ("condition=ready=TRUE", true, false),
            ("condition=Bad", false, false),
            ("condition=Bad=false", true, false),
            ("condition=Old", false, false),
            ("condition=Missing", false, false),
            ("delete", false, true),
            ("create", true, false),
            ("jsonpath={.status.phase}=Running", true, false),
            ("jsonpath='{.status.n}'=3", true, false),
            ("jsonpath=.status.phase=Pending", false, false),
            ("jsonpath={.status.phase}", true, false),
            ("jsonpath={.status.no}", false, false),
            (r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}=True"#, true, false),
        ];
        for (text, there, gone) in cases {
            let wish = Wish::parse(&text.replace('\'', "")).expect("a wish");
            assert_eq!((wish.holds(Some(&object)), wish.holds(None)), (there, gone), "{text}");
        }
        assert!(Wish::parse("sunshine").is_err());
    }
}
