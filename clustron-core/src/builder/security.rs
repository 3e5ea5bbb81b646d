//! Who may speak with the node.

use super::ClusterBuilder;
use crate::security::{KeySource, Security, SecurityError, TlsConfig};

impl ClusterBuilder {
    /// Secures all connections with certificates; see [`TlsConfig`]. Needs the cargo feature `tls`.
    #[must_use]
    pub fn tls(mut self, config: TlsConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// Secures all connections with a key that all nodes share: a [`KeyRing`](crate::KeyRing), or a
    /// file with one. Only this keeps out who can reach the port, if there are no certificates.
    #[must_use]
    pub fn cluster_key(mut self, keys: impl Into<KeySource>) -> Self {
        self.cluster_key = Some(keys.into());
        self
    }

    /// What the settings and the calls to the builder come to.
    pub(super) fn security(&self) -> Result<Security, SecurityError> {
        let asked = [
            self.tls.clone().map(Security::Tls),
            self.cluster_key.clone().map(Security::Key),
            Some(self.config.security.clone()).filter(|security| *security != Security::None),
        ];
        let mut asked = asked.into_iter().flatten();
        let first = asked.next().unwrap_or_default();
        if asked.any(|other| other != first) {
            return Err(SecurityError::Both);
        }
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cluster, ClusterKey, Config, KeyRing, StartError};

    #[tokio::test]
    async fn what_cannot_be_had_is_refused_with_a_remedy_before_anything_starts() {
        let ring = || KeyRing::new([ClusterKey::generate("k").unwrap()]).unwrap();
        let tls = || TlsConfig::new("/none/certificate", "/none/key", "/none/authority");
        let builder = || Cluster::builder("orders");
        let config = Config { security: Security::Tls(tls()), ..Config::default() };
        for (builder, wanted) in [
            (builder().tls(tls()).cluster_key(ring()), "leave the other out"),
            (builder().config(config).cluster_key(ring()), "leave the other out"),
            (builder().cluster_key(std::path::Path::new("/none/ring")), "/none/ring"),
            #[cfg(feature = "tls")]
            (builder().tls(tls()), "/none/certificate"),
            #[cfg(not(feature = "tls"))]
            (builder().tls(tls()), "cargo feature `tls`"),
        ] {
            match builder.start().await {
                Err(error @ StartError::Security(_)) => {
                    assert!(error.to_string().contains(wanted), "{error}");
                }
                other => panic!("the start ended with {other:?}"),
            }
        }
    }

    #[test]
    fn the_same_key_may_be_set_twice() {
        let ring = KeyRing::new([ClusterKey::generate("k").unwrap()]).unwrap();
        let security = Security::Key(ring.clone().into());
        let config = Config { security: security.clone(), ..Config::default() };
        let builder = Cluster::builder("orders").config(config).cluster_key(ring);
        assert_eq!(builder.security(), Ok(security));
        assert_eq!(Cluster::builder("orders").security(), Ok(Security::None));
    }
}
