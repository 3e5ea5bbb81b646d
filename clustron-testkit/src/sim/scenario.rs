//! A run that can be repeated with any seed.

use super::{Failure, Report, Tracing};

/// A test of some service, for as many seeds as you have time for.
pub trait Scenario: Sync {
    /// How it is called on the command line: one word.
    fn name(&self) -> &str;

    /// What it shows, in one line.
    fn about(&self) -> &str;

    /// One run. It must depend on `seed` alone. `tracing` goes to the
    /// [`SimulationBuilder`](super::SimulationBuilder).
    ///
    /// # Errors
    ///
    /// What the simulation found.
    fn run(&self, seed: u64, tracing: Tracing) -> Result<Report, Failure>;
}
