//! Why a source of addresses cannot tell, and what to do.

/// Why a [`Discovery`](crate::Discovery) gave no addresses. The node goes on with those that it
/// knew and asks again; it says this once for each reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {reason}: {remedy}")]
pub struct DiscoveryError {
    /// The source, by its [name](crate::Discovery::name).
    pub origin: String,
    /// What is wrong, with the value that is.
    pub reason: String,
    /// What a person does about it.
    pub remedy: String,
}

impl DiscoveryError {
    /// The error of this source.
    pub fn new(
        origin: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { origin: origin.into(), reason: reason.into(), remedy: remedy.into() }
    }
}
