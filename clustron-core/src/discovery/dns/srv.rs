//! Where a service's records point.

use std::net::SocketAddr;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use hickory_resolver::proto::rr::Name;

use super::super::{Discovery, DiscoveryError, Found, LOOK_AGAIN_MIN, SEEDS_MAX};
use super::resolver::{NameServers, Target};

/// Hosts that are looked up at the same time.
const LOOKUPS_AT_ONCE: usize = 16;

/// The hosts to which the SRV records of a name point (RFC 2782), each with its record's port.
///
/// A record of a lower priority, and among those one of a larger weight, comes first; nothing is
/// left to chance, since a node greets all of them anyway. For the rest see
/// [`DnsSeeds`](crate::DnsSeeds).
///
/// A host is given by its name, which the transport looks up at each connect, and which a
/// certificate can be made out to. Only where the [name servers](Self::name_servers) are given are
/// the hosts looked up with them, too, since nobody else may know the names: then what is given are
/// IP addresses, for which certificates need what [`DnsSeeds`](crate::DnsSeeds) says. There a host
/// that is not known is left out as long as there is another.
///
/// ```
/// use clustron_core::{Cluster, SrvSeeds};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
///
/// let seeds = SrvSeeds::new("_cluster._tcp.shop.default.svc.cluster.local.")?;
/// let node = Cluster::builder("shop").discovery(seeds).expect(3);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrvSeeds {
    service: String,
    servers: NameServers,
}

impl SrvSeeds {
    /// The records of this name, such as `_cluster._tcp.shop.example.`.
    ///
    /// # Errors
    /// When it is no name.
    pub fn new(service: &str) -> Result<Self, DiscoveryError> {
        let remedy = "give the name of SRV records, such as _cluster._tcp.shop.example.";
        let wrong = |why: String| {
            DiscoveryError::new("SRV", format!("{service:?} is no name: {why}"), remedy)
        };
        if service.is_empty() || service.contains(':') {
            return Err(wrong("it is empty or has a colon".to_owned()));
        }
        Name::from_utf8(service).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { service: service.to_owned(), servers: NameServers::default() })
    }

    /// Asks these name servers, in the place of those that the system is set to, for the hosts'
    /// addresses too.
    #[must_use]
    pub fn name_servers(self, servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { servers: NameServers::these(servers), ..self }
    }
}

impl Discovery for SrvSeeds {
    fn name(&self) -> String {
        format!("SRV {}", self.service)
    }

    fn find(&self) -> BoxFuture<'_, Result<Found, DiscoveryError>> {
        async {
            let resolver = self.servers.resolver(&self.name())?;
            let (targets, mut holds) = resolver.targets(&self.service).await?;
            if !self.servers.are_given() {
                return Ok(Found::new(named(&targets)).again_in(holds));
            }
            let lookups = targets.into_iter().map(|target| {
                let resolver = &resolver;
                async move { (target.port, resolver.addresses(&target.host).await) }
            });
            let mut lookups = stream::iter(lookups).buffered(LOOKUPS_AT_ONCE);
            let (mut all, mut failed) = (Found::new(Vec::<String>::new()), None);
            while let Some((port, looked_up)) = lookups.next().await {
                match looked_up {
                    Ok((addresses, holds_too)) => {
                        let addresses = addresses.into_iter();
                        let addresses = addresses.map(|ip| SocketAddr::new(ip, port).to_string());
                        all.addresses.extend(addresses);
                        holds = holds.min(holds_too);
                    }
                    Err(error) => failed = Some(error),
                }
                if all.addresses.len() > SEEDS_MAX {
                    break;
                }
            }
            match failed {
                Some(error) if all.addresses.is_empty() => Err(error),
                Some(error) => {
                    tracing::debug!(%error, "a host of a service is not known");
                    // It may be known soon.
                    Ok(all.again_in(LOOK_AGAIN_MIN))
                }
                None => Ok(all.again_in(holds)),
            }
        }
        .boxed()
    }
}

/// Each host by its name. The dot at the end, which says that a name is whole, is not a part of
/// what certificates have.
pub(super) fn named(targets: &[Target]) -> Vec<String> {
    let named = targets.iter();
    named.map(|target| format!("{}:{}", target.host.trim_end_matches('.'), target.port)).collect()
}
