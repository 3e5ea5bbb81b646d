//! The pipeline: named layers between messages and the wire, in the manner of
//! [JGroups](http://www.jgroups.org).
//!
//! Each layer does one thing to what passes through it: compresses it, cuts it into pieces, sends
//! it again until it has arrived. Which layers there are, and in which order, the configuration
//! says, and both ends must have the same. There is one stack for each end of a *conversation*:
//! this node, one peer, one lane, and who opened it; both directions pass through it. Where
//! `reliable` is among the layers, a conversation outlives its connections.
//!
//! | layer | what it does | settings |
//! | --- | --- | --- |
//! | `flow` | credits in bytes: who sends waits for who reads | *`window_bytes`* |
//! | `compress` | LZ4, where that helps | `above_bytes` |
//! | `fragment` | large messages in pieces | `piece_bytes`, *`at_once`* |
//! | `reliable` | all arrives, once and in order | *`window_bytes`*, *`window_packets`*, times |
//! | `checksum` | damage is noticed | |
//! | `fault` | a bad wire, for tests | `i_know`, `seed`, and what goes wrong how often |
//!
//! Both ends must share the settings in italics. `reliable` has `resend_after_ms_min`,
//! `resend_after_ms_max`, `give_up_after_ms` and `ack_delay_ms`; `fault` has the probabilities
//! `drop`, `double`, `corrupt` and `delay`, and `delay_ms_max`.
//!
//! They stand in this order, from the application to the wire, where they are used; `checksum` may
//! stand elsewhere before `fault`. There is no layer that gives all nodes' messages one order: that
//! is a matter of the control log.
//!
//! ```
//! use clustron_core::pipeline::{Event, LayerConfig, Registry, agree};
//! use std::time::Duration;
//!
//! let layers = ["compress", "reliable", "checksum"].map(LayerConfig::new);
//! let plan = Registry::default().plan(&layers, 1 << 20)?;
//! agree(plan.fingerprint(), plan.fingerprint())?;
//!
//! // The two ends of one conversation, and a wire between them.
//! let (mut ours, mut theirs) = (plan.stack(1, true)?, plan.stack(1, false)?);
//! let now = Duration::ZERO;
//! ours.connected(now);
//! theirs.connected(now);
//! let number = ours.send(now, "hello".into())?;
//!
//! while let Some(packet) = ours.next_write(now) {
//!     theirs.receive(now, packet.to_bytes());
//! }
//! assert_eq!(theirs.next_event(), Some(Event::Deliver("hello".into())));
//! while let Some(packet) = theirs.next_write(now) {
//!     ours.receive(now, packet.to_bytes());
//! }
//! assert_eq!(ours.next_event(), Some(Event::Confirmed(number)));
//! assert_eq!((ours.bytes_held(), ours.wake_at()), (0, None));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bug;
mod checksum;
mod compress;
mod error;
mod fault;
mod fingerprint;
mod flow;
mod fragment;
mod layer;
mod nearest;
mod order;
mod packet;
mod registry;
mod reliable;
mod rules;
mod settings;
mod stack;

#[cfg(feature = "simulation")]
pub use bug::LayerBug;
pub use error::PipelineError;
pub use fingerprint::{Fingerprint, Unequal, agree};
pub use layer::{Context, Effect, Input, Layer, Out};
pub use packet::Packet;
pub use registry::{LayerConfig, Plan, Registry};
pub use settings::{Setting, Settings};
pub use stack::{Event, Failure, SendError, Stack};

#[cfg(test)]
mod tests;
