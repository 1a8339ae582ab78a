//! Evictions: all at once, each until the pod is gone.

use std::cell::RefCell;
use std::time::Duration;

use base::env;
use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};

use super::place;
use crate::failure::Failure;
use crate::flags::{Cascade, DryRun};
use crate::manifest::{name, namespace, text};
use crate::progress::{self, State};
use crate::screen::{Screen, warn};
use crate::server::{Call, Server};
use crate::targets::Target;
use crate::verbs::delete;

/// How long it waits before it asks again who keeps a pod.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How often it is looked whether a pod is gone.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How pods are evicted.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// How long all of it may take.
    pub limit: Option<Duration>,
    /// How long pods have to end, if not as long as they say themselves.
    pub grace_seconds: Option<i64>,
    /// Whether to really do it.
    pub dry_run: DryRun,
}

/// What one after the other found out.
#[derive(Default)]
struct Seen {
    gone: u64,
    /// What keeps pods, by their places.
    kept: std::collections::BTreeMap<String, String>,
}

/// What all evictions have in common.
struct Evictions<'a> {
    how: How,
    deadline: Option<env::Instant>,
    seen: RefCell<Seen>,
    server: &'a Server,
    screen: Screen,
}

/// Evicts the pods and waits until they are gone; returns why some are not.
///
/// # Errors
/// When the server does not answer, or nobody reads any more.
pub async fn all(
    node: &Target,
    pods: &[Value],
    how: How,
    server: &Server,
    screen: Screen,
) -> Result<Vec<String>, Failure> {
    let deadline = how.limit.map(|limit| env::monotonic() + limit);
    let evictions = Evictions { how, deadline, seen: RefCell::default(), server, screen };
    let total = pods.len() as u64;
    let look = async || {
        let seen = evictions.seen.borrow();
        let kept = seen.kept.iter().next();
        Some(State {
            name: node.printed(),
            counted: Some((seen.gone, total)),
            words: format!("{}/{total} pods gone", seen.gone),
            why: kept.map(|(pod, why)| format!("{pod}: {why}")),
        })
    };
    let each = join_all(pods.iter().map(|pod| evictions.one(pod)));
    let mut errors = Vec::new();
    for outcome in progress::during(screen, each, look).await {
        match outcome {
            Ok(()) => {}
            Err(Failure::Refused(why)) => errors.push(why),
            Err(other) => return Err(other),
        }
    }
    Ok(errors)
}

impl Evictions<'_> {
    async fn one(&self, pod: &Value) -> Result<(), Failure> {
        if self.ask(pod).await? && self.how.dry_run == DryRun::None {
            self.gone(pod).await?;
            self.screen.line(&format!("pod/{} evicted", name(pod)))?;
        }
        let mut seen = self.seen.borrow_mut();
        seen.kept.remove(&place(pod));
        seen.gone += 1;
        Ok(())
    }

    /// Asks until the pod may go; returns whether it was there.
    async fn ask(&self, pod: &Value) -> Result<bool, Failure> {
        let path = format!("/api/v1/namespaces/{}/pods/{}/eviction", namespace(pod), name(pod));
        let whose = format!("pods/\"{}\" -n \"{}\"", name(pod), namespace(pod));
        let mut is_first = true;
        loop {
            if is_first || !self.screen.is_live {
                self.screen.line(&format!("evicting pod {}{}", place(pod), self.how.dry_run.note()))?;
            }
            if self.left().is_some_and(|left| left.is_zero()) {
                return Err(Failure::Refused(format!(
                    "error when evicting {whose}: global timeout reached: {}{}",
                    self.limit(),
                    self.kept(pod)
                )));
            }
            let eviction = json!({
                "apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": name(pod), "namespace": namespace(pod)},
                "deleteOptions": self.options(),
            });
            let call = Call::new(Method::POST, &*path)
                .with("dryRun", self.how.dry_run.query())
                .body("application/json", &eviction);
            match self.server.text(call).await {
                Ok(_) => return Ok(true),
                Err(failure) if failure.is("NotFound") => return Ok(false),
                Err(failure) if failure.is("TooManyRequests") => {
                    let why = failure.words();
                    if !self.screen.is_live {
                        let after = go_text(RETRY_AFTER);
                        warn(&format!("error when evicting {whose} (will retry after {after}): {why}"));
                    }
                    self.keep(pod, why);
                    env::sleep(self.left().map_or(RETRY_AFTER, |left| left.min(RETRY_AFTER))).await;
                }
                Err(failure @ Failure::NoAnswer(_)) => return Err(failure),
                Err(failure) => {
                    return Err(Failure::Refused(format!(
                        "error when evicting {whose}: {}",
                        failure.words()
                    )));
                }
            }
            is_first = false;
        }
    }

    /// Returns when the pod is gone, or another has its name.
    async fn gone(&self, pod: &Value) -> Result<(), Failure> {
        let path = format!("/api/v1/namespaces/{}/pods/{}", namespace(pod), name(pod));
        loop {
            match self.server.json(Call::get(&*path)).await {
                Ok(now) if text(&now, "/metadata/uid") != text(pod, "/metadata/uid") => return Ok(()),
                Ok(now) => self.keep(pod, progress::deletion(&now).unwrap_or_default()),
                Err(failure) if failure.is("NotFound") => return Ok(()),
                Err(failure) => return Err(failure),
            }
            let left = self.left().unwrap_or(LOOK_EVERY);
            if left.is_zero() {
                return Err(Failure::Refused(format!(
                    "error when waiting for pod \"{}\" in namespace \"{}\" to terminate: context deadline exceeded{}",
                    name(pod),
                    namespace(pod),
                    self.kept(pod)
                )));
            }
            env::sleep(left.min(LOOK_EVERY)).await;
        }
    }

    fn options(&self) -> Value {
        let mut options = delete::options(Cascade::Background, self.how.grace_seconds, self.how.dry_run);
        if let Some(members) = options.as_object_mut() {
            members.retain(|name, _| ["dryRun", "gracePeriodSeconds"].contains(&name.as_str()));
        }
        options
    }

    fn keep(&self, pod: &Value, why: String) {
        self.seen.borrow_mut().kept.insert(place(pod), why);
    }

    fn kept(&self, pod: &Value) -> String {
        let seen = self.seen.borrow();
        seen.kept.get(&place(pod)).map_or_else(String::new, |why| format!(": {why}"))
    }

    fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(env::monotonic()))
    }

    fn limit(&self) -> String {
        go_text(self.how.limit.unwrap_or_default())
    }
}

/// `1m30s`
fn go_text(span: Duration) -> String {
    api::duration::text(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
}
