//! Why a verb did not succeed, in words for people and as an exit code.

use crate::masters::MastersError;

/// Why a verb did not succeed. Each kind has its exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Everything was said already; what is left is this exit code.
    #[error("")]
    Exit(u8),
    /// Somebody who was needed did not answer. Exit code 3.
    #[error("kctl: {0}")]
    NoAnswer(String),
    /// It cannot be done, or the answer is bad news. Exit code 1.
    #[error("kctl: {0}")]
    Refused(String),
    /// A server said no. Exit code 1.
    #[error("{0}")]
    Server(Box<Refusal>),
    /// The command line makes no sense. Exit code 2.
    #[error("kctl: {0}")]
    Usage(String),
}

/// How a server says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP's.
    pub code: u16,
    /// `NotFound`; empty when the server gave none.
    pub reason: String,
    /// In its words, behind what was being done.
    pub message: String,
}

/// What to do about refusals whose own words do not say.
const NEXT_STEPS: &[(&str, &str)] = &[
    ("AlreadyExists", "change it with `kctl apply`, or put another in its place with `kctl replace`"),
    ("Expired", "run the command again: it begins from the newest state"),
    ("Forbidden", "`kctl auth whoami` shows as whom you asked; a RoleBinding gives more rights"),
    ("TooManyRequests", "the server is busy: run the command again in a moment"),
    (
        "Unauthorized",
        "the kubeconfig holds no credentials that the server knows: name another with --kubeconfig",
    ),
];

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.reason.as_str() {
            "" => write!(f, "Error from server: {}", self.message)?,
            // Of objects, the server's message begins with the kind and the name.
            "Invalid" if self.message.contains(" is invalid: ") => write!(f, "The {}", self.message)?,
            "Invalid" => write!(f, "The request is invalid: {}", self.message)?,
            reason => write!(f, "Error from server ({reason}): {}", self.message)?,
        }
        let next = NEXT_STEPS.iter().find(|(reason, _)| *reason == self.reason);
        next.map_or(Ok(()), |(_, step)| write!(f, "\n  next: {step}"))
    }
}

impl Failure {
    /// What the process ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Exit(code) => *code,
            Self::Refused(_) | Self::Server(_) => 1,
            Self::Usage(_) => 2,
            Self::NoAnswer(_) => 3,
        }
    }

    /// The same, where a file asked for what was refused.
    pub fn doing(self, doing: &str) -> Self {
        match self {
            Self::Server(refusal) if refusal.reason == "Invalid" => Self::Server(refusal),
            Self::Server(mut refusal) => {
                refusal.message = format!("{doing}: {}", refusal.message);
                Self::Server(refusal)
            }
            Self::Refused(message) => Self::Refused(format!("{doing}: {message}")),
            other => other,
        }
    }

    /// What went wrong and nothing else, to stand in a sentence.
    pub fn words(&self) -> String {
        match self {
            Self::Server(refusal) => refusal.message.clone(),
            other => other.to_string().trim_start_matches("kctl: ").to_owned(),
        }
    }

    /// Whether the server said no for this reason.
    pub fn is(&self, reason: &str) -> bool {
        matches!(self, Self::Server(refusal) if refusal.reason == reason)
    }
}

impl From<MastersError> for Failure {
    fn from(error: MastersError) -> Self {
        match &error {
            MastersError::Refused { .. }
            | MastersError::Kubeconfig { .. }
            | MastersError::NoKubeconfig { .. } => Self::Refused(error.to_string()),
            MastersError::NoAnswer { .. } | MastersError::Malformed { .. } => {
                Self::NoAnswer(error.to_string())
            }
        }
    }
}

/// A verb goes on with its other objects when one is refused; nobody is asked twice who did not answer.
#[derive(Debug, Default)]
pub struct Tally {
    worst: Option<u8>,
}

impl Tally {
    /// Says what went wrong and remembers it.
    ///
    /// # Errors
    /// When it is no use to go on.
    pub fn take<T>(&mut self, outcome: Result<T, Failure>) -> Result<Option<T>, Failure> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(failure @ (Failure::Refused(_) | Failure::Server(_))) => {
                crate::screen::warn(&failure.to_string());
                self.worst = Some(failure.exit_code());
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// How it went in all.
    ///
    /// # Errors
    /// When something was refused.
    pub fn close(self) -> Result<(), Failure> {
        self.worst.map_or(Ok(()), |code| Err(Failure::Exit(code)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_exit_code_and_its_words() {
        let refusal = |reason: &str| {
            Failure::Server(Box::new(Refusal {
                code: 404,
                reason: reason.to_owned(),
                message: "pods \"a\" not found".to_owned(),
            }))
        };
        let cases = [
            (Failure::Exit(7), 7, ""),
            (Failure::Refused("no".to_owned()), 1, "kctl: no"),
            (Failure::Usage("no".to_owned()), 2, "kctl: no"),
            (Failure::NoAnswer("no".to_owned()), 3, "kctl: no"),
            (refusal("NotFound"), 1, "Error from server (NotFound): pods \"a\" not found"),
            (refusal(""), 1, "Error from server: pods \"a\" not found"),
            (refusal("Invalid").doing("error when x"), 1, "The request is invalid: pods \"a\" not found"),
            (
                refusal("NotFound").doing("error when x"),
                1,
                "Error from server (NotFound): error when x: pods \"a\" not found",
            ),
        ];
        for (failure, code, words) in cases {
            assert_eq!((failure.exit_code(), failure.to_string().as_str()), (code, words));
        }
        let mut tally = Tally::default();
        assert!(matches!(tally.take::<()>(Err(refusal("NotFound"))), Ok(None)));
        assert!(tally.take::<()>(Err(Failure::NoAnswer(String::new()))).is_err());
        assert_eq!(tally.close().expect_err("one was refused").exit_code(), 1);
    }
}
