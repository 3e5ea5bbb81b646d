//! The suite for [`Discovery`].

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use clustron_core::{Discovery, DiscoveryError, Found, LOOK_AGAIN_MAX, LOOK_AGAIN_MIN};

use super::{BrokenPromise, Checked, While, ensure};

/// How long one case may take. Only a source that does not see its changes comes near.
const CASE_DEADLINE: Duration = Duration::from_secs(90);

/// How soon a source that failed is asked again here.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// What a source is made to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// The first list of addresses.
    First,
    /// The second one.
    Second,
    /// Nothing that it could tell: what it looks at is gone or damaged.
    Broken,
}

/// A source under test, and the hand that changes what it looks at.
pub struct DiscoveryFixture {
    source: Arc<dyn Discovery>,
    first: Vec<String>,
    changes: Option<Changes>,
}

struct Changes {
    second: Vec<String>,
    make: Box<dyn Fn(Given) + Send + Sync>,
}

impl fmt::Debug for DiscoveryFixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiscoveryFixture")
            .field("source", &self.source)
            .field("first", &self.first)
            .field("second", &self.changes.as_ref().map(|changes| &changes.second))
            .finish_non_exhaustive()
    }
}

impl DiscoveryFixture {
    /// A source that gives these addresses in this order, and never others.
    pub fn fixed(source: impl Discovery, gives: &[&str]) -> Self {
        Self { source: Arc::new(source), first: owned(gives), changes: None }
    }

    /// A source that gives the one list or the other, in its order, as it is made to by `make`. It
    /// gives the first to begin with.
    pub fn changing(
        source: impl Discovery,
        first: &[&str],
        second: &[&str],
        make: impl Fn(Given) + Send + Sync + 'static,
    ) -> Self {
        let changes = Changes { second: owned(second), make: Box::new(make) };
        Self { source: Arc::new(source), first: owned(first), changes: Some(changes) }
    }

    /// Looks as a node does, after the look before if there was one, until the outcome is as
    /// wanted; gives up only with the case.
    async fn look_until(&self, before: Option<Look>, wanted: impl Fn(&Look) -> bool) -> Look {
        if let Some(before) = before {
            self.wait_after(&before).await;
        }
        loop {
            let look = self.source.find().await;
            if wanted(&look) {
                return look;
            }
            self.wait_after(&look).await;
        }
    }

    /// Waits until the source is to be asked again.
    async fn wait_after(&self, look: &Look) {
        let again_in = match look {
            Ok(found) => found.again_in.map(|t| t.clamp(LOOK_AGAIN_MIN, LOOK_AGAIN_MAX)),
            Err(_) => Some(RETRY_AFTER),
        };
        match again_in {
            Some(pause) => drop(tokio::time::timeout(pause, self.source.changed()).await),
            None => self.source.changed().await,
        }
    }

    async fn look_for(&self, before: Option<Look>, addresses: &[String]) -> Look {
        self.look_until(before, |look| matches!(look, Ok(found) if found.addresses == addresses))
            .await
    }
}

/// What came of a look.
type Look = Result<Found, DiscoveryError>;

fn owned(addresses: &[&str]) -> Vec<String> {
    addresses.iter().map(|address| (*address).to_owned()).collect()
}

/// Checks everything that [`Discovery`] promises, each promise with a fixture of its own.
///
/// ```
/// use clustron_core::StaticSeeds;
/// use clustron_testkit::conformance::{DiscoveryFixture, discovery_conformance};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
///
/// discovery_conformance(async || {
///     DiscoveryFixture::fixed(StaticSeeds::new(["a:1", "b:1"]), &["a:1", "b:1"])
/// })
/// .await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// The first promise that is broken, and what was seen.
pub async fn discovery_conformance(
    make: impl AsyncFn() -> DiscoveryFixture,
) -> Result<(), BrokenPromise> {
    check("the name is not empty and never changes", has_a_name(make().await)).await?;
    check("`find` gives what the source knows, within the bounds", finds(make().await)).await?;
    check(
        "while nothing has changed, `find` gives the same addresses in the same order",
        repeats_itself(make().await),
    )
    .await?;
    check(
        "futures may be dropped and `find` may run several times at once, and the next one works",
        survives_impatience(make().await),
    )
    .await?;
    check("whoever looks again when told to sees what has changed", shows_changes(make().await))
        .await?;
    check(
        "a source that cannot tell gives an error that names the source and the remedy",
        says_that_it_cannot_tell(make().await),
    )
    .await
}

async fn check(
    promise: &'static str,
    case: impl Future<Output = Checked>,
) -> Result<(), BrokenPromise> {
    let checked = tokio::time::timeout(CASE_DEADLINE, case)
        .await
        .unwrap_or_else(|_| Err(format!("nothing came of it within {CASE_DEADLINE:?}")));
    checked.map_err(|detail| BrokenPromise { promise, detail })
}

async fn has_a_name(fixture: DiscoveryFixture) -> Checked {
    let name = fixture.source.name();
    ensure(!name.trim().is_empty(), || format!("the name is {name:?}"))?;
    // Whatever comes of it.
    let _ = fixture.source.find().await;
    let after = fixture.source.name();
    ensure(name == after, || format!("the name was {name:?} and is {after:?} after a look"))
}

async fn finds(fixture: DiscoveryFixture) -> Checked {
    let found = fixture.source.find().await.while_doing("a look")?;
    found.check(&fixture.source.name()).while_doing("the check of the bounds")?;
    ensure(found.addresses == fixture.first, || {
        format!("it gives {:?} instead of {:?}", found.addresses, fixture.first)
    })
}

async fn repeats_itself(fixture: DiscoveryFixture) -> Checked {
    let first = fixture.source.find().await.while_doing("a look")?.addresses;
    for look in 2..=5 {
        let next = fixture.source.find().await.while_doing(format!("look {look}"))?.addresses;
        ensure(next == first, || format!("look {look} gives {next:?}, the first gave {first:?}"))?;
    }
    Ok(())
}

async fn survives_impatience(fixture: DiscoveryFixture) -> Checked {
    for polls in 0..10 {
        let impatient = async {
            for _ in 0..polls {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            _ = fixture.source.find() => {}
            () = fixture.source.changed() => {}
            () = impatient => {}
        }
    }
    let source = &fixture.source;
    let (one, two) = tokio::join!(source.find(), source.find());
    let three = source.find().await;
    for (look, outcome) in
        ["first at once", "second at once", "later"].iter().zip([one, two, three])
    {
        let found = outcome.while_doing(format!("the look that was {look}"))?.addresses;
        ensure(found == fixture.first, || format!("the look that was {look} gives {found:?}"))?;
    }
    Ok(())
}

async fn shows_changes(fixture: DiscoveryFixture) -> Checked {
    let Some(changes) = &fixture.changes else { return Ok(()) };
    let mut last = None;
    for _ in 0..2 {
        // What changes after a look and before one waits for changes must not be lost.
        last = Some(fixture.look_for(last, &fixture.first).await);
        (changes.make)(Given::Second);
        last = Some(fixture.look_for(last, &changes.second).await);
        (changes.make)(Given::First);
    }
    drop(fixture.look_for(last, &fixture.first).await);
    Ok(())
}

async fn says_that_it_cannot_tell(fixture: DiscoveryFixture) -> Checked {
    let Some(changes) = &fixture.changes else { return Ok(()) };
    let (name, first) = (fixture.source.name(), &fixture.first);
    let last = fixture.look_for(None, first).await;
    (changes.make)(Given::Broken);
    let differs = |look: &Look| !matches!(look, Ok(found) if found.addresses == *first);
    let last = fixture.look_until(Some(last), differs).await;
    match &last {
        Ok(found) => return Err(format!("it gives {:?} and no error", found.addresses)),
        Err(error) => {
            let says = error.to_string();
            ensure(says.contains(&name), || format!("{says:?} does not name {name:?}"))?;
            let full = !error.reason.trim().is_empty() && !error.remedy.trim().is_empty();
            ensure(full, || format!("{says:?} lacks a reason or a remedy"))?;
        }
    }
    (changes.make)(Given::First);
    drop(fixture.look_for(Some(last), first).await);
    Ok(())
}

#[cfg(test)]
mod tests;
