//! The least replicated state there is: what commands cost without what they do.

use clustron_core::{Applied, Installer, Module, Replicated, ReplicatedState};
use serde::{Deserialize, Serialize};

/// The sum of all commands.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counter(u64);

impl ReplicatedState for Counter {
    type Command = u64;
    type Reply = u64;

    fn apply(&mut self, _at: Applied, command: u64) -> u64 {
        self.0 = self.0.wrapping_add(command);
        self.0
    }
}

/// Replicates the sum.
pub(crate) struct CounterModule;

impl Module for CounterModule {
    const NAME: &'static str = "counter";
    type Handle = Replicated<Counter>;

    fn install(self, installer: &mut Installer<'_>) -> Replicated<Counter> {
        installer.replicate()
    }
}
