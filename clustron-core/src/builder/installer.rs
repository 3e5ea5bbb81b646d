//! How a module becomes a part of a node.

use std::future::Future;
use std::sync::{Arc, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use prometheus_client::registry::Registry;

use super::ClusterBuilder;
use crate::cluster::ClusterHandle;
use crate::control::{AnyReplicated, Replicated, ReplicatedState};
use crate::late::LateCluster;

/// A part that a node runs beside the core, such as the scheduler. All members of a cluster run the
/// same modules.
pub trait Module {
    /// The module's name: unique in the node, part of the handshake.
    const NAME: &'static str;

    /// What the application uses the module through.
    type Handle;

    /// Registers the module's parts and gives its handle, which works once the node has started.
    fn install(self, installer: &mut Installer<'_>) -> Self::Handle;
}

pub(super) type Service = Box<dyn FnOnce(ClusterHandle) -> BoxFuture<'static, ()> + Send>;

/// Where a [`Module`] registers its parts.
pub struct Installer<'a> {
    pub(super) name: &'static str,
    pub(crate) builder: &'a mut ClusterBuilder,
}

impl Installer<'_> {
    /// Replicates a state under the module's name; at most one per module.
    pub fn replicate<S: ReplicatedState>(&mut self) -> Replicated<S> {
        let replicated = Replicated::new(self.name, self.builder.late.clone());
        let erased: Arc<dyn AnyReplicated> = Arc::new(replicated.clone());
        if self.builder.replicated.insert(self.name, erased).is_some() {
            self.builder.twice.get_or_insert(self.name);
        }
        replicated
    }

    /// Runs a task once the node is part of its cluster. It should end soon after
    /// [`ClusterHandle::closing`].
    pub fn service<F, Fut>(&mut self, name: &'static str, service: F)
    where
        F: FnOnce(ClusterHandle) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let services = self.builder.services.get_mut().unwrap_or_else(PoisonError::into_inner);
        services.push((name, Box::new(|cluster| service(cluster).boxed())));
    }

    /// Adds the module's metrics to those that the node shows and that a metrics collector
    /// collects, by convention named `clustron_<module>_…`. Runs again if the node has to start
    /// over.
    pub fn metrics(&mut self, register: impl Fn(&mut Registry) + Send + Sync + 'static) {
        self.builder.metrics.push(Arc::new(register));
    }

    /// The node, once it has started.
    pub fn cluster(&self) -> LateCluster {
        self.builder.late.for_module()
    }
}
