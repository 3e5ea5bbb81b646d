//! How the stack carries packets, whatever its layers are.

use std::time::Duration;

use bytes::Bytes;

use super::ends;
use crate::pipeline::{Event, Input, Layer, LayerConfig, Out, Registry, SendError};

const NOW: Duration = Duration::ZERO;

/// Says that it has more, and never gives any.
#[derive(Debug)]
struct Braggart;

impl Layer for Braggart {
    fn handle(&mut self, _: Duration, input: Input, out: &mut Out) {
        match input {
            Input::Down(packet) => out.down(packet),
            Input::Up(packet) => out.up(packet),
            _ => {}
        }
    }

    fn has_more(&self) -> bool {
        true
    }
}

#[test]
fn a_layer_that_gives_nothing_does_not_hold_up_the_others() {
    let mut registry = Registry::default();
    registry.register("braggart", |_, _| Ok(Box::new(Braggart))).unwrap();
    let layers = ["fragment", "braggart"].map(LayerConfig::new);
    let mut stack = registry.plan(&layers, 1 << 20).unwrap().stack(1, true).unwrap();
    stack.send(NOW, Bytes::from(vec![0; 40_000])).unwrap();
    let pieces = std::iter::from_fn(|| stack.next_write(NOW)).count();
    assert_eq!(pieces, 3);
}

#[test]
fn without_layers_what_waits_to_be_written_is_bounded() {
    let [mut stack, _] = ends(&[], 1000);
    assert!(stack.is_empty());
    let error = stack.send(NOW, Bytes::from(vec![0; 1001])).unwrap_err();
    assert_eq!(error, SendError::TooLarge { bytes: 1001, max: 1000 });
    let taken = (0..).take_while(|_| stack.send(NOW, Bytes::new()).is_ok()).count();
    assert!(stack.must_wait() && stack.bytes_held() < (1 << 20) + 2000);
    assert_eq!(stack.send(NOW, Bytes::new()), Err(SendError::MustWait));
    assert!(taken > 1000, "empty messages count, but not much: {taken}");
    stack.next_write(NOW).unwrap();
    assert!(!stack.must_wait());
}

#[test]
fn small_messages_wait_for_no_piece_that_is_not_written_yet() {
    let fragment = LayerConfig::new("fragment").with("piece_bytes", 1000).with("at_once", 2);
    let [mut stack, _] = ends(&[fragment, LayerConfig::new("reliable")], 1 << 20);
    stack.next_write(NOW).unwrap();
    stack.send(NOW, Bytes::from(vec![0; 10_000])).unwrap();
    stack.next_write(NOW).unwrap();
    stack.send(NOW, "small".into()).unwrap();
    assert!(stack.next_write(NOW).unwrap().to_bytes().ends_with(b"small"));
}

#[test]
fn a_conversation_that_has_ended_takes_and_holds_nothing() {
    let [mut stack, _] = ends(&["flow", "reliable"].map(LayerConfig::new), 1000);
    let (sent, held) = (stack.send(NOW, "sent".into()), stack.next_write(NOW));
    assert!(sent == Ok(0) && held.is_some());
    stack.end("the peer is gone");
    stack.end("and once more");
    let events: Vec<Event> = std::iter::from_fn(|| stack.next_event()).collect();
    let [Event::Failed(failure)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(failure.to_string(), "the conversation ended: the peer is gone");
    assert_eq!((&failure.unsent[..], &failure.unknown[..]), (&[][..], &[0][..]));
    assert_eq!(stack.send(NOW, "more".into()), Err(SendError::Over));
    stack.receive(NOW, "anything".into());
    stack.connected(NOW);
    stack.wake(NOW);
    assert_eq!((stack.bytes_held(), stack.wake_at(), stack.next_event()), (0, None, None));
    assert!(stack.next_write(NOW).is_none());
}
