//! Both transports keep the promises of `Transport`.

use clustron_core::{MemoryNetwork, TcpTransport};
use clustron_testkit::conformance::{TransportFixture, transport_conformance};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_keeps_the_promises_of_a_transport() {
    let fixture = || TransportFixture::new(TcpTransport, TcpTransport, "127.0.0.1:0");
    transport_conformance(fixture).await.unwrap_or_else(|broken| panic!("{broken}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_promises_of_a_transport() {
    let fixture = || {
        let network = MemoryNetwork::new();
        TransportFixture::new(network.host("a"), network.host("b"), "a:0")
    };
    transport_conformance(fixture).await.unwrap_or_else(|broken| panic!("{broken}"));
}
