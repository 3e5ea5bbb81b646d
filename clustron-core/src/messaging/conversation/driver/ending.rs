//! How a conversation ends, and who is told.

use super::Driver;
use crate::messaging::envelope::{self, Sent};
use crate::messaging::session::Violation;
use crate::pipeline::{Event, Failure};

/// Why a conversation is over.
pub(super) enum End {
    /// This node wants nothing of the peer any more.
    HungUp,
    /// Nobody uses it, and both ends know.
    Unused,
    /// It cannot go on.
    Broken(String),
    /// A layer could not go on.
    Failed(Failure),
}

impl Driver {
    pub(super) fn violated(&mut self, violation: &Violation) -> End {
        self.shared.metrics.protocol_errors.inc();
        tracing::warn!(peer = %self.peer, error = %violation, "ended a conversation that broke the rules");
        // What comes after it cannot be trusted either.
        self.inbox.clear();
        End::Broken(format!("the peer broke the rules: {violation}"))
    }

    /// Tells everybody whom it concerns that it is over.
    pub(super) async fn finish(mut self, end: End) {
        let hung_up = matches!(end, End::HungUp);
        let is_failure = match &end {
            End::Broken(_) => true,
            // Without a layer that outlives it, the end of a connection is as usual.
            End::Failed(failure) => failure.layer.is_some(),
            End::HungUp | End::Unused => false,
        };
        let failure = match end {
            End::Failed(failure) => Some(failure),
            End::HungUp => self.end_stack("this node hung up"),
            End::Unused => self.end_stack("nobody used it any more"),
            End::Broken(reason) => self.end_stack(&reason),
        };
        self.counted.tell(&self.stack);
        self.frames.close();
        let reason = failure.as_ref().map_or_else(String::new, Failure::to_string);
        let lost = failure.map_or(0, |failure| self.unconfirmed.lost(&failure, &self.session));
        self.shared.metrics.messages_lost.inc_by(lost);
        while let Some(frame) = self.frames.try_next() {
            self.not_sent(envelope::sent(&frame), &reason);
        }
        self.shared.metrics.conversations_failed.inc_by(u64::from(is_failure));
        if is_failure || lost > 0 {
            let (lane, number) = (self.lane, self.opening.number);
            tracing::warn!(
                peer = %self.peer, ?lane, number, reason, lost,
                "a conversation is over: messages that were not confirmed may be lost, and callers \
                 are told of their requests"
            );
        }
        if self.line.take().is_some() && !self.session.is_retired() {
            self.shared.connection_lost(self.peer.id);
        }
        self.session.close();
        let key = (self.peer.id, self.lane);
        self.shared.conversations.forget(key, &self.session);
        if !hung_up {
            // What has arrived is handled, as it is where a connection without layers ends.
            let _ = self.inbox.finish(&self.shared).await;
        }
    }

    pub(super) fn end_stack(&mut self, reason: &str) -> Option<Failure> {
        self.stack.end(reason);
        while let Some(event) = self.stack.next_event() {
            match event {
                Event::Failed(failure) => return Some(failure),
                Event::Confirmed(number) => self.unconfirmed.confirmed(number),
                Event::Deliver(message) => self.inbox.push(message),
            }
        }
        None
    }

    pub(super) fn not_sent(&self, sent: Sent, reason: &str) {
        match sent {
            Sent::Request(id) => self.session.not_sent(id, reason),
            Sent::Message => {
                self.shared.metrics.messages_lost.inc();
            }
            Sent::Other => {}
        }
    }
}
