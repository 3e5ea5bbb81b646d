//! Where other nodes are looked for, beside the seeds.

use std::path::PathBuf;

use crate::field::literal;
use crate::rule::Broken;
use crate::tree::short;

const NAME_SERVERS: &str = "discovery.name_servers";

/// What the section `discovery` sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    pub(crate) files: Vec<PathBuf>,
    /// Each `host:port`.
    pub(crate) dns: Vec<String>,
    /// Names of SRV records.
    pub(crate) srv: Vec<String>,
    /// Asked in the place of those that the system is set to; each an IP address with a port. None:
    /// those of the system.
    pub(crate) name_servers: Vec<String>,
}

impl Sources {
    /// Whether there is no source of addresses.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.dns.is_empty() && self.srv.is_empty()
    }

    /// Whether what is set goes together.
    ///
    /// # Errors
    /// There are name servers, and nothing that they would be asked for.
    pub(crate) fn check(&self) -> Result<(), Broken> {
        if self.name_servers.is_empty() || !self.dns.is_empty() || !self.srv.is_empty() {
            return Ok(());
        }
        let servers: Vec<String> = self.name_servers.iter().map(|server| literal(server)).collect();
        let text = format!(
            "{NAME_SERVERS} is [{}]: there is nothing to ask them for: set dns or srv too, or leave \
             it out",
            short(&servers.join(", "))
        );
        Err(Broken { key: NAME_SERVERS, text, others: vec![] })
    }
}
