//! The handle to a node that has not started yet.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::cluster::{ClusterHandle, Inner};
use crate::control::{Control, ProposeError};
use crate::health::Health;
use crate::messaging::Lane;
use crate::time::{Clock, SystemClock, Timestamp};

/// A cluster that a module will be part of once it has started.
#[derive(Clone, Default)]
pub struct LateCluster {
    shared: Arc<Mutex<Stage>>,
    /// Whether a module has it.
    for_module: bool,
}

/// How far the node has come.
#[derive(Default)]
struct Stage {
    /// Nothing while it starts.
    inner: Option<Weak<Inner>>,
    /// Since when somebody has asked for its health while there was no node.
    absent_since: Option<Timestamp>,
}

impl LateCluster {
    /// The running node; `None` before it has started and after it has ended.
    pub fn get(&self) -> Option<ClusterHandle> {
        let inner = self.lock().inner.as_ref()?.upgrade()?;
        let lane = if self.for_module { Lane::Modules } else { Lane::Data };
        (!inner.tasks.is_cancelled()).then_some(ClusterHandle { inner, lane })
    }

    /// How the node is now, also before it has been let in and after it has ended.
    pub fn health(&self) -> Health {
        let mut stage = self.lock();
        let started = stage.inner.as_ref().map(Weak::upgrade);
        if let Some(Some(inner)) = started {
            drop(stage);
            return inner.health.look();
        }
        let since = *stage.absent_since.get_or_insert_with(|| SystemClock.now());
        if started.is_some() { Health::ended(since) } else { Health::starting(since) }
    }

    /// The same, for a module.
    pub(crate) fn for_module(&self) -> Self {
        Self { for_module: true, ..self.clone() }
    }

    pub(crate) fn set(&self, inner: &Arc<Inner>) {
        *self.lock() = Stage { inner: Some(Arc::downgrade(inner)), absent_since: None };
    }

    pub(crate) fn control(&self) -> Result<Arc<Control>, ProposeError> {
        self.get().map(|handle| handle.inner.control.clone()).ok_or(ProposeError::NotRunning)
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LateCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LateCluster").field(&self.get()).finish()
    }
}
