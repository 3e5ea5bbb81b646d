//! What the driver carries to its stack and from it, a bounded amount at a time.

use bytes::Bytes;
use futures::FutureExt;

use super::Driver;
use super::ending::End;
use crate::messaging::envelope;
use crate::messaging::frame::{Came, FrameError, HEAD_BYTES};
use crate::pipeline::Event;

/// Frames that are read, or taken to be sent, in one turn at most.
const IN_A_TURN: usize = 64;

impl Driver {
    pub(super) fn read_ready(&mut self) -> Result<(), End> {
        for _ in 0..IN_A_TURN {
            if self.inbox.is_full() {
                break;
            }
            let Some(line) = &mut self.line else { break };
            let Some(read) = line.reader.come().now_or_never() else { break };
            self.read(read)?;
            // What one frame has released counts before the next is read.
            self.listen()?;
        }
        Ok(())
    }

    pub(super) fn read(&mut self, read: Result<Came, FrameError>) -> Result<(), End> {
        if let Some(line) = &self.line {
            line.pulse.heard();
        }
        match read {
            Ok(Came::Frame(frame)) => {
                let received = self.shared.metrics.bytes_received.of(self.lane);
                received.inc_by((HEAD_BYTES + frame.len()) as u64);
                // An empty one says that the other end is there, and is not for the layers.
                if !frame.is_empty() {
                    self.stack.receive(self.began.elapsed(), frame);
                }
                return Ok(());
            }
            Ok(Came::Part) => return Ok(()),
            Ok(Came::End) => {}
            Err(FrameError::Io(error)) => {
                tracing::debug!(peer = %self.peer, %error, "a connection broke");
            }
            Err(error @ (FrameError::TooLarge { .. } | FrameError::Damaged { .. })) => {
                self.shared.metrics.protocol_errors.inc();
                tracing::warn!(peer = %self.peer, %error, "dropped a connection that sent garbage");
            }
        }
        self.broke()
    }

    pub(super) fn send_ready(&mut self) {
        for _ in 0..IN_A_TURN {
            if self.stack.must_wait() {
                return;
            }
            match self.frames.try_next().or_else(|| self.parting.take()) {
                Some(frame) => self.send(frame),
                None => return,
            }
        }
    }

    /// Gives the stack a frame, which has room for it.
    pub(super) fn send(&mut self, frame: Bytes) {
        let sent = envelope::sent(&frame);
        match self.stack.send(self.began.elapsed(), frame) {
            Ok(number) if self.stack.outlives_connections() => {
                self.unconfirmed.insert(number, sent);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(peer = %self.peer, %error, "a message was not sent");
                self.not_sent(sent, &error.to_string());
            }
        }
    }

    pub(super) fn write_ready(&mut self) -> Result<(), End> {
        let now = self.began.elapsed();
        let Some(line) = &mut self.line else { return Ok(()) };
        while line.sink.has_room()
            && let Some(packet) = self.stack.next_write(now)
        {
            if packet.is_empty() {
                let reason = "a layer gave the wire a packet without one byte, which says nothing";
                return Err(End::Broken(reason.to_owned()));
            }
            line.pulse.said();
            line.sink.put(&packet);
        }
        Ok(())
    }

    /// Hears what the stack has to say.
    pub(super) fn listen(&mut self) -> Result<(), End> {
        while let Some(event) = self.stack.next_event() {
            match event {
                // Seen here, and not by a handler: the end of the connection follows at once, and
                // is to be expected then.
                Event::Deliver(message) if self.may_retire() && envelope::is_goodbye(&message) => {
                    self.session.gate.retire();
                    return Err(End::Unused);
                }
                Event::Deliver(message) => self.inbox.push(message),
                Event::Confirmed(number) => self.unconfirmed.confirmed(number),
                Event::Failed(failure) => return Err(End::Failed(failure)),
            }
        }
        Ok(())
    }
}
