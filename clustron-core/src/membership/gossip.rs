//! News that waits to be passed on.

use std::collections::{BTreeMap, BTreeSet};

use super::message::News;
use crate::NodeId;

/// What a piece of news is about: newer news on the same topic takes the place of older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// What a node is thought to be.
    Standing,
    /// That this node could not reach it either.
    Confirmed(NodeId),
    /// Its roles and tags.
    Metadata,
    /// Whom it cannot reach.
    Links,
}

type Key = (NodeId, Topic);

/// The news that this node still passes on: per node and topic at most one piece, the newest, and
/// each only so often. Messages take what was passed on least (SWIM §4.1), so fresh news goes first
/// and a burst of news is spread over several messages.
#[derive(Debug, Default)]
pub(super) struct GossipQueue {
    waiting: BTreeMap<Key, (News, u32)>,
    /// The same keys by how often they were sent.
    order: BTreeSet<(u32, Key)>,
}

impl GossipQueue {
    /// Queues news, in place of older news on the topic. A new standing settles who confirmed the
    /// old one.
    pub(super) fn push(&mut self, topic: Topic, news: News) {
        let node = news.node();
        if topic == Topic::Standing {
            self.remove_between(
                (node, Topic::Standing),
                (node, Topic::Confirmed(NodeId(u64::MAX))),
            );
        } else if let Some((_, sent)) = self.waiting.remove(&(node, topic)) {
            self.order.remove(&(sent, (node, topic)));
        }
        self.waiting.insert((node, topic), (news, 0));
        self.order.insert((0, (node, topic)));
    }

    /// Forgets the news about a node.
    pub(super) fn remove(&mut self, node: NodeId) {
        self.remove_between((node, Topic::Standing), (node, Topic::Links));
    }

    fn remove_between(&mut self, first: Key, last: Key) {
        let keys: Vec<(u32, Key)> =
            self.waiting.range(first..=last).map(|(key, (_, sent))| (*sent, *key)).collect();
        for entry in keys {
            self.waiting.remove(&entry.1);
            self.order.remove(&entry);
        }
    }

    /// Takes news for one message, in the order of how rarely it was sent, while `fits` agrees.
    /// What has then been sent `limit` times leaves the queue.
    pub(super) fn take(&mut self, limit: u32, mut fits: impl FnMut(&News) -> bool) -> Vec<News> {
        let mut entries = Vec::new();
        for entry in &self.order {
            if !self.waiting.get(&entry.1).is_some_and(|(news, _)| fits(news)) {
                break;
            }
            entries.push(*entry);
        }
        let mut taken = Vec::with_capacity(entries.len());
        for (sent, key) in entries {
            self.order.remove(&(sent, key));
            if sent + 1 >= limit {
                taken.extend(self.waiting.remove(&key).map(|(news, _)| news));
            } else if let Some((news, times)) = self.waiting.get_mut(&key) {
                *times = sent + 1;
                taken.push(news.clone());
                self.order.insert((sent + 1, key));
            }
        }
        taken
    }

    /// The same news for one message without counting it as sent.
    pub(super) fn peek(&self, mut fits: impl FnMut(&News) -> bool) -> Vec<News> {
        let waiting = self.order.iter().filter_map(|(_, key)| self.waiting.get(key));
        waiting.map(|(news, _)| news).take_while(|news| fits(news)).cloned().collect()
    }

    /// Whether there is nothing left to pass on.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// How often one piece of news is sent by each node of a cluster of `nodes`: enough to reach
/// everybody with high probability, growing with the logarithm of the size.
pub(super) fn transmissions(multiplier: u32, nodes: usize) -> u32 {
    let digits = nodes.checked_ilog10().unwrap_or(0) + 1;
    multiplier.saturating_mul(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Incarnation;
    use crate::membership::message::Standing;

    fn suspected(node: u64, incarnation: u64, by: u64) -> News {
        let (node, incarnation) = (NodeId(node), Incarnation(incarnation));
        News::Standing { node, incarnation, standing: Standing::Suspect { by: NodeId(by) } }
    }

    fn up_to(mut count: usize) -> impl FnMut(&News) -> bool {
        move |_| {
            let fits = count > 0;
            count = count.saturating_sub(1);
            fits
        }
    }

    #[test]
    fn what_was_sent_least_goes_first_and_leaves_after_the_limit() {
        let mut queue = GossipQueue::default();
        queue.push(Topic::Standing, suspected(1, 0, 9));
        assert_eq!(queue.take(2, up_to(8)), [suspected(1, 0, 9)]);
        queue.push(Topic::Standing, suspected(2, 0, 9));
        assert_eq!(queue.take(2, up_to(1)), [suspected(2, 0, 9)]);
        assert_eq!(queue.take(2, up_to(8)), [suspected(1, 0, 9), suspected(2, 0, 9)]);
        assert!(queue.is_empty());
    }

    #[test]
    fn newer_news_on_a_topic_replaces_the_older_and_starts_over() {
        let mut queue = GossipQueue::default();
        queue.push(Topic::Standing, suspected(1, 0, 9));
        queue.push(Topic::Confirmed(NodeId(8)), suspected(1, 0, 8));
        queue.push(Topic::Confirmed(NodeId(8)), suspected(1, 0, 8));
        assert_eq!(queue.take(2, up_to(8)).len(), 2);
        queue.push(Topic::Standing, suspected(1, 1, 9));
        assert_eq!(queue.take(2, up_to(8)), [suspected(1, 1, 9)]);
        assert_eq!(queue.take(2, up_to(8)), [suspected(1, 1, 9)]);
        assert!(queue.take(2, up_to(8)).is_empty());
    }

    #[test]
    fn news_is_repeated_more_often_in_a_larger_cluster() {
        assert_eq!(
            [0, 3, 9, 10, 99, 100, 1000].map(|n| transmissions(4, n)),
            [4, 4, 4, 8, 8, 12, 16]
        );
    }
}
