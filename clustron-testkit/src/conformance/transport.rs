//! The suite for [`Transport`].

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use clustron_core::{Listener, Stream, Transport};
use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::{BrokenPromise, Checked, While, ensure};

/// How long one case may take. Only a transport that hangs comes near.
const CASE_DEADLINE: Duration = Duration::from_secs(60);

/// What goes each way to show back-pressure: far more than streams keep in flight.
const BULK_BYTES: usize = 4 << 20;

/// How often others get their turn before something counts as not ready by itself.
const YIELDS: usize = 10_000;

/// More than the usual listen backlog.
const CONNECTIONS: u32 = 200;

/// A transport under test, as two nodes see it.
#[derive(Clone)]
pub struct TransportFixture {
    acceptor: Arc<dyn Transport>,
    initiator: Arc<dyn Transport>,
    listen: String,
}

impl fmt::Debug for TransportFixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportFixture")
            .field("acceptor", &self.acceptor)
            .field("initiator", &self.initiator)
            .field("listen", &self.listen)
            .finish()
    }
}

impl TransportFixture {
    /// `acceptor` listens at `listen`, an address that takes a free port at every call, and
    /// `initiator` connects to it.
    pub fn new(
        acceptor: impl Transport,
        initiator: impl Transport,
        listen: impl Into<String>,
    ) -> Self {
        Self { acceptor: Arc::new(acceptor), initiator: Arc::new(initiator), listen: listen.into() }
    }

    async fn listener(&self) -> Result<Box<dyn Listener>, String> {
        self.acceptor.listen(&self.listen).await.while_doing(format!("listen at {}", self.listen))
    }

    /// A stream from the initiator to the listener: its end, and the acceptor's.
    async fn pair(&self, listener: &mut dyn Listener) -> Result<Pair, String> {
        let addr = listener.local_addr();
        let near =
            async { self.initiator.connect(&addr).await.while_doing(format!("connect to {addr}")) };
        let far = async {
            let incoming = listener.accept().await.while_doing(format!("accept at {addr}"))?;
            ensure(!incoming.from().is_empty(), || {
                "accept did not say where the stream comes from".to_owned()
            })?;
            incoming.open().await.while_doing(format!("open what was accepted at {addr}"))
        };
        // Where one side fails, the other would wait for ever.
        tokio::try_join!(near, far)
    }
}

type Pair = (Box<dyn Stream>, Box<dyn Stream>);

/// Checks everything that [`Transport`] promises, each promise with a fixture of its own.
///
/// ```
/// use clustron_core::{MemoryNetwork, TcpTransport};
/// use clustron_testkit::conformance::{TransportFixture, transport_conformance};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
///
/// transport_conformance(|| {
///     let network = MemoryNetwork::new();
///     TransportFixture::new(network.host("a"), network.host("b"), "a:0")
/// })
/// .await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// The first promise that is broken, and what was seen.
pub async fn transport_conformance(
    make: impl Fn() -> TransportFixture,
) -> Result<(), BrokenPromise> {
    check(
        "`local_addr` is the address in full, to which others can connect",
        the_local_address_can_be_connected(make()),
    )
    .await?;
    check(
        "bytes arrive in order, once, unchanged, both ways and under back-pressure",
        bytes_arrive_unchanged(make()),
    )
    .await?;
    check(
        "the other end reads all that was written before `shutdown`, and then end-of-file",
        all_arrives_before_the_end(make()),
    )
    .await?;
    check(
        "when one end is dropped, the other end reads end-of-file or an error",
        a_dropped_end_is_noticed(make()),
    )
    .await?;
    check(
        "a stream that was never accepted ends with its listener",
        an_unaccepted_stream_ends(make()),
    )
    .await?;
    check(
        "who connects and says nothing holds nobody else up",
        a_silent_stream_holds_nobody_up(make()),
    )
    .await?;
    check(
        "`connect` to an address where nobody listens fails with ConnectionRefused",
        nobody_there_is_refused(make()),
    )
    .await?;
    check("`listen` on an address in use fails with AddrInUse", in_use_is_refused(make())).await?;
    check(
        "an address can be listened at again as soon as its listener is dropped",
        an_address_is_free_again(make()),
    )
    .await?;
    check(
        "many streams can be opened at once and do not mix",
        many_streams_do_not_mix(make(), Accept::Patiently),
    )
    .await?;
    check(
        "`accept` is cancel-safe: no stream is lost when its future is dropped",
        many_streams_do_not_mix(make(), Accept::Impatiently),
    )
    .await
}

async fn check(
    promise: &'static str,
    case: impl Future<Output = Checked>,
) -> Result<(), BrokenPromise> {
    let checked = tokio::time::timeout(CASE_DEADLINE, case)
        .await
        .unwrap_or_else(|_| Err(format!("nothing came of it within {CASE_DEADLINE:?}")));
    checked.map_err(|detail| BrokenPromise { promise, detail })
}

async fn bytes_arrive_unchanged(fixture: TransportFixture) -> Checked {
    let mut listener = fixture.listener().await?;
    let (near, far) = fixture.pair(&mut *listener).await?;
    // The two directions carry different bytes, so that an echo cannot pass for the other's.
    let near = tokio::spawn(exchange(near, 1, 2));
    let far = tokio::spawn(exchange(far, 2, 1));
    near.await.while_doing("the initiator's side")??;
    far.await.while_doing("the acceptor's side")?
}

/// Writes bulk with one seed while it reads, slower and in odd portions, bulk with the other.
async fn exchange(stream: Box<dyn Stream>, sends: usize, expects: usize) -> Checked {
    let (mut read, mut write) = tokio::io::split(stream);
    let sending = async {
        let bulk: Vec<u8> = (0..BULK_BYTES).map(|at| byte_at(sends, at)).collect();
        for part in bulk.chunks(100_003) {
            write.write_all(part).await.while_doing("a write")?;
        }
        write.flush().await.while_doing("a flush")
    };
    let receiving = async {
        let mut buffer = vec![0; 70_001];
        let (mut at, mut turn) = (0, 0);
        while at < BULK_BYTES {
            turn += 1;
            let portion = [1, 13, 4096, 70_001][turn % 4];
            let read = read.read(&mut buffer[..portion]).await.while_doing("a read")?;
            ensure(read > 0, || format!("the stream ended after {at} of {BULK_BYTES} bytes"))?;
            for (offset, found) in buffer[..read].iter().enumerate() {
                let wanted = byte_at(expects, at + offset);
                ensure(*found == wanted, || {
                    format!("byte {} is {found} instead of {wanted}", at + offset)
                })?;
            }
            at += read;
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    let (sent, received) = tokio::join!(sending, receiving);
    // Both ends stay open until both directions are done.
    sent.and(received)
}

/// Differs between neighbours, between pages and between seeds.
fn byte_at(seed: usize, at: usize) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8).wrapping_mul(seed * 7) ^ (at >> 16) ^ seed) as u8
}

async fn all_arrives_before_the_end(fixture: TransportFixture) -> Checked {
    let mut listener = fixture.listener().await?;
    let (mut near, mut far) = fixture.pair(&mut *listener).await?;
    let last_words = async {
        far.write_all(b"refused, and here is why").await.while_doing("a write")?;
        far.shutdown().await.while_doing("a shutdown")
    };
    last_words.await?;
    let mut heard = vec![];
    near.read_to_end(&mut heard).await.while_doing("reading to the end")?;
    ensure(heard == b"refused, and here is why", || {
        format!("{:?} arrived", String::from_utf8_lossy(&heard))
    })
}

async fn a_dropped_end_is_noticed(fixture: TransportFixture) -> Checked {
    let mut listener = fixture.listener().await?;
    for drop_initiator in [true, false] {
        let (near, far) = fixture.pair(&mut *listener).await?;
        let (dropped, mut kept) = if drop_initiator { (near, far) } else { (far, near) };
        drop(dropped);
        let side = if drop_initiator { "acceptor" } else { "initiator" };
        // An error is as good as the end.
        let read = kept.read(&mut [0; 16]).await.unwrap_or(0);
        ensure(read == 0, || format!("the {side} read {read} bytes that nobody wrote"))?;
    }
    Ok(())
}

async fn an_unaccepted_stream_ends(fixture: TransportFixture) -> Checked {
    let listener = fixture.listener().await?;
    let addr = listener.local_addr();
    let mut connecting = fixture.initiator.connect(&addr);
    let mut connected = None;
    // A transport that wants to know who is there is not connected before it was accepted.
    for _ in 0..YIELDS {
        if let Some(result) = connecting.as_mut().now_or_never() {
            connected = Some(result);
            break;
        }
        tokio::task::yield_now().await;
    }
    drop(listener);
    let connected = match connected {
        Some(connected) => Ok(connected.while_doing(format!("connect to {addr}"))?),
        None => connecting.await,
    };
    let Ok(mut near) = connected else { return Ok(()) };
    let read = near.read(&mut [0; 16]).await.unwrap_or(0);
    ensure(read == 0, || format!("the initiator read {read} bytes that nobody wrote"))
}

/// Whoever connects and says nothing must not keep others from being accepted and opened.
async fn a_silent_stream_holds_nobody_up(fixture: TransportFixture) -> Checked {
    let mut listener = fixture.listener().await?;
    let addr = listener.local_addr();
    let mut silent = fixture.initiator.connect(&addr);
    let mut connected = None;
    let doing = || format!("accept at {addr}");
    // It is left alone from when it has arrived.
    let waits = tokio::select! {
        biased;
        waits = listener.accept() => Some(waits.while_doing(doing())?),
        stream = &mut silent => {
            connected = Some(stream);
            None
        }
    };
    let waits = match waits {
        Some(waits) => waits,
        None => listener.accept().await.while_doing(doing())?,
    };
    let (near, far) = fixture.pair(&mut *listener).await?;
    drop((near, far, waits, connected));
    Ok(())
}

async fn nobody_there_is_refused(fixture: TransportFixture) -> Checked {
    // Whoever chose the address can tell best that nobody listens there any more.
    let listener = fixture.listener().await?;
    let addr = listener.local_addr();
    drop(listener);
    match fixture.initiator.connect(&addr).await {
        Ok(_) => Err(format!("a stream was opened to {addr}, where nobody listens")),
        Err(error) => is_kind(&error, io::ErrorKind::ConnectionRefused),
    }
}

async fn in_use_is_refused(fixture: TransportFixture) -> Checked {
    let listener = fixture.listener().await?;
    let addr = listener.local_addr();
    match fixture.acceptor.listen(&addr).await {
        Ok(_) => Err(format!("two listeners share {addr}")),
        Err(error) => is_kind(&error, io::ErrorKind::AddrInUse),
    }
}

fn is_kind(error: &io::Error, wanted: io::ErrorKind) -> Checked {
    let found = error.kind();
    ensure(found == wanted, || format!("the error is {found:?} instead of {wanted:?}: {error}"))
}

async fn the_local_address_can_be_connected(fixture: TransportFixture) -> Checked {
    let (mut one, mut other) = (fixture.listener().await?, fixture.listener().await?);
    let (first, second) = (one.local_addr(), other.local_addr());
    ensure(first != second, || format!("two listeners both say that they are at {first}"))?;
    fixture.pair(&mut *one).await?;
    fixture.pair(&mut *other).await?;
    Ok(())
}

async fn an_address_is_free_again(fixture: TransportFixture) -> Checked {
    let mut listener = fixture.listener().await?;
    let addr = listener.local_addr();
    for round in 1..=5 {
        // A stream from before does not keep the address.
        let (mut near, mut far) = fixture.pair(&mut *listener).await?;
        drop(listener);
        listener = fixture.acceptor.listen(&addr).await.while_doing(format!(
            "listen at {addr} for the {round}. time after its listener was dropped"
        ))?;
        near.write_all(b"still here").await.while_doing("a write on a stream from before")?;
        near.flush().await.while_doing("a flush")?;
        let mut heard = [0; 10];
        far.read_exact(&mut heard).await.while_doing("a read on a stream from before")?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Accept {
    Patiently,
    /// Drops the future whenever it is not ready at once.
    Impatiently,
}

async fn many_streams_do_not_mix(fixture: TransportFixture, accept: Accept) -> Checked {
    let mut listener = fixture.listener().await?;
    let addr = listener.local_addr();
    let mut callers = JoinSet::new();
    for number in 0..CONNECTIONS {
        let (transport, addr) = (fixture.initiator.clone(), addr.clone());
        callers.spawn(async move { call(&*transport, &addr, number).await });
    }
    let accepting = async {
        let mut answers = JoinSet::new();
        while answers.len() < CONNECTIONS as usize {
            let accepted = match accept {
                Accept::Patiently => listener.accept().await,
                Accept::Impatiently => tokio::select! {
                    biased;
                    accepted = listener.accept() => accepted,
                    () = tokio::task::yield_now() => continue,
                },
            };
            let incoming = accepted.while_doing("accept")?;
            answers.spawn(async move {
                let mut stream = incoming.open().await.while_doing("open")?;
                let number = stream.read_u32().await.while_doing("reading a caller's number")?;
                stream.write_u32(!number).await.while_doing("answering a caller")?;
                stream.flush().await.while_doing("answering a caller")?;
                // Until the caller hangs up.
                let _ = stream.read(&mut [0; 1]).await;
                Ok::<u32, String>(number)
            });
        }
        let mut numbers = BTreeSet::new();
        while let Some(number) = answers.join_next().await {
            numbers.insert(number.while_doing("an answer")??);
        }
        ensure(numbers.len() == CONNECTIONS as usize, || {
            format!("of {CONNECTIONS} callers {} were heard", numbers.len())
        })
    };
    let calling = async {
        while let Some(called) = callers.join_next().await {
            called.while_doing("a call")??;
        }
        Ok(())
    };
    // The first to fail says why; waiting for the other might take for ever.
    tokio::try_join!(accepting, calling).map(|((), ())| ())
}

async fn call(transport: &dyn Transport, addr: &str, number: u32) -> Checked {
    let mut stream = transport.connect(addr).await.while_doing(format!("call {number}"))?;
    stream.write_u32(number).await.while_doing("saying a number")?;
    stream.flush().await.while_doing("saying a number")?;
    let answer = stream.read_u32().await.while_doing(format!("hearing the answer to {number}"))?;
    ensure(answer == !number, || format!("caller {number} heard the answer to {}", !answer))
}

#[cfg(test)]
mod tests;
