//! Two ends under a bad wire, in virtual time: whatever the seed, what is sent arrives once and in
//! order, or is reported; memory stays bounded; no wake-up is missed; and all comes to rest.

mod end;
mod link;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use self::end::MESSAGE_BYTES_MAX;
use self::link::Quality;
use self::world::{Scene, World};
use crate::pipeline::{LayerBug, LayerConfig};

const SEEDS: u64 = 25;

/// Seeds that may be needed to see a defect.
const SEEDS_FOR_DEFECTS: u64 = 200;

const BAD: Quality = Quality { drop: 0.1, double: 0.05, corrupt: 0.02, in_order: false };

const WINDOW: usize = 128 << 10;

fn layers(names: &[&str]) -> Vec<LayerConfig> {
    let with_settings = |name: &&str| match *name {
        "reliable" => LayerConfig::new("reliable")
            .with("window_bytes", WINDOW)
            .with("window_packets", 64)
            .with("give_up_after_ms", 3000)
            .with("resend_after_ms_max", 300),
        "flow" => LayerConfig::new("flow").with("window_bytes", WINDOW),
        "fragment" => LayerConfig::new("fragment").with("piece_bytes", 4096),
        "fault" => LayerConfig::new("fault")
            .with("i_know", "yes")
            .with("drop", 0.05)
            .with("double", 0.05)
            .with("corrupt", 0.05)
            .with("delay", 0.1),
        other => LayerConfig::new(other),
    };
    names.iter().map(with_settings).collect()
}

fn scene(names: &[&str], quality: Quality) -> Scene {
    let message = MESSAGE_BYTES_MAX + 2048;
    let bound = |name: &&str| match *name {
        // Copies of what was sent, and what came too early.
        "reliable" => 2 * (WINDOW + message),
        // What goes, and what comes.
        "fragment" => 3 * message,
        "fault" => 1 << 20,
        _ => 16 << 10,
    };
    let has = |name: &str| names.contains(&name);
    // Without a layer that holds anything, it is the queue before the wire.
    let queue = if has("reliable") { 64 << 10 } else { (1 << 20) + message };
    Scene {
        layers: layers(names),
        quality,
        may_overtake: false,
        bytes_max: names.iter().map(bound).sum::<usize>() + queue,
        untaken_bytes_max: if has("flow") { WINDOW + message } else { usize::MAX },
    }
}

fn run(scene: &Scene) {
    let (mut given_up, mut ended) = (0, 0);
    for seed in 0..SEEDS {
        let mut world = World::new(scene, None, seed);
        let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
        assert!(ran.is_ok(), "seed {seed} of {:?}", scene.layers);
        given_up += world.given_up;
        ended += world.ended;
    }
    assert!(ended > 0, "the seeds end no conversation");
    if scene.layers.iter().any(|layer| layer.name == "reliable") {
        assert!(given_up > 0, "the seeds make nobody give up");
    }
}

/// The first seed that sees a defect.
fn caught(scene: &Scene, bug: LayerBug) -> Option<u64> {
    (0..SEEDS_FOR_DEFECTS).find(|seed| {
        let mut world = World::new(scene, Some(bug), *seed);
        catch_unwind(AssertUnwindSafe(|| world.run())).is_err()
    })
}

#[test]
fn without_layers_everything_passes_as_it_is() {
    run(&scene(&[], Quality::STREAM));
}

#[test]
fn over_a_stream_the_layers_that_need_one_lose_nothing() {
    run(&scene(&["checksum"], Quality::STREAM));
    run(&scene(&["flow", "compress", "fragment", "checksum"], Quality::STREAM));
}

#[test]
fn reliable_alone_makes_up_for_loss_and_reordering() {
    run(&scene(&["reliable"], Quality { corrupt: 0.0, ..BAD }));
    run(&scene(&["reliable"], Quality::STREAM));
}

#[test]
fn with_a_checksum_it_makes_up_for_damage_too() {
    run(&scene(&["reliable", "checksum"], BAD));
}

#[test]
fn the_whole_stack_delivers_once_and_in_order() {
    run(&scene(&["flow", "compress", "fragment", "reliable", "checksum"], BAD));
}

#[test]
fn the_layer_of_faults_is_made_up_for_as_the_wire_is() {
    run(&scene(&["flow", "fragment", "reliable", "checksum", "fault"], BAD));
}

#[test]
fn large_messages_may_share_the_wire_and_arrive_once() {
    let mut shared = scene(&["flow", "fragment", "reliable", "checksum"], BAD);
    shared.layers[1] = shared.layers[1].clone().with("at_once", 4);
    shared.bytes_max += 6 * (MESSAGE_BYTES_MAX + 2048);
    shared.may_overtake = true;
    run(&shared);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let scene = scene(&["flow", "fragment", "reliable", "checksum"], BAD);
    let end_of = |seed| {
        let mut world = World::new(&scene, None, seed);
        world.run();
        (world.now(), world.given_up, world.ended)
    };
    assert!((0..10).all(|seed| end_of(seed) == end_of(seed)));
}

#[test]
fn each_deliberate_defect_is_seen() {
    let scene = scene(&["flow", "fragment", "reliable", "checksum"], BAD);
    let bugs = [
        LayerBug::DuplicatesDelivered,
        LayerBug::GapsDelivered,
        LayerBug::GapsAcknowledged,
        LayerBug::ReconnectForgotten,
        LayerBug::TimerForgotten,
        LayerBug::OtherConversation,
        LayerBug::CreditsIgnored,
        LayerBug::CreditsKept,
    ];
    let seen = bugs.map(|bug| (bug, caught(&scene, bug)));
    assert!(seen.iter().all(|(_, seed)| seed.is_some()), "first seeds that see them: {seen:?}");
    println!("first seeds that see them: {seen:?}");
}
