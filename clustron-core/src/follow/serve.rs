//! The member's side: lets requests hang until there is something to say.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::{Follow, Followed, News, Page};
use crate::control::Control;
use crate::messaging::Messenger;
use crate::status::ClusterStatus;

/// Requests that may hang at the same time; more are sent elsewhere.
const HANGING_MAX: usize = 4096;

/// The longest that a request may hang.
pub(super) const HOLD_MAX: Duration = Duration::from_secs(1);

/// How many bytes of records one answer carries.
const PAGE_BYTES_MAX: usize = 256 << 10;

/// Answers those that follow the view from now on. `status` tells when to look.
pub(crate) fn serve(
    messenger: &Messenger,
    control: Arc<Control>,
    status: watch::Receiver<ClusterStatus>,
) {
    let slots = Arc::new(Semaphore::new(HANGING_MAX));
    messenger.on_request(move |_from, request: Follow| {
        let (control, slots, status) = (control.clone(), slots.clone(), status.clone());
        async move {
            let Ok(_slot) = slots.try_acquire() else { return Followed::Busy };
            if control.local.cluster_id() != Some(request.cluster) {
                return Followed::OtherCluster;
            }
            Followed::News(Box::new(hang_on(&control, status, &request).await))
        }
    });
}

async fn hang_on(
    control: &Control,
    mut status: watch::Receiver<ClusterStatus>,
    request: &Follow,
) -> News {
    let hold = Duration::from_millis(u64::from(request.hold_ms)).min(HOLD_MAX);
    let until = Instant::now() + hold;
    loop {
        // What changes while this looks is looked at again.
        status.mark_unchanged();
        let agreed = control.agreed_now();
        let news = News {
            page: Page::cut(&agreed, request.cursor, PAGE_BYTES_MAX),
            version: agreed.view.version(),
            applied: control.applied_index(),
            leader: control.believed_leader().map(|leader| leader.epoch),
            voter_groups: control.voter_groups(),
        };
        let is_news = news.page.is_news(request.cursor)
            || news.leader != request.leader
            || news.voter_groups != request.voter_groups;
        if is_news || Instant::now() >= until {
            return news;
        }
        if let Ok(Err(_ended)) = tokio::time::timeout_at(until, status.changed()).await {
            return news;
        }
    }
}
