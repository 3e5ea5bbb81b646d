//! The connection that a conversation has at present: frames in, packets out.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use futures::FutureExt;
use futures::future::BoxFuture;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};

use super::packet_bytes_max;
use crate::messaging::Shared;
use crate::messaging::frame::{FrameReader, put_frame, put_parts};
use crate::messaging::handshake::Established;
use crate::messaging::places::Place;
use crate::messaging::pulse::Pulse;
use crate::pipeline::Packet;
use crate::transport::Stream;

/// Bytes that may wait for the wire before the stack is asked for no more packets.
const BATCH_BYTES: usize = 64 << 10;

/// Above this the buffer is given back after a write.
const BUFFER_KEEP_BYTES: usize = 256 << 10;

/// See the module's documentation.
pub(super) struct Line {
    pub(super) reader: FrameReader<ReadHalf<Box<dyn Stream>>>,
    pub(super) sink: Sink,
    /// Of a connection that the peer has opened.
    pub(super) place: Option<Place>,
    pub(super) pulse: Arc<Pulse>,
    /// Resolves when this end should say that it is there; at the end that has opened the
    /// connection, when the other is not there any more.
    pub(super) sign: BoxFuture<'static, ()>,
    open: Gauge,
}

impl Line {
    pub(super) fn new(shared: &Shared, established: Established) -> Self {
        let Established { mut reader, writer, place, .. } = established;
        reader.set_frame_bytes_max(packet_bytes_max(shared));
        let sink = Sink { writer, out: BytesMut::new(), is_flushed: true };
        let open = shared.metrics.connections_open.clone();
        open.inc();
        let pulse = Arc::new(Pulse::new(shared.silence_max));
        let sign = sign(pulse.clone(), place.is_some());
        Self { reader, sink, place, pulse, sign, open }
    }

    /// Whether the sign is that the other end is not there any more, and not that this one should
    /// say that it is.
    pub(super) fn waits_for_word(&self) -> bool {
        self.place.is_none()
    }

    /// Says that this end is there, past all layers.
    pub(super) fn say_here(&mut self) {
        if self.sink.has_room() {
            put_frame(&mut self.sink.out, &[]);
        }
        self.sign = sign(self.pulse.clone(), true);
    }
}

fn sign(pulse: Arc<Pulse>, opened_there: bool) -> BoxFuture<'static, ()> {
    match opened_there {
        true => async move { pulse.due().await }.boxed(),
        false => async move { pulse.stopped().await }.boxed(),
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.open.dec();
    }
}

/// What is being written.
pub(super) struct Sink {
    writer: WriteHalf<Box<dyn Stream>>,
    out: BytesMut,
    is_flushed: bool,
}

impl Sink {
    /// Whether it can take one more packet.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() < BATCH_BYTES
    }

    /// Whether all is with the transport.
    pub(super) fn is_idle(&self) -> bool {
        self.out.is_empty() && self.is_flushed
    }

    pub(super) fn put(&mut self, packet: &Packet) {
        put_parts(&mut self.out, packet.parts());
    }

    /// Writes what there is, and counts it here. Cancel-safe: what was not written stays.
    pub(super) async fn write(&mut self, mut written: impl FnMut(usize)) -> io::Result<()> {
        while !self.out.is_empty() {
            let bytes = self.writer.write_buf(&mut self.out).await?;
            if bytes == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.is_flushed = false;
            written(bytes);
        }
        if self.out.capacity() > BUFFER_KEEP_BYTES {
            self.out = BytesMut::new();
        }
        if !self.is_flushed {
            self.writer.flush().await?;
            self.is_flushed = true;
        }
        Ok(())
    }

    /// Says that nothing comes any more.
    pub(super) async fn shut(&mut self) {
        let _ = self.writer.shutdown().await;
    }
}
