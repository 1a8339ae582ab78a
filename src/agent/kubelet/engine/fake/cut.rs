//! A world that stops in the middle of what it does.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Stops the world after a number of effects: the one that reaches it is done, but its answer never comes.
#[derive(Default)]
pub struct Cut {
    left: Mutex<Option<usize>>,
    reached: Notify,
}

impl Cut {
    /// The effect after this many is the last.
    pub fn after(&self, effects: usize) {
        *self.left.lock() = Some(effects);
    }

    /// Nothing stops any more.
    pub fn lift(&self) {
        *self.left.lock() = None;
    }

    /// Waits until the last effect was done.
    pub async fn wait(&self) {
        self.reached.notified().await;
    }

    /// An effect was done.
    pub(crate) async fn passed(&self) {
        let is_last = {
            let mut left = self.left.lock();
            match left.as_mut() {
                None => false,
                Some(0) => true,
                Some(more) => {
                    *more -= 1;
                    false
                }
            }
        };
        if is_last {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
    }
}
