use clustron_core::NodeId;
use clustron_core::membership::configured_detector;
use clustron_core::membership::{DetectorKind, FailureDetector, MembershipConfig};

fn make(kind: DetectorKind) -> impl Fn(NodeId, u64) -> Box<dyn FailureDetector> {
    let config = MembershipConfig { detector: kind, ..MembershipConfig::default() };
    config.check().unwrap();
    move |id, seed| configured_detector(id, &config, seed)
}

#[test]
fn ping_pong_keeps_every_promise() {
    super::detector_conformance(make(DetectorKind::PingPong));
}

#[test]
fn heartbeat_keeps_every_promise() {
    super::detector_conformance(make(DetectorKind::Heartbeat));
}

#[test]
fn a_quorum_of_ping_pong_keeps_every_promise() {
    super::detector_conformance(make(DetectorKind::Quorum(Box::new(DetectorKind::PingPong))));
}

#[test]
fn a_quorum_of_heartbeat_keeps_every_promise() {
    super::detector_conformance(make(DetectorKind::Quorum(Box::new(DetectorKind::Heartbeat))));
}

#[test]
fn no_single_node_and_no_single_link_outvotes_a_quorum() {
    super::quorum_conformance(make(DetectorKind::Quorum(Box::new(DetectorKind::PingPong))));
    super::quorum_conformance(make(DetectorKind::Quorum(Box::new(DetectorKind::Heartbeat))));
}
