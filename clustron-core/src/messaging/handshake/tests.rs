mod golden;

use super::*;
use crate::chance::Chance;
use crate::identity::{Incarnation, NodeName, Role};
use std::collections::BTreeMap;

fn hello(name: &str, id: u64) -> Hello {
    Hello {
        cluster: ClusterName::new("orders").unwrap(),
        cluster_id: None,
        node: NodeInfo {
            id: NodeId(id),
            name: NodeName::new(name).unwrap(),
            incarnation: Incarnation(1),
            addr: format!("{name}:1"),
            roles: BTreeSet::from([Role::Member]),
            tags: BTreeMap::new(),
            revision: 0,
            starts: 1,
            process: 0,
        },
        modules: BTreeSet::from(["scheduler".to_owned()]),
        lane: Lane::Control,
        durable: false,
        expects: None,
        knows: None,
        pipeline: Fingerprint::default(),
        conversation: None,
    }
}

async fn shake(
    initiator: Hello,
    acceptor: Hello,
) -> (Result<Established, HandshakeError>, Result<Established, HandshakeError>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    tokio::join!(
        initiate(Box::new(near), &initiator, 1 << 20),
        accept(Box::new(far), |_| acceptor, |_, _| Ok(None), 1 << 20)
    )
}

async fn refusal(initiator: Hello, acceptor: Hello) -> Refusal {
    match shake(initiator, acceptor).await {
        (Err(HandshakeError::RefusedByPeer(told)), Err(HandshakeError::RefusedHere(why))) => {
            assert_eq!(told, why, "both sides know the same reason");
            why
        }
        (a, b) => panic!("not refused: {:?} {:?}", a.err(), b.err()),
    }
}

#[tokio::test]
async fn equal_nodes_accept_each_other() {
    let (a, b) = shake(hello("a", 1), hello("b", 2)).await;
    assert_eq!(a.unwrap().peer.node.id, NodeId(2));
    assert_eq!(b.unwrap().peer.node.id, NodeId(1));
}

#[tokio::test]
async fn another_cluster_name_is_refused_with_both_names() {
    let mut other = hello("a", 1);
    other.cluster = ClusterName::new("billing").unwrap();
    let text = refusal(other, hello("b", 2)).await.to_string();
    assert!(text.contains("\"orders\"") && text.contains("\"billing\""), "{text}");
}

#[tokio::test]
async fn another_cluster_id_is_refused_and_an_unknown_one_is_not() {
    let mut a = hello("a", 1);
    let mut b = hello("b", 2);
    a.cluster_id = Some(ClusterId::mint(&Chance::from_os()));
    assert!(shake(a.clone(), b.clone()).await.0.is_ok());
    b.cluster_id = Some(ClusterId::mint(&Chance::from_os()));
    let text = refusal(a.clone(), b.clone()).await.to_string();
    for id in [a.cluster_id.unwrap(), b.cluster_id.unwrap()] {
        assert!(text.contains(&id.to_string()), "{text}");
    }
}

fn with(name: &str, id: u64, role: Role, modules: &[&str]) -> Hello {
    let mut hello = hello(name, id);
    hello.node.roles = BTreeSet::from([role]);
    hello.modules = modules.iter().map(|module| (*module).to_owned()).collect();
    hello
}

#[tokio::test]
async fn members_with_other_modules_are_refused_with_the_differences() {
    let a = with("a", 1, Role::Member, &["cache", "scheduler"]);
    let b = with("b", 2, Role::Member, &["pubsub", "scheduler"]);
    let text = refusal(a, b).await.to_string();
    for part in
        ["at b:1) runs [\"pubsub\"]", "at a:1) runs [\"cache\"]", "members must run the same"]
    {
        assert!(text.contains(part), "{text}");
    }
    let fewer = with("a", 1, Role::Member, &[]);
    assert!(matches!(refusal(fewer, hello("b", 2)).await, Refusal::OtherModules { .. }));
}

#[tokio::test]
async fn who_is_no_member_may_run_fewer_modules_than_members_and_never_others() {
    let custom = Role::Custom("edge".to_owned());
    for role in [Role::Client, Role::Observer, Role::MetricsCollector, custom] {
        let member = || with("m", 9, Role::Member, &["cache", "scheduler"]);
        for few in [&[][..], &["cache"], &["cache", "scheduler"]] {
            let node = with("n", 1, role.clone(), few);
            assert!(shake(node.clone(), member()).await.0.is_ok(), "{role} with {few:?}");
            assert!(shake(member(), node).await.0.is_ok(), "{role} with {few:?}");
        }
        let node = with("n", 1, role.clone(), &["cache", "pubsub"]);
        for text in [
            refusal(node.clone(), member()).await.to_string(),
            refusal(member(), node.clone()).await.to_string(),
        ] {
            assert!(text.contains("at n:1) runs [\"pubsub\"]"), "{text}");
        }
        // Only the members say what there is.
        assert!(shake(node, with("o", 2, Role::Client, &["scheduler"])).await.0.is_ok());
    }
}

#[tokio::test]
async fn members_on_disk_and_in_memory_are_refused_and_a_client_in_memory_is_not() {
    let durable = Hello { durable: true, ..hello("a", 1) };
    for (a, b) in [(durable.clone(), hello("b", 2)), (hello("b", 2), durable.clone())] {
        let text = refusal(a, b).await.to_string();
        assert!(text.starts_with("a (0000000000000001 at a:1) keeps its state on disk"), "{text}");
        assert!(text.contains("give all members a data directory, or none"), "{text}");
    }
    let client = with("c", 3, Role::Client, &["scheduler"]);
    assert!(shake(client, durable).await.0.is_ok());
}

#[tokio::test]
async fn a_node_whose_state_is_an_old_copy_is_refused_by_whoever_knows_better() {
    let old = hello("a", 1);
    let mut knows = hello("b", 2);
    knows.knows = Some(Process { starts: 3, number: 9 });
    for (a, b) in [(old.clone(), knows.clone()), (knows.clone(), old.clone())] {
        let text = refusal(a, b).await.to_string();
        assert!(text.contains("start number 1") && text.contains("start number 3"), "{text}");
    }
    let mut newer = old;
    newer.node.starts = 3;
    assert!(matches!(refusal(newer.clone(), knows.clone()).await, Refusal::OldState { .. }));
    newer.node.process = 9;
    assert!(shake(newer.clone(), knows.clone()).await.0.is_ok());
    (newer.node.starts, newer.node.process) = (4, 10);
    assert!(shake(newer, knows).await.0.is_ok());
}

#[tokio::test]
async fn a_new_identity_at_an_old_address_is_told_apart() {
    let mut a = hello("a", 1);
    a.expects = Some(NodeId(77));
    let why = refusal(a, hello("b", 2)).await;
    assert!(matches!(why, Refusal::OtherNode { expected: NodeId(77), .. }));
}

#[tokio::test]
async fn a_node_that_meets_itself_says_so() {
    let why = refusal(hello("a", 1), hello("a", 1)).await;
    assert!(matches!(why, Refusal::Itself { .. }));
}

/// What a node without security makes of a connection that it does not take.
async fn refuse(far: tokio::io::DuplexStream) -> HandshakeError {
    let admit = |_: &Hello, _: &Hello| Ok(None);
    accept(Box::new(far), |_| hello("b", 2), admit, 1 << 20).await.err().unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_expects_security_where_there_is_none_is_told_so_and_the_log_says_what_to_do() {
    for (first, remedy) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], "certificates (`tls`)"),
        (b"CLUSKEY\x01 and a first message", "the cluster key (`cluster_key`)"),
    ] {
        let (mut near, far) = tokio::io::duplex(1 << 10);
        near.write_all(first).await.unwrap();
        let error = refuse(far).await;
        assert!(matches!(&error, HandshakeError::Unproven(why) if why.contains(remedy)), "{error}");
        let mut told = Vec::new();
        near.read_to_end(&mut told).await.unwrap();
        assert_eq!(told, b"CLUSTRN\x07");
    }
}

#[tokio::test]
async fn who_has_no_security_and_calls_somebody_who_has_learns_which() {
    for (answer, remedy) in
        [(b"CLUSSEC\x01", "certificates (`tls`)"), (b"CLUSSEC\x02", "(`cluster_key`)")]
    {
        let (near, mut far) = tokio::io::duplex(1 << 10);
        far.write_all(answer).await.unwrap();
        let error = initiate(Box::new(near), &hello("a", 1), 1 << 20).await.err().unwrap();
        assert!(matches!(&error, HandshakeError::Unproven(why) if why.contains(remedy)), "{error}");
    }
}

#[tokio::test]
async fn another_version_learns_ours_and_garbage_learns_nothing() {
    let (mut near, far) = tokio::io::duplex(1 << 10);
    near.write_all(b"CLUSTRN\x09").await.unwrap();
    let error = refuse(far).await;
    assert!(matches!(error, HandshakeError::Version { ours: 7, theirs: 9 }), "{error}");
    let mut told = Vec::new();
    near.read_to_end(&mut told).await.unwrap();
    assert_eq!(told, b"CLUSTRN\x07");

    let (mut near, far) = tokio::io::duplex(1 << 10);
    near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let error = refuse(far).await;
    assert!(matches!(error, HandshakeError::NotClustron(_)), "{error}");
    let mut told = Vec::new();
    near.read_to_end(&mut told).await.unwrap();
    assert!(told.is_empty());
}

#[tokio::test]
async fn a_conversation_without_layers_and_layers_without_one_are_refused() {
    let mut talks = hello("a", 1);
    talks.conversation = Some(Opening { number: 1, resumes: false });
    let text = refusal(talks, hello("b", 2)).await.to_string();
    assert!(text.contains("conversation"), "{text}");
    let layers = [crate::pipeline::LayerConfig::new("compress")];
    let plan = crate::pipeline::Registry::default().plan(&layers, 1 << 20).unwrap();
    let silent = |name, id| Hello { pipeline: plan.fingerprint().clone(), ..hello(name, id) };
    let text = refusal(silent("a", 1), silent("b", 2)).await.to_string();
    assert!(text.contains("conversation"), "{text}");
}
