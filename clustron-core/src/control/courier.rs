//! Hands commands of modules on to whoever leads, many to a request.
//!
//! The queue is the same as the leader's ([`queue`](super::queue)), and so is the idea: no timer, a
//! command that comes alone goes alone and at once, and while requests are under way the next
//! commands gather. A request of one is an ordinary one. A request of many is answered by a stream,
//! so that no command waits for the answer to another, and no answer has to fit into a frame
//! together with others.
//!
//! Requests to a leader that has fallen silent hold nobody up who finds another one: how many may
//! be under way is counted for each leader.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Control;
use super::command::ModuleCommand;
use super::propose::{ProposeError, deadline_there, not_taken};
use super::queue::{Queued, Unanswered};
use super::rpc::{HandedOn, Proposal, ProposeMany, Proposed};
use crate::defect::{ClusterBug, Defect};
use crate::identity::NodeId;
use crate::messaging::{ItemSink, Lane, MessageError, SinkError, StreamOptions};

/// Requests that may be under way to one leader at the same time: as many as it has entries.
const REQUESTS_IN_FLIGHT: usize = 4;

/// Answers that go together: more of them go in several pieces.
const PIECE_BYTES: usize = 64 << 10;

/// The callers of one request, each until it is answered.
struct Callers(Vec<Option<oneshot::Sender<Result<Proposed, Unanswered>>>>);

impl Callers {
    /// An answer to the caller at this place. What a peer says twice, or of nobody, counts for
    /// nothing.
    fn tell(&mut self, place: usize, answer: Result<Proposed, Unanswered>) {
        if let Some(caller) = self.0.get_mut(place).and_then(Option::take) {
            // It may have given up.
            let _ = caller.send(answer);
        }
    }

    /// The same error to everybody who has no answer yet.
    fn fail(&mut self, error: &MessageError, defect: Defect) {
        for place in 0..self.0.len() {
            let answer = match not_taken(error) {
                Some(not_taken) => Ok(not_taken),
                None if defect.is(ClusterBug::HandedOnAgain) => {
                    Ok(Proposed::NotLeader { leader: None })
                }
                None => Err(Unanswered::Failed(ProposeError::Unconfirmed(error.to_string()))),
            };
            self.tell(place, answer);
        }
    }
}

impl Control {
    /// Has a command handed on to whoever leads, and waits for what became of it.
    pub(super) async fn hand_on(
        &self,
        command: ModuleCommand,
        until: Instant,
    ) -> Result<Proposed, ProposeError> {
        match self.courier.answer_to(command, until).await {
            Ok(proposed) => Ok(proposed),
            // Nobody has taken it. If that is for want of a leader, it is no load.
            Err(Unanswered::TooLate(overload)) => match self.hears_leader() {
                true => Ok(Proposed::Overloaded(overload)),
                false => Ok(Proposed::NotLeader { leader: None }),
            },
            Err(Unanswered::Closed) => Err(ProposeError::NotRunning),
            Err(Unanswered::Failed(error)) => Err(error),
        }
    }

    /// Hands on what waits, until the node ends.
    pub(super) async fn keep_handing_on(self: Arc<Self>) {
        let queue = &self.courier;
        let _closing = queue.closing();
        let mut state = self.raft.server_metrics();
        // They end with their callers' deadlines at the latest.
        let mut under_way = FuturesUnordered::new();
        let mut asked: BTreeMap<NodeId, usize> = BTreeMap::new();
        loop {
            // Seen before anything is awaited, so that no change of it is missed.
            let leader = state.borrow_and_update().current_leader;
            if leader == Some(self.local.id) {
                for queued in queue.take_all() {
                    let _ = queued.answer.send(Ok(Proposed::NotLeader { leader }));
                }
            } else if let Some(ask) = leader {
                while asked.get(&ask).is_none_or(|count| *count < REQUESTS_IN_FLIGHT)
                    && let Some((taken, until)) = queue.next_batch()
                {
                    *asked.entry(ask).or_default() += 1;
                    let request = self.ask_to_propose(ask, taken, until);
                    under_way.push(async move {
                        request.await;
                        ask
                    });
                }
            }
            tokio::select! {
                biased;
                Some(ask) = under_way.next() => match asked.get_mut(&ask) {
                    Some(count) if *count > 1 => *count -= 1,
                    Some(_) | None => drop(asked.remove(&ask)),
                },
                () = queue.arrived() => {}
                changed = state.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Asks a node to propose commands as the leader, and tells their callers what it answers.
    async fn ask_to_propose(&self, ask: NodeId, taken: Vec<Queued>, until: Instant) {
        let now = Instant::now();
        let (mut commands, mut callers) = (vec![], Callers(vec![]));
        for Queued { command, until, answer, .. } in taken {
            let deadline_ms = deadline_there(until.saturating_duration_since(now));
            commands.push(HandedOn { command, deadline_ms });
            callers.0.push(Some(answer));
        }
        let left = until.saturating_duration_since(now);
        if let [HandedOn { .. }] = commands[..]
            && let Some(HandedOn { command, .. }) = commands.pop()
        {
            let proposal = Proposal::Module(command);
            let answer = self.propose_there(ask, &proposal, left).await;
            callers.tell(0, answer.map_err(Unanswered::Failed));
            return;
        }
        let Some(cluster) = self.local.cluster_id() else {
            (0..callers.0.len()).for_each(|place| callers.tell(place, Err(Unanswered::Closed)));
            return;
        };
        let request = ProposeMany { cluster, commands };
        let options = StreamOptions { idle: left, ..StreamOptions::default() };
        let asking = async {
            let asked = self.messenger.request_stream(ask, Lane::Control, &request, &options);
            let mut answers = asked.await?;
            while let Some(some) = answers.next().await {
                for (place, proposed) in some? {
                    callers.tell(place.into(), Ok(proposed));
                }
            }
            Ok(())
        };
        // Until the last caller has given up, however slowly answers come.
        if let Ok(Err(error)) = tokio::time::timeout_at(until, asking).await {
            callers.fail(&error, self.local.defect);
        }
    }
}

/// Puts answers together, so many that a piece has about [`PIECE_BYTES`], and at least one.
pub(super) fn in_pieces(answers: Vec<(u16, Proposed)>) -> Vec<Vec<(u16, Proposed)>> {
    let (mut pieces, mut piece, mut bytes) = (vec![], vec![], 0);
    for answer in answers {
        let weight = answer.1.weight();
        if bytes + weight > PIECE_BYTES && !piece.is_empty() {
            pieces.push(std::mem::take(&mut piece));
            bytes = 0;
        }
        bytes += weight;
        piece.push(answer);
    }
    pieces.extend((!piece.is_empty()).then_some(piece));
    pieces
}

/// Sends a piece. If it is a single answer that does not fit into a frame, its caller learns that
/// nobody knows, as from a request.
pub(super) async fn send_answers(
    sink: &mut ItemSink<Vec<(u16, Proposed)>>,
    piece: Vec<(u16, Proposed)>,
) -> Result<(), SinkError> {
    let places: Vec<u16> = piece.iter().map(|(place, _)| *place).collect();
    match sink.send(piece).await {
        Err(SinkError::TooLarge { .. }) => {
            sink.send(places.into_iter().map(|place| (place, Proposed::Unknown)).collect()).await
        }
        sent => sent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(bytes: usize) -> Proposed {
        let response = super::super::Response::Module(vec![0; bytes].into());
        Proposed::Applied { index: 1, response }
    }

    fn sizes(answers: &[usize]) -> Vec<usize> {
        let answers = (0..).zip(answers).map(|(place, bytes)| (place, applied(*bytes))).collect();
        let pieces = in_pieces(answers);
        let places = pieces.iter().flatten().map(|(place, _)| *place);
        assert!(places.eq(0..pieces.iter().map(Vec::len).sum::<usize>() as u16));
        pieces.iter().map(Vec::len).collect()
    }

    #[test]
    fn answers_go_together_until_a_piece_is_full_and_a_large_one_goes_alone() {
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[10; 100]), [100]);
        assert_eq!(sizes(&[PIECE_BYTES / 4; 6]), [3, 3]);
        assert_eq!(sizes(&[1, 9 * PIECE_BYTES, 1]), [1, 1, 1]);
    }

    #[tokio::test]
    async fn every_caller_is_told_once_and_places_that_nobody_has_are_nothing() {
        let (first, told_first) = oneshot::channel();
        let (second, told_second) = oneshot::channel();
        let mut callers = Callers(vec![Some(first), Some(second)]);
        callers.tell(1, Ok(applied(0)));
        callers.tell(1, Ok(Proposed::Unknown));
        callers.tell(2, Ok(Proposed::Unknown));
        callers.fail(&MessageError::Disconnected { node: NodeId(7) }, Defect::default());
        let lost = told_first.await.unwrap();
        assert!(matches!(lost, Err(Unanswered::Failed(ProposeError::Unconfirmed(_)))), "{lost:?}");
        assert!(matches!(told_second.await.unwrap(), Ok(Proposed::Applied { .. })));
    }
}
