use std::sync::Mutex;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::*;

impl Addresses {
    /// Waits until exactly these are known.
    pub(in crate::discovery) async fn until(&mut self, wanted: &[&str]) {
        let known = self.shown.wait_for(|now| **now == wanted).await;
        known.expect("the search runs");
    }
}

/// Gives what a script says, and notes when it was asked.
#[derive(Debug, Default)]
struct Scripted {
    script: Mutex<Vec<Option<Found>>>,
    asked_at: watch::Sender<Vec<Duration>>,
    changes: Option<Duration>,
}

impl Scripted {
    fn new(script: impl IntoIterator<Item = Option<Found>>) -> Self {
        let mut script: Vec<_> = script.into_iter().collect();
        script.reverse();
        Self { script: Mutex::new(script), ..Self::default() }
    }
}

/// The tests begin at zero of a clock that stands still.
#[derive(Debug, Clone, Copy)]
struct Began(Instant);

#[derive(Debug)]
struct Source {
    scripted: Arc<Scripted>,
    began: Began,
}

impl Discovery for Source {
    fn name(&self) -> String {
        "a script".to_owned()
    }

    fn find(&self) -> BoxFuture<'_, Result<Found, DiscoveryError>> {
        async {
            let now = self.began.0.elapsed();
            self.scripted.asked_at.send_modify(|asked_at| asked_at.push(now));
            let line = self.scripted.script.lock().unwrap().pop();
            match line {
                Some(Some(found)) => Ok(found),
                Some(None) => Err(DiscoveryError::new("a script", "it is so written", "wait")),
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        match self.scripted.changes {
            Some(after) => {
                let never = std::future::pending::<()>();
                tokio::time::timeout(after, never).map(|_| ()).boxed()
            }
            None => std::future::pending().boxed(),
        }
    }
}

fn searched(
    fixed: &[&str],
    scripted: impl IntoIterator<Item = Scripted>,
) -> (Addresses, Vec<Arc<Scripted>>, AbortOnDropHandle<()>) {
    let began = Began(Instant::now());
    let scripted: Vec<_> = scripted.into_iter().map(Arc::new).collect();
    let sources = scripted.iter().cloned().map(|scripted| Source { scripted, began });
    let sources = sources.map(|source| Arc::new(source) as Arc<dyn Discovery>).collect();
    let fixed = fixed.iter().map(|addr| (*addr).to_owned()).collect();
    let (search, addresses) = Search::new(fixed, sources);
    (addresses, scripted, AbortOnDropHandle::new(tokio::spawn(search.run())))
}

fn found(addresses: &[&str]) -> Option<Found> {
    Some(Found::new(addresses.iter().copied()))
}

/// When a source was asked, as soon as that is so many times.
async fn asked_at(scripted: &Scripted, times: usize) -> Vec<u128> {
    let mut asked_at = scripted.asked_at.subscribe();
    let asked_at = asked_at.wait_for(|asked_at| asked_at.len() >= times).await.unwrap();
    asked_at.iter().map(Duration::as_millis).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_configured_is_there_at_once_and_what_is_found_comes_after_it() {
    let (mut addresses, _scripted, _task) =
        searched(&["z:1"], [Scripted::new([found(&["a:1"])]), Scripted::new([found(&["b:1"])])]);
    assert_eq!(*addresses.now(), ["z:1"]);
    addresses.until(&["z:1", "a:1", "b:1"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_holds_nobody_up_and_is_asked_again_after_its_deadline() {
    let hangs = Scripted::new([]);
    let (mut addresses, scripted, _task) = searched(&[], [hangs, Scripted::new([found(&["b:1"])])]);
    addresses.until(&["b:1"]).await;
    assert_eq!(asked_at(&scripted[0], 3).await, [0, 10_200, 20_600]);
}

#[tokio::test(start_paused = true)]
async fn a_source_is_asked_when_it_said_after_failures_later_and_later_and_keeps_its_answer() {
    let soon = Found::new(["a:1"]).again_in(Duration::from_secs(5));
    let script = [Some(soon), None, None, None, found(&["b:1"])];
    let (mut addresses, scripted, _task) = searched(&[], [Scripted::new(script)]);
    assert_eq!(asked_at(&scripted[0], 4).await, [0, 5000, 5200, 5600]);
    assert_eq!(*addresses.now(), ["a:1"]);
    addresses.until(&["b:1"]).await;
    assert_eq!(asked_at(&scripted[0], 5).await, [0, 5000, 5200, 5600, 6400]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_always_has_news_is_asked_twenty_times_a_second_at_most() {
    let busy = Scripted { changes: Some(Duration::ZERO), ..Scripted::new(vec![None; 10]) };
    let (_addresses, scripted, _task) = searched(&[], [busy]);
    let asked_at = asked_at(&scripted[0], 5).await;
    let gaps = asked_at.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(gaps.into_iter().all(|gap| (50..60).contains(&gap)), "{asked_at:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_out_of_bounds_is_a_failure() {
    let script = [found(&["a:1"]), found(&["a:1", "b"]), found(&["c:1"])];
    let (mut addresses, scripted, _task) = searched(
        &[],
        [Scripted { changes: Some(Duration::from_secs(1)), ..Scripted::new(script) }],
    );
    asked_at(&scripted[0], 2).await;
    assert_eq!(*addresses.now(), ["a:1"]);
    addresses.until(&["c:1"]).await;
    // After a failure, not after the second that it takes to change.
    assert_eq!(asked_at(&scripted[0], 3).await, [0, 1050, 1250]);
}

#[test]
fn all_of_many_addresses_have_their_turn() {
    let of = |count: usize| Addresses::fixed((0..count).map(|n| format!("a{n}:1")).collect());
    let (few, mut turn) = (of(DIALS_AT_ONCE), 0);
    assert_eq!(few.some(&mut turn, |_| true), *few.now());
    assert_eq!(few.some(&mut turn, |addr| addr.starts_with("a10")).len(), 11);
    assert_eq!(turn, 0, "they are always all");

    let many = of(3 * DIALS_AT_ONCE - 50);
    let mut dialled = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let some = many.some(&mut turn, |_| true);
        assert_eq!(some.len(), DIALS_AT_ONCE);
        dialled.extend(some);
    }
    assert_eq!(dialled.len(), many.now().len());
}
