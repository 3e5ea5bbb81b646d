mod golden;

use super::*;
use crate::security::ClusterKey;
use crate::transport::MemoryNetwork;
use proptest::prelude::*;
use std::io::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn key(name: &str) -> ClusterKey {
    ClusterKey::generate(name).unwrap()
}

fn ring(keys: &[&ClusterKey]) -> KeyRing {
    KeyRing::new(keys.iter().map(|key| (*key).clone())).unwrap()
}

async fn shake(caller: &KeyRing, called: &KeyRing) -> [io::Result<stream::KeyStream>; 2] {
    let (near, far) = tokio::io::duplex(1 << 20);
    let initiating = handshake::initiate(Box::new(near), caller.calling());
    let accepting = handshake::accept(Box::new(far), called);
    let (near, far) = tokio::join!(initiating, accepting);
    [near, far]
}

async fn pair() -> [stream::KeyStream; 2] {
    let ring = ring(&[&key("k")]);
    shake(&ring, &ring).await.map(Result::unwrap)
}

#[tokio::test]
async fn any_key_of_the_ring_is_accepted_and_another_is_refused_by_both() {
    let (old, new, foreign) = (key("old"), key("new"), key("foreign"));
    for (caller, called, fits) in [
        (ring(&[&old]), ring(&[&old, &new]), true),
        (ring(&[&old, &new]), ring(&[&new, &old]), true),
        (ring(&[&new]), ring(&[&old]), false),
        (ring(&[&foreign, &old]), ring(&[&old, &new]), false),
    ] {
        let shaken = shake(&caller, &called).await;
        if fits {
            assert!(shaken.iter().all(Result::is_ok));
            continue;
        }
        for side in shaken {
            let error = side.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
            assert!(error.to_string().contains("ring"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_recorded_handshake_is_not_taken_again() {
    let ring = ring(&[&key("k")]);
    // Records what an initiator says: its first message, and its first record.
    let (near, mut wire) = tokio::io::duplex(1 << 10);
    let caller = tokio::spawn({
        let ring = ring.clone();
        async move { handshake::initiate(Box::new(near), ring.calling()).await.map(drop) }
    });
    let mut first = [0; 56];
    wire.read_exact(&mut first).await.unwrap();
    drop(wire);
    assert!(caller.await.unwrap().is_err());
    let (mut replayer, far) = tokio::io::duplex(1 << 10);
    let replaying = async {
        replayer.write_all(&first).await.unwrap();
        replayer.write_all(&[0, 16]).await.unwrap();
        replayer.write_all(&[7; 16]).await.unwrap();
        let mut heard = vec![];
        replayer.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard.len(), 56);
    };
    let accepting = async { handshake::accept(Box::new(far), &ring).await.map(drop) };
    let (accepted, ()) = tokio::join!(accepting, replaying);
    assert_eq!(accepted.unwrap_err().kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn the_end_is_told_and_a_cut_is_an_error() {
    let [mut near, mut far] = pair().await;
    near.write_all(b"all of it").await.unwrap();
    near.shutdown().await.unwrap();
    let mut heard = vec![];
    far.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"all of it");
    assert_eq!(near.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);

    let [mut near, mut far] = pair().await;
    near.write_all(b"not all of it").await.unwrap();
    near.flush().await.unwrap();
    drop(near);
    let mut heard = vec![];
    let error = far.read_to_end(&mut heard).await.unwrap_err();
    assert_eq!((error.kind(), &heard[..]), (ErrorKind::UnexpectedEof, &b"not all of it"[..]));
}

/// Both ends' machinery for records, without a stream.
fn records() -> [records::Records; 2] {
    let key = key("k");
    let params = || "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s".parse().unwrap();
    let mut near = snow::Builder::new(params()).psk(0, key.bytes()).unwrap();
    near = near.prologue(b"").unwrap();
    let mut near = near.build_initiator().unwrap();
    let mut far = snow::Builder::new(params()).psk(0, key.bytes()).unwrap();
    far = far.prologue(b"").unwrap();
    let mut far = far.build_responder().unwrap();
    let (mut message, mut nothing) = ([0; 48], []);
    near.write_message(&[], &mut message).unwrap();
    far.read_message(&message, &mut nothing).unwrap();
    far.write_message(&[], &mut message).unwrap();
    near.read_message(&message, &mut nothing).unwrap();
    [near, far].map(|noise| records::Records::new(noise).unwrap())
}

#[test]
fn a_connection_ends_before_a_number_is_used_twice() {
    let [near, far] = records();
    let (mut near, mut far) = (near.with_records_max(2), far);
    let mut out = vec![];
    for _ in 0..2 {
        out.clear();
        assert_eq!(near.seal(b"x", &mut out).unwrap(), 1);
        assert_eq!(far.open(&out[2..], &mut [0; records::RECORD_PAYLOAD_MAX]).unwrap(), 1);
    }
    let error = near.seal(b"x", &mut out).unwrap_err().to_string();
    assert!(error.contains("2 records") && error.contains("open another"), "{error}");
}

#[test]
fn a_record_that_was_changed_repeated_or_moved_is_refused() {
    let mut room = [0; records::RECORD_PAYLOAD_MAX];
    let [mut near, mut far] = records();
    let mut sealed: Vec<Vec<u8>> = vec![];
    for text in ["first", "second", "third"] {
        let mut out = vec![];
        near.seal(text.as_bytes(), &mut out).unwrap();
        sealed.push(out[2..].to_vec());
    }
    assert!(far.open(&sealed[1], &mut room).is_err(), "one was left out");
    assert_eq!(far.open(&sealed[0], &mut room).unwrap(), 5);
    assert!(far.open(&sealed[0], &mut room).is_err(), "it was repeated");
    sealed[1][3] ^= 1;
    assert!(far.open(&sealed[1], &mut room).is_err(), "it was changed");
}

#[test]
fn a_record_longer_or_shorter_than_can_be_is_refused_before_it_is_read() {
    for length in [0u16, 15, 16_401, u16::MAX] {
        assert!(records::record_bytes(length.to_be_bytes()).is_err(), "{length}");
    }
    for length in [16u16, 17, 16_400] {
        assert_eq!(records::record_bytes(length.to_be_bytes()).unwrap(), usize::from(length));
    }
}

#[tokio::test]
async fn a_changed_key_file_is_used_by_the_next_connection_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ring");
    let (old, new) = (key("old"), key("new"));
    std::fs::write(&path, old.to_line()).unwrap();
    let network = MemoryNetwork::new();
    let a = KeyTransport::new(network.host("a"), path.as_path()).unwrap();
    let b = KeyTransport::new(network.host("b"), ring(&[&new])).unwrap();
    let mut listener = a.listen("a:1").await.unwrap();
    let mut call = async || {
        let accepting = async { listener.accept().await.unwrap().open().await.map(drop) };
        let (called, _) = tokio::join!(b.connect("a:1"), accepting);
        called.map(drop)
    };
    assert_eq!(call().await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    std::fs::write(&path, format!("{}\n{}\n", old.to_line(), new.to_line())).unwrap();
    assert_eq!(a.reload(), Ok(true));
    call().await.unwrap();
    std::fs::write(&path, "nonsense").unwrap();
    assert!(a.reload().unwrap_err().to_string().contains("line 1"));
    assert_eq!(a.reload(), Ok(false), "it was told already");
    call().await.unwrap();
    std::fs::write(&path, old.to_line()).unwrap();
    assert_eq!(a.reload(), Ok(true));
    assert_eq!(call().await.unwrap_err().kind(), ErrorKind::PermissionDenied);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_never_panic_and_never_get_in(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        greeted: bool,
    ) {
        runtime().block_on(async {
            let ring = ring(&[&key("k")]);
            let said = if greeted { [&b"CLUSKEY\x01"[..], &bytes].concat() } else { bytes };
            for accepts in [true, false] {
                let (near, mut far) = tokio::io::duplex(1 << 12);
                far.write_all(&said).await.unwrap();
                far.shutdown().await.unwrap();
                let opened = match accepts {
                    true => handshake::accept(Box::new(near), &ring).await,
                    false => handshake::initiate(Box::new(near), ring.calling()).await,
                };
                prop_assert!(opened.is_err());
            }
            Ok(())
        })?;
    }

    #[test]
    fn arbitrary_records_never_panic(record in prop::collection::vec(any::<u8>(), 0..200)) {
        let [mut near, _] = records();
        prop_assert!(near.open(&record, &mut [0; records::RECORD_PAYLOAD_MAX]).is_err());
    }
}
