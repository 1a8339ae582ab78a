//! Scripts of commands with what a terminal shows of them:
//!
//! ```text
//! # A comment stands behind an empty line, and belongs to the command below it.
//! $ kubectl get configmap web
//! NAME   DATA   AGE
//! web    1      AGE
//! ? 1.37
//! what is shown instead, from kubectl 1.37 on
//! ```
//!
//! A command is a line of bash. An exit code other than 0 is the last line, like `=> 1`.

use std::fmt::Write;

/// The version that says what stands first below a command.
const FIRST: u32 = 0;

/// One command of a script.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// The lines above it.
    pub above: Vec<String>,
    /// What is run.
    pub command: String,
    /// What is shown, since which minor version of kubectl, in that order.
    pub shown: Vec<(u32, String)>,
}

impl Step {
    /// What kubectl 1.`minor` shows.
    pub fn expected(&self, minor: u32) -> &str {
        let known = self.shown.iter().rev().find(|(since, _)| *since <= minor);
        known.map_or("", |(_, screen)| screen)
    }

    /// Remembers what kubectl 1.`minor` shows; the oldest one is recorded first.
    pub fn record(&mut self, minor: u32, is_oldest: bool, screen: String) {
        if is_oldest {
            self.shown = vec![(FIRST, screen)];
            return;
        }
        self.shown.retain(|(since, _)| *since < minor);
        if self.expected(minor) != screen {
            self.shown.push((minor, screen));
        }
    }
}

/// The steps of a script.
///
/// # Panics
/// When a line has no command above it.
pub fn parse(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut above = Vec::new();
    let mut is_after_gap = true;
    for line in text.lines() {
        let may_begin = std::mem::replace(&mut is_after_gap, line.is_empty());
        if let Some(command) = line.strip_prefix("$ ") {
            let above = std::mem::take(&mut above);
            steps.push(Step { above, command: command.to_owned(), shown: vec![(FIRST, String::new())] });
        } else if line.starts_with("# ") && (may_begin || !above.is_empty()) {
            above.push(line.to_owned());
        } else if let Some(minor) = line.strip_prefix("? 1.") {
            let since = minor.parse().expect("a minor version");
            steps.last_mut().expect("a command").shown.push((since, String::new()));
        } else if let Some(step) = steps.last_mut() {
            let (_, shown) = step.shown.last_mut().expect("there is always one");
            shown.push_str(line);
            shown.push('\n');
        } else {
            assert!(line.is_empty(), "no command above: {line}");
        }
    }
    let shown = steps.iter_mut().flat_map(|step| &mut step.shown);
    shown.for_each(|(_, screen)| screen.truncate(screen.trim_end().len()));
    steps
}

/// The text of a script.
pub fn render(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        if !step.above.is_empty() && !text.is_empty() {
            text.push('\n');
        }
        step.above.iter().for_each(|line| text.extend([line, "\n"]));
        let _ = writeln!(text, "$ {}", step.command);
        for (since, screen) in &step.shown {
            if *since != FIRST {
                let _ = writeln!(text, "? 1.{since}");
            }
            if !screen.is_empty() {
                let _ = writeln!(text, "{screen}");
            }
        }
    }
    text
}
