//! An authority and its certificates, for tests.

use std::path::Path;

use clustron_core::TlsConfig;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Issues a certificate with these names to one node. Its files are written anew.
    pub(crate) fn issue(&self, folder: &Path, node: &str, names: &[&str]) -> TlsConfig {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap();
        let file = |kind: &str, content: String| {
            let path = folder.join(format!("{node}-{kind}.pem"));
            std::fs::write(&path, content).unwrap();
            path
        };
        TlsConfig::new(
            file("certificate", certificate.pem()),
            file("key", key.serialize_pem()),
            file("authority", self.pem()),
        )
    }
}
