//! How a command ended, as it stands on the error stream.

use serde::{Deserialize, Serialize};

use super::{Options, Verb};

const SUCCESS: &str = "Success";
const FAILURE: &str = "Failure";
const NON_ZERO_EXIT_CODE: &str = "NonZeroExitCode";
const EXIT_CODE: &str = "ExitCode";
const INTERNAL_ERROR: &str = "InternalError";

/// The parts of a `Status` that say how a command ended.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    metadata: Empty,
    status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Empty {}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Details {
    causes: Vec<Cause>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Cause {
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    message: String,
}

impl Status {
    fn of(verb: Verb, options: &Options, outcome: &Result<i32, String>) -> Self {
        match outcome {
            Ok(0) => Self { status: SUCCESS.into(), ..Self::default() },
            Ok(code) => {
                let command = options.command.join(" ");
                let why = format!("error executing command [{command}], exit code {code}");
                let cause = Cause { reason: EXIT_CODE.into(), message: code.to_string() };
                Self {
                    status: FAILURE.into(),
                    message: format!("command terminated with non-zero exit code: {why}"),
                    reason: NON_ZERO_EXIT_CODE.into(),
                    details: Some(Details { causes: vec![cause] }),
                    ..Self::default()
                }
            }
            Err(why) => {
                let what = match verb {
                    Verb::Exec => "executing command in",
                    Verb::Attach => "attaching to",
                };
                let why = format!("error {what} container: {why}");
                let message = format!("Internal error occurred: {why}");
                let causes = vec![Cause { reason: String::new(), message: why }];
                Self {
                    status: FAILURE.into(),
                    message,
                    reason: INTERNAL_ERROR.into(),
                    details: Some(Details { causes }),
                    code: Some(500),
                    ..Self::default()
                }
            }
        }
    }
}

/// What is written on the error stream: a `Status`, or, in the protocols before there was one, a text, and
/// nothing if all went well.
pub(super) fn written(
    verb: Verb,
    options: &Options,
    outcome: &Result<i32, String>,
    has_status: bool,
) -> Vec<u8> {
    let status = Status::of(verb, options, outcome);
    match has_status {
        true => serde_json::to_vec(&status).unwrap_or_default(),
        false => status.message.into_bytes(),
    }
}

/// Reads what the error stream holds: the exit code, or why there is none.
pub(crate) fn read(written: &[u8]) -> Result<i32, String> {
    if written.is_empty() {
        return Err("the connection ended before it was said how the command did".to_owned());
    }
    let Ok(status) = serde_json::from_slice::<Status>(written) else {
        return Err(format!(
            "error stream protocol error: unknown error: {}",
            String::from_utf8_lossy(written)
        ));
    };
    if status.status == SUCCESS {
        return Ok(0);
    }
    if status.reason != NON_ZERO_EXIT_CODE {
        return Err(status.message);
    }
    let causes = status.details.unwrap_or_default().causes;
    let code = causes.iter().find(|cause| cause.reason == EXIT_CODE).map(|cause| cause.message.as_str());
    code.and_then(|code| code.parse().ok())
        .ok_or_else(|| format!("error stream protocol error: no exit code in {:?}", status.message))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(verb: Verb, outcome: Result<i32, String>, status: Expect, text: Expect) {
        let options =
            Options { command: vec!["sh".into(), "-c".into(), "exit 3".into()], ..Options::default() };
        let bytes = written(verb, &options, &outcome, true);
        status.assert_eq(&String::from_utf8_lossy(&bytes));
        text.assert_eq(&String::from_utf8_lossy(&written(verb, &options, &outcome, false)));
        assert_eq!(read(&bytes).ok(), outcome.ok());
    }

    #[test]
    fn outcomes_are_written_as_a_kubelet_does_and_read_again() {
        check(Verb::Exec, Ok(0), expect![[r#"{"metadata":{},"status":"Success"}"#]], expect![[""]]);
        check(
            Verb::Exec,
            Ok(3),
            expect![[
                r#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: error executing command [sh -c exit 3], exit code 3","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#
            ]],
            expect![
                "command terminated with non-zero exit code: error executing command [sh -c exit 3], exit code 3"
            ],
        );
        check(
            Verb::Attach,
            Err("no such container".into()),
            expect![[
                r#"{"metadata":{},"status":"Failure","message":"Internal error occurred: error attaching to container: no such container","reason":"InternalError","details":{"causes":[{"message":"error attaching to container: no such container"}]},"code":500}"#
            ]],
            expect!["Internal error occurred: error attaching to container: no such container"],
        );
    }

    #[test]
    fn what_is_no_outcome_is_an_error() {
        let check = |written: &str, expected: Expect| {
            expected.assert_eq(&read(written.as_bytes()).expect_err("no outcome"));
        };
        check("", expect!["the connection ended before it was said how the command did"]);
        check("broken", expect!["error stream protocol error: unknown error: broken"]);
        check(
            r#"{"status":"Failure","message":"m","reason":"NonZeroExitCode"}"#,
            expect![[r#"error stream protocol error: no exit code in "m""#]],
        );
    }
}
