//! Waiting, before the node ends, until what was said has left.
//!
//! Like a porter who asks each room before he locks the house: whoever has nothing left to hand out
//! gives back the key, and he goes when all the keys are there, or when it gets too late.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Flush {
    asked: CancellationToken,
    keys: TaskTracker,
}

impl Flush {
    /// For one connection or conversation. Resolves, and gives its key back, when it is asked
    /// whether all has left. To be polled only where that is so.
    pub(super) fn all_said(&self) -> impl Future<Output = ()> + Send + use<> {
        let (asked, key): (_, TaskTrackerToken) = (self.asked.clone(), self.keys.token());
        async move {
            asked.cancelled().await;
            drop(key);
        }
    }

    /// Asks, and waits for all the keys.
    pub(super) async fn all_left(&self) {
        self.asked.cancel();
        self.keys.close();
        self.keys.wait().await;
    }
}
