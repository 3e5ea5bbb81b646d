//! A replicated state that the predicates look at.

use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use clustron_core::{Replicated, ReplicatedState, codec};
use tokio::sync::watch;

/// One node's copy of a replicated state, whatever its type.
#[derive(Clone)]
pub(super) struct Watched {
    applied: watch::Receiver<u64>,
    digest: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Watched {
    pub(super) fn new<S: ReplicatedState>(copy: &Replicated<S>) -> Self {
        let (applied, copy) = (copy.applied(), copy.clone());
        let digest = move || {
            let mut hasher = DefaultHasher::new();
            // A state that cannot be encoded cannot be in a snapshot either; core says so.
            let bytes = copy.read_local(|state| codec::encode(state)).unwrap_or_default();
            hasher.write(&bytes);
            hasher.finish()
        };
        Self { applied, digest: Arc::new(digest) }
    }

    /// The log index of the last command, and the digest of the state.
    pub(super) fn now(&self) -> (u64, u64) {
        // Nothing is applied in between: there is one thread.
        (*self.applied.borrow(), (self.digest)())
    }

    pub(super) async fn changed(&mut self) {
        if self.applied.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.now()).finish()
    }
}
