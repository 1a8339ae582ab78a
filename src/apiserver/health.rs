//! `/livez`, `/readyz` and `/healthz`: whether this master lives, and whether it can serve.

use axum::response::{IntoResponse, Response};
use base::env;
use futures::future::BoxFuture;

use crate::limits::CHECK_TIMEOUT;
use crate::request::Query;
use crate::server::Context;

/// One thing to look at. An error says what is wrong.
struct Check {
    name: &'static str,
    run: fn(&Context) -> BoxFuture<'_, Result<(), String>>,
}

/// Alive: it answers. A master whose Raft core or disk failed does not live to be asked: its process ends by
/// itself, as `src/node/failure.rs` and `src/node/master.rs` see to.
static LIVE: &[Check] = &[Check { name: "ping", run: |_| Box::pin(async { Ok(()) }) }];

/// Ready: it has applied what was committed when it started, and a quorum confirms now that nothing is newer
/// than what it has applied. One that only joins serves no API at all until it votes.
static READY: &[Check] = &[
    Check { name: "ping", run: |_| Box::pin(async { Ok(()) }) },
    Check { name: "caught-up", run: |context| Box::pin(caught_up(context)) },
    Check { name: "quorum", run: |context| Box::pin(quorum(context)) },
    Check { name: "shutdown", run: |context| Box::pin(shutdown(context)) },
];

async fn caught_up(context: &Context) -> Result<(), String> {
    context.backend.caught_up().map_err(|behind| behind.to_string())
}

async fn quorum(context: &Context) -> Result<(), String> {
    match env::timeout(CHECK_TIMEOUT, context.backend.linearizable()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no quorum confirmed this master's state in time".to_owned()),
    }
}

async fn shutdown(context: &Context) -> Result<(), String> {
    if context.shutdown.is_fired() { Err("this master is shutting down".to_owned()) } else { Ok(()) }
}

/// Answers `path` (one of the three); `verbose` and `exclude` work as in Kubernetes.
pub(crate) async fn answer(context: &Context, path: &str, query: &Query) -> Response {
    let checks = if path == "/readyz" { READY } else { LIVE };
    let mut lines = String::new();
    let mut failed = false;
    for check in checks.iter().filter(|check| check.name != query.get("exclude")) {
        match (check.run)(context).await {
            Ok(()) => lines.push_str(&format!("[+]{} ok\n", check.name)),
            Err(why) => {
                failed = true;
                lines.push_str(&format!("[-]{} failed: {why}\n", check.name));
            }
        }
    }
    let name = path.trim_start_matches('/');
    match (failed, query.has("verbose")) {
        (true, _) => {
            (http::StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}{name} check failed\n")).into_response()
        }
        (false, true) => format!("{lines}{name} check passed\n").into_response(),
        (false, false) => "ok".into_response(),
    }
}
