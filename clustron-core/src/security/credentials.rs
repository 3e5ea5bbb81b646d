//! A transport together with the files that it should look at again.

use std::sync::Arc;
use std::time::Duration;

use super::SecurityError;
use crate::metrics::CoreMetrics;
use crate::transport::Transport;

/// How often files are looked at. Soon enough for whoever has just replaced one and waits, and next
/// to nothing for a few small files.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What can take in changed files while it is used.
pub(crate) trait Reload: Transport {
    /// Whether something new was taken in. After an error the old remains in use.
    fn reload(&self) -> Result<bool, SecurityError>;
}

/// How a node's bytes travel, secured or not.
#[derive(Debug, Clone)]
pub(crate) struct Secured {
    pub(crate) transport: Arc<dyn Transport>,
    reload: Option<Arc<dyn Reload>>,
}

impl Secured {
    pub(super) fn plain(transport: Arc<dyn Transport>) -> Self {
        Self { transport, reload: None }
    }

    pub(super) fn new<T: Reload>(transport: T) -> Self {
        let transport = Arc::new(transport);
        Self { transport: transport.clone(), reload: Some(transport) }
    }

    /// Looks at the files as long as the node runs.
    pub(crate) async fn keep_fresh(self, metrics: Arc<CoreMetrics>) {
        let Some(reload) = self.reload else { return };
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let reload = reload.clone();
            // The files may be on a disk that hangs.
            let looked = tokio::task::spawn_blocking(move || reload.reload()).await;
            match looked {
                Ok(Ok(true)) => {
                    metrics.credentials_renewed.inc();
                    tracing::info!("new connections use the changed certificates or keys");
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    metrics.credentials_refused.inc();
                    tracing::error!(%error, "changed certificates or keys are not used, the old ones are");
                }
                // The runtime is ending.
                Err(_) => return,
            }
        }
    }
}
