//! Where other nodes may be found.
//!
//! Like asking passers-by for the way to the station: whoever is asked names a place or two, more
//! than one may be asked, some know nothing and some are wrong, and none of it makes anybody a
//! traveller. So a [`Discovery`] gives *seed addresses* and never membership: at each address a
//! node shakes hands and learns who really lives there, and only the log says who takes part.
//!
//! * [`StaticSeeds`]: a list that never changes. [`ClusterBuilder::seeds`] is the short form.
//! * [`FileSeeds`]: a file that somebody else writes, such as a Kubernetes ConfigMap.
//! * `DnsSeeds`, `SrvSeeds`, with the feature `dns`: what a name stands for.
//! * Your own: see [`Discovery`].
//!
//! One task asks all sources of a node beside each other ([`search`]). What they said last is put
//! together, and when to ask again is decided, by a plain value ([`answers`]).
//!
//! [`ClusterBuilder::seeds`]: crate::ClusterBuilder::seeds

mod answers;
#[cfg(feature = "dns")]
mod dns;
mod error;
mod file;
#[cfg(test)]
mod fixture;
mod search;
mod static_seeds;

use std::fmt;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

#[cfg(feature = "dns")]
pub use dns::{DnsSeeds, SrvSeeds};
pub use error::DiscoveryError;
pub use file::FileSeeds;
#[cfg(feature = "simulation")]
pub(crate) use file::seeds_of as seeds_of_file;
pub(crate) use search::{Addresses, Search};
pub use static_seeds::StaticSeeds;

/// The most addresses that one source may give.
pub const SEEDS_MAX: usize = 1024;

/// The longest address that a source may give, in bytes.
pub const SEED_BYTES_MAX: usize = 256;

/// The shortest and the longest time after which a source is asked again that has said when.
pub const LOOK_AGAIN_MIN: Duration = Duration::from_secs(1);
/// See [`LOOK_AGAIN_MIN`].
pub const LOOK_AGAIN_MAX: Duration = Duration::from_secs(60);

/// How long a source may take to answer. After that it has failed, and is asked again later.
pub const FIND_DEADLINE: Duration = Duration::from_secs(10);

/// A source of addresses where other nodes may be found.
///
/// # What an implementation promises
///
/// * The name is not empty and never changes.
/// * `find` gives what the source knows now, at most [`SEEDS_MAX`] addresses of at most
///   [`SEED_BYTES_MAX`] bytes, each `host:port`. It may give the node's own, and more than once.
/// * While nothing has changed, it gives the same addresses in the same order.
/// * A source that cannot tell gives an error that names the source and the remedy, rather than no
///   addresses: after an error the node goes on with what it knew, after an empty answer it does
///   not.
/// * Whoever looks again when the answer says, or when `changed` resolves, sees what has changed.
/// * The futures may be dropped at any time and `find` may run several times at once, and the next
///   one works.
///
/// `clustron-testkit` exports a suite that checks these.
///
/// # What the node does with it
///
/// It asks all its sources at the start and again as each says, within [`LOOK_AGAIN_MIN`] and
/// [`LOOK_AGAIN_MAX`], and gives each [`FIND_DEADLINE`]. One that fails is asked again after 200
/// ms, then after pauses that double up to 10 s. An answer that breaks the bounds counts as a
/// failure. No start waits for a source. A panic ends the node.
///
/// # Example
///
/// A registry that the service has anyway:
///
/// ```
/// use clustron_core::{Discovery, DiscoveryError, Found};
/// use futures::FutureExt;
/// use futures::future::BoxFuture;
/// use std::time::Duration;
///
/// #[derive(Debug)]
/// struct Registry {
///     url: String,
/// }
///
/// impl Registry {
///     async fn instances(&self) -> Result<Vec<String>, String> {
///         Ok(vec!["10.0.0.7:7000".to_owned()]) // one call to the registry
///     }
/// }
///
/// impl Discovery for Registry {
///     fn name(&self) -> String {
///         format!("registry {}", self.url)
///     }
///
///     fn find(&self) -> BoxFuture<'_, Result<Found, DiscoveryError>> {
///         async {
///             let found = self.instances().await.map_err(|reason| {
///                 DiscoveryError::new(self.name(), reason, "start the registry")
///             })?;
///             Ok(Found::new(found).again_in(Duration::from_secs(5)))
///         }
///         .boxed()
///     }
/// }
///
/// let registry = Registry { url: "http://registry:8080".to_owned() };
/// // Without a fixed list of seeds, say how many members found the cluster.
/// let node = clustron_core::Cluster::builder("shop").discovery(registry).expect(3);
/// ```
pub trait Discovery: Send + Sync + fmt::Debug + 'static {
    /// What people call the source: what it is, and where, such as `file /etc/shop/seeds`.
    fn name(&self) -> String;

    /// The addresses as far as the source knows now.
    fn find(&self) -> BoxFuture<'_, Result<Found, DiscoveryError>>;

    /// Resolves when `find` may give something else than it gave last, for sources that are told of
    /// changes. A change after that `find` began and before this call counts too. By default it
    /// never resolves, and only [`Found::again_in`] says when to look again.
    fn changed(&self) -> BoxFuture<'_, ()> {
        std::future::pending().boxed()
    }
}

/// What a source knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Each `host:port`; those to be tried first come first.
    pub addresses: Vec<String>,
    /// After how long to look again. `None`: when [`Discovery::changed`] says so, and else never.
    pub again_in: Option<Duration>,
}

impl Found {
    /// These addresses, until [`Discovery::changed`] says otherwise.
    pub fn new<S: Into<String>>(addresses: impl IntoIterator<Item = S>) -> Self {
        Self { addresses: addresses.into_iter().map(Into::into).collect(), again_in: None }
    }

    /// The same, to be looked for again after this time.
    #[must_use]
    pub fn again_in(self, again_in: Duration) -> Self {
        Self { again_in: Some(again_in), ..self }
    }

    /// Checks that there are not too many addresses and that each is one.
    ///
    /// # Errors
    /// The first thing that is wrong, as `origin`'s error.
    pub fn check(&self, origin: &str) -> Result<(), DiscoveryError> {
        let count = self.addresses.len();
        if count > SEEDS_MAX {
            let (reason, remedy) = (format!("it gives {count} addresses"), TOO_MANY);
            return Err(DiscoveryError::new(origin, reason, remedy));
        }
        for address in &self.addresses {
            check_address(address)
                .map_err(|reason| DiscoveryError::new(origin, reason, HOST_PORT))?;
        }
        Ok(())
    }
}

/// What to do about too many addresses.
const TOO_MANY: &str = "give at most 1024: a few nodes that tell of the others are enough";

/// What to do about an address that is none.
const HOST_PORT: &str = "give host:port, such as 10.0.0.7:7000 or [fd00::7]:7000";

/// Whether a text is `host:port`, or what is wrong with it.
fn check_address(address: &str) -> Result<(), String> {
    if address.len() > SEED_BYTES_MAX {
        let length = address.len();
        let start: String = address.chars().take(32).collect();
        return Err(format!("{start:?}... has {length} bytes, more than {SEED_BYTES_MAX}"));
    }
    let valid = address.rsplit_once(':').is_some_and(|(host, port)| {
        let number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        is_host(host) && number && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if valid { Ok(()) } else { Err(format!("{address:?} is no address")) }
}

/// A name or a number of a host. Colons stand only in brackets, so that it is clear where a port
/// begins.
fn is_host(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|inner| inner.contains(':')),
        None => Some(host).filter(|host| !host.contains(':')),
    };
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '[' | ']' | '/');
    bare.is_some_and(|bare| !bare.is_empty() && bare.chars().all(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port_and_nothing_else() {
        for good in ["a:1", "10.0.0.7:7000", "[fd00::7]:7000", "shop-0.shop.svc:65535", "höst:1"] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a",
            ":1",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a b:1",
            "a:1 b:1",
            "a\t:1",
            "::1:7000",
            "[]:1",
            "[a]:1",
            "[fd00::7:1",
            "fd00::7]:1",
            "http://a:1",
            "a:1\n",
        ] {
            assert!(check_address(bad).is_err(), "{bad:?}");
        }
        let long = format!("{}:1", "a".repeat(SEED_BYTES_MAX - 2));
        assert_eq!(check_address(&long), Ok(()));
        let error = check_address(&format!("a{long}")).unwrap_err();
        assert!(error.contains("has 257 bytes, more than 256") && error.len() < 100, "{error}");
    }

    #[test]
    fn an_answer_that_breaks_the_bounds_is_an_error_with_source_value_and_remedy() {
        let full = Found::new((0..SEEDS_MAX).map(|n| format!("a{n}:1")));
        assert_eq!(full.check("list"), Ok(()));
        let error = Found::new(vec!["a:1"; SEEDS_MAX + 1]).check("list").unwrap_err().to_string();
        assert!(error.contains("list: it gives 1025 addresses: give at most 1024"), "{error}");
        let error = Found::new(["a:1", "b"]).check("list").unwrap_err().to_string();
        assert!(error.contains("list: \"b\" is no address: give host:port"), "{error}");
    }
}
