//! The simulated network does to streams what it says, and is a transport like any other.

use std::io::ErrorKind;
use std::num::NonZeroU64;
use std::time::Duration;

use clustron_core::{Stream, Transport};
use clustron_testkit::cluster::{Quality, SimNetwork, SimTransport, simulate};
use clustron_testkit::conformance::{TransportFixture, transport_conformance};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

const MS: Duration = Duration::from_millis(1);

/// Exactly ten milliseconds each way.
const STEADY: Quality = Quality {
    delay: Duration::from_millis(10),
    jitter: Duration::ZERO,
    loss: 0.0,
    corruption: 0.0,
    bandwidth: None,
};

struct Pair {
    network: SimNetwork,
    a: Box<dyn Stream>,
    b: Box<dyn Stream>,
    process_b: SimTransport,
}

async fn pair(quality: Quality) -> Pair {
    let network = SimNetwork::new(1);
    network.set_quality(STEADY);
    let process_b = network.host("b");
    let mut listener = process_b.listen("b:1").await.unwrap();
    let a = network.host("a").connect("b:1").await.unwrap();
    let b = listener.accept().await.unwrap().open().await.unwrap();
    network.set_quality(quality);
    Pair { network, a, b, process_b }
}

/// How long a byte from a to b takes.
async fn crossing(pair: &mut Pair) -> Duration {
    let began = Instant::now();
    pair.a.write_u8(7).await.unwrap();
    assert_eq!(pair.b.read_u8().await.unwrap(), 7);
    began.elapsed()
}

/// In real time: the suite asks without pause at one place, where virtual time would stand still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_promises_of_a_transport() {
    let fixture = || {
        let network = SimNetwork::new(1);
        TransportFixture::new(network.host("a"), network.host("b"), "a:0")
    };
    transport_conformance(fixture).await.unwrap_or_else(|broken| panic!("{broken}"));
}

#[test]
fn a_piece_takes_the_delay_and_a_lost_one_is_sent_again() {
    simulate(1, async {
        let mut pair = pair(STEADY).await;
        assert_eq!(crossing(&mut pair).await, 10 * MS);
        pair.network.set_quality(Quality { loss: 1.0, ..STEADY });
        pair.a.write_u8(8).await.unwrap();
        pair.network.set_quality(STEADY);
        // What comes after waits for it: 200 ms doubled six times in a row.
        pair.a.write_u8(9).await.unwrap();
        let began = Instant::now();
        assert_eq!((pair.b.read_u8().await.unwrap(), pair.b.read_u8().await.unwrap()), (8, 9));
        assert_eq!(began.elapsed(), (200 * 63 + 10) * MS);
    });
}

#[test]
fn a_narrow_link_makes_pieces_wait_for_each_other() {
    simulate(1, async {
        let bandwidth = NonZeroU64::new(100_000);
        let mut pair = pair(Quality { bandwidth, ..STEADY }).await;
        let began = Instant::now();
        pair.a.write_all(&[0; 20_000]).await.unwrap();
        pair.b.read_exact(&mut [0; 20_000]).await.unwrap();
        assert_eq!(began.elapsed(), 210 * MS);
    });
}

#[test]
fn a_cut_stops_one_direction_and_what_was_sent_arrives_with_the_next_attempt() {
    simulate(1, async {
        let mut pair = pair(STEADY).await;
        pair.network.cut_one_way("a", "b");
        let began = Instant::now();
        pair.a.write_u8(7).await.unwrap();
        pair.b.write_u8(8).await.unwrap();
        assert_eq!(pair.a.read_u8().await.unwrap(), 8, "the other direction is open");
        assert!(timeout(300 * MS, pair.b.read_u8()).await.is_err());
        pair.network.heal("a", "b");
        // Sent again after 200 ms and after 400 ms more.
        assert_eq!(pair.b.read_u8().await.unwrap(), 7);
        assert_eq!(began.elapsed(), 610 * MS);
    });
}

#[test]
fn after_ten_seconds_of_a_cut_both_ends_give_up() {
    simulate(1, async {
        let mut pair = pair(STEADY).await;
        pair.network.cut_one_way("a", "b");
        let began = Instant::now();
        let (a, b) = tokio::join!(pair.a.read_u8(), pair.b.read_u8());
        for error in [a.unwrap_err(), b.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
        assert_eq!(began.elapsed(), Duration::from_secs(10));
    });
}

#[test]
fn a_reset_breaks_streams_and_leaves_the_way_open() {
    simulate(1, async {
        let mut pair = pair(STEADY).await;
        pair.network.reset("b", "a");
        let error = pair.a.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(pair.b.write_u8(1).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert!(pair.network.is_open("a", "b"));
    });
}

#[test]
fn corruption_turns_one_bit_of_a_piece() {
    simulate(1, async {
        let mut pair = pair(Quality { corruption: 1.0, ..STEADY }).await;
        pair.a.write_all(&[0; 100]).await.unwrap();
        let mut read = [0; 100];
        pair.b.read_exact(&mut read).await.unwrap();
        assert_eq!(read.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        assert_eq!(pair.network.corrupted(), 1);
    });
}

#[test]
fn a_killed_process_hangs_up_and_refuses_and_a_host_without_power_is_silent() {
    simulate(1, async {
        let mut killed = pair(STEADY).await;
        killed.network.kill(&killed.process_b);
        assert_eq!(killed.a.read_u8().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        let error = killed.network.host("a").connect("b:1").await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(killed.process_b.listen("b:2").await.is_err(), "the dead listen");

        let mut dark = pair(STEADY).await;
        dark.b.write_u8(1).await.unwrap();
        dark.network.power_off("b");
        assert!(timeout(Duration::from_secs(5), dark.a.read_u8()).await.is_err());
        let dialling = dark.network.host("a");
        assert!(timeout(Duration::from_secs(5), dialling.connect("b:1")).await.is_err());
        // The host that comes back knows nothing of what it had sent.
        dark.network.power_on("b");
        assert!(dark.a.read_u8().await.is_err());
    });
}
