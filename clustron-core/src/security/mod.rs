//! Who may speak with a node: what can be set, and what is wrong with it.
//!
//! Without security whoever reaches the port can say the name of the cluster and is let in, like a
//! guest who knows what the party is called. With certificates ([`TlsConfig`]) or a cluster key
//! ([`KeyRing`]) each side proves who it is before either says a word of Clustron's own, and all
//! that follows is encrypted. The two ways are transports of their own around any other: see
//! [`KeyTransport`] and `TlsTransport`.

mod credentials;
mod file;
mod key;
mod ring;

use std::path::PathBuf;
use std::sync::Arc;

#[cfg(feature = "tls")]
use crate::transport::TlsTransport;
use crate::transport::{KeyTransport, Transport};

pub(crate) use credentials::{Reload, Secured};
#[cfg(feature = "tls")]
pub(crate) use file::{Content, read};
pub(crate) use file::{Watched, fingerprint_of};
pub use key::ClusterKey;
pub use ring::{CLUSTER_KEYS_MAX, KeyRing, KeySource};

/// How connections are secured. All nodes of a cluster need the same kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Security {
    /// Not at all: for networks that only the cluster's own machines can reach.
    #[default]
    None,
    /// With certificates that one authority has issued. Needs the cargo feature `tls`.
    Tls(TlsConfig),
    /// With a key that all nodes share, and no certificates.
    Key(KeySource),
}

/// Which certificates prove who is who. The files hold PEM and are looked at again every few
/// seconds: new connections use what they hold by then, so certificates are renewed while the
/// cluster runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The node's own certificate, followed by those between it and the authority. If the
    /// certificate restricts its uses (extendedKeyUsage), it needs both serverAuth and clientAuth:
    /// a node calls and is called.
    pub certificate: PathBuf,
    /// The certificate's private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// The authorities whose certificates are accepted. Anybody with a certificate of theirs is let
    /// in, so use one of the cluster's own.
    pub authority: PathBuf,
    /// `Some("orders.internal")`: every node's certificate has this name, whatever the node's
    /// address, and both sides check it. `None`: who calls checks that the other's certificate has
    /// the host that was called, name or IP address, and who is called checks the authority only,
    /// since callers have no name.
    pub peer_name: Option<String>,
}

impl TlsConfig {
    /// With these files, and each node's certificate made out to its host.
    pub fn new(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        authority: impl Into<PathBuf>,
    ) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
            authority: authority.into(),
            peer_name: None,
        }
    }

    /// With one name that is in every node's certificate.
    #[must_use]
    pub fn peer_name(mut self, name: impl Into<String>) -> Self {
        self.peer_name = Some(name.into());
        self
    }
}

/// Why security cannot be had as it is set. At a start nothing is left running; while a node runs,
/// it goes on with what it had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecurityError {
    /// Certificates and a cluster key were set together.
    #[error(
        "both `tls` and `cluster_key` are set: a cluster uses one of them, so leave the other out"
    )]
    Both,
    /// Certificates are set, and this program was built without them.
    #[error(
        "`tls` is set, but this program was built without it: enable the cargo feature `tls` of \
         clustron-core, or use `cluster_key`"
    )]
    NoTls,
    /// A file cannot be read.
    #[error("cannot read {what} {}: {reason}: correct the path, or the file's permissions", path.display())]
    Unreadable {
        /// What the file should hold.
        what: &'static str,
        /// Where it was sought.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A file holds something else than it should.
    #[error("{what} {} cannot be used: {reason}", path.display())]
    Unusable {
        /// What the file should hold.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it, and the remedy. Never a part of a key.
        reason: String,
    },
    /// A setting that is no file is wrong.
    #[error("{key} is {value}: {reason}")]
    Value {
        /// The setting.
        key: &'static str,
        /// What it is set to; of a key, only its name.
        value: String,
        /// What is wrong with it, and the remedy.
        reason: String,
    },
}

impl Security {
    /// Wraps what carries a node's bytes.
    pub(crate) fn secure(&self, transport: Arc<dyn Transport>) -> Result<Secured, SecurityError> {
        match self {
            Self::None => Ok(Secured::plain(transport)),
            Self::Key(source) => Ok(Secured::new(KeyTransport::new(transport, source.clone())?)),
            #[cfg(feature = "tls")]
            Self::Tls(config) => Ok(Secured::new(TlsTransport::new(transport, config.clone())?)),
            #[cfg(not(feature = "tls"))]
            Self::Tls(_) => Err(SecurityError::NoTls),
        }
    }
}
