//! The one source of everything that a node leaves to chance.
//!
//! Identities and the failure detector's choices come from here, like cards from one deck. In
//! production the operating system shuffles it; a test that gives a seed gets the same order of
//! cards every time.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// See the module's documentation.
pub(crate) struct Chance(Mutex<StdRng>);

impl Chance {
    /// Unpredictable: from the operating system.
    pub(crate) fn from_os() -> Self {
        Self(Mutex::new(StdRng::from_os_rng()))
    }

    /// The same numbers for the same seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// Draws with the source of random numbers itself.
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Any number, as a seed for something that draws by itself.
    pub(crate) fn seed(&self) -> u64 {
        self.draw(|rng| rng.random())
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Who sees the numbers can foretell the next ones.
        f.write_str("Chance")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence_and_the_system_never_the_same() {
        let three = |chance: &Chance| [chance.seed(), chance.seed(), chance.seed()];
        assert_eq!(three(&Chance::seeded(7)), three(&Chance::seeded(7)));
        assert_ne!(three(&Chance::seeded(7)), three(&Chance::seeded(8)));
        assert_ne!(three(&Chance::from_os()), three(&Chance::from_os()));
    }
}
