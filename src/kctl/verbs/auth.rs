//! `kctl auth whoami`

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{Form, printed_name};
use crate::screen::Screen;
use crate::server::{Call, Server};
use crate::table::render;

/// What to tell.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// Who the server takes you for.
    Whoami {
        /// json, yaml, name, jsonpath=TEMPLATE...
        #[arg(short, long, default_value = "", hide_default_value = true, value_name = "FORM")]
        output: String,
    },
}

const PATH: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let Question::Whoami { output } = &args.question;
    let form = Form::parse(output)?;
    let question = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let review = server.json(Call::new(Method::POST, PATH).body("application/json", &question)).await?;
    if form.is_human() {
        return screen.print(&render(&["ATTRIBUTE", "VALUE"], &attributes(&review["status"]["userInfo"])));
    }
    screen.print(&form.print(&review, printed_name)?)
}

fn attributes(user: &Value) -> Vec<Vec<String>> {
    let text = |name: &str| user[name].as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| {
        let items = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
        format!("[{}]", items.join(" "))
    };
    let mut rows = vec![("Username".to_owned(), text("username")), ("UID".to_owned(), text("uid"))];
    if user["groups"].is_array() {
        rows.push(("Groups".to_owned(), list(&user["groups"])));
    }
    for (key, values) in user["extra"].as_object().into_iter().flatten() {
        rows.push((format!("Extra: {key}"), list(values)));
    }
    rows.retain(|(_, value)| !value.is_empty());
    rows.into_iter().map(|(name, value)| vec![name, value]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_told() {
        let user = json!({"username": "ann", "uid": "", "groups": ["a", "b"], "extra": {"k": ["v"]}});
        let told: Vec<String> = attributes(&user).into_iter().map(|row| row.join("=")).collect();
        assert_eq!(told, ["Username=ann", "Groups=[a b]", "Extra: k=[v]"]);
    }
}
