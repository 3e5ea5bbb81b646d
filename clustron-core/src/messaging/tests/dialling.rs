//! When a peer is dialled, and when once more.

use super::*;
use std::sync::atomic::AtomicBool;

use crate::transport::MemoryTransport;

/// Reaches nobody, and says so to nobody, until told otherwise.
#[derive(Debug)]
pub(in crate::messaging) struct Silent {
    inner: MemoryTransport,
    silent: AtomicBool,
    dials: AtomicUsize,
}

impl Silent {
    pub(in crate::messaging) fn of(inner: MemoryTransport, silent: bool) -> Arc<Self> {
        Arc::new(Self { inner, silent: silent.into(), dials: AtomicUsize::new(0) })
    }

    pub(in crate::messaging) fn set(&self, silent: bool) {
        self.silent.store(silent, Ordering::SeqCst);
    }
}

impl Transport for Silent {
    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        self.inner.listen(addr)
    }

    fn connect<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        self.dials.fetch_add(1, Ordering::SeqCst);
        match self.silent.load(Ordering::SeqCst) {
            true => std::future::pending().boxed(),
            false => self.inner.connect(addr),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_also_ends_a_dial_that_began_when_there_was_none() {
    let network = MemoryNetwork::new();
    let silent = Silent::of(network.host("a"), true);
    let (a, _news) = node_over(silent.clone(), "a", 1).await;
    let (b, _news) = node(&network, "b", 2).await;
    b.on_request(|_, Add(x, y)| async move { x + y });
    a.learn_address(&lives(2, "b:1", 1));
    b.learn_address(&lives(1, "a:1", 1));
    let ask = || a.request(NodeId(2), Lane::Control, &Add(2, 3), Duration::from_millis(66));
    // A leader that calls a follower whose host has gone, for a while.
    let start = tokio::time::Instant::now();
    let mut worst = Duration::ZERO;
    for round in 0..8u32 {
        silent.set(true);
        a.hang_up(NodeId(2));
        while start.elapsed() < 20 * SECOND * (round + 1) {
            let _ = ask().await;
            later(Duration::from_millis(34)).await;
        }
        // It is back, and says so.
        later(Duration::from_millis(u64::from(round) * 240)).await;
        silent.set(false);
        b.verify(NodeId(1)).await.unwrap();
        let back = tokio::time::Instant::now();
        while ask().await.is_err() {
            later(Duration::from_millis(34)).await;
        }
        worst = worst.max(back.elapsed());
    }
    assert!(worst <= Duration::from_millis(150), "heard of again only after {worst:?}");
}

#[tokio::test(start_paused = true)]
async fn however_often_a_peer_shows_itself_a_dial_under_way_is_doubled_once() {
    let network = MemoryNetwork::new();
    let silent = Silent::of(network.host("a"), true);
    let (a, _news) = node_over(silent.clone(), "a", 1).await;
    let (b, _news) = node(&network, "b", 2).await;
    a.learn_address(&lives(2, "b:1", 1));
    b.learn_address(&lives(1, "a:1", 1));
    let sending = async {
        let sent = a.send(NodeId(2), Lane::Control, &Note(1)).await;
        assert!(matches!(sent, Err(MessageError::Unreachable { gone: false, .. })), "{sent:?}");
    };
    let signs = async {
        for (ms, dials) in [(10, 1), (10, 1), (40, 2), (10, 2), (500, 2)] {
            later(Duration::from_millis(ms)).await;
            b.verify(NodeId(1)).await.unwrap();
            assert_eq!(silent.dials.load(Ordering::SeqCst), dials, "after {ms} ms more");
        }
    };
    tokio::join!(sending, signs);
}
