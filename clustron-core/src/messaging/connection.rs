//! One established connection without layers: a writer that batches, and a reader that dispatches.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::ReadHalf;

use super::Shared;
use super::envelope::{self, Header};
use super::frame::{Came, FrameError, FrameReader, HEAD_BYTES};
use super::handshake::{Established, Hello, Lane};
use super::outgoing;
use super::places::Place;
use super::pulse::Pulse;
use super::session::Session;
use crate::transport::Stream;

/// Starts the tasks of an established connection. When it ends, `shared` hears of it, unless it
/// ends because nobody has used it for as long as `idle`.
pub(super) fn start(
    shared: &Arc<Shared>,
    established: Established,
    idle: Option<Duration>,
) -> Arc<Session> {
    let Established { peer, reader, writer, place, .. } = established;
    let waiting = shared.metrics.frames_waiting.clone();
    let (outgoing, frames) = outgoing::queue(waiting);
    let session = Session::new(peer.node.id, outgoing);
    shared.metrics.connections_open.inc();
    let (lane, opened_there) = (peer.lane, place.is_some());
    let pulse = Arc::new(Pulse::new(shared.silence_max));
    let (metrics, this, felt) = (shared.metrics.clone(), session.clone(), pulse.clone());
    let all_said = shared.flush.all_said();
    shared.tasks.spawn("connection writer", async move {
        let writing = async {
            let mut writer = writer;
            let unused = this.gate.unused(idle);
            let sent = metrics.bytes_sent.of(lane);
            if frames.write(&mut writer, sent, &felt, all_said, unused).await {
                metrics.connections_idle_closed.inc();
                outgoing::say_goodbye(&mut writer).await;
            }
        };
        tokio::select! {
            biased;
            () = this.closed.cancelled() => {}
            () = felt.stopped(), if lane.is_patient() && !opened_there => {
                tracing::debug!(peer = %this.peer, ?lane, "nobody is there any more");
            }
            () = writing => {}
        }
        this.closed.cancel();
    });
    let (this, shared2) = (session.clone(), shared.clone());
    shared.tasks.spawn("connection reader", async move {
        tokio::select! {
            biased;
            () = this.closed.cancelled() => {}
            () = taken_away(place.as_ref()) => {}
            () = beat(&this, &pulse), if lane.is_patient() && opened_there => {}
            () = read_frames(&this, &shared2, reader, &peer, &pulse, opened_there) => {}
        }
        this.close();
        drop(place);
        shared2.metrics.connections_open.dec();
        if !this.gate.is_retired() {
            shared2.connection_lost(peer.node.id);
        }
    });
    session
}

/// Says that this side is there, whenever the other should hear of it. Never resolves.
async fn beat(session: &Session, pulse: &Pulse) {
    loop {
        pulse.due().await;
        if let Ok(here) = envelope::seal(&Header::Here, &[]) {
            // Where the queue is full the other side hears enough.
            let _ = session.try_enqueue(&here);
        }
    }
}

async fn read_frames(
    session: &Arc<Session>,
    shared: &Arc<Shared>,
    mut reader: FrameReader<ReadHalf<Box<dyn Stream>>>,
    peer: &Hello,
    pulse: &Pulse,
    opened_there: bool,
) {
    // Only who has opened it closes it for want of use, and never that of the core: otherwise
    // an end is an end, and a sign.
    let may_retire = opened_there && peer.lane != Lane::Control;
    loop {
        let came = reader.come().await;
        pulse.heard();
        let frame = match came {
            Ok(Came::Frame(frame)) => frame,
            Ok(Came::Part) => continue,
            Ok(Came::End) => return,
            Err(FrameError::Io(error)) => {
                tracing::debug!(peer = %peer.node, %error, "a connection broke");
                return;
            }
            Err(error @ (FrameError::TooLarge { .. } | FrameError::Damaged { .. })) => {
                shared.metrics.protocol_errors.inc();
                tracing::warn!(peer = %peer.node, %error, "dropped a connection that sent garbage");
                return;
            }
        };
        let received = shared.metrics.bytes_received.of(peer.lane);
        received.inc_by((HEAD_BYTES + frame.len()) as u64);
        match envelope::open(frame) {
            Ok((Header::Goodbye, _)) if may_retire => {
                session.gate.retire();
                return;
            }
            Ok((header, body)) => {
                pulse.handling(true);
                let handled = session.dispatch(shared, peer.lane, header, body, None).await;
                pulse.handling(false);
                if let Err(error) = handled {
                    shared.metrics.protocol_errors.inc();
                    tracing::warn!(peer = %peer.node, %error, "dropped a connection that broke the rules");
                    return;
                }
            }
            Err(error) => {
                shared.metrics.protocol_errors.inc();
                tracing::warn!(peer = %peer.node, %error, "dropped a connection that sent garbage");
                return;
            }
        }
    }
}

/// Resolves when the connection must go for another one of its peer.
pub(super) async fn taken_away(place: Option<&Place>) {
    match place {
        Some(place) => place.taken_away().await,
        None => std::future::pending().await,
    }
}
