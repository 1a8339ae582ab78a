//! What a request asks of a command, by its query.

use http::request::Parts;

use super::query;
use crate::upgrade::Refusal;

/// PodExecOptions and PodAttachOptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The command reads what the client sends.
    pub stdin: bool,
    /// The client wants what the command prints.
    pub stdout: bool,
    /// The client wants what the command complains.
    pub stderr: bool,
    /// The command runs in a terminal.
    pub tty: bool,
    /// Program and arguments; empty for attach.
    pub command: Vec<String>,
    /// Which container; without it the pod has but one, or a default.
    pub container: Option<String>,
}

impl Options {
    /// Reads the query of a request.
    ///
    /// # Errors
    /// When no stream is asked for.
    pub fn parse(head: &Parts) -> Result<Self, Refusal> {
        let mut options = Self::default();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query(head).as_bytes()) {
            // Of a flag that is given twice Kubernetes looks at the first.
            let is_flag = matches!(&*name, "stdin" | "stdout" | "stderr" | "tty" | "container");
            if is_flag && seen.contains(&name) {
                continue;
            }
            match &*name {
                "stdin" => options.stdin = is_true(&value),
                "stdout" => options.stdout = is_true(&value),
                "stderr" => options.stderr = is_true(&value),
                "tty" => options.tty = is_true(&value),
                "container" => options.container = Some(value.into_owned()).filter(|name| !name.is_empty()),
                "command" => options.command.push(value.into_owned()),
                _ => {}
            }
            seen.push(name);
        }
        // A terminal has one output: kubelets let the other go without a word.
        options.stderr &= !options.tty;
        if !options.stdin && !options.stdout && !options.stderr {
            return Err(Refusal::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
        }
        Ok(options)
    }

    /// These as a query, for a request that asks the same of someone else.
    pub fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.container.iter().map(|name| ("container", name)));
        query.extend_pairs(self.command.iter().map(|word| ("command", word)));
        let flags =
            [("stdin", self.stdin), ("stdout", self.stdout), ("stderr", self.stderr), ("tty", self.tty)];
        query.extend_pairs(flags.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| (name, "true")));
        query.finish()
    }
}

/// Whether a flag of a query is set: anything but these is, nothing included.
fn is_true(value: &str) -> bool {
    value != "0" && !value.eq_ignore_ascii_case("false")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(query: &str, expected: Expect) {
        let request = http::Request::get(format!("/exec?{query}")).body(()).expect("a request");
        let shown = match Options::parse(&request.into_parts().0) {
            Ok(options) => {
                let flags = [options.stdin, options.stdout, options.stderr, options.tty].map(u8::from);
                format!("{flags:?} {:?} {:?} {}", options.command, options.container, options.query())
            }
            Err(refusal) => format!("{} {refusal}", refusal.status),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn a_query_says_what_is_wanted() {
        check(
            "command=sh&command=-c&command=echo+a%26b&container=web&stdin=true&stdout=1",
            expect![[
                r#"[1, 1, 0, 0] ["sh", "-c", "echo a&b"] Some("web") container=web&command=sh&command=-c&command=echo+a%26b&stdin=true&stdout=true"#
            ]],
        );
        check("stdout&container=", expect!["[0, 1, 0, 0] [] None stdout=true"]);
        check("stderr=true&stdout=true&tty=true", expect!["[0, 1, 0, 1] [] None stdout=true&tty=true"]);
        check("stdin=1&stdin=0", expect!["[1, 0, 0, 0] [] None stdin=true"]);
        check(
            "stdin=False&stdout=0&tty=1&stderr=1",
            expect!["400 Bad Request you must specify at least 1 of stdin, stdout, stderr"],
        );
    }
}
