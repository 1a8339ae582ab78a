//! Flags that several verbs share, in kubectl's words.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::failure::Failure;

/// How long it is waited for what has no limit.
pub const PATIENCE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Which cluster, as whom, and how patiently. Every verb has these.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The kubeconfig to use.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context to use, and no other.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace [default: the context's].
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The server to ask, in place of the kubeconfig's.
    #[arg(short, long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Ask as this user (impersonation).
    #[arg(long = "as", global = true, value_name = "USER")]
    pub as_user: Option<String>,
    /// Ask as a member of this group; may be repeated.
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    pub as_groups: Vec<String>,
    /// Ask as the user with this UID.
    #[arg(long, global = true, value_name = "UID")]
    pub as_uid: Option<String>,
    /// The bearer token to show.
    #[arg(long, global = true)]
    pub token: Option<String>,
    /// Trust whatever certificate the server has.
    #[arg(long, global = true)]
    pub insecure_skip_tls_verify: bool,
    /// How long one request may take: 5s, 1m30s; 0: as long as kctl thinks fit.
    #[arg(long, global = true, value_name = "DURATION", default_value = "0", hide_default_value = true)]
    pub request_timeout: String,
    /// How much to tell of what is done: 6 tells of every request, 8 of their bodies too.
    #[arg(
        short,
        long = "v",
        global = true,
        value_name = "LEVEL",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub verbosity: u8,
}

impl Global {
    /// How long one request may take; `None`: no limit was given.
    pub fn request_timeout(&self) -> Result<Option<Duration>, Failure> {
        Ok(Some(duration("--request-timeout", &self.request_timeout)?).filter(|limit| !limit.is_zero()))
    }
}

/// A span of time as flags write it: Go's words, or bare seconds.
pub fn duration(flag: &str, text: &str) -> Result<Duration, Failure> {
    let seconds = text.parse::<u64>().ok().map(Duration::from_secs);
    let span = || api::duration::parse(text).and_then(|ns| u64::try_from(ns).ok()).map(Duration::from_nanos);
    seconds.or_else(span).ok_or_else(|| {
        Failure::Usage(format!("{flag} {text}: not a span of time; write it like 30s or 1m30s"))
    })
}

/// Files with objects.
#[derive(Args, Clone, Debug, Default)]
pub struct Files {
    /// A file with objects in YAML or JSON, a folder of such, or - for the standard input.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub names: Vec<String>,
    /// Go down into the folders of -f.
    #[arg(short = 'R', long)]
    pub recursive: bool,
}

/// Which objects of a type.
#[derive(Args, Clone, Debug, Default)]
pub struct Select {
    /// Only objects with these labels: a=b, a!=b, a in (b,c), a, !a.
    #[arg(
        short = 'l',
        long = "selector",
        value_name = "QUERY",
        default_value = "",
        hide_default_value = true
    )]
    pub labels: String,
    /// Only objects with these fields: metadata.name=a, status.phase!=Running.
    #[arg(long = "field-selector", value_name = "QUERY", default_value = "", hide_default_value = true)]
    pub fields: String,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
}

impl Select {
    /// Whether only some objects are wanted.
    pub fn is_given(&self) -> bool {
        !self.labels.is_empty() || !self.fields.is_empty()
    }
}

/// Whether to really do it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Do it.
    #[default]
    None,
    /// Print what would be sent.
    Client,
    /// Let the server do everything but keep it.
    Server,
}

impl DryRun {
    /// What is put behind a line that says what was done.
    pub fn note(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }

    /// The query parameter `dryRun`.
    pub fn query(self) -> &'static str {
        if self == Self::Server { "All" } else { "" }
    }
}

/// How a verb that writes does it and what it prints.
#[derive(Args, Clone, Debug, Default)]
pub struct Writing {
    /// Whether to really do it.
    #[arg(long, value_enum, default_value_t = DryRun::None, value_name = "STRATEGY")]
    pub dry_run: DryRun,
    /// What to print instead of a line: json, yaml, name, jsonpath=TEMPLATE...
    #[arg(short, long, default_value = "", hide_default_value = true, value_name = "FORM")]
    pub output: String,
    /// Show metadata.managedFields in JSON and YAML.
    #[arg(long)]
    pub show_managed_fields: bool,
}

/// What becomes of dependents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Cascade {
    /// They go later, by themselves.
    #[default]
    #[value(alias = "true")]
    Background,
    /// They go first.
    Foreground,
    /// They stay.
    #[value(alias = "false")]
    Orphan,
}

impl Cascade {
    /// `propagationPolicy`
    pub fn policy(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Foreground => "Foreground",
            Self::Orphan => "Orphan",
        }
    }
}

/// How strictly the server reads fields that it does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Validate {
    /// It refuses them.
    #[default]
    #[value(alias = "true")]
    Strict,
    /// It warns of them.
    Warn,
    /// It drops them.
    #[value(alias = "false")]
    Ignore,
}

impl Validate {
    /// The query parameter `fieldValidation`.
    pub fn query(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Warn => "Warn",
            Self::Ignore => "Ignore",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_in_both_spellings() {
        let cases = [
            ("5", Some(5_000)),
            ("1m30s", Some(90_000)),
            ("0", Some(0)),
            ("250ms", Some(250)),
            ("x", None),
            ("-1s", None),
        ];
        for (text, millis) in cases {
            let span = duration("--timeout", text).ok().map(|span| span.as_millis());
            assert_eq!(span, millis, "{text}");
        }
    }
}
