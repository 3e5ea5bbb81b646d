//! Deliberate defects of layers, to show that the simulation of two ends sees them.

/// A deliberate defect of a layer. Only with the feature `simulation` can one be switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[cfg_attr(
    not(feature = "simulation"),
    expect(unreachable_pub, reason = "only simulations name one")
)]
pub enum LayerBug {
    /// `reliable` delivers what it has delivered before.
    DuplicatesDelivered,
    /// `reliable` delivers what comes early at once.
    GapsDelivered,
    /// `reliable` acknowledges what comes early as if nothing were missing before it.
    GapsAcknowledged,
    /// `reliable` takes what was on its way when a connection broke for what still is.
    ReconnectForgotten,
    /// `reliable` sets no timer when it sends, only when something is acknowledged.
    TimerForgotten,
    /// `reliable` takes what another conversation says for its own.
    OtherConversation,
    /// `flow` sends without credits.
    CreditsIgnored,
    /// `flow` gives no credits back.
    CreditsKept,
}

/// The defect that is switched on in a stack, if one is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Defect {
    #[cfg(feature = "simulation")]
    pub(super) bug: Option<LayerBug>,
}

impl Defect {
    /// Whether it is this one.
    #[cfg(feature = "simulation")]
    pub(super) fn is(self, bug: LayerBug) -> bool {
        self.bug == Some(bug)
    }

    #[cfg(not(feature = "simulation"))]
    #[expect(clippy::unused_self, reason = "a simulated layer looks at itself")]
    pub(super) fn is(self, _bug: LayerBug) -> bool {
        false
    }
}
