//! Services that get a module more, or run without one for a while: all nodes end, all start anew.

use clustron_core::{
    Applied, Cluster, Config, DataDirError, Installer, Module, Replicated, ReplicatedState,
    StartError,
};
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::world::{LONG, Member, TallyModule, World, address, settled, within};

const HOSTS: [&str; 3] = ["a", "b", "c"];
const SNAPSHOT_ENTRIES: u64 = 100;

/// Notes, in the order in which they were applied.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Notes(Vec<String>);

impl ReplicatedState for Notes {
    type Command = String;
    type Reply = ();

    fn apply(&mut self, _at: Applied, note: String) {
        self.0.push(note);
    }
}

struct NotesModule;

impl Module for NotesModule {
    const NAME: &'static str = "notes";
    type Handle = Replicated<Notes>;

    fn install(self, installer: &mut Installer<'_>) -> Replicated<Notes> {
        installer.replicate()
    }
}

/// Starts a node that has notes, too.
async fn try_start(world: &World, host: &str) -> Result<(Member, Replicated<Notes>), StartError> {
    let (name, listen, data_dir) = (Some(host.to_owned()), address(host), world.data_dir(host));
    let config = Config { name, listen, data_dir, ..world.config.clone() };
    let mut builder = Cluster::builder("test").config(config).transport(world.network.host(host));
    let (tally, notes) = (builder.install(TallyModule), builder.install(NotesModule));
    let cluster = within(&format!("the start of {host}"), builder.start()).await?;
    Ok((Member { host: host.to_owned(), cluster, tally }, notes))
}

async fn with_notes(world: &World) -> (Vec<Member>, Vec<Replicated<Notes>>) {
    let started = join_all(HOSTS.iter().map(|host| try_start(world, host))).await;
    let (members, notes): (Vec<_>, Vec<_>) =
        started.into_iter().map(|started| started.unwrap_or_else(|e| panic!("{e}"))).unzip();
    settled(&members.iter().collect::<Vec<_>>()).await;
    (members, notes)
}

async fn without_notes(world: &World) -> Vec<Member> {
    let members = world.start_all(&HOSTS).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    members
}

async fn stop(world: &World, members: Vec<Member>) {
    join_all(members.into_iter().map(|member| world.crash(member))).await;
}

/// Lets the log grow until every node has taken a snapshot in which these bytes are.
async fn cut_the_log(world: &World, members: &[Member], wanted: &[u8]) {
    let snapshot = |host: &str| {
        let file = world.data_dir(host).expect("the nodes are on disk").join("snapshot");
        std::fs::read(file).unwrap_or_default()
    };
    let before = HOSTS.map(snapshot);
    for number in 0..2 * SNAPSHOT_ENTRIES {
        members[0].add(number).await;
    }
    for (host, before) in HOSTS.into_iter().zip(before) {
        within(&format!("a snapshot at {host}"), async {
            loop {
                let now = snapshot(host);
                if now != before && now.windows(wanted.len()).any(|bytes| bytes == wanted) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_gets_a_module_more_and_does_without_it_for_a_while() {
    let mut world = World::on_disk(&HOSTS);
    world.config.snapshot_entries = SNAPSHOT_ENTRIES;
    let members = without_notes(&world).await;
    cut_the_log(&world, &members, b"tally").await;
    stop(&world, members).await;

    let (members, notes) = with_notes(&world).await;
    assert!(notes.iter().all(|notes| notes.read_local(|notes| notes.0.is_empty())), "it is new");
    notes[0].propose(&"kept".to_owned(), LONG).await.expect("it is taken");
    cut_the_log(&world, &members, b"kept").await;
    drop(notes);
    stop(&world, members).await;

    let members = without_notes(&world).await;
    cut_the_log(&world, &members, b"kept").await;
    let numbers = members[0].numbers_now().await.len();
    stop(&world, members).await;

    let (members, notes) = with_notes(&world).await;
    for (member, notes) in members.iter().zip(&notes) {
        assert_eq!(member.numbers_now().await.len(), numbers);
        assert_eq!(notes.read_local(|notes| notes.0.clone()), ["kept"], "at {}", member.host);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_missed_what_a_module_was_told_does_not_start_with_it() {
    let mut world = World::on_disk(&HOSTS);
    world.config.snapshot_entries = SNAPSHOT_ENTRIES;
    let (members, notes) = with_notes(&world).await;
    notes[0].propose(&"lost".to_owned(), LONG).await.expect("it is taken");
    drop(notes);
    stop(&world, members).await;
    // No snapshot has it yet, so that its log is replayed where nobody understands it.
    let members = without_notes(&world).await;
    cut_the_log(&world, &members, b"\x02\x05\0\0\0notes").await;
    stop(&world, members).await;
    let error = try_start(&world, "a").await.err().expect("it does not start");
    let text = error.to_string();
    let missed = matches!(&error, StartError::DataDir(DataDirError::MissedModule { module, .. })
        if module == "notes");
    assert!(missed, "{text}");
    assert!(text.contains("start the node with an empty one"), "{text}");
    // Without it the service goes on.
    let members = without_notes(&world).await;
    members[0].add(1).await;
}
