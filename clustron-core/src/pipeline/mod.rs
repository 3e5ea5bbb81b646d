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
//! takes the control log, so it is a module, [`total_order`](crate::total_order).
//!
//! # On a cluster
//!
//! All nodes get the same list, for the lane of the application's messages and requests and for
//! that of streams. The core's own lane has no layers, nor has that of modules and events: neither
//! a layer that does not work nor a list that differs can hold them up.
//!
//! ```
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use clustron_core::Cluster;
//! use clustron_core::pipeline::{LayerConfig, PipelineConfig};
//!
//! let flow = LayerConfig::new("flow").with("window_bytes", 256 << 10);
//! let others = ["compress", "fragment", "reliable", "checksum"].map(LayerConfig::new);
//! let pipeline = PipelineConfig::data([flow].into_iter().chain(others));
//! let cluster = Cluster::builder("shop").pipeline(pipeline).start().await?;
//! # Ok(()) }
//! ```
//!
//! What changes with `reliable`: a connection that breaks loses no message and no request, as long
//! as the same process can be reached again before `give_up_after_ms` has passed and the view has
//! put it out. So whoever sends to a node that cannot be reached waits instead of being told at
//! once; a request still has its deadline. When a conversation ends, a request that never left is
//! [`Unreachable`](crate::MessageError::Unreachable) and can be tried again; one that may have
//! been handled is [`Disconnected`](crate::MessageError::Disconnected); and one-way messages that
//! nobody has confirmed are counted (`clustron_core_messages_lost_total`) and told in the log. A
//! message that is confirmed is with the other process; whether its handler has run, only a reply
//! says.
//!
//! With `flow`, a handler that is slow holds up its own sender from `window_bytes` on, and nobody
//! else; credit comes back when a handler begins with a message, or a reply has found its request.
//! Use it with `reliable` wherever a handler may take long: without it, a node stops reading, so
//! receipts are not read either.
//!
//! Nodes whose lists or shared settings differ refuse each other on that lane, with both lists in
//! both logs, and are one cluster otherwise. A layer of your own implements [`Layer`], is
//! registered in a [`Registry`], and given to
//! [`ClusterBuilder::layers`](crate::ClusterBuilder::layers).
//!
//! # Driven by hand
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
mod lanes;
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
pub use lanes::PipelineConfig;
pub(crate) use lanes::Plans;
pub(crate) use layer::HEADERS_BYTES_MAX;
pub use layer::{Context, Effect, Input, Layer, Out};
pub use packet::Packet;
pub use registry::{LayerConfig, Plan, Registry};
pub use settings::{Setting, Settings};
pub use stack::{Event, Failure, SendError, Stack};

#[cfg(test)]
mod tests;
