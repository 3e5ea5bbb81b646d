//! Deliberate defects, to show that the simulator sees them. See `clustron-testkit`.

/// A deliberate defect of [`Membership`](super::Membership). Only with the feature `simulation` can
/// one be switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Bug {
    /// Does not object when it is suspected.
    ForgottenRefutation,
    /// Objects under the incarnation that it already has.
    ReusedIncarnation,
    /// Does not tell a node that the view dropped that it was dropped.
    LostTombstone,
    /// Believes that a node is alive again without a higher incarnation.
    RevivedByOldNews,
    /// Takes a suspicion of an older incarnation for news.
    OldSuspicionCounts,
    /// Never lets go of news: the cluster does not fall silent.
    EndlessGossip,
    /// Does not pass on what it hears.
    GossipEndsHere,
    /// Does not answer when others compare what they know.
    DeafToComparison,
    /// Lets older roles and tags replace newer ones.
    OldMetadataWins,
    /// Does not tell its detector that a peer was cleared.
    ClearedUnheard,
    /// Tells nobody that it leaves.
    SilentGoodbye,
}

impl super::Membership {
    /// Switches a defect on.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn with_bug(mut self, bug: Option<Bug>) -> Self {
        self.bug = bug;
        self
    }

    #[cfg(feature = "simulation")]
    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    #[cfg(not(feature = "simulation"))]
    #[expect(clippy::unused_self, reason = "the simulated machine looks at itself")]
    pub(super) fn has(&self, _bug: Bug) -> bool {
        false
    }
}
