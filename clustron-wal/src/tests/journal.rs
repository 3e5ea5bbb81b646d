//! Many who append and one who commits.

use std::thread;

use bytes::Bytes;

use super::play::{Model, open};
use crate::{Committer, Journal, JournalError, JournalLimits, Outcome, SimDisk, Wal, WalError};

fn journal(disk: &SimDisk, limits: JournalLimits) -> (Journal, Committer) {
    Journal::new(open(disk).unwrap(), limits)
}

fn one(text: &str) -> Vec<Bytes> {
    vec![Bytes::copy_from_slice(text.as_bytes())]
}

#[tokio::test]
async fn all_who_wait_share_one_sync_and_keep_their_order() {
    let disk = SimDisk::new(0);
    let (journal, mut committer) = journal(&disk, JournalLimits::default());
    drop(journal.append(one("begin")).unwrap());
    committer.commit().unwrap();
    let syncs = disk.syncs();
    let commits: Vec<_> = (0..50).map(|i| journal.append(one(&format!("{i}"))).unwrap()).collect();
    assert_eq!(journal.waiting(), 50);
    assert!(committer.ready().await);
    let committed = committer.commit().unwrap();
    assert_eq!((committed.records, committed.groups), (50, 50));
    assert_eq!(disk.syncs() - syncs, 1);
    for (commit, index) in commits.into_iter().zip(1..) {
        assert_eq!(commit.first(), index);
        commit.await.unwrap();
    }
    let records = Model::of(committer.wal()).unwrap().records;
    let expected: Vec<Bytes> = (0..50).map(|i| Bytes::from(format!("{i}"))).collect();
    assert_eq!(records[1..], expected);
    assert_eq!(committer.commit().unwrap().records, 0, "nothing waits, nothing happens");
    assert_eq!(disk.syncs() - syncs, 1);
}

#[tokio::test]
async fn nobody_is_told_before_the_sync() {
    let disk = SimDisk::new(0);
    let (journal, mut committer) = journal(&disk, JournalLimits::default());
    let mut commit = Box::pin(journal.append(one("x")).unwrap());
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    assert!(commit.as_mut().poll(&mut context).is_pending());
    committer.commit().unwrap();
    assert!(commit.as_mut().poll(&mut context).is_ready());
}

#[tokio::test]
async fn too_much_is_refused_with_its_numbers_until_some_is_durable() {
    let disk = SimDisk::new(0);
    let limits = JournalLimits { records_max: 3, bytes_max: 10 };
    let (journal, mut committer) = journal(&disk, limits);
    drop(journal.append(vec![Bytes::new(); 3]).unwrap());
    let error = journal.append(one("x")).unwrap_err();
    assert!(matches!(error, JournalError::Full { waiting_records: 3, records: 1, .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::NotApplied);
    committer.commit().unwrap();
    drop(journal.append(one("123456")).unwrap());
    let error = journal.append(one("12345")).unwrap_err();
    assert!(matches!(error, JournalError::Full { waiting_bytes: 6, bytes: 5, .. }), "{error}");
    drop(journal.append(one("1234")).unwrap());
    // Groups without records wait too, so they are bounded too.
    drop(journal.append(vec![]).unwrap());
    assert!(matches!(journal.append(vec![]), Err(JournalError::Full { .. })));
    committer.commit().unwrap();
    assert_eq!(journal.waiting(), 0);
    assert_eq!(committer.wal().next_index(), 5);
}

#[tokio::test]
async fn who_waits_for_room_gets_it_when_some_is_durable() {
    let disk = SimDisk::new(0);
    let limits = JournalLimits { records_max: 2, bytes_max: 100 };
    let (journal, mut committer) = journal(&disk, limits);
    drop(journal.append(vec![Bytes::new(); 2]).unwrap());
    let mut waiting = Box::pin(journal.append_when_room(one("late")));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    committer.commit().unwrap();
    let commit = waiting.await.unwrap();
    assert_eq!(commit.first(), 2);
    committer.commit().unwrap();
    commit.await.unwrap();
    let too_many = journal.append_when_room(vec![Bytes::new(); 3]).await;
    assert!(matches!(too_many, Err(JournalError::Full { .. })), "it would wait for ever");
}

#[tokio::test]
async fn who_goes_away_harms_nobody() {
    let disk = SimDisk::new(0);
    let (journal, mut committer) = journal(&disk, JournalLimits::default());
    drop(journal.append(one("gone")).unwrap());
    let stays = journal.append(one("stays")).unwrap();
    committer.commit().unwrap();
    stays.await.unwrap();
    assert_eq!(committer.wal().next_index(), 2);
}

#[tokio::test]
async fn what_exceeds_a_commit_goes_into_the_next_and_never_apart() {
    let disk = SimDisk::new(0);
    let (journal, mut committer) = journal(&disk, JournalLimits::default());
    let large = || vec![Bytes::from(vec![1; 1500]); 2];
    let commits: Vec<_> = (0..5).map(|_| journal.append(large()).unwrap()).collect();
    let error = journal.append(vec![Bytes::from(vec![1; 4000]); 3]).unwrap_err();
    let JournalError::Refused(WalError::GroupTooLarge { .. }) = error else { panic!("{error}") };
    let mut sizes = Vec::new();
    while journal.waiting() > 0 {
        sizes.push(committer.commit().unwrap().records);
    }
    assert_eq!(sizes, [4, 4, 2]);
    for (commit, group) in commits.into_iter().zip(0..) {
        assert_eq!(commit.first(), group * 2);
        commit.await.unwrap();
    }
}

#[tokio::test]
async fn a_failed_sync_is_told_to_all_who_wait_and_to_all_who_come() {
    let disk = SimDisk::new(0);
    let (journal, mut committer) = journal(&disk, JournalLimits::default());
    let before = journal.append(one("before")).unwrap();
    committer.commit().unwrap();
    before.await.unwrap();
    let large = || vec![Bytes::from(vec![1; 3000]); 2];
    let (first, second) = (journal.append(large()).unwrap(), journal.append(large()).unwrap());
    disk.fail_next_sync();
    committer.commit().unwrap_err();
    // The second did not fit into the commit that failed.
    for commit in [first, second] {
        let error = commit.await.unwrap_err();
        assert!(matches!(error, JournalError::Ended(WalError::Failed { .. })), "{error}");
        assert_eq!(error.outcome(), Outcome::Unknown);
    }
    assert!(matches!(journal.append(one("x")), Err(JournalError::Ended(_))));
    assert!(!committer.ready().await);
}

#[tokio::test]
async fn the_log_can_be_changed_by_other_means_in_between() {
    let disk = SimDisk::new(0);
    let (journal, mut committer) = journal(&disk, JournalLimits::default());
    let waiting = journal.append(vec![Bytes::from("a"), Bytes::from("b")]).unwrap();
    committer.change(|wal| wal.truncate(1)).unwrap();
    waiting.await.unwrap();
    assert_eq!(journal.append(one("c")).unwrap().first(), 1);
    committer.change(|wal| wal.reset(100)).unwrap();
    assert_eq!(journal.append(one("d")).unwrap().first(), 100);
    let wal = committer.into_wal().unwrap();
    assert_eq!(Model::of(&wal).unwrap().records, one("d"));
    assert!(matches!(journal.append(one("e")), Err(JournalError::Closed)));
}

#[tokio::test]
async fn without_a_committer_the_journal_is_closed() {
    let disk = SimDisk::new(0);
    let (journal, committer) = journal(&disk, JournalLimits { records_max: 1, bytes_max: 9 });
    let commit = journal.append(one("x")).unwrap();
    let mut waiting = Box::pin(journal.append_when_room(one("y")));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    drop(committer);
    assert!(matches!(commit.await, Err(JournalError::Closed)));
    assert!(matches!(waiting.await, Err(JournalError::Closed)));
}

#[test]
fn a_committer_on_a_thread_serves_many_and_ends_with_the_last_of_them() {
    let disk = SimDisk::new(0);
    let (journal, committer) = journal(&disk, JournalLimits { records_max: 8, bytes_max: 99 });
    let committer = thread::spawn(move || committer.run().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let appenders: Vec<_> = (0..10u8)
        .map(|appender| {
            let journal = journal.clone();
            runtime.spawn(async move {
                let mut indexes = Vec::new();
                for _ in 0..40 {
                    let commit = journal.append_when_room(vec![vec![appender].into()]).await;
                    let commit = commit.unwrap();
                    indexes.push(commit.first());
                    commit.await.unwrap();
                }
                indexes
            })
        })
        .collect();
    drop(journal);
    let indexes: Vec<Vec<u64>> =
        appenders.into_iter().map(|appender| runtime.block_on(appender).unwrap()).collect();
    let wal: Wal = committer.join().unwrap();
    let records = Model::of(&wal).unwrap().records;
    assert_eq!(records.len(), 400);
    for (appender, indexes) in indexes.iter().enumerate() {
        assert!(indexes.is_sorted(), "{indexes:?}");
        assert!(indexes.iter().all(|index| records[*index as usize] == [appender as u8][..]));
    }
    drop(wal);
    let found = open(&disk).unwrap();
    assert_eq!(found.next_index(), 400);
}
