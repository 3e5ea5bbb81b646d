//! What a host's name stands for.

use std::net::SocketAddr;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::super::{Discovery, DiscoveryError, Found, HOST_PORT, check_address};
use super::resolver::NameServers;

/// All addresses of a name, its A and AAAA records, with one port for all: such as a headless
/// service of Kubernetes or the instances behind a name of Consul.
///
/// The name is looked up again when the time to live of what was found has passed, but not sooner
/// than after 1 s and not later than after 60 s. While there is no such name, the servers fail or
/// nobody answers, the node goes on with the addresses that it knew. A name without a dot at its
/// end is also looked for in the system's search domains, unless the servers are
/// [given](Self::name_servers).
///
/// What is given are IP addresses. Who calls a node over TLS expects there a certificate with the
/// host that it calls, so with `TlsConfig` either all certificates have one name
/// (`TlsConfig::peer_name`), or each has its node's IP addresses (as `subjectAltName` of type IP).
///
/// ```
/// use clustron_core::{Cluster, DnsSeeds};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
///
/// let seeds = DnsSeeds::new("shop.default.svc.cluster.local.:7000")?;
/// let node = Cluster::builder("shop").discovery(seeds).expect(3);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsSeeds {
    host: String,
    port: u16,
    servers: NameServers,
}

impl DnsSeeds {
    /// The addresses of `host:port`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn new(address: &str) -> Result<Self, DiscoveryError> {
        let wrong = |reason| DiscoveryError::new("DNS", reason, HOST_PORT);
        check_address(address).map_err(wrong)?;
        let split = address.rsplit_once(':').and_then(|(host, port)| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Some((host.to_owned(), port.parse().ok()?))
        });
        let (host, port) = split.ok_or_else(|| wrong(format!("{address:?} is no address")))?;
        Ok(Self { host, port, servers: NameServers::default() })
    }

    /// Asks these name servers, in the place of those that the system is set to.
    #[must_use]
    pub fn name_servers(self, servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { servers: NameServers::these(servers), ..self }
    }
}

impl Discovery for DnsSeeds {
    fn name(&self) -> String {
        format!("DNS {}:{}", self.host, self.port)
    }

    fn find(&self) -> BoxFuture<'_, Result<Found, DiscoveryError>> {
        async {
            let resolver = self.servers.resolver(&self.name())?;
            let (addresses, holds) = resolver.addresses(&self.host).await?;
            let all = addresses.into_iter().map(|ip| SocketAddr::new(ip, self.port).to_string());
            Ok(Found::new(all).again_in(holds))
        }
        .boxed()
    }
}
