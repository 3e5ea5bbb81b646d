//! Every transport keeps its promises, whatever it is wrapped in.

use std::path::Path;

use clustron_core::{
    ClusterKey, KeyRing, KeyTransport, MemoryNetwork, TcpTransport, TlsTransport, Transport,
};
use clustron_testkit::conformance::{TransportFixture, transport_conformance};

use crate::certificates::Authority;

async fn check(make: impl Fn() -> TransportFixture) {
    transport_conformance(make).await.unwrap_or_else(|broken| panic!("{broken}"));
}

/// Two hosts of one network in memory.
fn memory(wrap: impl Fn(&str, clustron_core::MemoryTransport) -> Wrapped) -> TransportFixture {
    let network = MemoryNetwork::new();
    let [a, b] = ["a", "b"].map(|host| wrap(host, network.host(host)));
    TransportFixture::new(a, b, "a:0")
}

type Wrapped = std::sync::Arc<dyn Transport>;

fn ring() -> KeyRing {
    KeyRing::new([ClusterKey::generate("k").unwrap()]).unwrap()
}

fn keyed(inner: impl Transport, ring: &KeyRing) -> Wrapped {
    std::sync::Arc::new(KeyTransport::new(inner, ring.clone()).unwrap())
}

fn tls(inner: impl Transport, authority: &Authority, folder: &Path, name: &str) -> Wrapped {
    let config = authority.issue(folder, name, &[name, "127.0.0.1"]);
    std::sync::Arc::new(TlsTransport::new(inner, config).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_keeps_the_promises_of_a_transport() {
    check(|| TransportFixture::new(TcpTransport, TcpTransport, "127.0.0.1:0")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_promises_of_a_transport() {
    check(|| memory(|_, host| std::sync::Arc::new(host))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_key_over_memory_keeps_the_promises_of_a_transport() {
    let ring = ring();
    check(|| memory(|_, host| keyed(host, &ring))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_key_over_tcp_keeps_the_promises_of_a_transport() {
    let ring = ring();
    let host = || keyed(TcpTransport, &ring);
    check(|| TransportFixture::new(host(), host(), "127.0.0.1:0")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_over_memory_keeps_the_promises_of_a_transport() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    check(|| memory(|name, host| tls(host, &authority, folder.path(), name))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_over_tcp_keeps_the_promises_of_a_transport() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let host = |name| tls(TcpTransport, &authority, folder.path(), name);
    check(|| TransportFixture::new(host("a"), host("b"), "127.0.0.1:0")).await;
}
