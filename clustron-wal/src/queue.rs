//! What waits for the next commit, and who is to be told.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot};

use crate::error::WalError;
use crate::frame::{body_bytes, frame_bytes};
use crate::journal::{JournalError, JournalLimits};
use crate::options::Options;

/// Tells who waits for records how it went.
pub(crate) type Done = oneshot::Sender<Result<(), WalError>>;

/// Records that were appended together.
#[derive(Debug)]
struct Group {
    records: Vec<Bytes>,
    bytes: usize,
    done: Done,
}

/// What is written next as one frame.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The index of the first record.
    pub(crate) first: u64,
    pub(crate) records: Vec<Bytes>,
    pub(crate) waiters: Vec<Done>,
}

/// What waits. Bounded by its limits.
#[derive(Debug)]
pub(crate) struct Queue {
    groups: VecDeque<Group>,
    records: usize,
    bytes: usize,
    /// The index that the next record gets.
    next: u64,
    limits: JournalLimits,
    options: Options,
    /// How many journals there are.
    handles: usize,
    /// Why nothing is taken any more.
    closed: Option<JournalError>,
}

impl Queue {
    pub(crate) fn new(next: u64, options: Options, limits: JournalLimits) -> Self {
        Self {
            groups: VecDeque::new(),
            records: 0,
            bytes: 0,
            next,
            limits,
            options,
            handles: 1,
            closed: None,
        }
    }

    /// Takes records in: their first index and what tells the end, and whether nothing waited.
    #[expect(clippy::type_complexity, reason = "named parts would hide that it is one answer")]
    pub(crate) fn append(
        &mut self,
        records: Vec<Bytes>,
    ) -> Result<((u64, oneshot::Receiver<Result<(), WalError>>), bool), JournalError> {
        if let Some(closed) = &self.closed {
            return Err(closed.clone());
        }
        let (first, count) = (self.next, records.len() as u64);
        self.options.check_records(first, &records).map_err(JournalError::Refused)?;
        let Some(next) = first.checked_add(count) else {
            return Err(JournalError::Refused(WalError::OutOfIndexes { first, count }));
        };
        let bytes = records.iter().map(Bytes::len).sum::<usize>();
        // One more than none, so that empty groups are bounded too.
        let weight = records.len().max(1);
        if self.records + weight > self.limits.records_max
            || self.bytes + bytes > self.limits.bytes_max
        {
            return Err(JournalError::Full {
                records: records.len(),
                bytes,
                waiting_records: self.records,
                waiting_bytes: self.bytes,
                limits: self.limits,
            });
        }
        let (done, told) = oneshot::channel();
        let was_empty = self.groups.is_empty();
        self.next = next;
        self.records += weight;
        self.bytes += bytes;
        self.groups.push_back(Group { records, bytes, done });
        Ok(((first, told), was_empty))
    }

    /// Takes out all that waits, or as much as a frame may hold; `None` if nothing does.
    pub(crate) fn take(&mut self) -> Option<Batch> {
        if self.groups.is_empty() {
            return None;
        }
        let first = self.next - self.groups.iter().map(|g| g.records.len() as u64).sum::<u64>();
        let mut batch = Batch { first, records: Vec::new(), waiters: Vec::new() };
        let mut body = 0;
        while let Some(group) = self.groups.pop_front_if(|group| {
            let bytes = frame_bytes(body + body_bytes(&group.records));
            bytes <= self.options.frame_bytes_max as u64 || body == 0
        }) {
            body += body_bytes(&group.records);
            self.records -= group.records.len().max(1);
            self.bytes -= group.bytes;
            batch.records.extend(group.records);
            batch.waiters.push(group.done);
        }
        Some(batch)
    }

    /// How many records wait.
    pub(crate) fn waiting_records(&self) -> usize {
        self.records
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whether nothing will come any more.
    pub(crate) fn is_over(&self) -> bool {
        self.groups.is_empty() && (self.handles == 0 || self.closed.is_some())
    }

    /// Takes nothing any more, and tells all who wait.
    pub(crate) fn close(&mut self, why: JournalError) {
        for group in self.groups.drain(..) {
            if let JournalError::Ended(error) = &why {
                // Who does not wait any more need not be told.
                let _ = group.done.send(Err(error.clone()));
            }
        }
        self.records = 0;
        self.bytes = 0;
        self.closed.get_or_insert(why);
    }

    /// From where the indexes go on, while nothing waits.
    pub(crate) fn go_on_from(&mut self, next: u64) {
        debug_assert!(self.groups.is_empty(), "those that wait have their indexes");
        self.next = next;
    }

    pub(crate) fn open_handle(&mut self) {
        self.handles += 1;
    }

    /// Whether it was the last one.
    pub(crate) fn close_handle(&mut self) -> bool {
        self.handles -= 1;
        self.handles == 0
    }
}

/// The queue between journals and committer.
#[derive(Debug)]
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    /// Something waits, or nothing ever will: for tasks and for threads.
    work: Notify,
    work_for_threads: Condvar,
    /// Something was taken out.
    room: Notify,
}

impl Shared {
    pub(crate) fn new(queue: Queue) -> Self {
        Self {
            queue: Mutex::new(queue),
            work: Notify::new(),
            work_for_threads: Condvar::new(),
            room: Notify::new(),
        }
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn announce_work(&self) {
        // There is one committer, and a permit that nobody takes is kept for it.
        self.work.notify_one();
        self.work_for_threads.notify_one();
    }

    pub(crate) fn announce_room(&self) {
        self.room.notify_waiters();
    }

    /// Ends after the next [`Shared::announce_room`], counted from now.
    pub(crate) fn room(&self) -> Notified<'_> {
        self.room.notified()
    }

    /// Ends when something waits, or nothing will any more.
    pub(crate) async fn work(&self) {
        loop {
            {
                let queue = self.queue();
                if !queue.is_empty() || queue.is_over() {
                    return;
                }
            }
            self.work.notified().await;
        }
    }

    /// As [`Shared::work`], for a thread.
    pub(crate) fn block_for_work(&self) {
        let idle = |queue: &mut Queue| queue.is_empty() && !queue.is_over();
        let waited = self.work_for_threads.wait_while(self.queue(), idle);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}
