//! Requests that wait for their outcome in the applied log.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use state::Outcome;
use tokio::sync::oneshot;

use crate::moment::Moment;

/// What a waiter is told: the outcome, and the first published State that includes it.
pub(crate) type Told = (Outcome, Arc<Moment>);

/// Requests proposed by this master, by request id.
#[derive(Default)]
pub(crate) struct Waiters(Mutex<BTreeMap<u128, oneshot::Sender<Told>>>);

/// Takes its request off the list when dropped, so that an abandoned one leaves nothing behind.
pub(crate) struct Waiting<'a> {
    waiters: &'a Waiters,
    request: u128,
    pub(crate) told: oneshot::Receiver<Told>,
}

impl Waiting<'_> {
    /// Waits for the outcome; an error when the replica ended before.
    pub(crate) async fn told(mut self) -> Result<Told, oneshot::error::RecvError> {
        (&mut self.told).await
    }
}

impl Waiters {
    pub(crate) fn register(&self, request: u128) -> Waiting<'_> {
        let (sender, told) = oneshot::channel();
        self.0.lock().insert(request, sender);
        Waiting { waiters: self, request, told }
    }

    /// Tells those who wait for any of `outcomes`. Called after `moment` was published.
    pub(crate) fn tell(&self, outcomes: Vec<(u128, Outcome)>, moment: &Arc<Moment>) {
        let mut waiting = self.0.lock();
        if waiting.is_empty() {
            return;
        }
        for (request, outcome) in outcomes {
            if let Some(waiter) = waiting.remove(&request) {
                // A closed receiver is a caller that gave up; its outcome stands in State.
                let _ = waiter.send((outcome, Arc::clone(moment)));
            }
        }
    }

    /// Tells everyone whose outcome `moment` remembers: a snapshot was installed, and the entries in
    /// between were never applied here one by one.
    pub(crate) fn tell_from(&self, moment: &Arc<Moment>) {
        let requests: Vec<u128> = self.0.lock().keys().copied().collect();
        let known = |request| moment.state.outcome(request).map(|outcome| (request, outcome));
        self.tell(requests.into_iter().filter_map(known).collect(), moment);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waiters.0.lock().remove(&self.request);
    }
}
