//! How the connections of a pair are secured, and the files that both processes read.

use std::path::{Path, PathBuf};

use clustron_core::{ClusterBuilder, ClusterKey, TlsConfig};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// How, and in which folder the files lie.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Secured {
    /// With the key of the cluster in this folder.
    #[arg(long)]
    key_in: Option<PathBuf>,
    /// With the certificates in this folder.
    #[arg(long, conflicts_with = "key_in")]
    certificates_in: Option<PathBuf>,
}

impl Secured {
    /// Makes a key in a folder.
    pub(super) fn by_key(folder: &Path) -> anyhow::Result<Self> {
        std::fs::write(key_file(folder), ClusterKey::generate("bench")?.to_line())?;
        Ok(Self { key_in: Some(folder.to_owned()), certificates_in: None })
    }

    /// Makes an authority and one certificate for both nodes in a folder.
    pub(super) fn by_certificates(folder: &Path) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(vec![])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        let certificate = params.signed_by(&key, &authority)?;
        let config = tls(folder);
        std::fs::write(config.certificate, certificate.pem())?;
        std::fs::write(config.key, key.serialize_pem())?;
        std::fs::write(config.authority, authority.pem())?;
        Ok(Self { key_in: None, certificates_in: Some(folder.to_owned()) })
    }

    /// The same for another process.
    pub(super) fn arguments(&self) -> Vec<String> {
        let files = [("--key-in", &self.key_in), ("--certificates-in", &self.certificates_in)];
        let said =
            files.into_iter().filter_map(|(name, folder)| folder.as_ref().map(|f| (name, f)));
        said.flat_map(|(name, folder)| [name.to_owned(), folder.display().to_string()]).collect()
    }

    /// Secures a node.
    pub(super) fn secure(&self, node: ClusterBuilder) -> ClusterBuilder {
        match (&self.key_in, &self.certificates_in) {
            (Some(folder), _) => node.cluster_key(key_file(folder)),
            (None, Some(folder)) => node.tls(tls(folder)),
            (None, None) => node,
        }
    }
}

fn key_file(folder: &Path) -> PathBuf {
    folder.join("cluster.key")
}

fn tls(folder: &Path) -> TlsConfig {
    let file = |name| folder.join(name);
    TlsConfig::new(file("certificate.pem"), file("key.pem"), file("authority.pem"))
}
