//! Why a request came to nothing.

use kube::core::Status;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A client cannot be made of this.
    #[error("the client's options name no server")]
    NoServers,
    /// Certificates, keys or tokens that cannot be used.
    #[error("reading the client's credentials failed: {reason}")]
    Credentials {
        /// What and why.
        reason: String,
    },
    /// No master did it, and certainly none will.
    #[error("{operation}: no master served it: {}", tried.join("; "))]
    Unavailable {
        /// Method and path.
        operation: String,
        /// Each master and what went wrong.
        tried: Vec<String>,
    },
    /// The masters may have done it or not: read before it is asked for again.
    #[error("{operation}: the outcome is not known: {server}: {reason}")]
    Unknown {
        /// Method and path.
        operation: String,
        /// Who was asked.
        server: String,
        /// Why.
        reason: String,
    },
    /// The masters said no.
    #[error("{operation}: {}", status.message)]
    Refused {
        /// Method and path.
        operation: String,
        /// In their words.
        status: Box<Status>,
    },
    /// An answer that is not what was asked for.
    #[error("{operation}: the answer is not understood: {reason}")]
    Malformed {
        /// Method and path.
        operation: String,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// The code of the refusal, if it is one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(status.code),
            _ => None,
        }
    }

    /// What was asked for is not there.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// It exists already, has changed since, or is not what the precondition says.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// The revision that was asked for is history no more.
    pub fn is_gone(&self) -> bool {
        self.code() == Some(410)
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Unknown { .. } | Self::Malformed { .. } => true,
            Self::NoServers | Self::Credentials { .. } => false,
            Self::Refused { status, .. } => status.code == 429 || status.code >= 500,
        }
    }
}
