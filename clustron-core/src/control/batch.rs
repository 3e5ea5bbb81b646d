//! What waits to be proposed, and what of it goes into the next entry of the log.
//!
//! Like a ferry without a timetable: who comes while it is away waits at the pier, and when it is
//! back it takes as many as it has room for, in the order in which they came. A lone passenger
//! crosses at once, a crowd crosses together. Whoever walks away from the pier has certainly not
//! crossed.

use std::collections::BTreeMap;
use std::time::Duration;

/// The most commands in one entry.
pub(super) const BATCH_COMMANDS_MAX: usize = 1024;

/// The most bytes of commands in one entry; a single command may be larger. What a follower gets
/// in one message has to arrive within a heartbeat interval, see the log's own limit.
pub(super) const BATCH_BYTES_MAX: usize = 128 << 10;

/// A place in the queue. A later one is higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// What waits, oldest first. Instants are counted from any beginning, the same for all of them.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    by_ticket: BTreeMap<Ticket, One<T>>,
    ticket_next: u64,
}

#[derive(Debug)]
struct One<T> {
    item: T,
    bytes: usize,
    until: Duration,
}

/// What [`Waiting::next_batch`] took out of the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch<T> {
    /// For one entry, in this order.
    pub(super) taken: Vec<T>,
    /// When the last of those that were taken gives up.
    pub(super) until: Duration,
    /// They waited for too long, and go into no entry.
    pub(super) expired: Vec<T>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { by_ticket: BTreeMap::new(), ticket_next: 0 }
    }
}

impl<T> Waiting<T> {
    /// Puts one at the end of the queue.
    pub(super) fn push(&mut self, item: T, bytes: usize, until: Duration) -> Ticket {
        let ticket = Ticket(self.ticket_next);
        self.ticket_next += 1;
        self.by_ticket.insert(ticket, One { item, bytes, until });
        ticket
    }

    /// Takes one back that is not wanted any more. `None` if it is not in the queue any more.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> Option<T> {
        self.by_ticket.remove(&ticket).map(|one| one.item)
    }

    /// Takes out what goes into the next entry, and what has waited for too long by `now`. Both are
    /// empty only when nothing waits.
    pub(super) fn next_batch(&mut self, now: Duration) -> Batch<T> {
        let mut batch = Batch { taken: vec![], until: Duration::ZERO, expired: vec![] };
        let mut bytes = 0;
        while let Some(first) = self.by_ticket.first_entry() {
            let one = first.get();
            let expired = one.until <= now;
            let fits = batch.taken.is_empty()
                || (batch.taken.len() < BATCH_COMMANDS_MAX && bytes + one.bytes <= BATCH_BYTES_MAX);
            if !expired && !fits {
                break;
            }
            let one = first.remove();
            if expired {
                batch.expired.push(one.item);
            } else {
                bytes += one.bytes;
                batch.until = batch.until.max(one.until);
                batch.taken.push(one.item);
            }
        }
        batch
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.by_ticket.is_empty()
    }

    /// Takes out everything, oldest first.
    pub(super) fn take_all(&mut self) -> Vec<T> {
        std::mem::take(&mut self.by_ticket).into_values().map(|one| one.item).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LATE: Duration = Duration::from_secs(100);
    const NOW: Duration = Duration::from_secs(10);

    fn waiting(bytes: &[usize]) -> Waiting<usize> {
        let mut waiting = Waiting::default();
        for (n, bytes) in bytes.iter().enumerate() {
            waiting.push(n, *bytes, LATE);
        }
        waiting
    }

    #[test]
    fn what_came_meanwhile_goes_together_and_in_order() {
        let mut waiting = waiting(&[100, 100, 100]);
        assert_eq!(waiting.next_batch(NOW).taken, [0, 1, 2]);
        assert_eq!(waiting.next_batch(NOW).taken, [0; 0]);
    }

    #[test]
    fn an_entry_is_full_at_its_limits() {
        let mut many = waiting(&[1; BATCH_COMMANDS_MAX + 1]);
        assert_eq!(many.next_batch(NOW).taken.len(), BATCH_COMMANDS_MAX);
        assert_eq!(many.next_batch(NOW).taken, [BATCH_COMMANDS_MAX]);
        let mut heavy = waiting(&[BATCH_BYTES_MAX - 1, 1, 1]);
        assert_eq!(heavy.next_batch(NOW).taken, [0, 1]);
        assert_eq!(heavy.next_batch(NOW).taken, [2]);
    }

    #[test]
    fn a_command_that_is_larger_than_an_entry_goes_alone() {
        let mut waiting = waiting(&[1, 2 * BATCH_BYTES_MAX, 1]);
        for n in 0..3 {
            assert_eq!(waiting.next_batch(NOW).taken, [n]);
        }
    }

    #[test]
    fn who_has_waited_for_too_long_goes_into_no_entry() {
        let mut waiting = waiting(&[1]);
        waiting.push(1, 1, NOW);
        waiting.push(2, 1, LATE + NOW);
        let batch = waiting.next_batch(NOW);
        assert_eq!(batch, Batch { taken: vec![0, 2], until: LATE + NOW, expired: vec![1] });
    }

    #[test]
    fn who_was_taken_can_not_withdraw_any_more() {
        let mut waiting = Waiting::default();
        let (first, second) = (waiting.push('a', 5, LATE), waiting.push('b', 7, LATE));
        assert_eq!(waiting.withdraw(first), Some('a'));
        assert_eq!(waiting.withdraw(first), None);
        assert_eq!(waiting.next_batch(NOW).taken, ['b']);
        assert_eq!(waiting.withdraw(second), None);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push { bytes: usize, until_s: u64 },
        Withdraw { nth: usize },
        Take,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..BATCH_BYTES_MAX / 2, 0u64..40)
                .prop_map(|(bytes, until_s)| Step::Push { bytes, until_s }),
            1 => any::<prop::sample::Index>().prop_map(|i| Step::Withdraw { nth: i.index(64) }),
            1 => Just(Step::Take),
        ]
    }

    proptest! {
        /// Everybody leaves the queue in exactly one way, and those who are taken in order.
        #[test]
        fn nobody_is_lost_doubled_or_overtaken(steps in proptest::collection::vec(step(), 0..80)) {
            let mut waiting = Waiting::default();
            let (mut tickets, mut bytes_of, mut gone) = (vec![], vec![], vec![]);
            let mut last_taken = None;
            for (now, step) in steps.into_iter().enumerate() {
                let now = Duration::from_secs(now as u64);
                match step {
                    Step::Push { bytes, until_s } => {
                        let until = now + Duration::from_secs(until_s);
                        tickets.push(waiting.push(tickets.len(), bytes, until));
                        bytes_of.push(bytes);
                    }
                    Step::Withdraw { nth } if nth < tickets.len() => {
                        let withdrawn = waiting.withdraw(tickets[nth]);
                        prop_assert_eq!(withdrawn.is_none(), gone.contains(&nth));
                        gone.extend(withdrawn);
                    }
                    Step::Withdraw { .. } => {}
                    Step::Take => {
                        let Batch { taken, expired, .. } = waiting.next_batch(now);
                        let bytes: usize = taken.iter().map(|n| bytes_of[*n]).sum();
                        prop_assert!(taken.len() <= 1 || bytes <= BATCH_BYTES_MAX);
                        for n in &taken {
                            prop_assert!(last_taken < Some(*n));
                            last_taken = Some(*n);
                        }
                        gone.extend(taken.into_iter().chain(expired));
                    }
                }
            }
            gone.extend(waiting.take_all());
            gone.sort_unstable();
            prop_assert_eq!(gone, (0..tickets.len()).collect::<Vec<_>>());
        }
    }
}
