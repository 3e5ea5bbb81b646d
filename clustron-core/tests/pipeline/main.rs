//! Layers told as stories: scripts that say what happens to two ends, with what the ends did below
//! each step, in the manner of etcd's raft. `CLUSTRON_REWRITE=1` writes what happens into the
//! scripts instead of comparing; look at the difference before you keep it.
//!
//! A step is some commands, a line `----`, and what came of them:
//!
//! ```text
//! layers NAME [SETTING=VALUE].. | NAME..   two fresh ends, a and b, without a connection
//! connect, cut                             both ends are told; what is under way is lost
//! a send TEXT                              from the application
//! a send N bytes, a send N noise           N bytes all alike, or all different
//! a write                                  the next packet, if there is one, gets under way
//! arrive #N, lose #N, damage #N            what becomes of packet N; `arrive` alone: of the oldest
//! talk                                     all that both have to write, until they fall silent
//! a take                                   the application takes a message
//! after N ms                               time passes; whoever wants to be woken is
//! a end REASON                             the driver ends the conversation
//! state                                    what each end holds and waits for
//! ```

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clustron_core::pipeline::{Event, LayerConfig, Registry, Stack};

const NAMES: [&str; 2] = ["a", "b"];
const MESSAGE_BYTES_MAX: usize = 10_000;
/// Bytes of a packet that are shown.
const SHOWN: usize = 28;

#[derive(Default)]
struct Stage {
    now: Duration,
    ends: Vec<Stack>,
    /// To which end, under which number.
    under_way: Vec<(usize, usize, Bytes)>,
    packets: usize,
    told: String,
}

impl Stage {
    fn run(&mut self, command: &str) {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["layers", ..] => self.set_up(command.trim_start_matches("layers")),
            ["connect"] => self.ends.iter_mut().for_each(|end| end.connected(self.now)),
            ["cut"] => {
                self.under_way.clear();
                self.ends.iter_mut().for_each(|end| end.disconnected(self.now));
            }
            [end, "send", size, "bytes"] => {
                self.send(place(end), Bytes::from(vec![b'x'; size.parse().unwrap()]));
            }
            [end, "send", size, "noise"] => {
                self.send(place(end), noise(size.parse().unwrap()));
            }
            [end, "send", ..] => {
                let (_, text) = command.split_once("send ").unwrap();
                self.send(place(end), Bytes::from(text.to_owned()));
            }
            [end, "write"] => {
                if !self.write(place(end)) {
                    self.tell(format_args!("{end} has nothing to write"));
                }
            }
            ["arrive"] => self.arrive(0),
            ["arrive", number] => {
                let at = self.find(number);
                self.arrive(at);
            }
            ["lose", number] => {
                let at = self.find(number);
                self.under_way.remove(at);
            }
            ["damage", number] => {
                let at = self.find(number);
                let mut bytes = self.under_way[at].2.to_vec();
                *bytes.last_mut().unwrap() ^= 1;
                self.under_way[at].2 = bytes.into();
            }
            ["talk"] => self.talk(),
            [end, "take"] => self.ends[place(end)].taken(self.now),
            ["after", ms, "ms"] => self.pass(Duration::from_millis(ms.parse().unwrap())),
            [end, "end", ..] => {
                let (_, reason) = command.split_once("end ").unwrap();
                self.ends[place(end)].end(reason);
            }
            ["state"] => self.state(),
            _ => panic!("no such command: {command}"),
        }
        self.listen();
    }

    fn set_up(&mut self, layers: &str) {
        let layers = layers.split('|').map(str::split_whitespace).filter_map(|mut words| {
            let layer = LayerConfig::new(words.next()?);
            Some(words.filter_map(|w| w.split_once('=')).fold(layer, |l, (k, v)| l.with(k, v)))
        });
        let layers: Vec<LayerConfig> = layers.collect();
        match Registry::default().plan(&layers, MESSAGE_BYTES_MAX) {
            Ok(plan) => {
                self.tell(format_args!("{}", plan.fingerprint()));
                self.ends = vec![plan.stack(7, true).unwrap(), plan.stack(7, false).unwrap()];
            }
            Err(error) => self.tell(format_args!("{error}")),
        }
    }

    fn send(&mut self, end: usize, body: Bytes) {
        match self.ends[end].send(self.now, body) {
            Ok(number) => self.tell(format_args!("{} takes message {number}", NAMES[end])),
            Err(error) => self.tell(format_args!("{} takes nothing: {error}", NAMES[end])),
        }
    }

    fn write(&mut self, end: usize) -> bool {
        let Some(packet) = self.ends[end].next_write(self.now) else { return false };
        let (packet, number) = (packet.to_bytes(), self.packets);
        let shown: String = packet.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
        let more = if packet.len() > SHOWN { ".." } else { "" };
        let (name, bytes) = (NAMES[end], packet.len());
        self.tell(format_args!("{name} writes #{number}: {bytes} bytes, {shown}{more}"));
        self.under_way.push((1 - end, number, packet));
        self.packets += 1;
        true
    }

    fn arrive(&mut self, at: usize) {
        let (end, _, packet) = self.under_way.remove(at);
        self.ends[end].receive(self.now, packet);
    }

    fn talk(&mut self) {
        loop {
            let wrote = [0, 1].map(|end| self.write(end));
            if wrote == [false, false] && self.under_way.is_empty() {
                return;
            }
            while !self.under_way.is_empty() {
                self.arrive(0);
                self.listen();
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let due = |end: &usize| self.ends[*end].wake_at().filter(|at| *at <= until);
            let next = (0..self.ends.len()).filter_map(|end| due(&end).map(|at| (at, end))).min();
            let Some((at, end)) = next else { break };
            let now = self.now.max(at);
            self.now = now;
            self.tell(format_args!("{} wakes at {now:?}", NAMES[end]));
            self.ends[end].wake(self.now);
            self.listen();
        }
        self.now = until;
    }

    fn state(&mut self) {
        for end in [0, 1] {
            let (stack, name) = (&self.ends[end], NAMES[end]);
            let waits = if stack.must_wait() { "must wait" } else { "may send" };
            let wake = stack.wake_at().map_or("no time".to_owned(), |at| format!("{at:?}"));
            let held = stack.bytes_held();
            self.tell(format_args!("{name} holds {held} bytes, {waits}, wakes at {wake}"));
        }
    }

    fn listen(&mut self) {
        for (end, name) in NAMES.into_iter().enumerate() {
            while let Some(event) = self.ends.get_mut(end).and_then(Stack::next_event) {
                match event {
                    Event::Deliver(body) if body.len() <= SHOWN => {
                        let text = String::from_utf8_lossy(&body);
                        self.tell(format_args!("{name} delivers {text:?}"));
                    }
                    Event::Deliver(body) => {
                        assert!(body.iter().all(|x| *x == b'x') || body == noise(body.len()));
                        self.tell(format_args!("{name} delivers {} bytes", body.len()));
                    }
                    Event::Confirmed(n) => self.tell(format_args!("{name} knows {n} delivered")),
                    Event::Failed(failure) => {
                        let (unsent, unknown) = (&failure.unsent, &failure.unknown);
                        self.tell(format_args!(
                            "{name}: {failure}; unsent {unsent:?}, unknown {unknown:?}"
                        ));
                    }
                    _ => panic!("an event that scripts do not know"),
                }
            }
        }
    }

    fn find(&self, number: &str) -> usize {
        let number: usize = number.trim_start_matches('#').parse().unwrap();
        self.under_way.iter().position(|(_, of, _)| *of == number).expect("it is under way")
    }

    fn tell(&mut self, what: std::fmt::Arguments<'_>) {
        writeln!(self.told, "{what}").unwrap();
    }
}

/// Bytes that do not compress.
fn noise(size: usize) -> Bytes {
    let mut state: u32 = 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

fn place(name: &str) -> usize {
    NAMES.iter().position(|known| *known == name).expect("ends are called a and b")
}

/// Plays a script and gives it back with what happened.
fn play(script: &str) -> String {
    let mut stage = Stage::default();
    let mut played = String::new();
    for step in script.trim_end().split("\n\n") {
        let commands = step.split("----").next().unwrap().trim_end();
        for command in commands.lines().filter(|line| !line.starts_with('#')) {
            stage.run(command);
        }
        let told = std::mem::take(&mut stage.told);
        let is_silent = commands.lines().all(|line| line.starts_with('#'));
        let told = if told.is_empty() { "nothing\n".to_owned() } else { told };
        match is_silent {
            true => write!(played, "{commands}\n\n").unwrap(),
            false => write!(played, "{commands}\n----\n{told}\n").unwrap(),
        }
    }
    played.truncate(played.trim_end().len());
    played.push('\n');
    played
}

fn check(name: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pipeline/scripts");
    let path: PathBuf = directory.join(name).with_extension("txt");
    let script = std::fs::read_to_string(&path).unwrap();
    let played = play(&script);
    if std::env::var_os("CLUSTRON_REWRITE").is_some() {
        std::fs::write(&path, played).unwrap();
    } else {
        assert!(script == played, "{} tells another story:\n{played}", path.display());
    }
}

#[test]
fn a_damaged_message_ends_the_conversation_or_is_sent_again() {
    check("checksum");
}

#[test]
fn what_compresses_goes_compressed_and_what_does_not_goes_as_it_is() {
    check("compress");
}

#[test]
fn a_reader_that_takes_nothing_makes_the_sender_wait() {
    check("flow");
}

#[test]
fn a_large_message_goes_in_pieces() {
    check("fragment");
}

#[test]
fn what_is_lost_is_sent_again_and_what_is_not_acknowledged_is_reported() {
    check("reliable");
}

#[test]
fn a_conversation_outlives_its_connection_and_not_its_process() {
    check("whole");
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_a_remedy() {
    check("refused");
}
