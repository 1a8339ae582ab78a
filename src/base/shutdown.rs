//! One signal that ends a process in order: every loop waits on it first in its biased select.

use tokio::sync::watch;

/// Held by whoever may ask for the end.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Held by every loop; cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A trigger and the signal that it fires.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Asks everything to end. Idempotent.
    pub fn fire(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Resolves once the end was asked for, or the trigger is gone. Cancel-safe.
    pub async fn wait(&mut self) {
        // An error means that the trigger was dropped, which is an end as well.
        let _ = self.0.wait_for(|fired| *fired).await;
    }

    /// Whether the end was asked for.
    pub fn is_fired(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}
