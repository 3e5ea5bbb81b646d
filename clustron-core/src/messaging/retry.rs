//! The pauses between tries of a request.

use std::time::Duration;

use rand::Rng;

use super::error::MessageError;
use super::options::Retry;
use crate::chance::Chance;

/// The state of a request's tries.
#[derive(Debug)]
pub(crate) struct Pauses {
    retry: Retry,
    /// How many there have been.
    made: u32,
}

impl Pauses {
    pub(crate) fn new(retry: Retry) -> Self {
        Self { retry, made: 0 }
    }

    /// How long to wait before the next try; `None` where there must not be one, or where it would
    /// not be over before `left` is.
    pub(crate) fn next(
        &mut self,
        error: &MessageError,
        left: Duration,
        chance: &Chance,
    ) -> Option<Duration> {
        let Retry::NotApplied { first, max } = self.retry else { return None };
        if !error.may_pass() {
            return None;
        }
        let doubled = first.saturating_mul(1u32.checked_shl(self.made).unwrap_or(u32::MAX));
        self.made = self.made.saturating_add(1);
        // Never nothing, or a peer that refuses at once would be asked in a tight loop.
        let whole = doubled.min(max).max(Duration::from_millis(1));
        let pause = whole.mul_f64(1.0 - chance.draw(|rng| rng.random_range(0.0..0.5)));
        (pause < left).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::NodeId;

    const LONG: Duration = Duration::from_secs(3600);

    fn busy() -> MessageError {
        MessageError::Busy { node: NodeId(1), kind: "k" }
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_each_is_shortened_by_up_to_half() {
        let (first, max) = (Duration::from_millis(100), Duration::from_millis(500));
        let mut pauses = Pauses::new(Retry::NotApplied { first, max });
        let chance = Chance::seeded(3);
        for whole in [100, 200, 400, 500, 500].map(Duration::from_millis) {
            let pause = pauses.next(&busy(), LONG, &chance).unwrap();
            assert!(whole / 2 <= pause && pause <= whole, "{pause:?} of {whole:?}");
        }
        pauses.made = u32::MAX;
        assert!(pauses.next(&busy(), LONG, &chance).unwrap() <= max);
    }

    #[test]
    fn the_same_chance_gives_the_same_pauses() {
        let pauses = |seed| {
            let (mut pauses, chance) = (Pauses::new(Retry::not_applied()), Chance::seeded(seed));
            [0; 5].map(|_| pauses.next(&busy(), LONG, &chance))
        };
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
    }

    #[test]
    fn what_may_have_been_applied_or_cannot_pass_is_not_tried_again() {
        let chance = Chance::seeded(1);
        let (node, kind) = (NodeId(1), "k");
        let too_large = MessageError::TooLarge { bytes: 2, max: 1 };
        let disconnected = MessageError::Disconnected { node };
        let late = MessageError::Timeout { node, kind, deadline: LONG };
        for error in [too_large, disconnected, late] {
            let pause = Pauses::new(Retry::not_applied()).next(&error, LONG, &chance);
            assert_eq!(pause, None, "{error}");
        }
        assert_eq!(Pauses::new(Retry::Never).next(&busy(), LONG, &chance), None);
    }

    #[test]
    fn no_pause_reaches_the_deadline() {
        let mut pauses = Pauses::new(Retry::not_applied());
        assert_eq!(pauses.next(&busy(), Duration::from_millis(5), &Chance::seeded(1)), None);
    }
}
