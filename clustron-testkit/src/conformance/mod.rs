//! Suites that every implementation of one of the core's traits passes, the project's own and
//! yours.

mod detector;
mod discovery;
mod event_bus;
mod transport;

pub use detector::{detector_conformance, quorum_conformance};
pub use discovery::{DiscoveryFixture, Given, discovery_conformance};
pub use event_bus::{EventBusFixture, event_bus_conformance};
pub use transport::{TransportFixture, transport_conformance};

use std::fmt;

/// An implementation breaks a promise of the trait that it implements.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("broken promise: {promise}\n    {detail}")]
#[non_exhaustive]
pub struct BrokenPromise {
    /// What the trait's documentation promises, in short.
    pub promise: &'static str,
    /// What was seen instead.
    pub detail: String,
}

/// What one case of a suite found: nothing, or how the promise that it checks is broken.
type Checked = Result<(), String>;

/// Says what was being done when something failed that should have worked.
trait While<T> {
    fn while_doing(self, what: impl fmt::Display) -> Result<T, String>;
}

impl<T, E: fmt::Display> While<T> for Result<T, E> {
    fn while_doing(self, what: impl fmt::Display) -> Result<T, String> {
        self.map_err(|error| format!("{what} failed: {error}"))
    }
}

/// Fails a case unless a condition holds.
fn ensure(holds: bool, detail: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(detail()) }
}
