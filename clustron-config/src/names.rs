//! Sources that ask name servers, as far as this program has them: cargo feature `dns`.

use std::net::{IpAddr, SocketAddr};

#[cfg(feature = "dns")]
pub(crate) use with::{add, check_dns, check_srv};
#[cfg(not(feature = "dns"))]
pub(crate) use without::{add, check_dns, check_srv};

/// Where name servers listen.
const DNS_PORT: u16 = 53;

/// Checks an item of [`Sources::name_servers`](crate::sources::Sources::name_servers).
///
/// # Errors
/// What it must be, and what was meant where that is clear.
pub(crate) fn check_server(text: &str) -> Result<(), String> {
    if text.parse().is_ok_and(|addr: SocketAddr| addr.port() > 0) {
        return Ok(());
    }
    let meant = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT));
    let meant = meant.map_or_else(|_| String::new(), |addr| format!(": did you mean \"{addr}\"?"));
    Err(format!("must be an IP address and a port, such as 10.0.0.2:53{meant}"))
}

#[cfg(feature = "dns")]
mod with {
    use std::net::SocketAddr;

    use clustron_core::{ClusterBuilder, DnsSeeds, SrvSeeds};

    use crate::sources::Sources;

    /// Why reading a name once more cannot fail.
    const CHECKED: &str = "names are checked when they are read";

    /// Checks an item of [`Sources::dns`].
    ///
    /// # Errors
    /// What it must be.
    pub(crate) fn check_dns(name: &str) -> Result<(), String> {
        DnsSeeds::new(name).map(drop).map_err(|error| error.remedy)
    }

    /// Checks an item of [`Sources::srv`].
    ///
    /// # Errors
    /// What it must be.
    pub(crate) fn check_srv(name: &str) -> Result<(), String> {
        SrvSeeds::new(name).map(drop).map_err(|error| error.remedy)
    }

    /// Adds the sources to a node.
    ///
    /// # Panics
    /// With names that have not been checked.
    pub(crate) fn add(mut builder: ClusterBuilder, sources: &Sources) -> ClusterBuilder {
        let servers = sources.name_servers.iter().map(|server| server.parse().expect(CHECKED));
        let servers: Vec<SocketAddr> = servers.collect();
        for name in &sources.dns {
            let seeds = DnsSeeds::new(name).expect(CHECKED);
            builder = builder.discovery(seeds.name_servers(servers.clone()));
        }
        for name in &sources.srv {
            let seeds = SrvSeeds::new(name).expect(CHECKED);
            builder = builder.discovery(seeds.name_servers(servers.clone()));
        }
        builder
    }
}

#[cfg(not(feature = "dns"))]
mod without {
    use clustron_core::ClusterBuilder;

    use crate::sources::Sources;

    const NO_DNS: &str = "this program was built without DNS: enable the cargo feature `dns` of \
                          clustron-config, or use seeds or discovery.files";

    /// Refuses every item of [`Sources::dns`].
    ///
    /// # Errors
    /// Always.
    pub(crate) fn check_dns(_: &str) -> Result<(), String> {
        Err(NO_DNS.to_owned())
    }

    /// Refuses every item of [`Sources::srv`].
    ///
    /// # Errors
    /// Always.
    pub(crate) fn check_srv(_: &str) -> Result<(), String> {
        Err(NO_DNS.to_owned())
    }

    /// There is nothing to add.
    pub(crate) fn add(builder: ClusterBuilder, _: &Sources) -> ClusterBuilder {
        builder
    }
}
