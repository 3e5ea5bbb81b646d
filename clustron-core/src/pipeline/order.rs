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
//! leader of an epoch, and a next leader that finds the latest of them, is a replicated log. There
//! is one, so there is no second: [`total_order`](crate::total_order) is built upon it.

/// As it is said to whoever configures it.
pub(super) const WHY: &str = "one order for all needs the control log, so it is not of a \
                              conversation; leave it out, and install the module `TotalOrder`";

pub(super) const NAME: &str = "order";
