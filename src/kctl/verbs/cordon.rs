//! `kctl cordon` and `kctl uncordon`

use http::Method;
use serde_json::{Value, json};

use crate::failure::{Failure, Tally};
use crate::flags::{DryRun, Files, Select};
use crate::patch::STRATEGIC;
use crate::screen::Screen;
use crate::server::{Call, Server};
use crate::targets::{Given, Target, objects};

/// Which nodes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    nodes: Nodes,
    /// Whether to really do it.
    #[arg(long, value_enum, default_value_t = DryRun::None, value_name = "STRATEGY")]
    dry_run: DryRun,
}

/// Nodes, on a command line.
#[derive(clap::Args, Debug)]
pub struct Nodes {
    /// Their names.
    names: Vec<String>,
    /// Only nodes with these labels: a=b, a!=b, a in (b,c), a, !a.
    #[arg(short = 'l', long, default_value = "", hide_default_value = true, value_name = "QUERY")]
    selector: String,
}

/// Runs either verb.
pub async fn run(args: &Args, is_to_cordon: bool, server: &Server, screen: Screen) -> Result<(), Failure> {
    let verb = if is_to_cordon { "cordon" } else { "uncordon" };
    let mut tally = Tally::default();
    for node in args.nodes.find(verb, server).await? {
        let outcome = one(&node, is_to_cordon, args.dry_run, server, screen).await;
        let doing = format!("unable to {verb} node \"{}\"", node.name);
        tally.take(outcome.map_err(|failure| failure.doing(&doing)))?;
    }
    tally.close()
}

impl Nodes {
    /// The nodes, for a verb.
    ///
    /// # Errors
    /// When none are named.
    pub async fn find(&self, verb: &str, server: &Server) -> Result<Vec<Target>, Failure> {
        if self.names.is_empty() && self.selector.is_empty() {
            return Err(Failure::Usage(format!("USAGE: {verb} NODE [flags]")));
        }
        if !self.names.is_empty() && !self.selector.is_empty() {
            return Err(Failure::Usage("cannot specify both a node name and a --selector option".to_owned()));
        }
        let mut words = self.names.clone();
        if !words.iter().any(|word| word.contains('/')) {
            words.insert(0, "nodes".to_owned());
        }
        let select = Select { labels: self.selector.clone(), ..Select::default() };
        let files = Files::default();
        let given = Given { words: &words, files: &files, select: &select, all: false };
        let nodes = objects(given, server).await?;
        match nodes.iter().find(|node| (node.kind.group.as_str(), node.kind.kind.as_str()) != ("", "Node")) {
            Some(other) => Err(Failure::Refused(format!(
                "expected resource of type node, got \"{}\"",
                other.kind.resource()
            ))),
            None => Ok(nodes),
        }
    }
}

/// Cordons a node or ends that, and says so.
///
/// # Errors
/// When it is refused.
pub async fn one(
    node: &Target,
    is_to_cordon: bool,
    dry_run: DryRun,
    server: &Server,
    screen: Screen,
) -> Result<(), Failure> {
    let object = node.read(server).await?;
    let is_cordoned = object["spec"]["unschedulable"] == true;
    let done = if is_to_cordon { "cordoned" } else { "uncordoned" };
    if is_cordoned != is_to_cordon && dry_run != DryRun::Client {
        // What is false is not there.
        let value = if is_to_cordon { json!(true) } else { Value::Null };
        let call = Call::new(Method::PATCH, node.path())
            .with("dryRun", dry_run.query())
            .body(STRATEGIC, &json!({"spec": {"unschedulable": value}}));
        server.json(call).await?;
    }
    let already = if is_cordoned == is_to_cordon { "already " } else { "" };
    screen.line(&format!("{} {already}{done}{}", node.printed(), dry_run.note()))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::fake::Fake;

    #[test]
    fn nodes_are_cordoned_and_uncordoned() {
        let node = |name: &str| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"zone": "z"}}, "spec": {}});
        let fake = Fake::of([node("n1"), node("n2")]);
        let lines = [
            "cordon n1 --dry-run=client",
            "cordon n1 n2",
            "cordon node/n1",
            "uncordon -l zone=z",
            "uncordon n1",
            "cordon",
            "cordon n1 -l a=b",
            "cordon none",
            "cordon pod/x",
        ];
        let shown: String = lines.iter().map(|line| format!("$ {line}\n{}", fake.run(line))).collect();
        expect![[r#"
            $ cordon n1 --dry-run=client
            node/n1 cordoned (dry run)
            $ cordon n1 n2
            node/n1 cordoned
            node/n2 cordoned
            > PATCH /api/v1/nodes/n1 {"spec":{"unschedulable":true}}
            > PATCH /api/v1/nodes/n2 {"spec":{"unschedulable":true}}
            $ cordon node/n1
            node/n1 already cordoned
            $ uncordon -l zone=z
            node/n1 uncordoned
            node/n2 uncordoned
            > PATCH /api/v1/nodes/n1 {"spec":{"unschedulable":null}}
            > PATCH /api/v1/nodes/n2 {"spec":{"unschedulable":null}}
            $ uncordon n1
            node/n1 already uncordoned
            $ cordon
            kctl: USAGE: cordon NODE [flags]
            [exit code 2]
            $ cordon n1 -l a=b
            kctl: cannot specify both a node name and a --selector option
            [exit code 2]
            $ cordon none
            Error from server (NotFound): unable to cordon node "none": nodes "none" not found
            [exit code 1]
            $ cordon pod/x
            kctl: expected resource of type node, got "pods"
            [exit code 1]
        "#]]
        .assert_eq(&shown);
    }
}
