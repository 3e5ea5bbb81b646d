//! What a stack has taken and not confirmed, by its numbers: whom to tell when it is lost.

use std::collections::BTreeMap;

use crate::messaging::envelope::Sent;
use crate::messaging::session::Session;
use crate::pipeline::Failure;

/// See the module's documentation. It holds as many as the layers hold messages.
#[derive(Debug, Default)]
pub(super) struct Unconfirmed(BTreeMap<u64, Sent>);

impl Unconfirmed {
    pub(super) fn insert(&mut self, number: u64, sent: Sent) {
        self.0.insert(number, sent);
    }

    pub(super) fn confirmed(&mut self, number: u64) {
        self.0.remove(&number);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The conversation is over. Requests that never left are told so; of the others nobody knows,
    /// as their callers hear when the session closes. Gives how many one-way messages may be lost.
    pub(super) fn lost(&mut self, failure: &Failure, session: &Session) -> u64 {
        let all = std::mem::take(&mut self.0);
        for number in &failure.unsent {
            if let Some(Sent::Request(id)) = all.get(number) {
                session.not_sent(*id, &failure.to_string());
            }
        }
        all.values().filter(|sent| **sent == Sent::Message).count() as u64
    }
}
