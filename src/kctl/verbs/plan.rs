//! `kctl plan`

use std::collections::BTreeMap;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::apply;
use crate::failure::{Failure, Refusal};
use crate::flags::{Files, Select};
use crate::screen::{Screen, warn};
use crate::server::{Call, Server};
use crate::table;
use crate::targets::{self, Given, Target};

/// Which files.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Nothing is changed: the masters imagine the requests that `kctl apply` would make, and run the \
    controllers and the scheduler on what comes of them until nothing is left to do. Nodes are taken to stay as they \
    are, and to start every pod at once.\n\nExit codes: 0 all pods would run; 2 some would find no node; 1 it could \
    not be told, or something would be refused."
)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// The whole answer.
    #[arg(short, long, value_enum, value_name = "FORM")]
    output: Option<Form>,
}

/// How the answer is printed.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Form {
    /// As the masters give it.
    Json,
}

/// What it ends with when pods would find no node, as a plan in Nomad does.
const UNPLACED: u8 = 2;

/// Pods that are listed.
const PODS_MAX: usize = 50;

/// Names of objects that are listed for one line.
const NAMES_MAX: usize = 3;

/// What the masters answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    revision: u64,
    answers: Vec<Answered>,
    steps: Vec<Step>,
    pods: Vec<Pod>,
    is_settled: bool,
}

#[derive(Debug, Deserialize)]
struct Answered {
    code: u16,
    body: Value,
}

#[derive(Debug, Deserialize)]
struct Step {
    controller: String,
    verb: String,
    resource: String,
    name: String,
    refused: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Pod {
    namespace: String,
    name: String,
    node: String,
    why: String,
}

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    if args.files.names.is_empty() {
        return Err(Failure::Usage("must specify at least one of -f FILE".to_owned()));
    }
    let select = Select::default();
    let given = Given { words: &[], files: &args.files, select: &select, all: false };
    let mut imagined = Vec::new();
    for target in targets::resolve(given, server)? {
        let request = request(&target, server).await?;
        imagined.push((target, request));
    }
    let requests: Vec<&Value> = imagined.iter().filter_map(|(_, request)| request.as_ref()).collect();
    let call =
        Call::new(Method::POST, "/keelson/v1/plan").body("application/json", &json!({"requests": requests}));
    let answer = server.json(call).await?;
    if let Some(Form::Json) = args.output {
        return screen.line(&format!("{answer:#}"));
    }
    let answer: Answer = serde_json::from_value(answer)
        .map_err(|error| Failure::Refused(format!("the masters' answer cannot be read: {error}")))?;
    let targets: Vec<_> = imagined.iter().map(|(target, request)| (target, request.is_some())).collect();
    screen.print(&told(&targets, &answer))?;
    ended(&answer)
}

/// What `apply` would ask for; `None`: nothing would change.
async fn request(target: &Target, server: &Server) -> Result<Option<Value>, Failure> {
    let modified = apply::with_last_applied(target.object.clone().unwrap_or_default());
    let Some(current) = target.read_if_there(server).await? else {
        let path = format!("{}?fieldManager=kctl-client-side-apply", target.collection());
        return Ok(Some(
            json!({"method": "POST", "path": path, "contentType": "application/json", "body": modified}),
        ));
    };
    let patch = apply::patch(target, &modified, &current, true);
    let path = format!("{}?fieldManager=kctl-client-side-apply", target.path());
    let request = json!({"method": "PATCH", "path": path, "contentType": patch.media, "body": patch.body});
    Ok((!patch.is_empty()).then_some(request))
}

/// The whole story.
fn told(targets: &[(&Target, bool)], answer: &Answer) -> String {
    let mut answers = answer.answers.iter();
    let mut text = String::new();
    for (target, is_asked) in targets {
        let outcome = match is_asked.then(|| answers.next()).flatten() {
            None => "would stay as it is".to_owned(),
            Some(Answered { code: 201, .. }) => "would be created".to_owned(),
            Some(Answered { code: 200, .. }) => "would be changed".to_owned(),
            Some(Answered { body, .. }) => {
                format!("would be refused: {}", body["message"].as_str().unwrap_or("no reason was given"))
            }
        };
        text.push_str(&format!("{} {outcome}\n", target.printed()));
    }
    let rows = steps(&answer.steps);
    if !rows.is_empty() {
        text.push_str("\nWhat would follow:\n");
        text.push_str(&table::render(&["CONTROLLER", "DOES", "WHAT"], &rows));
    }
    if !answer.pods.is_empty() {
        text.push_str("\nWhere pods would land:\n");
        let row = |pod: &Pod| {
            let place = if pod.node.is_empty() { "<none>" } else { &pod.node };
            vec![pod.namespace.clone(), pod.name.clone(), place.to_owned(), pod.why.clone()]
        };
        let rows: Vec<_> = answer.pods.iter().take(PODS_MAX).map(row).collect();
        text.push_str(&table::render(&["NAMESPACE", "POD", "NODE", "WHY NOT"], &rows));
        if answer.pods.len() > PODS_MAX {
            text.push_str(&format!("... and {} more\n", answer.pods.len() - PODS_MAX));
        }
    }
    if !answer.is_settled {
        text.push_str("\nMore would follow: this was as far as it was followed.\n");
    }
    text.push_str(&format!(
        "\nNothing was changed; planned at revision {}. Generated names would be others.\n",
        answer.revision
    ));
    text
}

/// A row for what each controller does to each kind, in the order in which it begins.
fn steps(steps: &[Step]) -> Vec<Vec<String>> {
    let mut order = Vec::new();
    let mut names: BTreeMap<(&str, &str, &str, Option<&str>), Vec<&str>> = BTreeMap::new();
    for step in steps {
        let place = (&*step.controller, &*step.verb, &*step.resource, step.refused.as_deref());
        let known = names.entry(place).or_default();
        if known.is_empty() {
            order.push(place);
        }
        if !known.contains(&&*step.name) {
            known.push(&step.name);
        }
    }
    let row = |place: &(&str, &str, &str, Option<&str>)| {
        let (controller, verb, resource, refused) = *place;
        let known = &names[place];
        let shown = known.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
        let more = if known.len() > NAMES_MAX { ", ..." } else { "" };
        let resource = resource.strip_prefix("core/").unwrap_or(resource);
        let what = format!("{} {resource}: {shown}{more}", known.len());
        let what = refused.map_or(what.clone(), |why| format!("{what} (refused: {why})"));
        vec![controller.to_owned(), verb.to_owned(), what]
    };
    order.iter().map(row).collect()
}

fn ended(answer: &Answer) -> Result<(), Failure> {
    if let Some(refused) = answer.answers.iter().find(|answered| answered.code >= 400) {
        let text = |member: &str| refused.body[member].as_str().unwrap_or_default().to_owned();
        let (reason, message) = (text("reason"), text("message"));
        return Err(Failure::Server(Box::new(Refusal { code: refused.code, reason, message })));
    }
    let unplaced = answer.pods.iter().filter(|pod| pod.node.is_empty()).count();
    if unplaced == 0 {
        return Ok(());
    }
    warn(&format!("{unplaced} of {} pods would find no node", answer.pods.len()));
    Err(Failure::Exit(UNPLACED))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn what_follows_is_told_in_few_lines() {
        let step = |controller: &str, verb: &str, resource: &str, name: &str, refused: Option<&str>| Step {
            controller: controller.to_owned(),
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            refused: refused.map(str::to_owned),
        };
        let pod = |name: &str, node: &str, why: &str| Pod {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            node: node.to_owned(),
            why: why.to_owned(),
        };
        let mut steps = vec![step("deployment", "create", "apps/replicasets", "web-1", None)];
        steps.extend((0..5).map(|n| step("replicaset", "create", "core/pods", &format!("web-1-{n}"), None)));
        steps.push(step("replicaset", "create", "core/pods", "", Some("exceeded quota")));
        steps.push(step("scheduler", "bind", "core/pods", "web-1-0", None));
        let answer = Answer {
            revision: 7,
            answers: Vec::new(),
            steps,
            pods: vec![pod("web-1-0", "node-1", ""), pod("web-1-1", "", "0/1 nodes are available")],
            is_settled: true,
        };
        expect![[r#"

            What would follow:
            CONTROLLER   DOES     WHAT
            deployment   create   1 apps/replicasets: web-1
            replicaset   create   5 pods: web-1-0, web-1-1, web-1-2, ...
            replicaset   create   1 pods:  (refused: exceeded quota)
            scheduler    bind     1 pods: web-1-0

            Where pods would land:
            NAMESPACE   POD       NODE     WHY NOT
            default     web-1-0   node-1
            default     web-1-1   <none>   0/1 nodes are available

            Nothing was changed; planned at revision 7. Generated names would be others.
        "#]]
        .assert_eq(&told(&[], &answer));
        assert!(matches!(ended(&answer), Err(Failure::Exit(UNPLACED))));
    }
}
