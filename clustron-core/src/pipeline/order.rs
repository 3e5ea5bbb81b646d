//! Why there is no layer `order`, and what takes its place.
//!
//! A layer would send each message to the leader, which gives it a place (epoch, number), and all
//! would deliver by these places. It is tempting, and wrong, as soon as a leader fails. Let the
//! leader of epoch 1 place m1 before m2, let a node A have both and B none of them when the leader
//! dies. Either nobody sends them to the next leader: then B never gets what A has. Or their
//! origins do, for they cannot know whether anybody has them: then the next leader may place m2
//! before m1, and B delivers m2, m1 where A has delivered m1, m2. That A drops what it has had
//! before does not help, for B is the one that has it in another order. The next leader would have
//! to know all that anybody has delivered, from nodes that may have failed. It can know that only
//! if nobody delivers what no majority has; and a majority that stores numbered messages under a
//! leader of an epoch, and a next leader that finds the latest of them, is a replicated log (total
//! order broadcast and consensus are the same problem: Chandra and Toueg, "Unreliable failure
//! detectors for reliable distributed systems", 1996). There is one in the control log, so there
//! will be no second.
//!
//! # The design, for the next phase
//!
//! Layers are driven now ([`messaging`](crate::messaging)); this is not built. What is missing is
//! only what stands here: nothing of it touches conversations.
//!
//! An ordered broadcast is a command of a built-in replicated state, `core.broadcast`, proposed as
//! any other from any node, and delivered on each node where it is applied:
//!
//! * **State.** For each origin (node and process) the number of its last broadcast that was
//!   applied, and a ring of the last broadcasts up to a bound in number and bytes. It is part of
//!   snapshots, so a node that gets one knows what it has not missed.
//! * **Command.** `(origin, number, kind, body)`. Applied if `number` is the one after the
//!   origin's last; refused as `Duplicate` if it is not higher, and as `Gap` if it is higher
//!   still. So an origin whose proposal has an unknown outcome proposes the same again, and it is
//!   applied once. An origin has one proposal under way, or a batch in one, which keeps its own
//!   order.
//! * **Delivery.** Each node hands what it applies to the handlers of its kind, one after the
//!   other, with its [`FencingToken`](crate::FencingToken) as the place. The driver's queue is
//!   bounded: a reader that is too slow is told the gap, and never makes the log wait.
//! * **Promise.** No two nodes deliver two broadcasts in different orders. A broadcast that is
//!   delivered anywhere is in the log, and is delivered by every node that stays in the cluster,
//!   but for what lies before the snapshot that a node began with and beyond the ring: that node
//!   is told from where to where. Across a change of leader nothing else holds, and nothing needs
//!   to: the order is the log's.
//! * **Cost.** A round of the log for each batch; `Backlog` says when to wait. Small and rare
//!   things are what it is for: the control log carries the cluster's own life.

/// As it is said to whoever configures it.
pub(super) const WHY: &str = "one order for all needs the control log, so it is not of a \
                              conversation; leave it out, and propose commands of a replicated \
                              state";

pub(super) const NAME: &str = "order";
