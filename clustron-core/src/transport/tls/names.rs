//! Whose name a peer's certificate must have.

use std::io;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::security::{SecurityError, TlsConfig};

/// A DNS name or an IP address, with or without brackets.
pub(super) fn parse(name: &str) -> Option<ServerName<'static>> {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    ServerName::try_from(bare.to_owned()).ok()
}

impl TlsConfig {
    /// Checks that [`peer_name`](Self::peer_name) can be in a certificate, if it is set.
    ///
    /// # Errors
    /// [`SecurityError::Value`] if it cannot.
    pub fn check_peer_name(&self) -> Result<(), SecurityError> {
        peer_name(self).map(drop)
    }
}

/// The one name that all certificates should have, if there is one.
pub(super) fn peer_name(config: &TlsConfig) -> Result<Option<ServerName<'static>>, SecurityError> {
    let Some(name) = &config.peer_name else { return Ok(None) };
    let parsed = parse(name).ok_or_else(|| SecurityError::Value {
        key: "peer_name",
        value: format!("{name:?}"),
        reason: "it must be a DNS name, such as orders.internal, or an IP address".to_owned(),
    });
    parsed.map(Some)
}

/// The name that who calls an address expects there.
pub(super) fn expected(config: &TlsConfig, addr: &str) -> io::Result<ServerName<'static>> {
    let host = addr.rsplit_once(':').map_or(addr, |(host, _)| host);
    let name = config.peer_name.as_deref().unwrap_or(host);
    parse(name).ok_or_else(|| {
        let text = format!(
            "{name:?} can be in no certificate: reach the node by a DNS name or an IP address, or \
             set `peer_name`"
        );
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

/// Lets callers in whose certificate has a name, besides all else that is checked.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    pub(super) name: ServerName<'static>,
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verifier.verify_client_cert(end_entity, intermediates, now)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, &self.name)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address_is_expected_unless_one_name_is_set() {
        let mut config = TlsConfig::new("c", "k", "a");
        for (addr, host) in
            [("db-1.shop:7000", "db-1.shop"), ("10.0.0.7:1", "10.0.0.7"), ("[::1]:7", "::1")]
        {
            assert_eq!(expected(&config, addr).unwrap().to_str(), host);
        }
        let error = expected(&config, "a b:1").unwrap_err().to_string();
        assert!(error.contains("\"a b\"") && error.contains("peer_name"), "{error}");
        config.peer_name = Some("shop.internal".to_owned());
        assert_eq!(expected(&config, "10.0.0.7:1").unwrap().to_str(), "shop.internal");
    }
}
