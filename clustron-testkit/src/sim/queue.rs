//! What is going to happen, in the order in which it will.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::time::VirtualTime;

/// Events by time; those of the same moment in the order in which they were added.
///
/// The heap moves small entries around and the events lie still beside it: a message may be large.
pub(super) struct EventQueue<E> {
    heap: BinaryHeap<Reverse<Entry>>,
    slots: Vec<Option<E>>,
    free: Vec<usize>,
    added: u64,
}

/// Ordered by its fields from above: the second one makes every entry different.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: VirtualTime,
    number: u64,
    slot: usize,
}

impl<E> EventQueue<E> {
    pub(super) fn new() -> Self {
        EventQueue { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), added: 0 }
    }

    /// An event at the end of time never happens and is not kept.
    pub(super) fn add(&mut self, at: VirtualTime, event: E) {
        if at == VirtualTime::NEVER {
            return;
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(event);
                slot
            }
            None => {
                self.slots.push(Some(event));
                self.slots.len() - 1
            }
        };
        self.added += 1;
        self.heap.push(Reverse(Entry { at, number: self.added, slot }));
    }

    /// When the next event happens.
    pub(super) fn next_at(&self) -> Option<VirtualTime> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    pub(super) fn pop(&mut self) -> Option<(VirtualTime, E)> {
        let Reverse(entry) = self.heap.pop()?;
        let event = self.slots[entry.slot].take()?;
        self.free.push(entry.slot);
        Some((entry.at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_those_of_one_moment_in_order() {
        let mut queue = EventQueue::new();
        for (at, event) in [(5, 'd'), (1, 'a'), (3, 'b'), (3, 'c')] {
            queue.add(VirtualTime(at), event);
        }
        assert_eq!(queue.pop(), Some((VirtualTime(1), 'a')));
        queue.add(VirtualTime(5), 'e');
        let rest: String = std::iter::from_fn(|| queue.pop().map(|(_, event)| event)).collect();
        assert_eq!(rest, "bcde");
        assert_eq!(queue.slots.len(), 4, "a place that became free is used again");
    }

    #[test]
    fn what_never_comes_is_not_kept() {
        let mut queue = EventQueue::new();
        queue.add(VirtualTime::NEVER, ());
        assert_eq!(queue.next_at(), None);
    }
}
