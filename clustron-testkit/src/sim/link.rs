//! What a link does to the messages on it.

use std::time::Duration;

/// How messages travel in one direction between two nodes.
///
/// Messages overtake each other as far as `jitter` lets them. Probabilities lie between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// The shortest time that a message takes.
    pub delay: Duration,
    /// A message takes up to so much longer, uniformly drawn.
    pub jitter: Duration,
    /// How likely a message is lost. On an ordered link it is sent again instead and comes late,
    /// and everything behind it too.
    pub loss: f64,
    /// How likely a message arrives twice, each copy with its own delay. An ordered link never
    /// doubles.
    pub duplicate: f64,
    /// How likely a message's bytes are damaged; see [`Node::corrupt`](super::Node::corrupt).
    pub corrupt: f64,
    /// Whether messages arrive in the order of sending and end with the connection, as over TCP:
    /// what one life of a process sent or should have got does not reach the next one.
    pub ordered: bool,
}

impl Link {
    /// Every message takes the same time, and nothing goes wrong.
    pub fn steady(delay: Duration) -> Link {
        Link {
            delay,
            jitter: Duration::ZERO,
            loss: 0.0,
            duplicate: 0.0,
            corrupt: 0.0,
            ordered: false,
        }
    }

    /// One data centre: 0.1 to 5 ms, unordered, nothing lost.
    pub fn lan() -> Link {
        Link { jitter: Duration::from_micros(4_900), ..Link::steady(Duration::from_micros(100)) }
    }

    /// Two continents: 60 to 110 ms, unordered, one message in a thousand lost.
    pub fn wan() -> Link {
        Link {
            jitter: Duration::from_millis(50),
            loss: 0.001,
            ..Link::steady(Duration::from_millis(60))
        }
    }

    /// The same link as a TCP connection.
    pub fn ordered(self) -> Link {
        Link { ordered: true, ..self }
    }

    /// # Panics
    ///
    /// When a probability is not between 0 and 1.
    pub(super) fn checked(self) -> Link {
        let all = [("loss", self.loss), ("duplicate", self.duplicate), ("corrupt", self.corrupt)];
        for (name, value) in all {
            assert!(
                (0.0..=1.0).contains(&value),
                "the link's {name} is {value}; give a probability between 0 and 1"
            );
        }
        self
    }

    /// This link while `weather` is bad.
    pub(super) fn under(self, weather: &Weather) -> Link {
        let either = |a: f64, b: f64| 1.0 - (1.0 - a) * (1.0 - b);
        Link {
            delay: self.delay + weather.delay,
            jitter: self.jitter + weather.delay,
            loss: either(self.loss, weather.loss),
            duplicate: either(self.duplicate, weather.duplicate),
            corrupt: either(self.corrupt, weather.corrupt),
            ordered: self.ordered,
        }
    }
}

impl Default for Link {
    /// [`Link::lan`].
    fn default() -> Self {
        Link::lan()
    }
}

/// What comes on top of every link for a while.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Weather {
    /// Every message takes so much longer, and up to so much more again.
    pub delay: Duration,
    /// As [`Link::loss`].
    pub loss: f64,
    /// As [`Link::duplicate`].
    pub duplicate: f64,
    /// As [`Link::corrupt`].
    pub corrupt: f64,
}

impl Weather {
    /// Both at once; of each the worse.
    pub(super) fn and(self, other: Weather) -> Weather {
        Weather {
            delay: self.delay.max(other.delay),
            loss: self.loss.max(other.loss),
            duplicate: self.duplicate.max(other.duplicate),
            corrupt: self.corrupt.max(other.corrupt),
        }
    }
}
