use super::*;
use crate::golden;
use clustron_wal::SimDisk;

fn name(name: &str) -> ClusterName {
    ClusterName::new(name).unwrap()
}

fn open_as(disk: &SimDisk, cluster: &str, node: Option<&str>) -> Result<DataDir, DataDirError> {
    let node = node.map(|node| NodeName::new(node).unwrap());
    let chance = Chance::seeded(disk.operations());
    DataDir::open(Arc::new(disk.clone()), Calls::Pool, &name(cluster), node.as_ref(), &chance)
}

fn open(disk: &SimDisk) -> DataDir {
    open_as(disk, "orders", Some("a")).unwrap()
}

fn refused(disk: &SimDisk, parts: &[&str]) -> DataDirError {
    let error = open_as(disk, "orders", Some("a")).unwrap_err();
    let text = error.to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    error
}

#[test]
fn each_start_keeps_the_identity_and_counts() {
    let disk = SimDisk::new(1);
    let first = open(&disk).identity();
    assert_eq!((first.starts, first.incarnation), (1, Incarnation(1)));
    let second = open(&disk).identity();
    assert_eq!(second.node, first.node);
    assert_eq!((second.starts, second.incarnation), (2, Incarnation(2)));
    disk.crash();
    assert_eq!(open(&disk).identity().starts, 3, "each start was on disk before it was shown");
}

#[test]
fn a_directory_is_for_one_node_at_a_time() {
    let disk = SimDisk::new(1);
    let first = open(&disk);
    assert!(matches!(refused(&disk, &["in use"]), DataDirError::InUse { .. }));
    drop(first);
    open(&disk);
}

#[test]
fn the_directory_of_another_cluster_or_node_is_refused_with_both_names() {
    let disk = SimDisk::new(1);
    drop(open(&disk));
    let text = open_as(&disk, "billing", Some("a")).unwrap_err().to_string();
    assert!(text.contains("\"orders\"") && text.contains("\"billing\""), "{text}");
    let text = open_as(&disk, "orders", Some("b")).unwrap_err().to_string();
    assert!(text.contains("\"a\"") && text.contains("\"b\""), "{text}");
    // Who has no name of its own takes what is there.
    assert_eq!(open_as(&disk, "orders", None).unwrap().identity().starts, 2);
}

#[test]
fn what_is_left_of_a_directory_is_not_taken_for_an_empty_one() {
    let disk = SimDisk::new(1);
    let data = open(&disk);
    data.store(VOTE, b"a promise").unwrap();
    drop(data);
    disk.remove(IDENTITY).unwrap();
    assert!(matches!(refused(&disk, &["\"vote\""]), DataDirError::NoIdentity { .. }));
}

#[test]
fn a_damaged_identity_names_the_file_and_the_remedy() {
    let disk = SimDisk::new(1);
    drop(open(&disk));
    disk.flip_bit(IDENTITY, 40, 3);
    let error = refused(&disk, &["identity", "at byte 32", "Move the directory away"]);
    assert!(matches!(error, DataDirError::Damaged { .. }));
}

#[test]
fn a_full_and_a_read_only_disk_stop_the_start() {
    let disk = SimDisk::new(1);
    disk.set_full_after(0);
    assert!(matches!(refused(&disk, &["free some space"]), DataDirError::Full { .. }));
    let disk = SimDisk::new(1);
    drop(open(&disk));
    disk.set_read_only(true);
    assert!(matches!(refused(&disk, &["read-only"]), DataDirError::NotWritable { .. }));
}

#[test]
fn a_bound_directory_stays_bound() {
    let disk = SimDisk::new(1);
    let cluster = ClusterId::mint(&Chance::seeded(1));
    let data = open(&disk);
    data.bind(cluster).unwrap();
    data.bind(cluster).unwrap();
    drop(data);
    disk.crash();
    assert_eq!(open(&disk).identity().cluster, Some(cluster));
}

#[test]
fn an_identity_that_is_given_up_takes_its_promises_along_wherever_it_is_cut_off() {
    let steps = {
        let disk = SimDisk::new(1);
        let data = open(&disk);
        data.store(VOTE, b"a promise").unwrap();
        let before = disk.operations();
        data.renounce(&Chance::seeded(9)).unwrap();
        disk.operations() - before
    };
    for step in 0..steps {
        let disk = SimDisk::new(step);
        let data = open(&disk);
        let old = data.identity().node;
        data.store(VOTE, b"a promise").unwrap();
        disk.crash_after(step);
        data.renounce(&Chance::seeded(9)).unwrap_err();
        drop(data);
        disk.crash();
        let data = open(&disk);
        let vote = data.load(VOTE).unwrap();
        assert_eq!(data.identity().node == old, vote.is_some(), "cut off at step {step}");
    }
}

#[test]
fn who_a_node_was_is_remembered_up_to_a_bound() {
    let disk = SimDisk::new(1);
    let data = open(&disk);
    let mut expected = vec![];
    for round in 0..GIVEN_UP_MAX as u64 + 3 {
        let (cluster, node) = (ClusterId::mint(&Chance::seeded(round)), data.identity().node);
        data.bind(cluster).unwrap();
        data.renounce(&Chance::seeded(100 + round)).unwrap();
        expected.push(GivenUp { cluster, node });
    }
    // One that belonged nowhere had promised nothing to anybody.
    data.renounce(&Chance::seeded(99)).unwrap();
    drop(data);
    assert_eq!(open(&disk).identity().given_up, expected[3..]);
}

#[test]
fn a_first_start_that_is_cut_off_anywhere_can_be_repeated() {
    let steps = {
        let disk = SimDisk::new(1);
        drop(open(&disk));
        disk.operations()
    };
    for (step, power_cut) in (1..=steps).flat_map(|step| [(step, false), (step, true)]) {
        let disk = SimDisk::new(step);
        disk.crash_after(step);
        open_as(&disk, "orders", Some("a")).unwrap_err();
        if power_cut {
            disk.crash()
        } else {
            disk.kill()
        }
        let again = open_as(&disk, "orders", Some("a"));
        assert!(again.is_ok(), "cut off at step {step}: {}", again.unwrap_err());
    }
}

#[test]
fn the_bytes_of_the_identity_file_are_frozen() {
    let (cluster, node) = (golden::cluster(), NodeId(1));
    let whole = Identity {
        cluster_name: name("orders"),
        cluster: Some(cluster),
        node,
        name: Some(NodeName::new("a").unwrap()),
        starts: 4,
        incarnation: Incarnation(2),
        foreign_rest: true,
        declaring: Some(golden::loss()),
        given_up: vec![GivenUp { cluster, node: NodeId(3) }],
    };
    let new = Identity {
        cluster: None,
        name: None,
        foreign_rest: false,
        declaring: None,
        given_up: vec![],
        ..whole.clone()
    };
    let mut table = golden::file("identity.txt");
    table.add("identity of a new node", &new);
    table.add("identity with everything", &whole);
    table.check();
}
