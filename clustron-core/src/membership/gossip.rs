//! News that waits to be passed on.

use std::collections::BTreeMap;

use super::message::Update;
use crate::NodeId;

/// The news that this node still passes on: at most one piece per node, the newest, and each only
/// so often. Messages take what was passed on least (SWIM §4.1), so fresh news goes first and a
/// burst of news is spread over several messages.
#[derive(Debug, Default)]
pub(crate) struct GossipQueue {
    waiting: BTreeMap<NodeId, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    update: Update,
    sent: u32,
}

impl GossipQueue {
    /// Queues news, in place of older news about the same node.
    pub(crate) fn push(&mut self, update: Update) {
        self.waiting.insert(update.node, Waiting { update, sent: 0 });
    }

    /// Forgets the news about a node.
    pub(crate) fn remove(&mut self, node: NodeId) {
        self.waiting.remove(&node);
    }

    /// Takes up to `room` pieces of news for one message. What has then been sent `limit` times
    /// leaves the queue.
    pub(crate) fn take(&mut self, room: usize, limit: u32) -> Vec<Update> {
        let mut order: Vec<_> = self.waiting.iter().map(|(node, w)| (w.sent, *node)).collect();
        order.sort_unstable();
        order.truncate(room);
        let mut taken = Vec::with_capacity(order.len());
        for (sent, node) in order {
            if let Some(waiting) = self.waiting.get_mut(&node) {
                taken.push(waiting.update);
                waiting.sent = sent + 1;
                if waiting.sent >= limit {
                    self.waiting.remove(&node);
                }
            }
        }
        taken
    }

    /// Whether there is nothing left to pass on.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// How often one piece of news is sent by each node of a cluster of `nodes`: enough to reach
/// everybody with high probability, growing with the logarithm of the size.
pub(crate) fn transmissions(multiplier: u32, nodes: usize) -> u32 {
    let digits = nodes.checked_ilog10().unwrap_or(0) + 1;
    multiplier.saturating_mul(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Incarnation;
    use crate::membership::message::PeerState;

    fn news(node: u64, incarnation: u64) -> Update {
        Update {
            node: NodeId(node),
            incarnation: Incarnation(incarnation),
            state: PeerState::Suspect,
        }
    }

    #[test]
    fn what_was_sent_least_goes_first_and_leaves_after_the_limit() {
        let mut queue = GossipQueue::default();
        queue.push(news(1, 0));
        assert_eq!(queue.take(8, 2), [news(1, 0)]);
        queue.push(news(2, 0));
        assert_eq!(queue.take(1, 2), [news(2, 0)]);
        assert_eq!(queue.take(8, 2), [news(1, 0), news(2, 0)]);
        assert!(queue.is_empty());
    }

    #[test]
    fn newer_news_about_a_node_replaces_the_older_and_starts_over() {
        let mut queue = GossipQueue::default();
        queue.push(news(1, 0));
        queue.take(8, 2);
        queue.push(news(1, 1));
        assert_eq!(queue.take(8, 2), [news(1, 1)]);
        assert_eq!(queue.take(8, 2), [news(1, 1)]);
        assert!(queue.take(8, 2).is_empty());
    }

    #[test]
    fn news_is_repeated_more_often_in_a_larger_cluster() {
        assert_eq!(
            [0, 3, 9, 10, 99, 100, 1000].map(|n| transmissions(4, n)),
            [4, 4, 4, 8, 8, 12, 16]
        );
    }
}
