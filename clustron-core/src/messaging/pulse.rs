//! Whether anybody is there still at the other end of a connection on which that end may keep this
//! one waiting.
//!
//! Like a call in which the other party lays the receiver down for a while: as long as they call
//! "one moment!" into the room now and then, nobody hangs up. A peer whose handlers are slow does
//! not read, for however long that takes, and nothing that waits for it may be lost. So who has
//! opened a connection for data or bulk does not have TCP end it when nothing is taken. Instead the
//! other side says [`Header::Here`](super::envelope::Header::Here) a moment after something has
//! come, and again and again while what has come waits to be handled. Who has said something and
//! hears nothing at all for long enough takes the connection for broken.
//!
//! Where there are layers an empty frame says the same, past all of them: it is about this one
//! connection, and must neither wait for credit nor be sent again over the next.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// How long whoever has said something waits to hear anything.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(10);

/// So many times in that time the other side says that it is there, or would, and this one looks.
const PARTS: u32 = 5;

/// The pulse of one connection, as one side feels it. See the module's documentation.
#[derive(Debug)]
pub(super) struct Pulse {
    silence_max: Duration,
    /// What has come, in frames and parts of frames.
    heard: AtomicU64,
    /// Something came since this side last said that it is there.
    came: AtomicBool,
    came_first: Notify,
    /// What came waits to be handled.
    waits: AtomicBool,
    /// Something was said here since the other side was last heard.
    unanswered: AtomicBool,
    said_first: Notify,
}

impl Pulse {
    pub(super) fn new(silence_max: Duration) -> Self {
        Self {
            silence_max,
            heard: AtomicU64::default(),
            came: AtomicBool::default(),
            came_first: Notify::default(),
            waits: AtomicBool::default(),
            unanswered: AtomicBool::default(),
            said_first: Notify::default(),
        }
    }

    /// A frame has come, or a part of one.
    pub(super) fn heard(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
        self.unanswered.store(false, Ordering::Relaxed);
        if !self.came.load(Ordering::Relaxed) && !self.came.swap(true, Ordering::AcqRel) {
            self.came_first.notify_one();
        }
    }

    /// Whether what has come is being handled, and nothing is read meanwhile.
    pub(super) fn handling(&self, handling: bool) {
        self.waits.store(handling, Ordering::Relaxed);
    }

    /// This side says something.
    pub(super) fn said(&self) {
        if !self.unanswered.load(Ordering::Relaxed) && !self.unanswered.swap(true, Ordering::AcqRel)
        {
            self.said_first.notify_one();
        }
    }

    /// Resolves when this side should say that it is there: a moment after something has come, and
    /// again and again while that waits to be handled.
    pub(super) async fn due(&self) {
        if !self.waits.load(Ordering::Relaxed) {
            self.came_first.notified().await;
        }
        tokio::time::sleep(self.silence_max / PARTS).await;
        self.came.store(false, Ordering::Release);
    }

    /// Resolves when something was said and nothing has come for too long since.
    pub(super) async fn stopped(&self) {
        loop {
            self.said_first.notified().await;
            let before = self.heard.load(Ordering::Relaxed);
            let mut silent = 0;
            while silent < PARTS && self.is_silent_since(before) {
                tokio::time::sleep(self.silence_max / PARTS).await;
                silent += 1;
            }
            if self.is_silent_since(before) {
                return;
            }
        }
    }

    fn is_silent_since(&self, before: u64) -> bool {
        self.unanswered.load(Ordering::Relaxed) && self.heard.load(Ordering::Relaxed) == before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, advance, timeout};

    #[tokio::test(start_paused = true)]
    async fn who_said_something_waits_so_long_and_who_said_nothing_for_ever() {
        let pulse = Pulse::new(SILENCE_MAX);
        assert!(timeout(SILENCE_MAX * 100, pulse.stopped()).await.is_err());
        pulse.said();
        let start = Instant::now();
        pulse.stopped().await;
        assert_eq!(start.elapsed().as_secs(), SILENCE_MAX.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_is_heard_begins_the_wait_anew() {
        let pulse = Pulse::new(SILENCE_MAX);
        let talking = async {
            for _ in 0..20 {
                pulse.said();
                advance(SILENCE_MAX - Duration::from_secs(3)).await;
                pulse.heard();
                tokio::task::yield_now().await;
            }
            // What was answered is waited for no more, however long nothing is said.
            advance(SILENCE_MAX * 100).await;
        };
        tokio::select! {
            biased;
            () = pulse.stopped() => panic!("it was heard"),
            () = talking => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_beats_once_after_something_came_and_on_while_that_waits() {
        let (pulse, beats) = (Pulse::new(SILENCE_MAX), AtomicU64::new(0));
        let run = async |time| {
            let beating = async {
                loop {
                    pulse.due().await;
                    beats.fetch_add(1, Ordering::Relaxed);
                }
            };
            let _ = timeout(time, beating).await;
            beats.swap(0, Ordering::Relaxed)
        };
        assert_eq!(run(SILENCE_MAX).await, 0);
        pulse.heard();
        pulse.heard();
        assert_eq!(run(SILENCE_MAX * 10).await, 1);
        pulse.heard();
        pulse.handling(true);
        let often = u64::from(PARTS) - 1;
        assert!(run(SILENCE_MAX).await >= often, "at least so often that it cannot be missed");
    }
}
