//! News that waits to be passed on.

use std::collections::{BTreeMap, VecDeque};

use super::message::News;
use crate::NodeId;

/// So many places of replaced news are not worth looking for.
const SPARE_PLACES: usize = 64;

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
/// each only so often. Messages take what was passed on least (SWIM §4.1), first come first, so
/// fresh news goes first and a burst of news is spread over several messages.
///
/// In a cluster of a thousand this is most of what membership costs, so nothing here looks through
/// all that waits: what was replaced keeps its place in the line, and is passed over there.
#[derive(Debug, Default)]
pub(super) struct GossipQueue {
    waiting: BTreeMap<Key, (Ticket, News)>,
    /// The lines of what was sent so often.
    lines: BTreeMap<u32, VecDeque<(Ticket, Key)>>,
    /// How many places there are in all lines.
    places: usize,
    tickets: Ticket,
}

/// Another one for each piece of news.
type Ticket = u64;

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
        }
        self.tickets += 1;
        self.waiting.insert((node, topic), (self.tickets, news));
        self.line_up(0, (self.tickets, (node, topic)));
        if self.places > 2 * self.waiting.len() + SPARE_PLACES {
            self.clear_lines();
        }
    }

    /// Forgets the news about a node.
    pub(super) fn remove(&mut self, node: NodeId) {
        self.remove_between((node, Topic::Standing), (node, Topic::Links));
    }

    fn remove_between(&mut self, first: Key, last: Key) {
        while let Some((key, _)) = self.waiting.range(first..=last).next() {
            let key = *key;
            self.waiting.remove(&key);
        }
    }

    fn line_up(&mut self, sent: u32, place: (Ticket, Key)) {
        self.lines.entry(sent).or_default().push_back(place);
        self.places += 1;
    }

    /// Takes the places out of the lines whose news was replaced.
    fn clear_lines(&mut self) {
        let waiting = &self.waiting;
        self.lines.retain(|_, line| {
            line.retain(|(ticket, key)| waiting.get(key).is_some_and(|(t, _)| t == ticket));
            !line.is_empty()
        });
        self.places = self.lines.values().map(VecDeque::len).sum();
    }

    /// Takes news for one message, in the order of how rarely it was sent, while `fits` agrees.
    /// What has then been sent `limit` times leaves the queue.
    pub(super) fn take(&mut self, limit: u32, mut fits: impl FnMut(&News) -> bool) -> Vec<News> {
        let (mut taken, mut again) = (Vec::new(), Vec::new());
        'lines: for (sent, line) in &mut self.lines {
            while let Some((ticket, key)) = line.front() {
                if let Some((_, news)) = self.waiting.get(key).filter(|(t, _)| t == ticket) {
                    if !fits(news) {
                        break 'lines;
                    }
                    taken.push(news.clone());
                    again.push((sent + 1, (*ticket, *key)));
                }
                line.pop_front();
                self.places -= 1;
            }
        }
        self.lines.retain(|_, line| !line.is_empty());
        for (sent, (ticket, key)) in again {
            if sent >= limit {
                self.waiting.remove(&key);
            } else {
                self.line_up(sent, (ticket, key));
            }
        }
        taken
    }

    /// The same news for one message without counting it as sent.
    pub(super) fn peek(&self, mut fits: impl FnMut(&News) -> bool) -> Vec<News> {
        let places = self.lines.values().flatten();
        let waiting = places.filter_map(|(ticket, key)| {
            self.waiting.get(key).filter(|(t, _)| t == ticket).map(|(_, news)| news)
        });
        waiting.take_while(|news| fits(news)).cloned().collect()
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
    fn news_that_is_replaced_again_and_again_takes_no_more_room() {
        let mut queue = GossipQueue::default();
        for incarnation in 0..10_000 {
            queue.push(Topic::Standing, suspected(incarnation % 10, incarnation, 9));
            queue.push(Topic::Confirmed(NodeId(8)), suspected(incarnation % 10, incarnation, 8));
        }
        assert!(queue.places <= 2 * 20 + SPARE_PLACES + 2, "{}", queue.places);
        let taken = queue.take(1, up_to(100));
        let mut expected: Vec<News> = (9_990..10_000)
            .flat_map(|i| [suspected(i % 10, i, 9), suspected(i % 10, i, 8)])
            .collect();
        expected.truncate(100);
        assert_eq!(taken, expected);
        assert!(queue.is_empty());
    }

    #[test]
    fn news_is_repeated_more_often_in_a_larger_cluster() {
        assert_eq!(
            [0, 3, 9, 10, 99, 100, 1000].map(|n| transmissions(4, n)),
            [4, 4, 4, 8, 8, 12, 16]
        );
    }
}
