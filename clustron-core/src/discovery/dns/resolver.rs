//! Asks name servers.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;

use super::super::{DiscoveryError, SEEDS_MAX, TOO_MANY};

/// How long a name server may take to answer a question, and how often it is asked again.
const ANSWER_DEADLINE: Duration = Duration::from_secs(1);
const RETRIES: usize = 1;

/// Which name servers to ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NameServers {
    /// None: those that the system is set to.
    given: Vec<SocketAddr>,
}

/// Where a service record points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) host: String,
    pub(super) port: u16,
}

impl NameServers {
    pub(super) fn these(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { given: servers.into_iter().collect() }
    }

    /// Whether they were given, so that nobody else may know what they know.
    pub(super) fn are_given(&self) -> bool {
        !self.given.is_empty()
    }

    /// A resolver for one look. A new one each time, so that it follows when the system's settings
    /// change, and no answer is older than the look. Its tasks end with it.
    pub(super) fn resolver(&self, origin: &str) -> Result<Resolver, DiscoveryError> {
        let builder = if self.given.is_empty() {
            TokioResolver::builder_tokio()
        } else {
            let servers = self.given.iter().map(name_server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            let provider = TokioRuntimeProvider::default();
            let mut builder = TokioResolver::builder_with_config(config, provider);
            let options = builder.options_mut();
            (options.timeout, options.attempts) = (ANSWER_DEADLINE, RETRIES);
            Ok(builder)
        };
        let built = builder.and_then(|mut builder| {
            let options = builder.options_mut();
            options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
            options.cache_size = 0;
            builder.build()
        });
        match built {
            Ok(resolver) => Ok(Resolver { resolver, origin: origin.to_owned() }),
            Err(error) => {
                let reason = format!("no name server can be asked: {error}");
                let remedy = "mend the system's resolv.conf, or name the servers to ask";
                Err(DiscoveryError::new(origin, reason, remedy))
            }
        }
    }
}

fn name_server(addr: &SocketAddr) -> NameServerConfig {
    let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    connections.iter_mut().for_each(|connection| connection.port = addr.port());
    // Where one server does not know a name, another may.
    NameServerConfig::new(addr.ip(), false, connections.into())
}

/// Asks on behalf of one source.
pub(super) struct Resolver {
    resolver: TokioResolver,
    origin: String,
}

impl Resolver {
    /// All addresses of a host, sorted, since name servers shuffle them; and for how long that
    /// holds.
    pub(super) async fn addresses(
        &self,
        host: &str,
    ) -> Result<(Vec<IpAddr>, Duration), DiscoveryError> {
        let found = self.resolver.lookup_ip(host).await.map_err(|e| self.failed(host, &e))?;
        let mut addresses: Vec<IpAddr> = found.iter().collect();
        addresses.sort_unstable();
        addresses.dedup();
        self.check_count(addresses.len())?;
        Ok((addresses, remaining(found.valid_until())))
    }

    /// Where a service's records point, those that are to be tried first in front; and for how long
    /// that holds.
    pub(super) async fn targets(
        &self,
        service: &str,
    ) -> Result<(Vec<Target>, Duration), DiscoveryError> {
        let found =
            self.resolver.srv_lookup(service).await.map_err(|e| self.failed(service, &e))?;
        let records = found.answers().iter().filter_map(|record| match &record.data {
            // The root as target says that there is no such service (RFC 2782).
            RData::SRV(srv) if !srv.target.is_root() => Some(Target {
                priority: srv.priority,
                weight: srv.weight,
                host: srv.target.to_ascii(),
                port: srv.port,
            }),
            _ => None,
        });
        let mut targets: Vec<Target> = records.collect();
        targets.sort_unstable_by(|a, b| {
            let order = a.priority.cmp(&b.priority).then(b.weight.cmp(&a.weight));
            order.then_with(|| (&a.host, a.port).cmp(&(&b.host, b.port)))
        });
        self.check_count(targets.len())?;
        if targets.is_empty() {
            let reason = format!("{service} points to no host");
            return Err(DiscoveryError::new(&self.origin, reason, REMEDY));
        }
        Ok((targets, remaining(found.valid_until())))
    }

    fn check_count(&self, count: usize) -> Result<(), DiscoveryError> {
        if count <= SEEDS_MAX {
            return Ok(());
        }
        let reason = format!("it gives {count} addresses");
        Err(DiscoveryError::new(&self.origin, reason, TOO_MANY))
    }

    fn failed(&self, asked: &str, error: &NetError) -> DiscoveryError {
        let reason = if error.is_nx_domain() {
            format!("there is no name {asked} (NXDOMAIN)")
        } else {
            format!("{asked} cannot be looked up: {error}")
        };
        DiscoveryError::new(&self.origin, reason, REMEDY)
    }
}

const REMEDY: &str = "see that the name servers know the name and can be reached";

fn remaining(valid_until: Instant) -> Duration {
    valid_until.saturating_duration_since(Instant::now())
}
