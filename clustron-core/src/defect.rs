//! Deliberate defects of how nodes become a cluster and change who votes, to show that the
//! simulator sees them. See `clustron-testkit`.

/// A deliberate defect of how nodes become a cluster and change who votes. Only with the feature
/// `simulation` can one be switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[cfg_attr(
    not(feature = "simulation"),
    expect(unreachable_pub, reason = "only simulations name one")
)]
pub enum ClusterBug {
    /// The leader makes all changes of the voters that are due in one, and waits for nobody to
    /// prove stable.
    VotersChangedTogether,
    /// A node that does not see all members at once founds a cluster of its own.
    FoundedApart,
    /// Commands whose answers were lost with a connection are handed on once more.
    HandedOnAgain,
}

/// The defect that is switched on in a node, if one is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Defect {
    #[cfg(feature = "simulation")]
    pub(crate) bug: Option<ClusterBug>,
}

impl Defect {
    /// Whether it is this one.
    #[cfg(feature = "simulation")]
    pub(crate) fn is(self, bug: ClusterBug) -> bool {
        self.bug == Some(bug)
    }

    #[cfg(not(feature = "simulation"))]
    #[expect(clippy::unused_self, reason = "a simulated node looks at itself")]
    pub(crate) fn is(self, _bug: ClusterBug) -> bool {
        false
    }
}
