//! A board on which somebody writes where nodes live: a source of addresses that tells of changes.

use std::sync::Mutex;

use clustron_core::{Discovery, DiscoveryError, Found};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;

/// What stands on it; `None` if it cannot be read. Clones are the same board.
#[derive(Debug, Clone)]
pub(crate) struct Board {
    addresses: watch::Sender<Option<Vec<String>>>,
}

impl Board {
    pub(crate) fn new(addresses: &[&str]) -> Self {
        let board = Self { addresses: watch::Sender::new(None) };
        board.write(addresses);
        board
    }

    /// From now on these stand on it and nothing else.
    pub(crate) fn write(&self, addresses: &[&str]) {
        let addresses = addresses.iter().map(|addr| (*addr).to_owned()).collect();
        self.addresses.send_replace(Some(addresses));
    }

    /// Nobody can read it any more.
    pub(crate) fn hide(&self) {
        self.addresses.send_replace(None);
    }

    /// A pair of eyes on it.
    pub(crate) fn look(&self) -> Look {
        Look { board: self.addresses.subscribe(), seen: Mutex::default() }
    }
}

/// One node's view of a [`Board`].
#[derive(Debug)]
pub(crate) struct Look {
    board: watch::Receiver<Option<Vec<String>>>,
    /// What `find` gave last.
    seen: Mutex<Option<Option<Vec<String>>>>,
}

impl Discovery for Look {
    fn name(&self) -> String {
        "a board".to_owned()
    }

    fn find(&self) -> BoxFuture<'_, Result<Found, DiscoveryError>> {
        async {
            let now = self.board.borrow().clone();
            *self.seen.lock().expect("nobody panics with it") = Some(now.clone());
            let hidden = || DiscoveryError::new(self.name(), "it is dark", "switch on the light");
            Ok(Found::new(now.ok_or_else(hidden)?))
        }
        .boxed()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        let (mut board, seen) =
            (self.board.clone(), self.seen.lock().expect("nobody panics with it").clone());
        async move {
            if board.wait_for(|now| seen.as_ref() != Some(now)).await.is_err() {
                std::future::pending().await
            }
        }
        .boxed()
    }
}
