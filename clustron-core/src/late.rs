//! The handle to a node that has not started yet.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::cluster::{ClusterHandle, Inner};
use crate::control::{Control, ProposeError};

/// A cluster that a module will be part of once it has started.
#[derive(Clone, Default)]
pub struct LateCluster {
    inner: Arc<Mutex<Weak<Inner>>>,
}

impl LateCluster {
    /// The running node; `None` before it has started and after it has ended.
    pub fn get(&self) -> Option<ClusterHandle> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner).upgrade()?;
        (!inner.tasks.is_cancelled()).then_some(ClusterHandle { inner })
    }

    pub(crate) fn set(&self, inner: &Arc<Inner>) {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(inner);
    }

    pub(crate) fn control(&self) -> Result<Arc<Control>, ProposeError> {
        self.get().map(|handle| handle.inner.control.clone()).ok_or(ProposeError::NotRunning)
    }
}

impl fmt::Debug for LateCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LateCluster").field(&self.get()).finish()
    }
}
