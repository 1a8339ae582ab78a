//! The way of intents into the log: [`projection::Submit`] on a backend.

use std::sync::Arc;

use api::Status;
use projection::{Done, Intent, NotDone, Submit};
use replica::ProposeError;
use state::{Guard, Outcome};

use crate::backend::Backend;
use crate::chain::admission::Settings;
use crate::definitions::Registry;
use crate::user::User;
use crate::verbs::intent::{self, Actor, Decided, Undecided};
use crate::verbs::write::transaction;

/// Whose service accounts controllers act as.
const SERVICE_ACCOUNTS: &str = "system:serviceaccount:";

/// Submits intents to one master's backend.
pub struct Submitter {
    backend: Arc<dyn Backend>,
    definitions: Registry,
    settings: Arc<Settings>,
}

impl Submitter {
    /// To this backend, by these settings.
    pub fn new(backend: Arc<dyn Backend>, settings: Arc<Settings>) -> Self {
        Self { backend, definitions: Registry::default(), settings }
    }
}

#[async_trait::async_trait]
impl Submit for Submitter {
    async fn submit(&self, actor: &str, term: u64, intent: &Intent) -> Result<Done, NotDone> {
        let acting = Actor { user: user(actor), settings: Arc::clone(&self.settings) };
        let moment = self.backend.moment();
        let Decided { mut guards, writes, names } =
            match intent::decide(intent, &acting, &moment, &self.definitions) {
                Ok(decided) => decided,
                Err(Undecided::Refused(status)) => return Err(NotDone::Refused(Box::new(status))),
                Err(Undecided::Stale) => return Err(NotDone::Stale(moment.revision())),
            };
        // Nothing would change; an intent without operations wants an entry for its own sake.
        if writes.is_empty() && !intent.ops.is_empty() {
            return Ok(Done { revision: moment.revision(), names });
        }
        guards.push(Guard::LeaderTerm { term });
        let committed =
            self.backend.propose(transaction(actor, guards, writes)).await.map_err(not_proposed)?;
        match committed.outcome {
            Outcome::Committed { revision } => Ok(Done { revision, names }),
            Outcome::Refused(_) => Err(NotDone::Stale(committed.moment.revision())),
            Outcome::Invalid { reason } => Err(NotDone::Refused(Box::new(Status::internal(&reason)))),
        }
    }
}

fn not_proposed(error: ProposeError) -> NotDone {
    match error {
        ProposeError::TooLarge(what) => NotDone::Refused(Box::new(Status::too_large(&what))),
        error => NotDone::Unknown(error.to_string()),
    }
}

/// Who acts, with the groups that a token of such a user would bring.
fn user(actor: &str) -> User {
    let namespace = actor.strip_prefix(SERVICE_ACCOUNTS).and_then(|rest| rest.split(':').next());
    let groups = namespace.map(|namespace| {
        ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
    });
    User::authenticated(actor, groups.into_iter().flatten())
}
