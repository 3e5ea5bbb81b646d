//! The suite catches what it is there to catch.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    HasNoName,
    CountsLooksInItsName,
    GivesWhatIsNoAddress,
    Shuffles,
    /// A look that is dropped leaves it damaged.
    WantsToEnd,
    TellsNobodyOfChanges,
    /// Only what changes while somebody waits.
    ForgetsChanges,
    HidesFailures,
    DoesNotSayWho,
    KnowsNoRemedy,
}

#[derive(Debug)]
struct Careless {
    fault: Fault,
    given: watch::Receiver<Option<Vec<String>>>,
    told: std::sync::Mutex<Option<Option<Vec<String>>>>,
    looks: AtomicUsize,
    under_way: AtomicUsize,
}

impl Discovery for Careless {
    fn name(&self) -> String {
        match self.fault {
            Fault::HasNoName => " ".to_owned(),
            Fault::CountsLooksInItsName => format!("look {}", self.looks.load(Ordering::Relaxed)),
            _ => "a careless source".to_owned(),
        }
    }

    fn find(&self) -> BoxFuture<'_, Result<Found, DiscoveryError>> {
        async {
            let look = self.looks.fetch_add(1, Ordering::Relaxed);
            self.under_way.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            let left = self.under_way.fetch_sub(1, Ordering::Relaxed) - 1;
            let given = self.given.borrow().clone();
            *self.told.lock().unwrap() = Some(given.clone());
            let name = match self.fault {
                Fault::DoesNotSayWho => "a source".to_owned(),
                _ => self.name(),
            };
            if self.fault == Fault::WantsToEnd && left > 0 {
                return Err(DiscoveryError::new(name, "it is busy", "wait"));
            }
            let remedy = if self.fault == Fault::KnowsNoRemedy { "" } else { "mend it" };
            let mut addresses = match (given, self.fault) {
                (Some(addresses), _) => addresses,
                (None, Fault::HidesFailures) => vec![],
                (None, _) => return Err(DiscoveryError::new(name, "it is broken", remedy)),
            };
            match self.fault {
                Fault::GivesWhatIsNoAddress => addresses.push("b".to_owned()),
                Fault::Shuffles => addresses.rotate_left(look % 2),
                _ => {}
            }
            Ok(Found::new(addresses))
        }
        .boxed()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        let (mut given, told) = (self.given.clone(), self.told.lock().unwrap().clone());
        async move {
            match self.fault {
                Fault::TellsNobodyOfChanges => std::future::pending().await,
                Fault::ForgetsChanges => {
                    given.mark_unchanged();
                    let _ = given.changed().await;
                }
                _ => drop(given.wait_for(|now| told.as_ref() != Some(now)).await),
            }
        }
        .boxed()
    }
}

async fn outcome(fault: Fault) -> Result<(), BrokenPromise> {
    discovery_conformance(async || {
        let (first, second) = (["a:1", "b:1"], ["c:1"]);
        let (give, given) = watch::channel(Some(owned(&first)));
        let (told, looks) = (std::sync::Mutex::default(), AtomicUsize::new(0));
        let under_way = AtomicUsize::new(0);
        let source = Careless { fault, given, told, looks, under_way };
        DiscoveryFixture::changing(source, &first, &second, move |what| {
            give.send_replace(match what {
                Given::First => Some(owned(&first)),
                Given::Second => Some(owned(&second)),
                Given::Broken => None,
            });
        })
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_careful_source_passes() {
    assert_eq!(outcome(Fault::None).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn each_broken_promise_is_named() {
    for (fault, promise, detail) in [
        (Fault::HasNoName, "the name is not empty", "\" \""),
        (Fault::CountsLooksInItsName, "never changes", "look 1"),
        (Fault::GivesWhatIsNoAddress, "within the bounds", "\"b\" is no address"),
        (Fault::Shuffles, "in the same order", "look 2"),
        (Fault::WantsToEnd, "may be dropped", "it is busy"),
        (Fault::TellsNobodyOfChanges, "sees what has changed", "nothing came of it"),
        (Fault::ForgetsChanges, "sees what has changed", "nothing came of it"),
        (Fault::HidesFailures, "names the source and the remedy", "and no error"),
        (Fault::DoesNotSayWho, "names the source and the remedy", "does not name"),
        (Fault::KnowsNoRemedy, "names the source and the remedy", "lacks a reason"),
    ] {
        let Err(broken) = outcome(fault).await else { panic!("{fault:?} passes") };
        assert!(broken.promise.contains(promise), "{fault:?}: {broken}");
        assert!(broken.detail.contains(detail), "{fault:?}: {broken}");
    }
}
