//! The task of one end of a conversation: carries between its stack and the world.
//!
//! Each turn does a bounded amount of everything: it reads what has come, gives the stack what is
//! to be sent while that may take more, lets handlers begin, and writes. Only then it waits. So
//! none of these can starve another, and one system call serves many messages.

mod carrying;
mod ending;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use tokio::time::{Instant, Sleep};

use super::counted::{Counted, Standing};
use super::inbox::{Handled, Inbox};
use super::line::Line;
use super::redial::Redialled;
use super::unconfirmed::Unconfirmed;
use super::{Alone, DELIVERED_BYTES, KEPT_FOR, Opening, Way};
use crate::identity::NodeInfo;
use crate::messaging::Shared;
use crate::messaging::connection::taken_away;
use crate::messaging::envelope::{self, Header};
use crate::messaging::frame::{Came, FrameError};
use crate::messaging::handshake::{Established, Lane};
use crate::messaging::link::DialError;
use crate::messaging::outgoing::Frames;
use crate::messaging::session::Session;
use crate::pipeline::{PipelineError, Stack};
use ending::End;

/// How long an unused conversation takes at most to say goodbye.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// See the module's documentation.
pub(super) struct Driver {
    shared: Arc<Shared>,
    session: Arc<Session>,
    peer: NodeInfo,
    lane: Lane,
    opening: Opening,
    began: Instant,
    stack: Stack,
    frames: Frames,
    inbox: Inbox,
    unconfirmed: Unconfirmed,
    line: Option<Line>,
    way: Way,
    alone: Arc<Alone>,
    /// The goodbye, until the stack has taken it.
    parting: Option<Bytes>,
    leave_by: Option<Instant>,
    counted: Counted,
    standing: [Standing; 3],
}

/// What has happened.
enum Step {
    HungUp,
    Line(Option<Line>),
    Dialled(Box<Result<Established, DialError>>),
    TakenAway,
    Sign,
    Wake,
    Wrote(std::io::Result<()>),
    Read(Result<Came, FrameError>),
    Handled(Handled),
    Taken(u64),
    Send(Option<Bytes>),
    AllSaid,
    Unused,
    Turn,
}

impl Driver {
    /// Of a conversation that begins with this connection.
    pub(super) fn new(
        shared: &Arc<Shared>,
        established: Established,
        session: Arc<Session>,
        frames: Frames,
        way: Way,
        alone: Arc<Alone>,
    ) -> Result<Self, PipelineError> {
        let (peer, lane) = (established.peer.node.clone(), established.peer.lane);
        let opening = established.conversation.unwrap_or(Opening { number: 0, resumes: false });
        let (plan, opened_there) = (shared.plans.of(lane), matches!(way, Way::Taken(_)));
        let stack = plan.stack(opening.number, !opened_there)?;
        let bytes_max = if plan.contains("flow") { usize::MAX } else { DELIVERED_BYTES };
        let metrics = &shared.metrics;
        let gauges = [
            &metrics.conversations_open,
            &metrics.conversations_waiting,
            &metrics.conversations_unconnected,
        ];
        let mut driver = Self {
            session: session.clone(),
            peer,
            lane,
            opening,
            began: Instant::now(),
            frames,
            inbox: Inbox::new(session, lane, bytes_max),
            unconfirmed: Unconfirmed::default(),
            line: Some(Line::new(shared, established)),
            way,
            alone,
            parting: None,
            leave_by: None,
            counted: Counted::new(metrics, lane, &stack),
            standing: gauges.map(Standing::new),
            stack,
            shared: shared.clone(),
        };
        driver.standing[0].set(true);
        driver.stack.connected(Duration::ZERO);
        Ok(driver)
    }

    /// Drives it to its end.
    pub(super) async fn run(mut self, idle: Option<Duration>) {
        let end = self.drive(idle).await;
        self.finish(end).await;
    }

    async fn drive(&mut self, idle: Option<Duration>) -> End {
        let session = self.session.clone();
        let mut unused = Box::pin(async move { session.gate.unused(idle).await });
        let mut all_said = Box::pin(self.shared.flush.all_said().fuse());
        let mut timer: Pin<Box<Sleep>> = Box::pin(tokio::time::sleep(Duration::ZERO));
        loop {
            if let Err(end) = self.turn().await {
                return end;
            }
            let wake_at = self.wake_at();
            if let Some(at) = wake_at
                && timer.deadline() != at
            {
                timer.as_mut().reset(at);
            }
            let is_behind = self.inbox.is_behind();
            let may_read = !self.inbox.is_full();
            let may_send = !self.stack.must_wait();
            // What waits for credit or a receipt is used, whoever has gone away meanwhile.
            let has_said_all = self.has_said_all();
            let may_retire = self.leave_by.is_none() && has_said_all;
            let counter = self.shared.metrics.bytes_sent.of(self.lane);
            let written = |bytes: usize| {
                counter.inc_by(bytes as u64);
            };
            let (reader, sink, place, sign) = match &mut self.line {
                Some(Line { reader, sink, place, pulse, sign, .. }) => {
                    pulse.handling(!may_read);
                    (Some(reader), Some(sink), place.as_ref(), Some(sign))
                }
                None => (None, None, None, None),
            };
            let (lines, attempt) = match &mut self.way {
                Way::Taken(lines) => (Some(lines), None),
                Way::Opened(redial) => (None, redial.attempt.as_mut()),
            };
            let sink = sink.filter(|sink| !sink.is_idle());
            let reader = reader.filter(|_| may_read);
            let step = tokio::select! {
                biased;
                () = self.session.closed.cancelled() => Step::HungUp,
                line = of(lines.map(|lines| lines.recv())) => Step::Line(line),
                dialled = of(attempt) => Step::Dialled(Box::new(dialled)),
                () = taken_away(place) => Step::TakenAway,
                () = of(sign) => Step::Sign,
                () = &mut timer, if wake_at.is_some() => Step::Wake,
                wrote = of(sink.map(|sink| sink.write(written))) => Step::Wrote(wrote),
                read = of(reader.map(|reader| reader.come())) => Step::Read(read),
                taken = self.inbox.stubs.take() => Step::Taken(taken),
                handled = of(self.inbox.handling.as_mut()) => Step::Handled(handled),
                frame = self.frames.next(), if may_send => Step::Send(frame),
                () = &mut all_said, if has_said_all => Step::AllSaid,
                () = &mut unused, if may_retire => Step::Unused,
                () = tokio::task::yield_now(), if is_behind => Step::Turn,
            };
            if let Err(end) = self.take(step) {
                return end;
            }
        }
    }

    /// Does what can be done without waiting.
    async fn turn(&mut self) -> Result<(), End> {
        self.read_ready()?;
        self.send_ready();
        self.write_ready()?;
        self.listen()?;
        if let Err(violation) = self.inbox.begin(&self.shared).await {
            return Err(self.violated(&violation));
        }
        // What has been delivered and taken may have freed something.
        self.counted.tell(&self.stack);
        let (waits, alone) = (self.stack.must_wait(), self.line.is_none());
        self.standing[1].set(waits);
        self.standing[2].set(alone);
        if self.leave_by.is_some() && self.parting.is_none() && self.has_said_all() {
            if let Some(line) = &mut self.line {
                let _ = tokio::time::timeout(LEAVE_WITHIN, line.sink.shut()).await;
            }
            return Err(End::Unused);
        }
        Ok(())
    }

    /// Takes in what has happened.
    fn take(&mut self, step: Step) -> Result<(), End> {
        let now = self.began.elapsed();
        match step {
            Step::HungUp => return Err(End::HungUp),
            Step::Line(Some(line)) => self.connected(line),
            Step::Line(None) => {
                let reason = "the peer has begun another one, or this one was forgotten";
                return Err(End::Broken(reason.to_owned()));
            }
            Step::Dialled(result) => {
                let Way::Opened(redial) = &mut self.way else { return Ok(()) };
                match redial.dialled(*result) {
                    Redialled::Line(line) => self.connected(*line),
                    Redialled::Again => {}
                    Redialled::Never(reason) => return Err(End::Broken(reason)),
                }
            }
            Step::TakenAway => return self.broke(),
            Step::Sign => {
                let Some(line) = &mut self.line else { return Ok(()) };
                if line.waits_for_word() {
                    let (peer, lane) = (&self.peer, self.lane);
                    tracing::debug!(%peer, ?lane, "nobody is there any more");
                    return self.broke();
                }
                line.say_here();
            }
            Step::Wake => {
                if self.leave_by.is_some_and(|at| at <= Instant::now()) {
                    return Err(End::Unused);
                }
                if self.alone.since().is_some_and(|since| since.elapsed() >= KEPT_FOR) {
                    return Err(End::Broken(format!("there was no connection for {KEPT_FOR:?}")));
                }
                self.stack.wake(now);
            }
            Step::Wrote(Ok(())) | Step::AllSaid | Step::Turn => {}
            Step::Wrote(Err(error)) => {
                tracing::debug!(peer = %self.peer, %error, "a connection broke");
                return self.broke();
            }
            Step::Read(read) => {
                self.read(read)?;
                // What it says counts before what comes next, which may be the end.
                return self.listen();
            }
            Step::Handled(handled) => {
                self.inbox.handling = None;
                if let Err(violation) = handled {
                    return Err(self.violated(&violation));
                }
            }
            Step::Taken(taken) => (0..taken).for_each(|_| self.stack.taken(now)),
            Step::Send(Some(frame)) => self.send(frame),
            Step::Send(None) => return Err(End::HungUp),
            Step::Unused => {
                self.shared.metrics.connections_idle_closed.inc();
                if self.line.is_none() {
                    return Err(End::Unused);
                }
                self.parting = envelope::seal(&Header::Goodbye, &[]).ok();
                self.leave_by = Some(Instant::now() + LEAVE_WITHIN);
            }
        }
        Ok(())
    }

    /// Whether the peer may end it for want of use: only who has opened it does.
    fn may_retire(&self) -> bool {
        matches!(self.way, Way::Taken(_))
    }

    fn connected(&mut self, line: Line) {
        let now = self.began.elapsed();
        if self.line.take().is_some() {
            // The peer knows that it is gone before this node does.
            self.stack.disconnected(now);
        }
        self.alone.set(None);
        self.line = Some(line);
        self.stack.connected(now);
    }

    /// The connection is gone.
    fn broke(&mut self) -> Result<(), End> {
        self.line = None;
        if self.session.is_retired() {
            return Err(End::Unused);
        }
        self.shared.connection_lost(self.peer.id);
        self.stack.disconnected(self.began.elapsed());
        // Where no layer outlives it this was the end, which the next turn hears of.
        if self.stack.outlives_connections() {
            self.alone.set(Some(Instant::now()));
            let is_needed = self.is_needed();
            if let Way::Opened(redial) = &mut self.way {
                if !is_needed {
                    return Err(End::Unused);
                }
                redial.begin();
            }
        }
        Ok(())
    }

    /// Whether anybody here waits for something in it.
    fn is_needed(&self) -> bool {
        self.session.gate.is_used() || !self.has_said_all()
    }

    /// Whether all that was to be said is with the peer, or at least written.
    fn has_said_all(&self) -> bool {
        let written = self.line.as_ref().is_none_or(|line| line.sink.is_idle());
        self.frames.is_empty() && self.unconfirmed.is_empty() && written
    }

    fn wake_at(&self) -> Option<Instant> {
        let stack = self.stack.wake_at().map(|at| self.began + at);
        let alone = self.alone.since().map(|since| since + KEPT_FOR);
        [stack, alone, self.leave_by].into_iter().flatten().min()
    }
}

/// What a future gives, if there is one; else this waits for ever.
async fn of<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
