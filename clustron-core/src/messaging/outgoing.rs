//! What waits to be written to one connection, bounded in frames and in bytes.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use super::envelope::{self, Header};
use super::frame::put_frame;
use super::pulse::Pulse;
use crate::transport::Stream;

/// What may wait for the writer of one connection.
const QUEUE: Bounds = Bounds { frames: 1024, bytes: 16 << 20 };

/// What may wait to be given to a stack.
const TRAY: Bounds = Bounds { frames: 64, bytes: TRAY_BYTES };
pub(super) const TRAY_BYTES: usize = 64 << 10;

/// Frames that go into one write at most.
const BATCH_FRAMES: usize = 256;

/// Above this the write buffer is given back after a batch.
const BUFFER_KEEP_BYTES: usize = 256 << 10;

/// The connection is closed; the frame was not written, or not known to be.
#[derive(Debug)]
pub(super) struct Closed;

/// How much may wait.
#[derive(Clone, Copy)]
struct Bounds {
    frames: usize,
    /// A single frame may be larger.
    bytes: usize,
}

impl Bounds {
    /// What a frame holds of the bytes until it is taken out. A small one counts as more than it
    /// has, so that the bytes bound the frames as well.
    fn share(self, frame: &Bytes) -> usize {
        frame.len().clamp(self.bytes / self.frames, self.bytes)
    }
}

/// The end at which frames are put in. Whoever waits for room is told when the other end is gone.
pub(super) struct Outgoing {
    /// Without a bound of its own: a frame goes in only with its share of `bytes_free`.
    frames: mpsc::UnboundedSender<Bytes>,
    bytes_free: Arc<Semaphore>,
    bounds: Bounds,
    waiting: Gauge,
}

/// The end at which they are written.
pub(super) struct Frames {
    frames: mpsc::UnboundedReceiver<Bytes>,
    bytes_free: Arc<Semaphore>,
    bounds: Bounds,
    waiting: Gauge,
}

/// A queue with nothing in it, which adds what waits to this count.
pub(super) fn queue(waiting: Gauge) -> (Outgoing, Frames) {
    queue_of(QUEUE, waiting)
}

/// The same for what waits to be given to a stack: a small one, since the stack has room, too, and
/// says when whoever sends must wait.
pub(super) fn tray(waiting: Gauge) -> (Outgoing, Frames) {
    queue_of(TRAY, waiting)
}

fn queue_of(bounds: Bounds, waiting: Gauge) -> (Outgoing, Frames) {
    // Bounded by `bytes_free`: a frame goes in only with its share of it, which is never nothing.
    let (tx, rx) = mpsc::unbounded_channel();
    let bytes_free = Arc::new(Semaphore::new(bounds.bytes));
    let outgoing =
        Outgoing { frames: tx, bytes_free: bytes_free.clone(), bounds, waiting: waiting.clone() };
    (outgoing, Frames { frames: rx, bytes_free, bounds, waiting })
}

impl Outgoing {
    /// Puts a frame at the end; waits while there is no room.
    pub(super) async fn push(&self, frame: Bytes) -> Result<(), Closed> {
        let room = self.bytes_free.acquire_many(self.bounds.share(&frame) as u32);
        let room = room.await.map_err(|_closed| Closed)?;
        self.put(room, frame)
    }

    /// Puts a frame at the end if there is room.
    pub(super) fn try_push(&self, frame: &Bytes) -> Result<(), Closed> {
        let room = self.bytes_free.try_acquire_many(self.bounds.share(frame) as u32);
        let room = room.map_err(|_full| Closed)?;
        self.put(room, frame.clone())
    }

    fn put(&self, room: SemaphorePermit<'_>, frame: Bytes) -> Result<(), Closed> {
        // Before the frame can be taken out, or the count would be below zero for a moment.
        self.waiting.inc();
        if self.frames.send(frame).is_err() {
            self.waiting.dec();
            return Err(Closed);
        }
        // Whoever writes it gives it back.
        room.forget();
        Ok(())
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.close();
        while self.frames.try_recv().is_ok() {
            self.waiting.dec();
        }
    }
}

impl Frames {
    /// The next frame; never `None` while somebody can put one in. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        let frame = self.frames.recv().await;
        frame.inspect(|frame| self.taken(frame))
    }

    /// The next frame, if there is one.
    pub(super) fn try_next(&mut self) -> Option<Bytes> {
        self.frames.try_recv().ok().inspect(|frame| self.taken(frame))
    }

    /// Nobody puts anything in any more; what is there can still be taken.
    pub(super) fn close(&mut self) {
        self.bytes_free.close();
        self.frames.close();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    fn taken(&self, frame: &Bytes) {
        self.waiting.dec();
        self.bytes_free.add_permits(self.bounds.share(frame));
    }

    /// Writes what waits, as much as there is with one system call, until a write fails, nobody can
    /// put anything in, or `unused` resolves while nothing waits. Says whether it was the last.
    /// Tells `pulse` of each write before it begins, and polls `all_said` where all is written.
    pub(super) async fn write(
        mut self,
        writer: &mut WriteHalf<Box<dyn Stream>>,
        written: &Counter,
        pulse: &Pulse,
        all_said: impl Future<Output = ()>,
        unused: impl Future<Output = ()>,
    ) -> bool {
        let mut unused = std::pin::pin!(unused);
        let mut all_said = std::pin::pin!(all_said.fuse());
        let mut batch = Vec::with_capacity(BATCH_FRAMES);
        let mut out = BytesMut::new();
        let mut crowded = false;
        loop {
            // Asked only here, where all is written: a frame must not be cut off in its middle,
            // nor one be forgotten that the other side was too slow for.
            let frames = tokio::select! {
                biased;
                frames = self.frames.recv_many(&mut batch, BATCH_FRAMES) => frames,
                () = &mut all_said => continue,
                () = &mut unused => return true,
            };
            if frames == 0 {
                return false;
            }
            if crowded && batch.len() < BATCH_FRAMES {
                // Where several talked at once just now, others may have something to say, too, if
                // they are let. A system call for each frame costs more than anything else that
                // happens to a small one; but so does the turn, for one that comes alone.
                tokio::task::yield_now().await;
                while batch.len() < BATCH_FRAMES
                    && let Ok(frame) = self.frames.try_recv()
                {
                    batch.push(frame);
                }
            }
            crowded = batch.len() > 1;
            self.waiting.dec_by(i64::try_from(batch.len()).unwrap_or(i64::MAX));
            for frame in &batch {
                put_frame(&mut out, frame);
            }
            pulse.said();
            if writer.write_all(&out).await.is_err() || writer.flush().await.is_err() {
                return false;
            }
            written.inc_by(out.len() as u64);
            let shares = batch.iter().map(|frame| self.bounds.share(frame));
            self.bytes_free.add_permits(shares.sum());
            batch.clear();
            out.clear();
            if out.capacity() > BUFFER_KEEP_BYTES {
                out = BytesMut::new();
            }
        }
    }
}

/// Tells the other side that the connection ends for want of use. If that fails, it has ended
/// anyway.
pub(super) async fn say_goodbye(writer: &mut WriteHalf<Box<dyn Stream>>) {
    let Ok(frame) = envelope::seal(&Header::Goodbye, &[]) else { return };
    let mut out = BytesMut::new();
    put_frame(&mut out, &frame);
    if writer.write_all(&out).await.is_ok() {
        let _ = writer.shutdown().await;
    }
}
