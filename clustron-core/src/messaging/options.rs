//! How a handler takes what comes, and how often a request is tried.

use std::num::NonZeroU32;
use std::time::Duration;

/// What becomes of a message that finds its kind's queue full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// It waits, however long that takes, and with it whatever else its sender sends over the same
    /// connection: back-pressure reaches the sender, and nothing is dropped. What modules send,
    /// events and the core's own messages travel on other connections. Handlers that send to each
    /// other in a circle would wait for each other once all queues on it are full; one of them must
    /// drop, or spawn what it sends.
    #[default]
    Wait,
    /// It is dropped. The node counts it by kind (`clustron_core_messages_dropped_total`) and tells
    /// the sender, at most once a second. For news that the next message makes obsolete.
    DropNewest,
}

/// How a node takes the messages or requests of one kind.
///
/// ```
/// use clustron_core::{HandlerOptions, WhenFull};
/// let options = HandlerOptions { when_full: WhenFull::DropNewest, ..HandlerOptions::default() };
/// assert_eq!(options.queue.get(), 1024);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandlerOptions {
    /// One-way messages that may wait for the handler; 1024 by default. They may have 16 MiB
    /// together, whatever their number, and a single one may be larger.
    pub queue: NonZeroU32,
    /// What becomes of one-way messages beyond that; by default they wait.
    pub when_full: WhenFull,
    /// Requests that are handled at the same time; 768 by default. Beyond it the sender gets
    /// [`MessageError::Busy`](crate::MessageError::Busy), and the request was not processed. The
    /// node handles 1024 requests at a time in all, so one kind that is slow leaves room for others
    /// as long as it may have less.
    pub at_once: NonZeroU32,
}

impl Default for HandlerOptions {
    fn default() -> Self {
        const QUEUE: NonZeroU32 = NonZeroU32::new(1024).expect("1024 is not zero");
        const AT_ONCE: NonZeroU32 = NonZeroU32::new(768).expect("768 is not zero");
        Self { queue: QUEUE, when_full: WhenFull::Wait, at_once: AT_ONCE }
    }
}

/// Whether a request is tried again, and how soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retry {
    /// It is tried once.
    #[default]
    Never,
    /// It is tried again while it is certain that it had no effect
    /// ([`Outcome::NotApplied`](crate::Outcome::NotApplied)) and that may change: the node cannot
    /// be reached or is not known yet, it is busy, or has no handler for the kind yet. The pauses
    /// double from `first` to `max`, each shortened at random by up to half, so that many who were
    /// turned away together do not come back together.
    NotApplied {
        /// The first pause.
        first: Duration,
        /// The longest pause.
        max: Duration,
    },
}

impl Retry {
    /// Pauses of 20 ms to 1 s.
    pub const fn not_applied() -> Self {
        Self::NotApplied { first: Duration::from_millis(20), max: Duration::from_secs(1) }
    }
}

/// How long a request may take, and whether it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestOptions {
    /// For all tries and pauses together; 5 s by default. No try is begun after it, and no pause
    /// that would go beyond it.
    pub deadline: Duration,
    /// Whether the request is tried again; by default it is not.
    pub retry: Retry,
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(5), retry: Retry::Never }
    }
}

/// How a stream of replies is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOptions {
    /// The longest wait for the next item, while the reader waits for it; 30 s by default.
    pub idle: Duration,
    /// Items that may be under way or wait here for the reader; 64 by default, at most 4096.
    pub items: NonZeroU32,
    /// Their bytes together; 1 MiB by default, at most 64 MiB. An item is sent as long as anything
    /// is left of them, so it can be one item more, which is never larger than a frame.
    pub bytes: NonZeroU32,
}

impl Default for StreamOptions {
    fn default() -> Self {
        const ITEMS: NonZeroU32 = NonZeroU32::new(64).expect("64 is not zero");
        const BYTES: NonZeroU32 = NonZeroU32::new(1 << 20).expect("1 MiB is not zero");
        Self { idle: Duration::from_secs(30), items: ITEMS, bytes: BYTES }
    }
}
