//! What failed in TLS, in words with a remedy.

use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error};

use crate::security::TlsConfig;
use crate::transport::greeting::denied;

/// What made a handshake fail. Certificates make it `PermissionDenied`.
pub(super) fn failure(error: io::Error, config: &TlsConfig) -> io::Error {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match cause {
        Some(cause @ Error::InvalidCertificate(_)) => denied(format!(
            "the peer's certificate is not accepted: {}",
            certificate(cause, config)
        )),
        Some(Error::NoCertificatesPresented) => denied(
            "the peer shows no certificate: give it one that the cluster's authority has issued",
        ),
        Some(Error::AlertReceived(alert)) => match told(*alert) {
            Some(why) => denied(format!(
                "the peer does not accept this node's certificate {}: {why}",
                config.certificate.display()
            )),
            None => denied(format!("the peer refused TLS with the alert {alert:?}")),
        },
        Some(cause) => io::Error::new(io::ErrorKind::InvalidData, format!("TLS failed: {cause}")),
        None => error,
    }
}

/// What is wrong with a certificate, and what to do.
pub(super) fn certificate(error: &Error, config: &TlsConfig) -> String {
    let Error::InvalidCertificate(error) = error else { return error.to_string() };
    let authority = config.authority.display();
    let remedy = match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "no authority in {authority} has issued it: issue it anew from one of them, with what is \
             between in the same file, or add its authority there on all nodes"
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "renew it; if it was not expired, set the machine's clock".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "wait, or set the machine's clock".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "issue it with that name (subjectAltName), or correct `peer_name` or the address"
                .to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "issue it with both serverAuth and clientAuth (extendedKeyUsage), or without either"
                .to_owned()
        }
        _ => "issue another".to_owned(),
    };
    format!("{error}: {remedy}")
}

/// What the peer means, where it is about the certificate. It says little on purpose; its own log
/// has the rest.
fn told(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "the peer knows another authority; give all nodes certificates of the same one"
        }
        AlertDescription::CertificateExpired => "it is expired by the peer's clock; renew it",
        AlertDescription::CertificateRequired => "none was shown; give this node one",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => {
            "its name, its uses or its dates are not what the peer wants; the peer's log says which"
        }
        _ => return None,
    })
}
