//! A network inside one process that does to byte streams what a bad network does to TCP.
//!
//! Think of a railway rather than of the post: wagons that have left stay in order, but the line
//! may be slow, single, blocked or washed away. So what nodes see is what TCP makes of a fault:
//!
//! * **delay and jitter**: each piece takes its time; none overtakes another of its stream;
//! * **loss**: a lost piece is sent again after 200 ms, then 400 ms and so on, and everything
//!   behind it waits;
//! * **a cut link**: nothing arrives and nothing is refused. When it heals, what was under way
//!   arrives at the next retransmission, which is the later the longer the cut was. After ten
//!   seconds of it both ends give the stream up, as [`TcpTransport`](clustron_core::TcpTransport)
//!   does;
//! * **a reset**: both ends of the streams between two hosts fail at once;
//! * **corruption**: one bit of a piece is turned, as what TCP's 16-bit checksum lets through;
//! * **bandwidth**: pieces on one link wait for each other;
//! * **a process that is gone**: its streams end and its address refuses, since its host lives;
//! * **a host that is gone**: nobody answers there, not even with a refusal.
//!
//! Duplicated and reordered bytes do not exist on a byte stream: TCP removes them, so this network
//! has neither. All chance comes from the seed, for each direction of each link from a stream of
//! its own: a fault on one link does not change the others.

mod connection;
mod link;
mod transport;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::time::Instant;

use connection::Connection;
use link::Link;
pub use link::Quality;
pub use transport::SimTransport;

/// A simulated network. Hosts are names; an address is `host:port`. Clones are the same network.
///
/// ```
/// use clustron_core::Transport;
/// use clustron_testkit::cluster::{SimNetwork, simulate};
/// # fn main() -> std::io::Result<()> {
/// simulate(7, async {
///     let network = SimNetwork::new(7);
///     let mut listener = network.host("a").listen("a:1").await?;
///     let connecting = network.host("b").connect("a:1").await;
///     let incoming = listener.accept().await?;
///     assert!(connecting.is_ok() && incoming.from().starts_with("b:"));
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SimNetwork {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    seed: u64,
    quality: Quality,
    /// By the hosts from which and to which they lead.
    links: BTreeMap<(String, String), Link>,
    /// By address.
    listeners: BTreeMap<String, Backlog>,
    connections: BTreeMap<u64, Connection>,
    /// Hosts without power.
    off: BTreeSet<String>,
    /// Processes that were killed.
    dead: BTreeSet<u64>,
    number_next: u64,
}

/// Streams that wait to be accepted.
#[derive(Debug)]
struct Backlog {
    /// Tells this listener from a later one at the same address.
    number: u64,
    process: u64,
    queue: VecDeque<(u64, String)>,
    waker: Option<Waker>,
}

impl SimNetwork {
    /// A network without faults, all of whose chance follows from `seed`.
    pub fn new(seed: u64) -> Self {
        let shared = Shared {
            seed,
            quality: Quality::default(),
            links: BTreeMap::new(),
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            off: BTreeSet::new(),
            dead: BTreeSet::new(),
            number_next: 1,
        };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// The transport of a new process on a host.
    pub fn host(&self, name: &str) -> SimTransport {
        let process = self.lock().number();
        SimTransport::new(self.clone(), name.to_owned(), process)
    }

    /// Cuts both directions between two hosts.
    pub fn cut(&self, a: &str, b: &str) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// Cuts the direction from one host to another.
    pub fn cut_one_way(&self, from: &str, to: &str) {
        self.lock().change(|shared| shared.link(from, to).cut = true);
    }

    /// Mends both directions between two hosts, cuts and bad quality.
    pub fn heal(&self, a: &str, b: &str) {
        self.lock().change(|shared| {
            let quality = shared.quality;
            for (from, to) in [(a, b), (b, a)] {
                let link = shared.link(from, to);
                (link.cut, link.quality) = (false, quality);
            }
        });
    }

    /// Mends all links. Hosts without power stay so.
    pub fn heal_all(&self) {
        self.lock().change(|shared| {
            for link in shared.links.values_mut() {
                (link.cut, link.quality) = (false, shared.quality);
            }
        });
    }

    /// How good all links are from now on, and will be once they are healed.
    pub fn set_quality(&self, quality: Quality) {
        let mut shared = self.lock();
        shared.quality = quality;
        shared.links.values_mut().for_each(|link| link.quality = quality);
    }

    /// How good both directions between two hosts are, until they are healed.
    pub fn set_link_quality(&self, a: &str, b: &str, quality: Quality) {
        let mut shared = self.lock();
        shared.link(a, b).quality = quality;
        shared.link(b, a).quality = quality;
    }

    /// Breaks all streams between two hosts; new ones can be opened.
    pub fn reset(&self, a: &str, b: &str) {
        let mut shared = self.lock();
        for connection in shared.connections.values_mut() {
            if connection.joins(a, b) {
                connection.break_both(ErrorKind::ConnectionReset);
            }
        }
    }

    /// Ends a process as `kill -9` does: the host closes its streams, and its addresses refuse.
    pub fn kill(&self, process: &SimTransport) {
        self.lock().kill(process.process(), Instant::now());
    }

    /// Takes the power from a host: its processes end, and nobody is told.
    pub fn power_off(&self, host: &str) {
        let now = Instant::now();
        self.lock().change(|shared| {
            shared.off.insert(host.to_owned());
            shared.refresh(now);
            for process in shared.processes(host) {
                shared.kill(process, now);
            }
        });
    }

    /// Gives a host its power back. It knows nothing of the streams that it had.
    pub fn power_on(&self, host: &str) {
        self.lock().change(|shared| {
            shared.off.remove(host);
        });
    }

    /// Whether bytes can flow from one host to another.
    pub fn is_open(&self, from: &str, to: &str) -> bool {
        !self.lock().is_blocked(from, to)
    }

    /// Whether bytes flow from one host to another as well as they do without a fault.
    pub(super) fn is_good(&self, from: &str, to: &str) -> bool {
        let mut shared = self.lock();
        let quality = shared.quality;
        !shared.is_blocked(from, to) && shared.link(from, to).quality == quality
    }

    /// How many pieces had a bit turned on their way.
    pub fn corrupted(&self) -> u64 {
        self.lock().links.values().map(|link| link.corrupted).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn number(&mut self) -> u64 {
        self.number_next += 1;
        self.number_next
    }

    fn link(&mut self, from: &str, to: &str) -> &mut Link {
        let (seed, quality) = (self.seed, self.quality);
        let make = || Link::new(seed, from, to, quality);
        self.links.entry((from.to_owned(), to.to_owned())).or_insert_with(make)
    }

    fn is_blocked(&self, from: &str, to: &str) -> bool {
        let link = self.links.get(&(from.to_owned(), to.to_owned()));
        link.is_some_and(|link| link.cut) || self.off.contains(from) || self.off.contains(to)
    }

    /// Changes what is blocked, and tells the streams that it concerns.
    fn change(&mut self, change: impl FnOnce(&mut Self)) {
        change(self);
        self.refresh(Instant::now());
    }

    fn refresh(&mut self, now: Instant) {
        for number in self.connections.keys().copied().collect::<Vec<_>>() {
            let Some(connection) = self.connections.get(&number) else { continue };
            let [a, b] = connection.hosts.clone();
            let blocked = [self.is_blocked(&a, &b), self.is_blocked(&b, &a)];
            let latency = [self.link(&a, &b).latency(), self.link(&b, &a).latency()];
            if let Some(connection) = self.connections.get_mut(&number) {
                connection.set_blocked(now, blocked, latency);
            }
        }
    }

    fn processes(&self, host: &str) -> BTreeSet<u64> {
        let listening = self
            .listeners
            .iter()
            .filter(|(addr, _)| transport::host_of(addr) == host)
            .map(|(_, backlog)| backlog.process);
        let connected = self.connections.values().flat_map(|connection| {
            (0..2).filter(|end| connection.hosts[*end] == host).map(|end| connection.processes[end])
        });
        listening.chain(connected).collect()
    }

    fn kill(&mut self, process: u64, now: Instant) {
        self.dead.insert(process);
        let gone: Vec<String> = self
            .listeners
            .iter()
            .filter(|(_, backlog)| backlog.process == process)
            .map(|(addr, _)| addr.clone())
            .collect();
        for addr in gone {
            self.stop_listening(&addr, now);
        }
        let ends: Vec<(u64, usize)> = self
            .connections
            .iter()
            .flat_map(|(number, connection)| (0..2).map(move |end| (*number, end, connection)))
            .filter(|(_, end, connection)| connection.processes[*end] == process)
            .map(|(number, end, _)| (number, end))
            .collect();
        for (number, end) in ends {
            self.hang_up(number, end, now);
            let Some(connection) = self.connections.get_mut(&number) else { continue };
            if self.off.contains(&connection.hosts[end]) {
                connection.lose(end, now);
            }
            connection.break_end(end, ErrorKind::ConnectionAborted);
        }
    }

    fn stop_listening(&mut self, addr: &str, now: Instant) {
        let Some(backlog) = self.listeners.remove(addr) else { return };
        if let Some(waker) = backlog.waker {
            waker.wake();
        }
        for (number, _) in backlog.queue {
            self.release(number, 1, now);
        }
    }

    /// Ends the direction from one end of a connection to the other, after what is under way.
    fn hang_up(&mut self, number: u64, end: usize, now: Instant) {
        let Some(connection) = self.connections.get(&number) else { return };
        let (from, to) = (connection.hosts[end].clone(), connection.hosts[1 - end].clone());
        let latency = self.link(&from, &to).latency();
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.finish(end, now + latency);
        }
    }

    /// Lets go of one end of a connection for ever.
    fn release(&mut self, number: u64, end: usize, now: Instant) {
        self.hang_up(number, end, now);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if connection.release(end) {
            self.connections.remove(&number);
        }
    }
}
