mod golden;

use super::*;
use crate::MemoryNetwork;
use crate::Rejection;
use crate::cluster::Cluster;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_leader_lets_nothing_into_the_log_for_a_module_that_it_does_not_run() {
    let transport = MemoryNetwork::new().host("a");
    let cluster = Cluster::builder("orders").listen("a:1").transport(transport).start();
    let cluster = cluster.await.unwrap();
    cluster.wait_for_leader(SOON).await.expect("it leads alone");
    cluster.barrier(SOON).await.unwrap();
    let control = cluster.inner().control.clone();
    let before = control.raft.metrics().borrow().last_log_index;
    let unknown = Rejection::UnknownModule { module: "audit".to_owned() };
    let command = ModuleCommand { module: "audit".to_owned(), epoch: None, body: "x".into() };
    // Its own.
    let own = control.propose_module(command.clone(), SOON).await;
    assert!(matches!(own, Err(ProposeError::Rejected(why)) if why == unknown));
    // One that another node hands on.
    let (cluster_id, proposal) = (control.local.cluster_id().unwrap(), Proposal::Module(command));
    let handed = Propose { cluster: cluster_id, proposal, deadline_ms: 20_000 };
    let answer = control.clone().handle_propose(NodeId(4711), handed).await;
    assert!(matches!(answer, Proposed::Refused(why) if why == unknown));
    assert_eq!(control.raft.metrics().borrow().last_log_index, before, "the log is as it was");
}
