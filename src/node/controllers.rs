//! Controllers and the scheduler of one master: the runner over this master's replica, on a thread of its own, so that a
//! burst of plans holds up no request.

use std::sync::Arc;

use apiserver::{Backend, Submitter};
use base::env;
use base::shutdown::Shutdown;
use base::telemetry::Metrics;
use projection::{Controller, Facts, Leadership, Options, Runner, Source, World};
use replica::Replica;
use replica::tap::{Step, Tap};
use tokio::sync::{oneshot, watch};

/// Every controller, and the scheduler.
fn all() -> impl Iterator<Item = Controller> {
    controllers::CONTROLLERS.iter().copied().chain([scheduler::SCHEDULER])
}

/// Which of them act.
#[derive(clap::Args, Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Controllers that act, by name: `*` is all of them, `-NAME` leaves one out; for clusters whose controllers run
    /// elsewhere. Every master must be told the same.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "*", allow_hyphen_values = true)]
    controllers: Vec<String>,
}

impl Default for Choice {
    fn default() -> Self {
        Self { controllers: vec!["*".to_owned()] }
    }
}

impl Choice {
    /// Those that act.
    ///
    /// # Errors
    /// For a name that none of them has.
    pub fn table(&self) -> anyhow::Result<Vec<Controller>> {
        let known: Vec<&str> = all().map(|controller| controller.name).collect();
        for name in self.controllers.iter().map(|name| name.trim_start_matches('-')) {
            if !["", "*"].contains(&name) && !known.contains(&name) {
                anyhow::bail!(
                    "--controllers {name}: there is no such controller; there are {}",
                    known.join(", ")
                );
            }
        }
        let named = |name: &str| self.controllers.iter().any(|one| one == name);
        let is_chosen = |name: &str| named(name) || named("*") && !named(&format!("-{name}"));
        Ok(all().filter(|controller| is_chosen(controller.name)).collect())
    }

    /// The same flag for another process; none for the default.
    pub fn arguments(&self) -> Vec<String> {
        if *self == Self::default() {
            Vec::new()
        } else {
            vec![format!("--controllers={}", self.controllers.join(","))]
        }
    }
}

/// What runs, seen from outside.
pub struct Running {
    /// World as it is folded.
    pub world: watch::Receiver<World>,
    /// Resolves when it ends, whyever.
    pub ended: oneshot::Receiver<()>,
}

/// Starts the runner.
///
/// # Errors
/// When there is no thread for it.
pub fn start(
    controllers: Vec<Controller>,
    replica: &Replica,
    backend: Arc<dyn Backend>,
    metrics: Metrics,
    shutdown: Shutdown,
) -> std::io::Result<Running> {
    let (runner, world) = Runner::new(Options {
        controllers,
        source: Box::new(Applied(replica.tap())),
        leadership: Arc::new(Leads(replica.clone())),
        submit: Arc::new(Submitter::new(backend)),
        metrics,
    });
    let (alive, ended) = oneshot::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    env::thread("controllers", move || {
        runtime.block_on(runner.run(shutdown));
        drop(alive);
    })?;
    Ok(Running { world, ended })
}

/// What a replica applied.
struct Applied(Tap);

#[async_trait::async_trait]
impl Source for Applied {
    async fn next(&mut self) -> Facts {
        match self.0.next().await {
            Step::Applied(state, changes) => Facts::Applied(state, changes),
            Step::Reset(state) => Facts::Reset(state),
        }
    }
}

/// Whether a replica's master leads.
struct Leads(Replica);

#[async_trait::async_trait]
impl Leadership for Leads {
    fn term(&self) -> Option<u64> {
        let leadership = *self.0.raft().leadership().borrow();
        leadership.am_leader.then_some(leadership.term)
    }

    async fn confirm(&self) -> bool {
        self.0.linearizable().await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Result<Vec<&'static str>, String> {
        let choice = Choice { controllers: list.iter().map(|name| (*name).to_owned()).collect() };
        let table = choice.table().map_err(|error| error.to_string())?;
        Ok(table.into_iter().map(|controller| controller.name).collect())
    }

    #[test]
    fn controllers_are_chosen_by_name() {
        let everything = names(&["*"]).expect("all");
        assert!(everything.contains(&"namespace") && everything.contains(&"scheduler"), "{everything:?}");
        assert_eq!(names(&["namespace"]), Ok(vec!["namespace"]));
        assert_eq!(names(&[""]), Ok(vec![]));
        let without = names(&["*", "-namespace"]).expect("all but one");
        assert_eq!((without.len(), without.contains(&"namespace")), (everything.len() - 1, false));
        let unknown = names(&["naemspace"]).expect_err("a typo");
        assert!(
            unknown.starts_with("--controllers naemspace: there is no such controller; there are "),
            "{unknown}"
        );
        let mut sorted = everything.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), everything.len(), "a name is given twice");
    }
}
