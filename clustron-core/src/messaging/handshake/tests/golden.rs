//! The bytes of the handshake: nodes of two versions meet while a service is being updated.

use super::*;
use crate::golden;

/// Layers with and without settings that both ends share.
fn layers() -> Fingerprint {
    let layers = ["flow", "compress"].map(crate::pipeline::LayerConfig::new);
    crate::pipeline::Registry::default().plan(&layers, 1 << 20).unwrap().fingerprint().clone()
}

#[test]
fn the_bytes_of_the_handshake_are_frozen() {
    let mut table = golden::file("handshake.txt");
    table.add_bytes("preamble", &"version 7", &preamble());
    check_preamble(preamble()).unwrap();
    let plain = hello("a", 1);
    let knows = Some(Process { starts: 2, number: 300 });
    let told = Hello {
        cluster_id: Some(golden::cluster()),
        node: golden::node(),
        durable: true,
        knows,
        expects: Some(NodeId(3)),
        lane: Lane::Bulk,
        pipeline: layers(),
        conversation: Some(Opening { number: 300, resumes: true }),
        ..plain.clone()
    };
    table.add("hello", &plain);
    table.add("hello with everything", &told);
    table.add("hello for data", &Hello { lane: Lane::Data, ..plain.clone() });
    table.add("hello for modules", &Hello { lane: Lane::Modules, ..plain.clone() });
    table.add("hello to look", &Hello { lane: Lane::Look, ..plain.clone() });
    table.add("welcome", &Answer::Welcome(Box::new(plain)));
    let (text, id) = (str::to_owned, golden::cluster());
    let (acceptor, initiator) = (|| text("a"), || text("i"));
    for (name, refusal) in [
        (
            "other cluster",
            Refusal::OtherCluster {
                acceptor: acceptor(),
                acceptor_cluster: text("c"),
                initiator: initiator(),
                initiator_cluster: text("d"),
            },
        ),
        (
            "other cluster id",
            Refusal::OtherClusterId {
                acceptor: acceptor(),
                acceptor_id: id,
                initiator: initiator(),
                initiator_id: id,
            },
        ),
        (
            "other modules",
            Refusal::OtherModules {
                acceptor: acceptor(),
                acceptor_modules: BTreeSet::from([text("m")]),
                initiator: initiator(),
                initiator_modules: BTreeSet::new(),
            },
        ),
        ("other storage", Refusal::OtherStorage { durable: text("a"), volatile: text("b") }),
        ("old state", Refusal::OldState { node: text("a"), starts: 1, known: 3 }),
        (
            "other layers",
            Refusal::OtherLayers(Box::new(OtherLayers {
                lane: text("data"),
                difference: text("n"),
                acceptor: acceptor(),
                acceptor_layers: text("x"),
                initiator: initiator(),
                initiator_layers: text("y"),
            })),
        ),
        ("other node", Refusal::OtherNode { acceptor: acceptor(), expected: NodeId(7) }),
        ("description", Refusal::Description { reason: text("r") }),
        (
            "too many connections",
            Refusal::TooManyConnections { acceptor: acceptor(), setting: text("s"), most: 8 },
        ),
        ("itself", Refusal::Itself { acceptor: acceptor() }),
    ] {
        table.add(&format!("refused {name}"), &Answer::Refused(refusal));
    }
    table.check();
}
