//! A name server on loopback, whose answers a test decides.
//!
//! It speaks as much of RFC 1035 as a stub resolver asks for: one question over UDP, answered with
//! records, with nothing, with a failure, or not at all. It is written out byte by byte, so that it
//! judges a resolver library instead of sharing its mistakes.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DnsRecord {
    /// A host's address: a record A or AAAA.
    Address(IpAddr),
    /// Where a service is: a record SRV (RFC 2782).
    Service {
        /// Lower comes first.
        priority: u16,
        /// Among equals, larger comes first.
        weight: u16,
        /// Where the service listens.
        port: u16,
        /// The name of the host that it runs on.
        host: String,
    },
}

/// How the server treats questions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DnsMood {
    /// It answers, with NXDOMAIN for names that it does not know.
    #[default]
    Answers,
    /// It knows no name: NXDOMAIN to all.
    KnowsNothing,
    /// It says that it has failed: SERVFAIL.
    Fails,
    /// It says nothing.
    IsSilent,
}

#[derive(Debug, Default)]
struct Zone {
    mood: DnsMood,
    /// By name, in lower case and without the dot at the end; with the time to live in seconds.
    names: BTreeMap<String, (u32, Vec<DnsRecord>)>,
}

/// A name server. Dropping it ends it.
#[derive(Debug)]
pub struct NameServer {
    addr: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    _task: AbortOnDropHandle<()>,
}

impl NameServer {
    /// Starts to answer on a free UDP port of loopback. It knows no names yet.
    ///
    /// # Errors
    /// What the system says when there is no port.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub async fn start() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (addr, zone) = (socket.local_addr()?, Arc::<Mutex<Zone>>::default());
        let task = AbortOnDropHandle::new(tokio::spawn(serve(socket, zone.clone())));
        Ok(Self { addr, zone, _task: task })
    }

    /// Where to ask it.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on the name has these records and no others, for so many seconds.
    pub fn set(&self, name: &str, ttl_s: u32, records: impl IntoIterator<Item = DnsRecord>) {
        let records = records.into_iter().collect();
        lock(&self.zone).names.insert(plain(name), (ttl_s, records));
    }

    /// From now on it treats questions so.
    pub fn be(&self, mood: DnsMood) {
        lock(&self.zone).mood = mood;
    }
}

fn lock(zone: &Mutex<Zone>) -> MutexGuard<'_, Zone> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = [0; 2048];
    loop {
        // An error here is somebody else's: a resolver that has hung up already.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let answer = Question::read(&buffer[..length]).and_then(|asked| lock(&zone).answer(&asked));
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

const HEADER_BYTES: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const TYPE_SRV: u16 = 33;
const SERVFAIL: u16 = 2;
const NXDOMAIN: u16 = 3;

struct Question {
    id: [u8; 2],
    name: String,
    kind: u16,
    /// Name, type and class as they were asked.
    bytes: Vec<u8>,
}

impl Question {
    fn read(packet: &[u8]) -> Option<Self> {
        let id = [*packet.first()?, *packet.get(1)?];
        let (mut labels, mut at) = (vec![], HEADER_BYTES);
        loop {
            let length = usize::from(*packet.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(std::str::from_utf8(packet.get(at..at + length)?).ok()?);
            at += length;
        }
        let kind = u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]);
        let bytes = packet.get(HEADER_BYTES..at + 4)?.to_vec();
        Some(Self { id, name: plain(&labels.join(".")), kind, bytes })
    }
}

impl Zone {
    fn answer(&self, asked: &Question) -> Option<Vec<u8>> {
        let known = self.names.get(&asked.name);
        let code = match self.mood {
            DnsMood::IsSilent => return None,
            DnsMood::Fails => SERVFAIL,
            DnsMood::KnowsNothing => NXDOMAIN,
            DnsMood::Answers => known.map_or(NXDOMAIN, |_| 0),
        };
        let (ttl_s, records) = known.filter(|_| code == 0).cloned().unwrap_or_default();
        let data: Vec<Vec<u8>> =
            records.iter().filter_map(|record| record.data(asked.kind)).collect();
        let mut packet = asked.id.to_vec();
        // A response, recursion desired and available.
        let count = u16::try_from(data.len()).ok()?;
        for word in [0x8180 | code, 1, count, 0, 0] {
            packet.extend(word.to_be_bytes());
        }
        packet.extend(&asked.bytes);
        for data in data {
            // The name is the one that stands right behind the header.
            packet.extend([0xC0, 0x0C]);
            packet.extend(asked.kind.to_be_bytes());
            packet.extend(1u16.to_be_bytes());
            packet.extend(ttl_s.to_be_bytes());
            packet.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
            packet.extend(data);
        }
        Some(packet)
    }
}

impl DnsRecord {
    /// The record's data, if it is of the type that is asked for.
    fn data(&self, kind: u16) -> Option<Vec<u8>> {
        match (self, kind) {
            (Self::Address(IpAddr::V4(ip)), TYPE_A) => Some(ip.octets().to_vec()),
            (Self::Address(IpAddr::V6(ip)), TYPE_AAAA) => Some(ip.octets().to_vec()),
            (Self::Service { priority, weight, port, host }, TYPE_SRV) => {
                let mut data: Vec<u8> =
                    [priority, weight, port].into_iter().flat_map(|n| n.to_be_bytes()).collect();
                for label in plain(host).split('.') {
                    data.push(u8::try_from(label.len()).ok()?);
                    data.extend(label.as_bytes());
                }
                data.push(0);
                Some(data)
            }
            _ => None,
        }
    }
}
