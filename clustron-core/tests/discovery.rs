//! All sources of addresses keep the promises of `Discovery`.

use std::fs;

use clustron_core::{DnsSeeds, FileSeeds, SrvSeeds, StaticSeeds};
use clustron_testkit::conformance::{DiscoveryFixture, Given, discovery_conformance};
use clustron_testkit::{DnsMood, DnsRecord, NameServer};

async fn keeps_its_promises(make: impl AsyncFn() -> DiscoveryFixture) {
    discovery_conformance(make).await.unwrap_or_else(|broken| panic!("{broken}"));
}

#[tokio::test]
async fn a_list_keeps_the_promises_of_a_discovery() {
    let addresses = ["b:1", "a:1"];
    keeps_its_promises(async || DiscoveryFixture::fixed(StaticSeeds::new(addresses), &addresses))
        .await;
}

#[tokio::test]
async fn a_file_keeps_the_promises_of_a_discovery() {
    keeps_its_promises(async || {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("seeds");
        let write = move |given| {
            // The folder is there as long as who writes.
            let path = folder.path().join("seeds");
            match given {
                Given::First => fs::write(path, "b:1\na:1 # both\n"),
                Given::Second => fs::write(path, "# one\nc:1"),
                Given::Broken => fs::remove_file(path),
            }
            .expect("the file is written");
        };
        write(Given::First);
        DiscoveryFixture::changing(FileSeeds::new(path), &["b:1", "a:1"], &["c:1"], write)
    })
    .await;
}

/// A server that knows this host at these addresses, and more in `others`.
fn tell(server: &NameServer, given: Given, others: impl Fn(&NameServer, &[&str])) {
    let (mood, addresses): (_, &[&str]) = match given {
        Given::First => (DnsMood::Answers, &["10.0.0.2", "10.0.0.1"]),
        Given::Second => (DnsMood::Answers, &["10.0.0.3"]),
        Given::Broken => (DnsMood::Fails, &[]),
    };
    server.be(mood);
    others(server, addresses);
}

fn address(ip: &str) -> DnsRecord {
    DnsRecord::Address(ip.parse().expect("a number"))
}

#[tokio::test]
async fn a_name_keeps_the_promises_of_a_discovery() {
    keeps_its_promises(async || {
        let server = NameServer::start().await.expect("a port");
        let seeds = DnsSeeds::new("shop.test.:7000").expect("an address");
        let seeds = seeds.name_servers([server.addr()]);
        let make = move |given| {
            tell(&server, given, |server, addresses| {
                server.set("shop.test", 1, addresses.iter().map(|ip| address(ip)));
            });
        };
        make(Given::First);
        let first = ["10.0.0.1:7000", "10.0.0.2:7000"];
        DiscoveryFixture::changing(seeds, &first, &["10.0.0.3:7000"], make)
    })
    .await;
}

#[tokio::test]
async fn a_service_keeps_the_promises_of_a_discovery() {
    keeps_its_promises(async || {
        let server = NameServer::start().await.expect("a port");
        let seeds = SrvSeeds::new("_cluster._tcp.shop.test.").expect("a name");
        let seeds = seeds.name_servers([server.addr()]);
        let make = move |given| {
            tell(&server, given, |server, addresses| {
                let hosts = (1u16..).zip(addresses).map(|(priority, ip)| {
                    let host = format!("host-{}.test", ip.replace('.', "-"));
                    server.set(&host, 1, [address(ip)]);
                    DnsRecord::Service { priority, weight: 1, port: 7000 + priority, host }
                });
                server.set("_cluster._tcp.shop.test", 1, hosts);
            });
        };
        make(Given::First);
        let first = ["10.0.0.2:7001", "10.0.0.1:7002"];
        DiscoveryFixture::changing(seeds, &first, &["10.0.0.3:7001"], make)
    })
    .await;
}
