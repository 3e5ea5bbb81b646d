use clustron_testkit::{DnsMood, DnsRecord, NameServer};

use super::super::fixture::Searched;
use super::super::{Discovery, Found, LOOK_AGAIN_MIN};
use super::resolver::NameServers;
use super::*;

async fn server() -> NameServer {
    NameServer::start().await.unwrap()
}

fn hosts(server: &NameServer, ttl_s: u32, addresses: &[&str]) {
    let records = addresses.iter().map(|ip| DnsRecord::Address(ip.parse().unwrap()));
    server.set("shop.test", ttl_s, records);
}

fn service(priority: u16, weight: u16, port: u16, host: &str) -> DnsRecord {
    DnsRecord::Service { priority, weight, port, host: host.to_owned() }
}

fn host(server: &NameServer, name: &str, ip: &str) {
    server.set(name, 30, [DnsRecord::Address(ip.parse().unwrap())]);
}

fn seeds(server: &NameServer) -> DnsSeeds {
    DnsSeeds::new("shop.test.:7000").unwrap().name_servers([server.addr()])
}

fn srv_seeds(server: &NameServer) -> SrvSeeds {
    SrvSeeds::new("_cluster._tcp.shop.test.").unwrap().name_servers([server.addr()])
}

#[tokio::test]
async fn all_addresses_of_both_families_are_found_and_sorted() {
    let server = server().await;
    hosts(&server, 30, &["10.0.0.9", "fd00::7", "10.0.0.7", "10.0.0.9"]);
    let found = seeds(&server).find().await.unwrap();
    assert_eq!(found.addresses, ["10.0.0.7:7000", "10.0.0.9:7000", "[fd00::7]:7000"]);
    let again_in = found.again_in.unwrap().as_secs_f64();
    assert!((28.0..=30.0).contains(&again_in), "{again_in}");
}

#[tokio::test]
async fn a_name_is_looked_up_again_when_its_time_to_live_has_passed() {
    let server = server().await;
    hosts(&server, 1, &["10.0.0.7"]);
    let mut searched = Searched::of(seeds(&server));
    searched.until(&["10.0.0.7:7000"]).await;
    // Not at once: no sooner than after a second.
    hosts(&server, 0, &["10.0.0.8"]);
    searched.until(&["10.0.0.8:7000"]).await;
    hosts(&server, 1, &["10.0.0.9"]);
    searched.until(&["10.0.0.9:7000"]).await;
}

#[tokio::test]
async fn nxdomain_servfail_and_silence_each_leave_what_was_known_and_are_said() {
    let server = server().await;
    hosts(&server, 1, &["10.0.0.7"]);
    let mut searched = Searched::of(seeds(&server));
    searched.until_at_once(&["10.0.0.7:7000"]).await;
    for (mood, said) in [
        (DnsMood::KnowsNothing, "there is no name shop.test. (NXDOMAIN)"),
        (DnsMood::Fails, "Server Failure"),
        (DnsMood::IsSilent, "timed out"),
    ] {
        server.be(mood);
        let error = searched.fails_and_keeps(&["10.0.0.7:7000"]).await;
        assert!(error.contains(said), "{mood:?}: {error}");
        assert!(error.contains("DNS shop.test.:7000: "), "{mood:?}: {error}");
        assert!(error.contains("see that the name servers know the name"), "{mood:?}: {error}");
        server.be(DnsMood::Answers);
        let other = format!("10.0.1.{}", mood as u8);
        hosts(&server, 1, &[&other]);
        searched.until_at_once(&[&format!("{other}:7000")]).await;
        hosts(&server, 1, &["10.0.0.7"]);
        searched.until_at_once(&["10.0.0.7:7000"]).await;
    }
}

#[tokio::test]
async fn a_name_without_addresses_is_an_error() {
    let server = server().await;
    server.set("shop.test", 30, [service(0, 0, 1, "a.test")]);
    let error = seeds(&server).find().await.unwrap_err().to_string();
    assert!(error.contains("shop.test. cannot be looked up"), "{error}");
}

#[tokio::test]
async fn numbers_of_either_family_are_hosts_too() {
    let server = server().await;
    for (address, found) in [("10.0.0.7:7000", "10.0.0.7:7000"), ("[fd00::7]:1", "[fd00::7]:1")] {
        let seeds = DnsSeeds::new(address).unwrap().name_servers([server.addr()]);
        assert_eq!(seeds.find().await.unwrap().addresses, [found]);
    }
}

#[tokio::test]
async fn service_records_give_ports_and_the_order_of_their_priorities_and_weights() {
    let server = server().await;
    for (name, ip) in [("a.test", "10.0.0.1"), ("b.test", "10.0.0.2"), ("c.test", "10.0.0.3")] {
        host(&server, name, ip);
    }
    let records = [
        service(20, 9, 7003, "c.test"),
        service(10, 1, 7001, "a.test"),
        service(10, 5, 7002, "b.test"),
        service(10, 1, 7000, "a.test"),
    ];
    server.set("_cluster._tcp.shop.test", 10, records);
    let found = srv_seeds(&server).find().await.unwrap();
    let wanted = ["10.0.0.2:7002", "10.0.0.1:7000", "10.0.0.1:7001", "10.0.0.3:7003"];
    assert_eq!(found.addresses, wanted);
    let again_in = found.again_in.unwrap().as_secs_f64();
    assert!((8.0..=10.0).contains(&again_in), "{again_in}");
}

#[tokio::test]
async fn hosts_of_a_service_that_all_can_look_up_are_given_by_name() {
    let server = server().await;
    let records = [service(10, 1, 7001, "a.test"), service(5, 1, 7002, "b.test")];
    server.set("_cluster._tcp.shop.test", 10, records);
    let resolver = NameServers::these([server.addr()]).resolver("test").unwrap();
    let (targets, _) = resolver.targets("_cluster._tcp.shop.test.").await.unwrap();
    let found = Found::new(srv::named(&targets));
    assert_eq!(found.addresses, ["b.test:7002", "a.test:7001"]);
    found.check("test").unwrap();
}

#[tokio::test]
async fn a_host_of_a_service_that_is_not_known_is_left_out_unless_it_is_the_only_one() {
    let server = server().await;
    host(&server, "a.test", "10.0.0.1");
    let name = "_cluster._tcp.shop.test";
    server.set(name, 10, [service(1, 1, 7000, "gone.test"), service(1, 1, 7000, "a.test")]);
    let found = srv_seeds(&server).find().await.unwrap();
    assert_eq!(found.addresses, ["10.0.0.1:7000"]);
    assert_eq!(found.again_in, Some(LOOK_AGAIN_MIN), "the other may be known soon");
    server.set(name, 10, [service(1, 1, 7000, "gone.test")]);
    let error = srv_seeds(&server).find().await.unwrap_err().to_string();
    assert!(error.contains("there is no name gone.test. (NXDOMAIN)"), "{error}");
    assert!(error.contains("SRV _cluster._tcp.shop.test.: "), "{error}");
}

#[tokio::test]
async fn what_is_no_name_is_refused_with_the_remedy() {
    for bad in ["shop", "shop:0", "a b:1", ":1", "::1:7000"] {
        let error = DnsSeeds::new(bad).unwrap_err().to_string();
        assert!(error.contains(&format!("{bad:?}")) && error.contains("host:port"), "{error}");
    }
    for bad in ["", "_a._tcp.shop:7000", "a..b"] {
        let error = SrvSeeds::new(bad).unwrap_err().to_string();
        assert!(error.contains("is no name") && error.contains("_cluster._tcp"), "{error}");
    }
}
