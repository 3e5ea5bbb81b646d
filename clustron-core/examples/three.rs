use clustron_core::{Cluster, MemoryNetwork};
use std::time::Duration;
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(std::env::var("RUST_LOG").unwrap_or("clustron_core=debug".into()))
        .init();
    let network = MemoryNetwork::new();
    let start = |name: &'static str| {
        let transport = network.host(name);
        Cluster::builder("orders")
            .name(name)
            .transport(transport)
            .listen(format!("{name}:1"))
            .seeds(["a:1", "b:1", "c:1"])
            .start()
    };
    let (a, b, c) = tokio::try_join!(start("a"), start("b"), start("c"))?;
    let leader =
        a.wait_for_leader(Duration::from_secs(10)).await.expect("three nodes see each other");
    println!("leader {leader:?}");
    let mut nodes = vec![a, b, c];
    let at = nodes.iter().position(|n| n.node().id == leader.node).expect("one of them leads");
    nodes.swap_remove(at).shutdown(Duration::from_secs(10)).await?;
    println!("shut down");
    let next = nodes[0]
        .wait_for(Duration::from_secs(10), |s| {
            s.leader.as_ref().is_some_and(|l| l.epoch > leader.epoch)
        })
        .await;
    println!("next {next:?}");
    Ok(())
}
