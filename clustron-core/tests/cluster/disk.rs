//! Nodes that keep what they know: they come back as themselves, with all that was acknowledged.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, io};

use clustron_core::{
    ClusterStatus, Consistency, DataDirError, Outcome, Replicated, Role, StartError,
};
use futures::future::{join, join_all};

use crate::world::{LONG, Member, Reigns, Tally, World, address, alive, lasts, part, settled};

const HOSTS: [&str; 3] = ["a", "b", "c"];

async fn all(world: &World) -> Vec<Member> {
    let members = world.start_all(&HOSTS).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    members
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_are_killed_at_once_all_that_was_acknowledged_is_there_again() {
    let world = World::on_disk(&HOSTS);
    let mut members = all(&world).await;
    let (cluster, ids) =
        (members[0].cluster_id(), members.iter().map(|m| m.id()).collect::<Vec<_>>());
    let mut reigns = Reigns::default();
    let mut written = vec![];
    for round in 1..4u64 {
        for number in round * 100..round * 100 + 20 {
            members[number as usize % 3].add(number).await;
            written.push(number);
        }
        reigns.record(&members);
        let epoch = members[0].epoch();
        join_all(members.into_iter().map(|member| world.crash(member))).await;
        members = all(&world).await;
        assert_eq!(members.iter().map(|m| m.id()).collect::<Vec<_>>(), ids);
        for member in &members {
            assert_eq!(member.cluster_id(), cluster);
            assert_eq!(member.node().starts, round + 1);
            assert_eq!(member.numbers_now().await, written);
            assert!(member.epoch() > epoch, "{} after {epoch}", member.epoch());
        }
        reigns.record(&members);
    }
}

/// What callers know of their numbers: those that were acknowledged, and those that may be there.
#[derive(Default)]
struct Known {
    acknowledged: BTreeSet<u64>,
    unknown: BTreeSet<u64>,
}

/// Adds numbers one after the other until it is told to stop or the node is gone.
async fn add_until(
    tally: Replicated<Tally>,
    numbers: impl Iterator<Item = u64>,
    stop: &AtomicBool,
) -> Known {
    let mut known = Known::default();
    for number in numbers {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        match tally.propose(&number, Duration::from_secs(1)).await {
            Ok(_) => drop(known.acknowledged.insert(number)),
            Err(error) if error.outcome() == Outcome::Unknown => {
                known.unknown.insert(number);
            }
            Err(_) => {}
        }
    }
    known
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_are_killed_in_the_middle_of_their_work_nothing_acknowledged_is_lost() {
    let world = World::on_disk(&HOSTS);
    let mut members = all(&world).await;
    let mut known = Known::default();
    for round in 0..5u64 {
        let stop = AtomicBool::new(false);
        let callers = (0..24u64).map(|caller| {
            let tally = members[caller as usize % 3].tally.clone();
            let first = (round * 24 + caller) * 1_000_000;
            add_until(tally, first..first + 1_000_000, &stop)
        });
        let callers = join_all(callers);
        let members_now = std::mem::take(&mut members);
        let killing = async {
            lasts(Duration::from_millis(300 + 70 * round)).await;
            stop.store(true, Ordering::Relaxed);
            join_all(members_now.into_iter().map(|member| world.crash(member))).await;
        };
        let (heard, ()) = join(callers, killing).await;
        for caller in heard {
            known.acknowledged.extend(caller.acknowledged);
            known.unknown.extend(caller.unknown);
        }
        members = all(&world).await;
        let numbers = members[0].numbers_now().await;
        let there: BTreeSet<u64> = numbers.iter().copied().collect();
        assert_eq!(there.len(), numbers.len(), "round {round}: a number is there twice");
        let lost: Vec<_> = known.acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?} had been acknowledged");
        let strangers = there.iter().filter(|number| {
            !known.acknowledged.contains(number) && !known.unknown.contains(number)
        });
        assert_eq!(strangers.count(), 0, "round {round}: what nobody may have added is there");
        for member in &members {
            assert_eq!(member.numbers_now().await, numbers);
        }
    }
    assert!(known.acknowledged.len() > 500, "{} were added", known.acknowledged.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_killed_comes_back_as_itself_and_everybody_knows_that_it_started_anew() {
    let world = World::on_disk(&HOSTS);
    let mut members = all(&world).await;
    for round in 1..4u64 {
        let victim = members.remove(0);
        let (host, id) = (victim.host.clone(), victim.id());
        let before = victim.view().node(id).unwrap().process_since;
        world.crash(victim).await;
        // What was on its way to a leader that is killed may be there and may not.
        let led = |status: &ClusterStatus| status.leader.as_ref().is_some_and(|l| l.node != id);
        members[0].until("another leads", led).await;
        members[0].add(round).await;
        members.push(world.start(&host).await);
        let back = members.last().unwrap();
        assert_eq!(back.id(), id);
        for member in &members {
            let status = member
                .until("the node is back", |status| {
                    let record = status.view.node(id);
                    record.is_some_and(|record| record.process_since > before)
                })
                .await;
            assert_eq!(alive(&status).len(), 3, "nobody else took its place");
            assert!(status.voters.contains(&id), "it has its vote still");
        }
        settled(&members.iter().collect::<Vec<_>>()).await;
    }
    for member in &members {
        assert_eq!(member.numbers_now().await, [1, 2, 3]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_snapshot_took_out_of_the_log_is_there_again() {
    let mut world = World::on_disk(&HOSTS);
    world.config.snapshot_entries = 100;
    let members = all(&world).await;
    let written: Vec<u64> = (0..300).collect();
    for number in &written {
        members[0].add(*number).await;
    }
    assert_eq!(members[0].numbers_now().await, written);
    let snapshot = world.data_dir("a").unwrap().join("snapshot");
    assert!(snapshot.exists(), "the log was cut short");
    join_all(members.into_iter().map(|member| world.crash(member))).await;
    let members = all(&world).await;
    assert_eq!(members[0].numbers_now().await, written);
    let here = members[0].tally.read_local(|tally| tally.applied_here);
    assert!(here < 200, "{here} were applied from the log");
}

/// Raft lets a leader that was killed lead on when it comes back, in the same term. It does not
/// know then how much of its log was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_comes_back_confirms_no_read_before_it_knows_all_that_was_acknowledged() {
    let world = World::on_disk(&HOSTS);
    let members = all(&world).await;
    let leader = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leading, mut others) = part(&leader, members);
    let (behind, other) = (others.pop().unwrap(), others.pop().unwrap());
    let host = leading.host.clone();
    world.cut_off(&behind.host, &[&host, &other.host]);
    for number in 0..1_000 {
        // Each in an entry of its own: more than are sent at once.
        leading.add(number).await;
    }
    let acknowledged = leading.numbers().len();
    world.crash(leading).await;
    // Now the one that lacks all of it is the leader's only majority.
    world.cut_off(&other.host, &[&host]);
    world.heal(&behind.host, &[&host]);
    let tally = behind.tally.clone();
    let reading = async {
        let read = tally.read(Consistency::Linearizable, LONG, |tally| tally.numbers.len()).await;
        read.expect("a majority is there").value
    };
    let (_leading, seen) = join(world.start(&host), reading).await;
    assert_eq!(seen, acknowledged, "the read misses what was acknowledged before it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_alone_comes_back_alone() {
    let world = World::on_disk(&[]);
    let member = world.start("a").await;
    member.add(1).await;
    world.crash(member).await;
    let member = world.start("a").await;
    member.add(2).await;
    assert_eq!(member.numbers_now().await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_in_memory_is_refused_by_members_on_disk() {
    let mut world = World::on_disk(&HOSTS);
    let _members = all(&world).await;
    let folder = world.folder.take();
    let error =
        world.try_start("d", &[Role::Member]).await.err().expect("it is refused").to_string();
    assert!(error.contains("give all members a data directory, or none"), "{error}");
    drop(folder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_of_a_data_directory_is_refused_and_the_cluster_stays_whole() {
    let world = World::on_disk(&HOSTS);
    let members = all(&world).await;
    let leader = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leading, mut others) = part(&leader, members);
    let victim = others.pop().unwrap();
    let (host, dir) = (victim.host.clone(), world.data_dir(&victim.host).unwrap());
    world.crash(victim).await;
    let copy = dir.with_extension("copy");
    copy_dir(&dir, &copy);
    let victim = world.start(&host).await;
    leading.add(1).await;
    assert_eq!(victim.numbers_now().await, [1]);
    world.crash(victim).await;
    // Somebody restores a backup, which would begin its second start a second time.
    fs::remove_dir_all(&dir).unwrap();
    copy_dir(&copy, &dir);
    // However often its supervisor starts it again: each start must not make it look newer.
    for attempt in 0..3 {
        let error = world.try_start(&host, &[Role::Member]).await.err();
        let error = error.unwrap_or_else(|| panic!("attempt {attempt} was let in")).to_string();
        assert!(error.contains("is an old copy"), "{error}");
    }
    leading.add(2).await;
    assert_eq!(leading.numbers_now().await, [1, 2]);
}

/// Ends a node, keeps a copy of its directory, starts it once more, ends it again, and puts the
/// copy back: as where somebody restores a backup.
async fn set_back(world: &World, victim: Member, others: &[&Member]) -> String {
    let (host, dir) = (victim.host.clone(), world.data_dir(&victim.host).expect("it is on disk"));
    world.crash(victim).await;
    let copy = dir.with_extension("copy");
    copy_dir(&dir, &copy);
    let victim = world.start(&host).await;
    let (id, starts) = (victim.id(), victim.node().starts);
    for other in others {
        // Who votes for it without having this entry cannot know better.
        let knows = |status: &ClusterStatus| {
            status.view.node(id).is_some_and(|record| record.info.starts == starts)
        };
        other.until("it knows of the start", knows).await;
    }
    world.crash(victim).await;
    fs::remove_dir_all(&dir).expect("it is removed");
    copy_dir(&copy, &dir);
    host
}

async fn check_old(world: &World, host: &str) {
    let error = world.try_start(host, &[Role::Member]).await.err().expect("it is let in");
    assert!(matches!(error, StartError::OldState(_)), "{error}");
    assert!(error.to_string().contains("is an old copy"), "{error}");
}

/// Who has just started does not know yet which starts of the others are agreed, and talks to any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_that_only_the_log_recognises_is_refused_however_often() {
    let world = World::on_disk(&HOSTS);
    let members = all(&world).await;
    let leader = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leading, mut others) = part(&leader, members);
    let (other, victim) = (others.pop().unwrap(), others.pop().unwrap());
    let host = set_back(&world, victim, &[&leading, &other]).await;
    let hosts = [leading.host.clone(), other.host.clone()];
    join_all([leading, other].map(|member| world.crash(member))).await;
    let after_that = async {
        check_old(&world, &host).await;
        world.start(&hosts[1]).await
    };
    let (one, other) = Box::pin(join(world.start(&hosts[0]), after_that)).await;
    settled(&[&one, &other]).await;
    for _ in 0..2 {
        check_old(&world, &host).await;
    }
}

/// What they have in their logs is enough for the others, before any of it is agreed again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_is_refused_though_all_start_at_once() {
    let world = World::on_disk(&HOSTS);
    let members = all(&world).await;
    // Whoever led in its former life could be taken for the leader still.
    let leader = settled(&members.iter().collect::<Vec<_>>()).await;
    let (victim, others) = part(&leader, members);
    let host = set_back(&world, victim, &[&others[0], &others[1]]).await;
    let hosts: Vec<String> = others.iter().map(|member| member.host.clone()).collect();
    join_all(others.into_iter().map(|member| world.crash(member))).await;
    let others = join(world.start(&hosts[0]), world.start(&hosts[1]));
    let ((one, other), ()) = Box::pin(join(others, check_old(&world, &host))).await;
    settled(&[&one, &other]).await;
}

/// Somebody clones a running machine. The clone's start is the later one, so the cluster goes on
/// with the clone, and there must not be two of the same node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_directory_was_cloned_ends_when_the_clone_is_in() {
    let world = World::on_disk(&HOSTS);
    let members = all(&world).await;
    let leader = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leading, mut others) = part(&leader, members);
    let (other, original) = (others.pop().unwrap(), others.pop().unwrap());
    let host = original.host.clone();
    copy_dir(&world.data_dir(&host).unwrap(), &world.data_dir("clone").unwrap());
    let clone = world.try_start_called(&host, "clone", &[Role::Member]).await;
    let clone = clone.expect("it is a later start of that node");
    assert_eq!(clone.id(), original.id());
    let original = original.cluster.handle();
    tokio::time::timeout(LONG, original.closing()).await.expect("it notices");
    let why = original.ended().expect("it has ended").expect_err("nobody told it to");
    assert!(why.contains("is an old copy"), "{why}");
    settled(&[&leading, &other, &clone]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_is_refused_though_its_only_seed_knows_no_better() {
    // Five, so that the two of whom it is told are no majority.
    let hosts = ["a", "b", "c", "d", "e"];
    let mut world = World::on_disk(&hosts);
    let members = world.start_all(&hosts).await;
    let leader = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leading, mut others) = part(&leader, members);
    let (behind, victim) = (others.pop().unwrap(), others.pop().unwrap());
    let host = set_back(&world, victim, &[&leading, &behind, &others[0], &others[1]]).await;
    // It starts with all that it has, and hears nobody who could say what of that is agreed.
    let seed = behind.host.clone();
    world.crash(behind).await;
    world.cut_off(&seed, &[&leading.host, &others[0].host, &others[1].host]);
    world.config.seeds = vec![address(&seed)];
    let waiting = world.start(&seed);
    tokio::select! {
        biased;
        () = check_old(&world, &host) => {}
        _ = waiting => panic!("{seed} is part of a cluster of which it hears nobody"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_log_stops_the_start_and_names_the_place() {
    let world = World::on_disk(&HOSTS);
    let members = all(&world).await;
    for number in 0..20 {
        members[0].add(number).await;
    }
    join_all(members.into_iter().map(|member| world.crash(member))).await;
    let dir = world.data_dir("a").unwrap();
    let log = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    let log = log.into_iter().find(|path| path.extension().is_some_and(|e| e == "wal")).unwrap();
    let mut bytes = fs::read(&log).unwrap();
    bytes[400] ^= 4;
    fs::write(&log, bytes).unwrap();
    let error = world.try_start("a", &[Role::Member]).await.err().expect("it does not start");
    let text = error.to_string();
    assert!(matches!(error, StartError::DataDir(DataDirError::Damaged { .. })), "{text}");
    assert!(text.contains(".wal is damaged at byte"), "{text}");
    assert!(text.contains("Move the directory away"), "{text}");
    // The other two go on without it, and it joins as a new node.
    fs::rename(&dir, dir.with_extension("damaged")).unwrap();
    let members = all(&world).await;
    assert_eq!(members[0].numbers_now().await.len(), 20);
}

fn copy_dir(from: &Path, to: &Path) {
    let copy = || {
        fs::create_dir_all(to)?;
        fs::read_dir(from)?.try_for_each(|entry| {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name())).map(drop)
        })
    };
    let copied: io::Result<()> = copy();
    copied.expect("the directory is copied");
}
