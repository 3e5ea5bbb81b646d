//! Work that runs on the leader, and only there.

use std::future::Future;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::identity::Epoch;

/// A leader's licence to work. It ends when [`Leadership::cancelled`] resolves; but a node can
/// learn of its own end only late, so pass the epoch with whatever the work commits, and what
/// comes too late is refused.
#[derive(Debug, Clone)]
pub struct Leadership {
    epoch: Epoch,
    cancelled: CancellationToken,
}

impl Leadership {
    /// The epoch in which this node leads.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Resolves when this node no longer leads in this epoch.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Whether this node no longer leads in this epoch.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }
}

/// Runs `task` once per epoch in which this node leads, until `closing`. The next run starts only
/// after the one before has ended.
pub(crate) async fn lead<F, Fut>(
    mut leading: watch::Receiver<Option<Epoch>>,
    closing: CancellationToken,
    mut task: F,
) where
    F: FnMut(Leadership) -> Fut + Send,
    Fut: Future<Output = ()> + Send,
{
    loop {
        let epoch = tokio::select! {
            biased;
            () = closing.cancelled() => return,
            epoch = leading.wait_for(Option::is_some) => match epoch.map(|epoch| *epoch) {
                Ok(Some(epoch)) => epoch,
                Ok(None) => continue,
                Err(_) => return,
            },
        };
        let cancelled = CancellationToken::new();
        let leadership = Leadership { epoch, cancelled: cancelled.clone() };
        let mut run = std::pin::pin!(task(leadership));
        let over = async {
            tokio::select! {
                biased;
                () = closing.cancelled() => {}
                _ = leading.wait_for(|now| *now != Some(epoch)) => {}
            }
        };
        tokio::select! {
            biased;
            () = over => {
                cancelled.cancel();
                run.await;
            }
            () = &mut run => {
                // The work is done; there is none before the next epoch.
                tokio::select! {
                    biased;
                    () = closing.cancelled() => return,
                    _ = leading.wait_for(|now| *now != Some(epoch)) => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn work_is_cancelled_and_awaited_before_it_starts_anew() {
        let leading = watch::Sender::new(None);
        let closing = CancellationToken::new();
        let (tx, mut log) = mpsc::channel(16);
        let running = tokio::spawn(lead(leading.subscribe(), closing.clone(), move |leadership| {
            let tx = tx.clone();
            async move {
                tx.send(("start", leadership.epoch().0)).await.unwrap();
                leadership.cancelled().await;
                // The clean-up takes a while, in which the next epoch has begun already.
                tokio::task::yield_now().await;
                tx.send(("end", leadership.epoch().0)).await.unwrap();
            }
        }));
        leading.send_replace(Some(Epoch(5)));
        assert_eq!(log.recv().await, Some(("start", 5)));
        leading.send_replace(None);
        leading.send_replace(Some(Epoch(9)));
        assert_eq!(log.recv().await, Some(("end", 5)));
        assert_eq!(log.recv().await, Some(("start", 9)));
        closing.cancel();
        assert_eq!(log.recv().await, Some(("end", 9)));
        running.await.unwrap();
        assert_eq!(log.recv().await, None);
    }
}
