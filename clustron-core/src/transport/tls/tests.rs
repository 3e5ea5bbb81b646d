use super::*;
use crate::transport::MemoryNetwork;
use std::io::ErrorKind;
use std::path::Path;

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes a certificate with these names, and gives where it is.
fn issue(
    folder: &Path,
    authority: &Authority,
    names: &[&str],
    change: impl FnOnce(&mut CertificateParams),
) -> TlsConfig {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let file = |name: &str, content: String| {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    TlsConfig::new(
        file("certificate.pem", certificate.pem()),
        file("key.pem", key.serialize_pem()),
        file("authority.pem", authority.pem()),
    )
}

/// What each side makes of a connection from `b` to `a`.
async fn shake(a: TlsConfig, b: TlsConfig) -> [io::Result<()>; 2] {
    let network = MemoryNetwork::new();
    let a = TlsTransport::new(network.host("a"), a).unwrap();
    let b = TlsTransport::new(network.host("b"), b).unwrap();
    call(&a, &b, "a:1").await
}

async fn call(a: &TlsTransport, b: &TlsTransport, addr: &str) -> [io::Result<()>; 2] {
    let mut listener = a.listen(addr).await.unwrap();
    let accepting = async { listener.accept().await?.open().await.map(drop) };
    let connecting = async { b.connect(addr).await.map(drop) };
    let (accepted, connected) = tokio::join!(accepting, connecting);
    [accepted, connected]
}

fn folders<const N: usize>() -> [tempfile::TempDir; N] {
    std::array::from_fn(|_| tempfile::tempdir().unwrap())
}

#[tokio::test]
async fn certificates_of_one_authority_let_each_other_in() {
    let (authority, [a, b]) = (authority(), folders());
    let [a, b] = [(a.path(), "a"), (b.path(), "b")]
        .map(|(folder, name)| issue(folder, &authority, &[name], |_| {}));
    for side in shake(a, b).await {
        side.unwrap();
    }
}

#[tokio::test]
async fn another_authority_another_name_or_another_use_is_refused_with_a_remedy() {
    let (ours, theirs) = (authority(), authority());
    let [fa, fb] = folders();
    let common = |folder: &Path, name: &str| {
        issue(folder, &ours, &[name, "shop.internal"], |_| {}).peer_name("shop.internal")
    };
    // A certificate of another authority, which this one takes for the cluster's.
    let mut foreign = issue(fb.path(), &theirs, &["b"], |_| {});
    let [accepted, connected] = shake(common(fa.path(), "a"), foreign.clone()).await;
    assert_eq!(connected.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert!(accepted.is_err());
    // It believes in the cluster's authority, and has no certificate of it.
    let both = fb.path().join("both.pem");
    std::fs::write(&both, ours.pem() + &theirs.pem()).unwrap();
    foreign.authority = both;
    foreign.peer_name = Some("shop.internal".to_owned());
    let bad = TlsTransport::new(MemoryNetwork::new().host("b"), foreign.clone()).unwrap_err();
    assert!(bad.to_string().contains("shop.internal"), "{bad}");
    foreign.peer_name = None;
    for side in shake(common(fa.path(), "a"), foreign).await {
        let error = side.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        assert!(error.to_string().contains("authority"), "{error}");
    }
    // Of the right authority, without the name that all have.
    let nameless = issue(fb.path(), &ours, &["b"], |_| {});
    let [accepted, connected] = shake(common(fa.path(), "a"), nameless).await;
    let error = accepted.unwrap_err().to_string();
    assert!(error.contains("shop.internal") && error.contains("subjectAltName"), "{error}");
    assert_eq!(connected.unwrap_err().kind(), ErrorKind::PermissionDenied);
    // The callee's certificate is not made out to the host that was called.
    let elsewhere = issue(fa.path(), &ours, &["z"], |_| {});
    let caller = issue(fb.path(), &ours, &["b"], |_| {});
    let [_, connected] = shake(elsewhere, caller).await;
    let error = connected.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("\"z\""), "{error}");
}

#[test]
fn bad_files_are_refused_at_once_with_path_and_remedy() {
    let (ours, theirs) = (authority(), authority());
    let refused = |config: TlsConfig, file: &str, remedy: &str| {
        let network = MemoryNetwork::new();
        let error = TlsTransport::new(network.host("a"), config).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains(remedy), "{error}");
        assert!(!error.contains("PRIVATE"), "{error}");
    };
    let [folder] = folders();
    let folder = folder.path();
    let good = || issue(folder, &ours, &["a"], |_| {});
    refused(TlsConfig { key: folder.join("none"), ..good() }, "none", "correct the path");
    refused(TlsConfig { key: good().certificate, ..good() }, "certificate.pem", "no private key");
    refused(TlsConfig { authority: good().key, ..good() }, "key.pem", "no certificate");
    let other = folder.join("other-key.pem");
    std::fs::write(&other, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    refused(TlsConfig { key: other, ..good() }, "other-key.pem", "belongs to");
    refused(good().peer_name("shop"), "certificate.pem", "subjectAltName");
    refused(good().peer_name("a b"), "peer_name", "must be a DNS name");
    let expired = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2001, 2, 1);
    };
    refused(issue(folder, &ours, &["a"], expired), "certificate.pem", "renew it");
    let future = |params: &mut CertificateParams| params.not_before = date_time_ymd(2900, 1, 1);
    refused(issue(folder, &ours, &["a"], future), "certificate.pem", "wait");
    let server_only = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    refused(issue(folder, &ours, &["a"], server_only), "certificate.pem", "clientAuth");
    let config = issue(folder, &theirs, &["a"], |_| {});
    std::fs::write(&config.authority, ours.pem()).unwrap();
    refused(config, "certificate.pem", "authority.pem");
}

#[tokio::test]
async fn renewed_files_are_used_by_the_next_connection_and_bad_ones_are_not() {
    let (old, new) = (authority(), authority());
    let [fa, fb] = folders();
    let network = MemoryNetwork::new();
    let of = |folder: &Path, authority, name| issue(folder, authority, &[name], |_| {});
    let ca = of(fa.path(), &old, "a");
    let a = TlsTransport::new(network.host("a"), ca.clone()).unwrap();
    let b = TlsTransport::new(network.host("b"), of(fb.path(), &old, "b")).unwrap();
    let fits = async |a: &TlsTransport, b: &TlsTransport| {
        call(a, b, "a:1").await.iter().all(Result::is_ok)
    };
    assert!(fits(&a, &b).await);
    assert_eq!(a.reload(), Ok(false));
    of(fa.path(), &new, "a");
    assert_eq!(a.reload(), Ok(true));
    assert!(!fits(&a, &b).await);
    of(fb.path(), &new, "b");
    assert_eq!(b.reload(), Ok(true));
    assert!(fits(&a, &b).await);
    // Half of a renewal: the key of another certificate.
    std::fs::write(&ca.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let error = a.reload().unwrap_err().to_string();
    assert!(error.contains("key.pem"), "{error}");
    assert_eq!(a.reload(), Ok(false), "it was told already");
    assert!(fits(&a, &b).await, "what was good is used on");
}

#[tokio::test]
async fn a_stream_that_is_cut_short_is_an_error_and_not_its_end() {
    let (authority, [fa, fb]) = (authority(), folders());
    let network = MemoryNetwork::new();
    let of = |folder: &tempfile::TempDir, name| issue(folder.path(), &authority, &[name], |_| {});
    let a = TlsTransport::new(network.host("a"), of(&fa, "a")).unwrap();
    let b = TlsTransport::new(network.host("b"), of(&fb, "b")).unwrap();
    let mut listener = a.listen("a:1").await.unwrap();
    let accepting = async { listener.accept().await.unwrap().open().await.unwrap() };
    let (mut far, near) = tokio::join!(accepting, b.connect("a:1"));
    let mut near = near.unwrap();
    near.write_all(b"not all of it").await.unwrap();
    near.flush().await.unwrap();
    drop(near);
    let mut heard = vec![];
    let error = far.read_to_end(&mut heard).await.unwrap_err();
    assert_eq!((error.kind(), &heard[..]), (ErrorKind::UnexpectedEof, &b"not all of it"[..]));
}

/// Somebody who speaks TLS well and has nothing to show: in TLS 1.3 such a one takes the handshake
/// for done before the other side has had its say.
#[tokio::test]
async fn who_shows_no_certificate_hears_nothing_inside() {
    use tokio_rustls::rustls::crypto::ring::default_provider;
    use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let (authority, [folder]) = (authority(), folders());
    let network = MemoryNetwork::new();
    let config = issue(folder.path(), &authority, &["a"], |_| {});
    let a = TlsTransport::new(network.host("a"), config).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let mut client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![ALPN.to_vec()];
    let mut listener = a.listen("a:1").await.unwrap();
    let accepting = async { listener.accept().await.unwrap().open().await.map(drop) };
    let asking = async {
        let stream = network.host("b").connect("a:1").await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
        let name = ServerName::try_from("a").unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        let mut heard = vec![];
        let error = stream.read_to_end(&mut heard).await.unwrap_err();
        assert!(error.to_string().contains("CertificateRequired"), "{error}");
        heard
    };
    let (accepted, heard) = tokio::join!(accepting, asking);
    assert_eq!(heard, b"");
    let error = accepted.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("no certificate"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_files_never_panic(files in prop::array::uniform3(any::<Vec<u8>>()), frame: bool) {
        let begin = b"-----BEGIN CERTIFICATE-----\n";
        let end = b"\n-----END CERTIFICATE-----\n";
        let files = files.map(|file| match frame {
            true => [&begin[..], &file, &end[..]].concat(),
            false => file,
        });
        let config = TlsConfig::new("certificate", "key", "authority");
        let contents = files.into_iter().map(|file| Ok(file.into())).collect();
        prop_assert!(load::material(&config, contents).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_get_in(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        record: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (authority, [folder]) = (authority(), folders());
            let config = issue(folder.path(), &authority, &["a"], |_| {});
            let host = MemoryNetwork::new().host("a");
            let shared = TlsTransport::new(host, config).unwrap().shared;
            let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            let said = match record {
                true => [&[0x16, 3, 1], &length[..], &bytes].concat(),
                false => bytes,
            };
            for accepts in [true, false] {
                let (near, mut far) = tokio::io::duplex(1 << 12);
                far.write_all(&said).await.unwrap();
                far.shutdown().await.unwrap();
                let opened = match accepts {
                    true => accept(&shared, Box::new(near)).await,
                    false => {
                        let name = ServerName::try_from("a").unwrap();
                        initiate(&shared, Box::new(near), name).await
                    }
                };
                prop_assert!(opened.is_err());
            }
            Ok(())
        })?;
    }
}
