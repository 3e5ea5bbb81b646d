//! How many of those who have come from one host may be in their handshake at the same time: like a
//! porter who lets no single party take all seats in the lobby.
//!
//! Who says nothing holds a seat until the connect timeout. So one host alone could hold them all,
//! and nobody would be let in, or be told that this node lives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Knocks {
    most: usize,
    /// No more than there are handshakes at the same time: each host that is here is in one.
    by_host: Mutex<BTreeMap<String, usize>>,
}

/// One that has come, and is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Knock {
    knocks: Arc<Knocks>,
    host: String,
}

impl Knocks {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, by_host: Mutex::default() })
    }

    /// Somebody has come from this address; `None` if too many have from its host.
    pub(super) fn take(self: &Arc<Self>, from: &str) -> Option<Knock> {
        let host = from.rsplit_once(':').map_or(from, |(host, _port)| host).to_owned();
        let mut by_host = self.lock();
        let count = by_host.entry(host.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Knock { knocks: self.clone(), host })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.by_host.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Knock {
    fn drop(&mut self) {
        let mut by_host = self.knocks.lock();
        if let Some(count) = by_host.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                by_host.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_so_many_and_they_come_free_again() {
        let knocks = Knocks::new(2);
        let first = knocks.take("10.0.0.7:1").unwrap();
        let _second = knocks.take("10.0.0.7:2").unwrap();
        assert!(knocks.take("10.0.0.7:3").is_none());
        let other = knocks.take("[fd00::7]:1").unwrap();
        drop(first);
        let _third = knocks.take("10.0.0.7:4").unwrap();
        drop(other);
        assert_eq!(knocks.lock().len(), 1, "who is gone is forgotten");
    }
}
