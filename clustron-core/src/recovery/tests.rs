use super::*;
use crate::control::fixture::{lay_out, started, vote};
use crate::data_dir::Calls;
use crate::identity::{ClusterName, Role};
use clustron_wal::SimDisk;
use std::collections::BTreeMap;

const AT: Timestamp = Timestamp::from_unix_ms(1_000);

fn disk_of(role: Role) -> (SimDisk, NodeId, ClusterId) {
    let disk = SimDisk::new(1);
    let (me, cluster) = lay_out(&disk, role);
    (disk, me, cluster)
}

fn data(disk: &SimDisk) -> Result<Arc<DataDir>, RecoveryError> {
    at_rest(Arc::new(disk.clone()))
}

fn declared(disk: &SimDisk) -> Result<Loss, RecoveryError> {
    declare(&data(disk)?, "ann", AT, &Chance::seeded(disk.operations()))
}

fn inspected(disk: &SimDisk) -> Inspection {
    let data = data(disk).unwrap();
    let survivor = Survivor::read(&data).unwrap();
    Inspection::new(data.disk().path(), data.identity(), survivor.as_ref())
}

/// All that is on the disk.
fn files(disk: &SimDisk) -> BTreeMap<String, Option<Vec<u8>>> {
    let names = disk.list().unwrap().into_iter();
    names.map(|name| (name.clone(), disk.content(&name))).collect()
}

/// Starts the node, on a copy of the disk.
fn start(disk: &SimDisk) -> Result<DataDir, DataDirError> {
    let (disk, chance) = (Arc::new(disk.copy()), Chance::seeded(0));
    DataDir::open(disk, Calls::Pool, &ClusterName::new("orders").unwrap(), None, &chance)
}

/// Checks that the directory is, in all parts, that of the new cluster.
fn check_new(disk: &SimDisk, me: NodeId, loss: &Loss) {
    let now = inspected(disk);
    assert_eq!((now.cluster, now.starts), (Some(loss.cluster), 2));
    assert_eq!(now.voters.keys().copied().collect::<Vec<_>>(), [me]);
    assert_eq!((&now.losses, &now.declaring), (&vec![loss.clone()], &None));
    let (term, index) = now.reaches.unwrap();
    assert_eq!(index, 5, "nothing is lost of the log, and two entries are added once");
    let (voted, whom, elected) = vote(&data(disk).unwrap());
    assert!((voted, whom, elected) == (term, me, false) && term > 5, "{term} {voted}");
    assert_eq!(start(disk).unwrap().identity().starts, 3);
}

#[test]
fn an_inspection_shows_what_has_to_be_compared_and_changes_nothing() {
    let (disk, me, cluster) = disk_of(Role::Member);
    let before = files(&disk);
    let found = inspected(&disk);
    assert_eq!(files(&disk), before);
    assert_eq!((found.node, found.cluster, found.starts), (me, Some(cluster), 1));
    assert_eq!((found.reaches, found.snapshot), (Some((4, 3)), None));
    assert_eq!(found.voters.len(), 3);
    let text = found.to_string();
    let parts = [
        "without a name",
        "orders, id ",
        "reaches to term 4, index 3; snapshot none",
        "3 voters  n1 (0000000000000001 at n1:1)\n",
        "n2 (0000000000000002 at n2:1)\n",
        ", this node\n",
    ];
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_declared_loss_leaves_one_voter_a_new_id_and_all_of_the_log() {
    for role in [Role::Member, Role::Witness] {
        let (disk, me, was) = disk_of(role);
        let loss = declared(&disk).unwrap();
        assert_eq!((loss.was, loss.survivor, loss.by.as_str(), loss.at), (was, me, "ann", AT));
        assert_eq!(loss.lost, BTreeSet::from([NodeId(1), NodeId(2)]));
        assert_ne!(loss.cluster, was);
        check_new(&disk, me, &loss);
        assert!(inspected(&disk).to_string().contains("declared lost by \"ann\""));
    }
}

#[test]
fn whoever_needs_no_recovery_or_cannot_be_recovered_is_refused() {
    let refused = |disk: &SimDisk, part: &str| {
        let before = files(disk);
        let error = declared(disk).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(files(disk), before, "nothing was changed: {error}");
        error
    };
    let unused = SimDisk::new(1);
    assert!(matches!(refused(&unused, "belongs to no node"), RecoveryError::NoNode { .. }));
    drop(started(&unused));
    assert!(matches!(refused(&unused, "was in no cluster"), RecoveryError::NoCluster { .. }));
    let (client, ..) = disk_of(Role::Client);
    assert!(matches!(refused(&client, "may not vote"), RecoveryError::MayNotVote { .. }));
    let (member, ..) = disk_of(Role::Member);
    let running = started(&member);
    let in_use = refused(&member, "is in use");
    assert!(matches!(in_use, RecoveryError::DataDir(DataDirError::InUse { .. })));
    drop(running);
    for by in ["", " ", &"x".repeat(BY_BYTES_MAX + 1)] {
        let error = declare(&data(&member).unwrap(), by, AT, &Chance::seeded(0)).unwrap_err();
        assert!(matches!(error, RecoveryError::By { bytes } if bytes == by.len()), "{error}");
    }
    declared(&member).unwrap();
    assert!(matches!(refused(&member, "the only voter"), RecoveryError::NothingLost { .. }));
    let error = inspect("/no/such/directory").unwrap_err();
    assert!(error.to_string().contains("there is no directory \"/no/such/directory\""), "{error}");
}

#[test]
fn wherever_the_power_fails_it_is_the_old_cluster_or_a_second_attempt_ends_it() {
    let (mut old, mut undone) = (0, 0);
    for seed in 0..20 {
        for crash_after in 1.. {
            let disk = SimDisk::new(seed);
            let (me, was) = lay_out(&disk, Role::Member);
            disk.crash_after(crash_after);
            let first = declared(&disk);
            disk.crash();
            if let Ok(loss) = first {
                check_new(&disk, me, &loss);
                assert!(crash_after > 5, "so few changes cannot be durable");
                break;
            }
            match start(&disk) {
                Ok(data) if data.identity().cluster == Some(was) => {
                    let found = inspected(&disk);
                    assert_eq!((found.reaches, found.voters.len()), (Some((4, 3)), 3));
                    old += 1;
                }
                // All of it was there already, and only the caller had not heard of it.
                Ok(_) => {}
                Err(DataDirError::Declaring { .. }) => undone += 1,
                Err(error) => panic!("{error}"),
            }
            match declared(&disk) {
                Ok(loss) => check_new(&disk, me, &loss),
                Err(RecoveryError::NothingLost { .. }) => {
                    check_new(&disk, me, &inspected(&disk).losses[0]);
                }
                Err(error) => panic!("seed {seed}, crash after {crash_after}: {error}"),
            }
        }
    }
    assert!(old > 0 && undone > 0, "{old} {undone}");
}

#[test]
fn a_half_declared_loss_stops_the_start_and_keeps_its_id() {
    let (disk, me, was) = disk_of(Role::Member);
    let begun = Loss {
        was,
        cluster: ClusterId::mint(&Chance::seeded(9)),
        survivor: me,
        lost: BTreeSet::from([NodeId(1), NodeId(2)]),
        by: "bob".to_owned(),
        at: AT,
    };
    data(&disk).unwrap().declare(&begun).unwrap();
    let error = start(&disk).unwrap_err();
    assert!(error.to_string().contains("declare it again"), "{error}");
    assert!(inspected(&disk).to_string().contains("UNDONE    declared lost by \"bob\""));
    assert_eq!(declared(&disk).unwrap(), begun, "what was begun counts");
    check_new(&disk, me, &begun);
}
