//! Kubernetes' own libraries in a process of their own, and what is compared with them.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use api::Resource;
use api::codec::{FieldValidation, Format, object};
use serde_json::{Map, Value};

use super::Dice;

/// What the oracle's build exits with when Go or the modules of Kubernetes are not there.
pub const SOURCES_MISSING: i32 = 3;

/// Kubernetes' libraries, in a process of their own.
pub struct Oracle {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    /// `None`, and a word about it, where it cannot be built without fetching anything.
    pub fn start() -> Option<Self> {
        let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
        let build = Path::new(&package).join("oracle/build");
        let built = Command::new(build).env("GOPROXY", "off").output().expect("a shell");
        if built.status.code() == Some(SOURCES_MISSING) {
            let test = std::thread::current();
            let line = format!(
                "SKIPPED: {}: comparing with Kubernetes' libraries needs Go and their modules\n",
                test.name().unwrap_or("a test")
            );
            let _ = std::io::stderr().write_all(line.as_bytes());
            return None;
        }
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let program = String::from_utf8(built.stdout).expect("a path");
        let mut process = Command::new(program.trim())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the oracle starts");
        let questions = process.stdin.take().expect("piped");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        Some(Self { process, questions, answers })
    }

    pub fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.questions, "{question}").expect("it listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?} to {question}"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// As it would be stored, for a body that may lack a creationTimestamp.
pub fn stored(body: &[u8], format: Format, row: &Resource) -> Result<String, String> {
    let read = object(body, format, row, FieldValidation::Ignore);
    let (mut object, _) = read.map_err(|refused| refused.message)?;
    object.meta.creation_timestamp = "2026-01-01T00:00:00Z".to_owned();
    Ok(String::from_utf8(object.prepare(row).body).expect("JSON is text"))
}

/// A random object of a resource, as it would be stored, and its tree.
pub fn sample(row: &Resource, seed: u64) -> (String, Map<String, Value>) {
    let mut tree = super::object(&row.schema, &mut Dice::new(seed), 0);
    tree.insert("kind".into(), row.kind.clone().into());
    tree.insert("apiVersion".into(), row.api_version().into());
    let text = stored(Value::Object(tree).to_string().as_bytes(), Format::Json, row).expect("conforms");
    let Ok(Value::Object(tree)) = serde_json::from_str(&text) else { panic!("{text}") };
    (text, tree)
}

/// Fails with what is around the first difference.
pub fn compare(
    row: &Resource,
    seed: u64,
    ours: &Result<String, String>,
    theirs: &Result<String, String>,
    of: &Value,
) {
    let (Ok(ours), Ok(theirs)) = (ours, theirs) else { panic!("{ours:?} / {theirs:?}") };
    let at = ours.bytes().zip(theirs.bytes()).take_while(|(a, b)| a == b).count();
    let near = |text: &str| {
        let shown = &text.as_bytes()[at.saturating_sub(200)..(at + 100).min(text.len())];
        String::from_utf8_lossy(shown).into_owned()
    };
    assert!(
        ours == theirs,
        "{} {seed}: ours ...{}\ntheirs ...{}\nof {of}",
        row.kind,
        near(ours),
        near(theirs)
    );
}
