//! Makes what TLS needs from the files, and checks it before anybody is shown it.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::{Resumption, verify_server_name};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{
    NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier,
};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use zeroize::Zeroizing;

use super::ALPN;
use super::explain;
use super::names::{Named, peer_name};
use crate::security::{Content, SecurityError, TlsConfig, read};

const CERTIFICATE: &str = "the certificate";
const KEY: &str = "the private key";
const AUTHORITY: &str = "the authority's certificate";

/// Certificates in one file. A chain has a few; a file of authorities may have some dozens.
const CERTIFICATES_MAX: usize = 256;

/// What connections are opened with.
pub(super) struct Material {
    pub(super) connector: TlsConnector,
    pub(super) acceptor: TlsAcceptor,
}

/// What the files hold: certificate, key, authority.
pub(super) fn contents(config: &TlsConfig) -> Vec<Content> {
    vec![
        read(CERTIFICATE, &config.certificate),
        read(KEY, &config.key),
        read(AUTHORITY, &config.authority),
    ]
}

/// Makes it from those contents.
pub(super) fn material(
    config: &TlsConfig,
    contents: Vec<Content>,
) -> Result<Material, SecurityError> {
    let contents = contents.into_iter().collect::<Result<Vec<_>, _>>()?;
    let [certificate, key, authority] = <[Zeroizing<Vec<u8>>; 3]>::try_from(contents)
        .map_err(|_| unusable(CERTIFICATE, &config.certificate, "a file is missing".to_owned()))?;
    let chain = certificates(CERTIFICATE, &config.certificate, &certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| {
        let reason = "it holds no private key in PEM (PKCS#8, PKCS#1 or SEC1): name the file that \
                      belongs to the certificate";
        unusable(KEY, &config.key, reason.to_owned())
    })?;
    let provider = Arc::new(default_provider());
    let (roots, verifier) = authorities(config, &authority, &provider)?;
    let name = peer_name(config)?;
    check_own(config, &chain, &*verifier, name.as_ref())?;
    let verifier: Arc<dyn ClientCertVerifier> = match name {
        Some(name) => Arc::new(Named { verifier, name }),
        None => verifier,
    };
    let unfit = |error: rustls::Error| {
        let reason =
            format!("{error}: name the file that belongs to {}", config.certificate.display());
        unusable(KEY, &config.key, reason)
    };
    let mut client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .map_err(unfit)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.clone(), key.clone_key())
        .map_err(unfit)?;
    client.resumption = Resumption::disabled();
    client.alpn_protocols = vec![ALPN.to_vec()];
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(unfit)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(unfit)?;
    server.send_tls13_tickets = 0;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Material {
        connector: TlsConnector::from(Arc::new(client)),
        acceptor: TlsAcceptor::from(Arc::new(server)),
    })
}

fn authorities(
    config: &TlsConfig,
    pem: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<(Arc<RootCertStore>, Arc<dyn ClientCertVerifier>), SecurityError> {
    let bad = |reason: String| unusable(AUTHORITY, &config.authority, reason);
    let mut roots = RootCertStore::empty();
    for certificate in certificates(AUTHORITY, &config.authority, pem)? {
        let added = roots.add(certificate);
        added.map_err(|error| {
            bad(format!("{error}: name a file with certificates of authorities"))
        })?;
    }
    let roots = Arc::new(roots);
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
    Ok((roots, verifier.map_err(|error| bad(error.to_string()))?))
}

/// What others will say about the node's own certificate, it is better told at once and here.
fn check_own(
    config: &TlsConfig,
    chain: &[CertificateDer<'static>],
    verifier: &dyn ClientCertVerifier,
    name: Option<&ServerName<'static>>,
) -> Result<(), SecurityError> {
    let checked = chain.split_first().map_or(Ok(()), |(own, between)| {
        verifier.verify_client_cert(own, between, UnixTime::now())?;
        name.map_or(Ok(()), |name| verify_server_name(&ParsedCertificate::try_from(own)?, name))
    });
    checked.map_err(|error| {
        unusable(CERTIFICATE, &config.certificate, explain::certificate(&error, config))
    })
}

fn certificates(
    what: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(pem).take(CERTIFICATES_MAX + 1).collect();
    match found {
        Ok(found) if (1..=CERTIFICATES_MAX).contains(&found.len()) => Ok(found),
        Ok(found) if found.is_empty() => {
            Err(unusable(what, path, "it holds no certificate in PEM".to_owned()))
        }
        Ok(_) => {
            let reason = format!("it holds more than {CERTIFICATES_MAX} certificates");
            Err(unusable(what, path, reason))
        }
        Err(error) => Err(unusable(what, path, format!("it is no PEM: {error}"))),
    }
}

fn unusable(what: &'static str, path: &Path, reason: String) -> SecurityError {
    SecurityError::Unusable { what, path: path.to_owned(), reason }
}
