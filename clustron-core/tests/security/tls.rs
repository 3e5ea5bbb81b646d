//! Clusters with certificates.

use clustron_core::TlsConfig;

use crate::certificates::Authority;
use crate::world::{World, builder, within};

/// The authority itself is exchanged: both are accepted, then the certificates are issued anew,
/// then a node comes that knows only the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_their_authority_are_renewed_while_three_nodes_run() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(), Authority::new());
    let names = ["shop.internal"];
    let both = old.pem() + &new.pem();
    let configs: Vec<TlsConfig> = (0..3)
        .map(|at| {
            let node = format!("node-{at}");
            old.issue(folder.path(), &node, &names).peer_name("shop.internal")
        })
        .collect();
    let world = World::new(|at, builder| builder.tls(configs[at].clone())).await;
    configs.iter().for_each(|config| std::fs::write(&config.authority, &both).unwrap());
    for node in 0..3 {
        world.counts(node, "credentials_renewed", 1).await;
    }
    for (at, config) in configs.iter().enumerate() {
        let fresh = new.issue(folder.path(), "fresh", &names);
        std::fs::copy(&fresh.certificate, &config.certificate).unwrap();
        std::fs::copy(&fresh.key, &config.key).unwrap();
        // The renewal may be seen half done, which is refused, and then as a whole.
        world.counts(at, "credentials_renewed", 2).await;
        world.is_unharmed().await;
    }
    let late = new.issue(folder.path(), "late", &names).peer_name("shop.internal");
    let late = builder("late", "127.0.0.1:0", &world.addrs).tls(late);
    within("the join of a node of the new authority", late.start()).await.unwrap();
    world.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_of_each_address_is_in_the_certificate_where_no_common_name_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let world = World::new(|at, builder| {
        builder.tls(authority.issue(folder.path(), &format!("node-{at}"), &["127.0.0.1"]))
    })
    .await;
    // Two more come, one of them without security.
    let fourth = authority.issue(folder.path(), "fourth", &["127.0.0.1"]);
    let fourth = builder("fourth", "127.0.0.1:0", &world.addrs).tls(fourth);
    within("the join of a fourth node", fourth.start()).await.unwrap();
    let before = world.counted(1, "handshakes_unproven");
    tokio::select! {
        biased;
        started = builder("plain", "127.0.0.1:0", &world.addrs).start() => {
            panic!("a node without security started: {started:?}");
        }
        () = world.counts(1, "handshakes_unproven", before + 3) => {}
    }
    world.is_unharmed().await;
}
