use clustron_wal::{Disk, SimDisk};
use openraft::storage::RaftLogStorage;

use super::super::log_store::Log;
use super::super::survivor::fixture::{lay_out, started};
use super::*;
use crate::chance::Chance;
use crate::identity::{ClusterName, Role};
use crate::local::Local;

/// What a start from this disk is refused with.
fn refused(disk: &SimDisk) -> String {
    LogDisk::open(started(disk), None).map(|_| ()).unwrap_err().to_string()
}

fn remove(disk: &SimDisk, is_gone: impl Fn(&str) -> bool) {
    for name in disk.list().unwrap().into_iter().filter(|name| is_gone(name)) {
        disk.remove(&name).unwrap();
    }
}

#[test]
fn a_log_whose_files_are_gone_is_not_taken_for_one_that_never_was() {
    let disk = SimDisk::new(1);
    lay_out(&disk, Role::Member);
    remove(&disk, |name| name.starts_with(LOG_PREFIX));
    let text = refused(&disk);
    assert!(text.contains("its files are missing") && text.contains("away"), "{text}");
}

#[test]
fn a_vote_that_is_gone_is_not_taken_for_none() {
    let disk = SimDisk::new(1);
    lay_out(&disk, Role::Member);
    remove(&disk, |name| name == VOTE);
    let text = refused(&disk);
    assert!(text.contains("vote is damaged: it is missing"), "{text}");
}

#[test]
fn a_log_that_is_bound_and_empty_can_be_opened_wherever_the_first_vote_was_cut_off() {
    let cluster = crate::ClusterId::mint(&Chance::seeded(7));
    let local = || {
        let local = Local::of_test(ClusterName::new("orders").unwrap());
        local.adopt_cluster(cluster);
        Arc::new(local)
    };
    let vote = Vote::new(1, NodeId(1));
    let steps = {
        let disk = SimDisk::new(1);
        let (log, _) = LogDisk::open(started(&disk), Some(local())).unwrap();
        let before = disk.operations();
        log.save_vote(&vote).unwrap();
        disk.operations() - before
    };
    for step in 0..=steps {
        let disk = SimDisk::new(step);
        let (log, _) = LogDisk::open(started(&disk), Some(local())).unwrap();
        disk.crash_after(step);
        let _ = log.save_vote(&vote);
        drop(log);
        disk.crash();
        let opened = LogDisk::open(started(&disk), Some(local()));
        assert!(opened.is_ok(), "cut off at step {step}: {}", opened.err().unwrap());
    }
}

#[tokio::test]
async fn a_leader_that_starts_again_has_voted_for_itself_and_leads_no_more() {
    let disk = SimDisk::new(1);
    let (me, _) = lay_out(&disk, Role::Member);
    let vote_of = |node: NodeId| {
        let data = started(&disk);
        let (log, _) = LogDisk::open(data.clone(), None).unwrap();
        log.save_vote(&Vote::new_committed(6, node)).unwrap();
        drop((log, data));
        let data = started(&disk);
        let mut local = Local::of_test(ClusterName::new("orders").unwrap());
        local.id = data.identity().node;
        async move { Log::open(&data, &Arc::new(local)).await.unwrap().read_vote().await.unwrap() }
    };
    assert_eq!(vote_of(me).await, Some(Vote::new(6, me)));
    let other = NodeId(1);
    assert_eq!(vote_of(other).await, Some(Vote::new_committed(6, other)), "it follows that leader");
}

#[test]
fn what_a_node_began_to_write_before_it_was_given_up_does_not_come_to_its_successor() {
    let disk = SimDisk::new(1);
    let data = started(&disk);
    let (log, _) = LogDisk::open(data.clone(), None).unwrap();
    data.renounce(&Chance::seeded(9)).unwrap();
    let error = log.save_vote(&Vote::new(1, NodeId(1))).unwrap_err().to_string();
    assert!(error.contains("was given up"), "{error}");
    log.append(0, &[Bytes::from_static(b"an entry")]).unwrap_err();
    assert!(!data.holds(VOTE).unwrap());
}
