//! Controllers and the scheduler of one master: the runner over this master's replica, on a thread of its own, so that a
//! burst of plans holds up no request.

use std::sync::Arc;

use apiserver::acting::{Applied, Leads};
use apiserver::chain::admission::Settings;
use apiserver::{Backend, Submitter};
use base::env;
use base::shutdown::Shutdown;
use base::telemetry::Metrics;
use projection::rules::Rules;
use projection::{Controller, Options, Runner, World};
use replica::Replica;
use tokio::sync::{oneshot, watch};

/// Every controller, and the scheduler.
pub fn all() -> impl Iterator<Item = Controller> {
    controllers::CONTROLLERS.iter().copied().chain([scheduler::SCHEDULER])
}

/// What runs, seen from outside.
pub struct Running {
    /// World as it is folded.
    pub world: watch::Receiver<World>,
    /// Resolves when it ends, whyever.
    pub ended: oneshot::Receiver<()>,
}

/// Lets the other masters know that this one lives, where the controller acts that listens.
pub fn say_alive(table: &[Controller], backend: &Arc<dyn Backend>, master: &str, shutdown: &Shutdown) {
    if table.iter().any(|controller| controller.name == "masters") {
        let presence = apiserver::presence::run(Arc::clone(backend), master.to_owned(), shutdown.clone());
        env::spawn(presence);
    }
}

/// Starts the runner.
///
/// # Errors
/// When there is no thread for it.
pub fn start(
    controllers: Vec<Controller>,
    rules: Rules,
    replica: &Replica,
    backend: Arc<dyn Backend>,
    settings: Arc<Settings>,
    metrics: Metrics,
    shutdown: Shutdown,
) -> std::io::Result<Running> {
    let (runner, world) = Runner::new(Options {
        controllers,
        source: Box::new(Applied(replica.tap())),
        leadership: Arc::new(Leads(replica.clone())),
        submit: Arc::new(Submitter::new(backend, settings)),
        metrics,
        rules,
    });
    let (alive, ended) = oneshot::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    env::thread("controllers", move || {
        runtime.block_on(runner.run(shutdown));
        drop(alive);
    })?;
    Ok(Running { world, ended })
}
