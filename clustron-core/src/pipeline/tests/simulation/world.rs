//! Two ends, the wire between them, and what happens to all three.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::end::{End, Ledger, MESSAGE_BYTES_MAX};
use super::link::{Direction, Quality};
use crate::pipeline::{Failure, LayerBug, LayerConfig, Plan, Registry};

/// What is simulated.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) layers: Vec<LayerConfig>,
    pub(super) quality: Quality,
    /// Whether messages of one end may overtake each other.
    pub(super) may_overtake: bool,
    /// What an end may hold at any time.
    pub(super) bytes_max: usize,
    /// What an application may have been given and not taken.
    pub(super) untaken_bytes_max: usize,
}

/// Faults happen until then.
const CHAOS_UNTIL: Duration = Duration::from_secs(20);

/// All must be at rest then.
const END_AT: Duration = Duration::from_secs(120);

/// Whoever was connected for so long, on however bad a wire, has no reason to give up.
const OPEN_ENOUGH: Duration = Duration::from_millis(2500);

/// Steps at the same moment. More is an end that wakes for nothing.
const STEPS_AT_ONCE_MAX: usize = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connection {
    Open,
    /// Broken: each end notices at its time, and the first one dials again.
    Broken {
        noticed_at: [Duration; 2],
        again_at: Duration,
    },
}

pub(super) struct World {
    scene: Scene,
    plan: Plan,
    rng: StdRng,
    now: Duration,
    conversation: u32,
    ends: [End; 2],
    /// What goes to each end.
    wires: [Direction; 2],
    connection: Connection,
    open_since: Duration,
    next_fault_at: Duration,
    /// How many conversations were given up, and how many ended for other reasons.
    pub(super) given_up: usize,
    pub(super) ended: usize,
}

impl World {
    pub(super) fn new(scene: &Scene, bug: Option<LayerBug>, seed: u64) -> Self {
        let plan = Registry::default().plan(&scene.layers, MESSAGE_BYTES_MAX).unwrap();
        let plan = plan.with_bug(bug);
        let mut rng = StdRng::seed_from_u64(seed);
        let ends = [true, false].map(|opener| {
            // Some have little to say: then nothing that comes later makes up for what is missed.
            let (messages, burst) = if rng.random() { (12, 0.1) } else { (200, 0.8) };
            let stack = plan.stack(1, opener).unwrap();
            End::new(stack, rng.random_range(0..messages), burst)
        });
        let next_fault_at = Duration::from_millis(rng.random_range(0..3000));
        let mut world = Self {
            scene: scene.clone(),
            plan,
            rng,
            now: Duration::ZERO,
            conversation: 1,
            ends,
            wires: Default::default(),
            connection: Connection::Open,
            open_since: Duration::ZERO,
            next_fault_at,
            given_up: 0,
            ended: 0,
        };
        world.connect();
        world
    }

    /// Runs to the end, and panics where anything is not as promised.
    pub(super) fn run(&mut self) {
        let mut steps = (Duration::ZERO, 0);
        while let Some(next) = self.next_at() {
            assert!(next <= END_AT, "not at rest after {END_AT:?}: {:#?}", self.ends);
            self.now = self.now.max(next);
            steps = if steps.0 == self.now { (self.now, steps.1 + 1) } else { (self.now, 0) };
            assert!(steps.1 < STEPS_AT_ONCE_MAX, "turns in circles at {:?}", self.now);
            self.step();
            for end in [0, 1] {
                self.look_after(end);
            }
        }
        self.check_rest();
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }

    fn next_at(&self) -> Option<Duration> {
        let mut times: Vec<Option<Duration>> = self.wires.iter().map(Direction::next_at).collect();
        for end in &self.ends {
            let may_send = end.to_send > 0 && !end.stack.must_wait();
            times.push(may_send.then_some(end.send_at));
            times.push((!end.untaken.is_empty()).then_some(end.take_at));
            times.push(end.stack.wake_at());
        }
        match self.connection {
            Connection::Open => {}
            Connection::Broken { noticed_at, again_at } => {
                let unnoticed = (0..2).filter(|end| self.ends[*end].is_connected);
                times.extend(unnoticed.map(|end| Some(noticed_at[end])));
                times.push(Some(again_at));
            }
        }
        if self.now < CHAOS_UNTIL {
            times.push(Some(self.next_fault_at));
        }
        times.into_iter().flatten().min()
    }

    fn step(&mut self) {
        let now = self.now;
        for end in [0, 1] {
            if let Some(packet) = self.wires[end].arrived(now) {
                self.ends[end].stack.receive(now, packet);
            }
            let this = &mut self.ends[end];
            if this.stack.wake_at().is_some_and(|at| at <= now) {
                this.stack.wake(now);
            }
            if this.to_send > 0 && this.send_at <= now && this.send(now, &mut self.rng) {
                let pause_ms = if self.rng.random_bool(this.burst) { 5 } else { 1000 };
                this.send_at = now + Duration::from_millis(self.rng.random_range(0..pause_ms));
                // Faults are worst where something is under way.
                if self.rng.random_bool(0.03) {
                    self.next_fault_at = now;
                }
            }
            if this.take_at <= now && this.untaken.pop_front().is_some() {
                this.stack.taken(now);
                let pause_ms = if self.rng.random_bool(0.98) { 5 } else { 2000 };
                this.take_at = now + Duration::from_millis(self.rng.random_range(0..pause_ms));
            }
        }
        if let Connection::Broken { noticed_at, again_at } = self.connection {
            for (end, at) in noticed_at.into_iter().enumerate() {
                if at <= now {
                    self.disconnect(end);
                }
            }
            if again_at <= now {
                self.connect();
            }
        }
        if now < CHAOS_UNTIL && self.next_fault_at <= now {
            let pause = self.rng.random_range(10..8000);
            self.next_fault_at = now + Duration::from_millis(pause);
            match self.rng.random_range(0..6) {
                0 => self.restart(),
                _ => self.cut(),
            }
        }
    }

    /// What the driver of an end does after each call.
    fn look_after(&mut self, end: usize) {
        let mut other = std::mem::take(&mut self.ends[1 - end].ledger);
        let failure = self.ends[end].listen(&mut other);
        self.ends[1 - end].ledger = other;
        if let Some(failure) = failure {
            return self.failed(&failure);
        }
        let (this, wire) = (&mut self.ends[end], &mut self.wires[1 - end]);
        let (max, untaken_max) = (self.scene.bytes_max, self.scene.untaken_bytes_max);
        let (held, untaken) = (this.stack.bytes_held(), this.untaken_bytes());
        assert!(held <= max, "{held} bytes are held, at most {max} may be");
        assert!(untaken <= untaken_max, "{untaken} bytes are not taken, {untaken_max} may be");
        while this.is_connected && wire.has_room() {
            let Some(packet) = this.stack.next_write(self.now) else { break };
            // Into the void, as long as nobody has noticed.
            if self.connection == Connection::Open {
                wire.write(self.now, &packet.to_bytes(), self.scene.quality, &mut self.rng);
            }
        }
    }

    /// The connection breaks, and what is under way is lost.
    fn cut(&mut self) {
        if self.connection != Connection::Open {
            return;
        }
        // On a bad wire, some of it comes late, to whoever is there then.
        if self.scene.quality.in_order || self.rng.random() {
            self.wires.iter_mut().for_each(Direction::cut);
        }
        let again_ms = if self.rng.random_bool(0.1) { 3500..6000 } else { 1..500 };
        let mut after = |ms| self.now + Duration::from_millis(self.rng.random_range(ms));
        let noticed_at = [after(0..200), after(0..200)];
        let again_at = after(again_ms).max(noticed_at[0]);
        self.connection = Connection::Broken { noticed_at, again_at };
    }

    /// A process ends and comes back without anything that it had.
    fn restart(&mut self) {
        self.cut();
        let end = self.rng.random_range(0..2);
        let other = &mut self.ends[1 - end];
        other.stack.end("the process at the other end is another one");
        self.look_after(1 - end);
    }

    fn disconnect(&mut self, end: usize) {
        if std::mem::replace(&mut self.ends[end].is_connected, false) {
            self.ends[end].stack.disconnected(self.now);
            self.look_after(end);
        }
    }

    fn connect(&mut self) {
        for end in [0, 1] {
            // A new connection says that the one before is gone.
            self.disconnect(end);
        }
        (self.connection, self.open_since) = (Connection::Open, self.now);
        for end in [0, 1] {
            self.ends[end].is_connected = true;
            self.ends[end].stack.connected(self.now);
            self.look_after(end);
        }
    }

    /// One end cannot go on. Its driver hangs up; with the next connection a new conversation
    /// begins, and the old one ends at the other end, too.
    fn failed(&mut self, failure: &Failure) {
        match failure.layer.as_deref() {
            None => self.ended += 1,
            Some("reliable") if failure.reason.contains("nothing was acknowledged") => {
                let open_for = self.now - self.open_since;
                let was_open = self.connection == Connection::Open && open_for > OPEN_ENOUGH;
                assert!(!was_open, "given up although connected for {open_for:?}: {failure}");
                self.given_up += 1;
            }
            Some(_) => panic!("{failure}"),
        }
        for end in [0, 1] {
            let mut other = std::mem::take(&mut self.ends[1 - end].ledger);
            let this = &mut self.ends[end];
            let _ = this.listen(&mut other);
            this.stack.end("the other end began another conversation");
            let _ = this.listen(&mut other);
            self.ends[1 - end].ledger = other;
        }
        for end in [0, 1] {
            let ledger = std::mem::take(&mut self.ends[end].ledger);
            self.check_ended(&ledger);
        }
        self.conversation += 1;
        for (end, opener) in [(0, true), (1, false)] {
            let this = &mut self.ends[end];
            let stack = self.plan.stack(self.conversation, opener).unwrap();
            let fresh = End::new(stack, this.to_send, this.burst);
            *this = End { send_at: this.send_at, ..fresh };
        }
        self.connection = Connection::Open;
        self.cut();
        if let Connection::Broken { noticed_at, .. } = &mut self.connection {
            *noticed_at = [self.now; 2];
        }
    }

    /// Whatever was sent was delivered once and in order, or is reported.
    fn check_ended(&self, ledger: &Ledger) {
        self.check_order(ledger);
        let delivered = |number: &u64| ledger.delivered.contains(number);
        assert!(ledger.confirmed.iter().all(delivered), "confirmed, not delivered: {ledger:?}");
        assert!(!ledger.unsent.iter().any(delivered), "delivered, not sent: {ledger:?}");
        if self.ends[0].stack.outlives_connections() || !ledger.confirmed.is_empty() {
            let sets = [&ledger.confirmed, &ledger.unsent, &ledger.unknown];
            let reported: usize = sets.iter().map(|set| set.len()).sum();
            assert_eq!(reported, ledger.sent.len(), "not each is reported once: {ledger:?}");
        }
    }

    fn check_order(&self, ledger: &Ledger) {
        let mut delivered = ledger.delivered.clone();
        if self.scene.may_overtake {
            delivered.sort_unstable();
            let mut once = delivered.clone();
            once.dedup();
            assert_eq!(delivered, once, "delivered more than once");
        } else {
            let expected: Vec<u64> = (0..delivered.len() as u64).collect();
            assert_eq!(delivered, expected, "not once and in order");
        }
    }

    /// At the end, all has arrived, and nobody holds or plans anything.
    fn check_rest(&mut self) {
        for end in [0, 1] {
            let this = &mut self.ends[end];
            let (sent, delivered) = (this.ledger.sent.len(), this.ledger.delivered.len());
            assert_eq!(this.to_send, 0, "end {end} still has to wait: {this:#?}");
            assert_eq!(sent, delivered, "end {end} sent {sent}, {delivered} arrived: {this:#?}");
            assert_eq!(this.stack.bytes_held(), 0, "end {end} holds something: {this:#?}");
            assert_eq!(this.stack.wake_at(), None);
            if this.stack.outlives_connections() {
                assert_eq!(this.ledger.confirmed.len(), sent);
            }
            let ledger = std::mem::take(&mut this.ledger);
            self.check_order(&ledger);
        }
    }
}
