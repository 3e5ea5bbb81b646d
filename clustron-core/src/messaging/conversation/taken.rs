//! How the driver of a conversation learns that the application has taken a message: like the stub
//! of a cloakroom ticket, which counts wherever it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// What was dropped since somebody looked.
#[derive(Debug, Default)]
pub(super) struct Stubs {
    count: AtomicU64,
    any: Notify,
}

impl Stubs {
    /// Waits until there is at least one, and takes all.
    pub(super) async fn take(&self) -> u64 {
        loop {
            match self.count.swap(0, Ordering::AcqRel) {
                0 => self.any.notified().await,
                count => return count,
            }
        }
    }
}

/// Goes along with a message; dropped when its handler begins, or when none will.
#[derive(Debug)]
pub(in super::super) struct Taken(Arc<Stubs>);

impl Taken {
    pub(super) fn new(stubs: &Arc<Stubs>) -> Self {
        Self(stubs.clone())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.count.fetch_add(1, Ordering::AcqRel);
        self.0.any.notify_one();
    }
}
