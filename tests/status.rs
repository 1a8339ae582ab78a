//! What is refused, and how: the scripts in tests/status hold requests, and what a real Kubernetes answers to
//! each, word for word. `tests/clients/record` asks it.
//!
//! ```text
//! POST /api/v1/namespaces/status/configmaps
//! content-type: application/json
//! {"metadata":{"name":"Bad_Name"}}
//! => 422 {"kind":"Status",...}
//! ```
//!
//! Of an answer that is no refusal only the code is compared. Below a comment that begins with `In any order` the causes
//! of a refusal may come in any.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use chaos::client::{Client, Method};
use chaos::kubeconfig::Kubeconfig;
use chaos::{Cluster, Options};
use serde_json::Value;

use crate::golden::{normal, recording};

/// One request, and what is answered.
#[derive(Clone, Debug, Default)]
struct Case {
    above: Vec<String>,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
    answer: String,
}

/// Where the scripts are.
const FOLDER: &str = "status";

/// Stands above a case whose causes may come in any order.
const ANY_ORDER: &str = "# In any order";

impl Case {
    fn is_answered_by(&self, said: &str) -> bool {
        let is_any = self.above.iter().any(|line| line.starts_with(ANY_ORDER));
        said == self.answer
            || is_any && causes_of(said).is_some_and(|causes| causes_of(&self.answer) == Some(causes))
    }
}

/// The code of a refusal and its causes, in an order of their own. Its message repeats them.
fn causes_of(answer: &str) -> Option<(String, Vec<String>)> {
    let (code, body) = answer.split_once(' ')?;
    let status: Value = serde_json::from_str(body).ok()?;
    let mut causes: Vec<_> = status["details"]["causes"].as_array()?.iter().map(Value::to_string).collect();
    causes.sort();
    Some((code.to_owned(), causes))
}

/// The cases of a script.
fn parse(text: &str) -> Vec<Case> {
    text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()).map(case).collect()
}

fn case(paragraph: &str) -> Case {
    let mut case = Case::default();
    for line in paragraph.trim().lines() {
        if line.starts_with("# ") {
            case.above.push(line.to_owned());
        } else if case.method.is_empty() {
            let (method, path) = line.split_once(' ').expect("METHOD PATH");
            (case.method, case.path) = (method.to_owned(), path.to_owned());
        } else if let Some(answer) = line.strip_prefix("=> ") {
            answer.clone_into(&mut case.answer);
        } else if let Some(header) = header(line) {
            case.headers.push(header);
        } else {
            line.clone_into(&mut case.body);
        }
    }
    case
}

/// A line that is a header: a name in small letters, and a value.
fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(": ")?;
    let is_name = name.len() > 1 && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

/// The text of a script.
fn render(cases: &[Case]) -> String {
    let paragraphs = cases.iter().map(|case| {
        let mut lines = case.above.clone();
        lines.push(format!("{} {}", case.method, case.path));
        lines.extend(case.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        lines.extend(Some(case.body.clone()).filter(|body| !body.is_empty()));
        lines.push(format!("=> {}", case.answer));
        lines.join("\n") + "\n"
    });
    paragraphs.collect::<Vec<_>>().join("\n")
}

/// A text in which `<<a*3>>` stands for `aaa`.
fn expanded(text: &str) -> String {
    let mut parts = text.split("<<");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (repeated, rest) = part.split_once(">>").expect("<< ends with >>");
        let (letter, times) = repeated.split_once('*').expect("a letter * times");
        whole.push_str(&letter.repeat(times.parse().expect("a number")));
        whole.push_str(rest);
    }
    whole
}

/// A text in which every letter that is repeated often is written as [`expanded`] reads it.
fn contracted(text: &str) -> String {
    let mut short = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let count = rest.chars().take_while(|letter| *letter == first).count();
        if count >= REPEATED_MIN {
            short.push_str(&format!("<<{first}*{count}>>"));
        } else {
            short.extend(std::iter::repeat_n(first, count));
        }
        rest = &rest[count * first.len_utf8()..];
    }
    short
}

/// How often a letter is repeated before that is written in short.
const REPEATED_MIN: usize = 40;

/// Sends a case; returns the code and, where it is a refusal, the whole body, normalized.
async fn answer(client: &Client, case: &Case) -> Result<String> {
    let method = Method::from_bytes(case.method.as_bytes())?;
    let (path, body) = (expanded(&case.path), expanded(&case.body));
    let mut headers = case.headers.clone();
    if !body.is_empty() && !headers.iter().any(|(name, _)| name == "content-type") {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    let answered = client.exchange_as(method, &path, &headers, body).await;
    let (code, body) = answered.with_context(|| format!("{} {}", case.method, case.path))?;
    if code < 300 {
        return Ok(code.to_string());
    }
    let text = String::from_utf8_lossy(&body);
    let line = serde_json::from_str::<Value>(&text).unwrap_or_else(|_| Value::from(&*text));
    Ok(format!("{code} {}", contracted(&normal::text(&line.to_string()))))
}

/// Writes down what a real Kubernetes answers.
async fn record(kubeconfig: &Path) -> Result<()> {
    let client = Client::new(Kubeconfig::read(kubeconfig)?.current()?);
    for path in recording::scripts(FOLDER)? {
        let mut cases = parse(&std::fs::read_to_string(&path)?);
        for case in &mut cases {
            case.answer = answer(&client, case).await.unwrap_or_else(|error| format!("{error:#}"));
        }
        std::fs::write(&path, render(&cases))?;
    }
    Ok(())
}

#[test]
fn what_is_refused_is_refused_in_the_words_of_kubernetes() {
    if let Some(kubeconfig) = recording::kubeconfig() {
        recording::run(record(&kubeconfig));
        return;
    }
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let cluster = Cluster::start(machine, Options { masters: 1, ..Options::api_alone() }).await?;
        let client = cluster.any_client()?;
        let mut different = BTreeSet::new();
        for path in recording::scripts(FOLDER)? {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            for (at, case) in parse(&std::fs::read_to_string(&path)?).into_iter().enumerate() {
                let said = answer(&client, &case).await.unwrap_or_else(|error| format!("{error:#}"));
                if !case.is_answered_by(&said) {
                    let Case { method, path, headers, body, answer, .. } = &case;
                    println!(
                        "--- {name} {at}\n{method} {path} {headers:?}\n{body}\n{answer}\n+++ but the answer is\n{said}\n"
                    );
                    different.insert(format!("{name} {at}: {method} {path}"));
                }
            }
        }
        recording::check_differences(&different, &recording::folder(FOLDER).join("differences.list"), true)
    });
}
