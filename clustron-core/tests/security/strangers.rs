//! How little somebody learns who does not belong here.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use clustron_core::{
    ClusterId, ClusterKey, ClusterName, KeyRing, KeyTransport, NodeId, NodeInfo, TlsTransport,
    Transport, codec,
};
use futures::future::join_all;
use tokio::net::TcpStream;

use crate::certificates::Authority;
use crate::world::{NAME, Wiretap, World};

/// What a node without security says first: the preamble, and a correct hello.
fn hello(world: &World) -> Vec<u8> {
    let node = NodeInfo { id: NodeId(4711), ..world.nodes[0].0.node() };
    let cluster = ClusterName::new(NAME).unwrap();
    let (id, modules): (Option<ClusterId>, BTreeSet<String>) = (None, BTreeSet::new());
    let (layers, conversation) = (Vec::<(String, String)>::new(), None::<(u32, bool)>);
    let rest = (1u32, false, None::<NodeId>, None::<(u64, u64)>, layers, conversation);
    let hello = codec::encode(&(cluster, id, &node, modules, rest)).unwrap();
    let length = u32::try_from(hello.len()).unwrap().to_be_bytes();
    let both = [length, crc32fast::hash(&hello).to_be_bytes()].concat();
    let head = [&both[..], &crc32fast::hash(&both).to_be_bytes()].concat();
    [b"CLUSTRN\x07", &head[..], &hello].concat()
}

/// The hello is right: a cluster without security welcomes whoever says it, and tells its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_security_a_stranger_who_knows_the_name_is_let_in() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new(|_, builder| builder).await;
    let mut stream = TcpStream::connect(world.addrs[0]).await.unwrap();
    stream.write_all(&hello(&world)).await.unwrap();
    let mut heard = vec![0; 60];
    crate::world::within("the welcome", stream.read_exact(&mut heard)).await.unwrap();
    assert!(heard.windows(NAME.len()).any(|window| window == NAME.as_bytes()));
}

/// What is no connection of this cluster, and the most bytes that a node answers to it.
fn nonsense(world: &World) -> Vec<(&'static str, Vec<u8>, usize)> {
    let noise: Vec<u8> =
        (0..100_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let client_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let key = |rest: &[u8]| [b"CLUSKEY\x01", rest].concat();
    vec![
        ("a hello without security", hello(world), 8),
        ("nothing but the preamble", b"CLUSTRN\x07".to_vec(), 8),
        ("noise", noise.clone(), 0),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), 0),
        ("too little", b"CLU".to_vec(), 0),
        ("nothing", vec![], 0),
        ("half a TLS hello", client_hello.to_vec(), 8),
        ("a TLS hello that is none", [client_hello, &noise[..]].concat(), 8),
        ("half a key handshake", key(&[7; 20]), 8),
        ("a key handshake that is none", key(&[7; 48]), 8),
        ("a key handshake with more behind it", key(&noise), 8),
    ]
}

async fn all_kinds_learn_nothing(world: &World) {
    let kinds = nonsense(world);
    let asking = kinds.iter().map(|(what, bytes, most)| async move {
        let heard = world.answer(0, bytes).await;
        assert!(heard.len() <= *most, "{what} was answered with {} bytes", heard.len());
        world.is_not_in(&heard);
    });
    join_all(asking).await;
    // More than may shake hands at once, all silent.
    let crowd = join_all((0..300).map(|_| TcpStream::connect(world.addrs[1]))).await;
    world.is_unharmed().await;
    drop(crowd);
    world.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_with_a_key_tells_a_stranger_eight_bytes_at_most() {
    let [ours, old] = ["ours", "old"].map(|name| ClusterKey::generate(name).unwrap());
    let ring = |key: &ClusterKey| KeyRing::new([key.clone()]).unwrap();
    let world = World::new(|_, builder| builder.cluster_key(ring(&ours))).await;
    all_kinds_learn_nothing(&world).await;
    // Somebody who speaks the protocol, with a key that was taken out.
    let wiretap = Wiretap::default();
    let stranger = KeyTransport::new(wiretap.clone(), ring(&old)).unwrap();
    let error = stranger.connect(&world.addrs[2].to_string()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("ring"), "{error}");
    let heard = wiretap.heard();
    assert_eq!(heard.len(), 8);
    world.is_not_in(&heard);
    // Somebody who has the key is let in: the wiretap hears no more than sealed bytes.
    let wiretap = Wiretap::default();
    let friend = KeyTransport::new(wiretap.clone(), ring(&ours)).unwrap();
    let mut stream = friend.connect(&world.addrs[2].to_string()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &hello(&world)).await.unwrap();
    tokio::io::AsyncWriteExt::flush(&mut stream).await.unwrap();
    let mut welcome = vec![0; 60];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut welcome).await.unwrap();
    assert!(welcome.windows(NAME.len()).any(|window| window == NAME.as_bytes()));
    world.is_not_in(&wiretap.heard());
    world.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_with_certificates_tells_a_stranger_nothing_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, foreign) = (Authority::new(), Authority::new());
    let issue = |authority: &Authority, node: &str| {
        authority.issue(folder.path(), node, &["shop.internal"]).peer_name("shop.internal")
    };
    let world = World::new(|at, builder| builder.tls(issue(&ours, &format!("node-{at}")))).await;
    all_kinds_learn_nothing(&world).await;
    // Of another authority; the second one takes the cluster's for its own, so that it goes on as
    // far as the cluster lets it.
    for trusts in [foreign.pem(), ours.pem() + &foreign.pem()] {
        let config = issue(&foreign, "foreign");
        std::fs::write(&config.authority, trusts).unwrap();
        let wiretap = Wiretap::default();
        let stranger = TlsTransport::new(wiretap.clone(), config).unwrap();
        let error = stranger.connect(&world.addrs[2].to_string()).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        let heard = wiretap.heard();
        assert!(heard.len() <= 2048, "{} bytes", heard.len());
        world.is_not_in(&heard);
    }
    let keyed = KeyRing::new([ClusterKey::generate("k").unwrap()]).unwrap();
    let stranger = KeyTransport::new(Wiretap::default(), keyed).unwrap();
    let error = stranger.connect(&world.addrs[2].to_string()).await.err().unwrap();
    assert!(error.to_string().contains("the peer uses TLS"), "{error}");
    world.is_unharmed().await;
}
