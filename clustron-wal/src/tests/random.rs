//! Random steps and random crashes against the model.

use std::sync::Arc;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use super::play::{Model, Player, SALT, Step, options};
use crate::{SimDisk, Wal, seal};

fn step() -> impl Strategy<Value = Step> {
    let sizes = prop::collection::vec(prop_oneof![4 => 0usize..120, 1 => 0usize..2000], 1..4);
    prop_oneof![
        8 => sizes.prop_map(Step::Append),
        2 => (0u64..12).prop_map(Step::TruncateLast),
        2 => (0u64..12).prop_map(Step::PurgeFirst),
        1 => (-6i64..6).prop_map(Step::Reset),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_is_done_and_whenever_the_power_fails_the_log_agrees_with_the_model(
        seed: u64,
        lives in prop::collection::vec(
            (prop::collection::vec(step(), 1..25), 1u64..80, any::<bool>()), 1..6,
        ),
    ) {
        let disk = SimDisk::new(seed);
        let mut player = Player::new(disk.clone());
        for (steps, cut, power) in lives {
            disk.crash_after(cut);
            let _ = player.play(&steps);
            if power { disk.crash() } else { disk.kill() }
            player.verify().map_err(TestCaseError::fail)?;
            disk.crash();
            player.verify().map_err(TestCaseError::fail)?;
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_become_records(
        files in prop::collection::vec(
            (0u64..4, prop::collection::vec(any::<u8>(), 0..4000)), 1..4,
        ),
    ) {
        let disk = SimDisk::new(0);
        for (first, bytes) in files {
            disk.put(&format!("log-{first:020}.wal"), &bytes);
        }
        prop_assert!(Wal::open(Arc::new(disk), options()).is_err());
    }

    #[test]
    fn bytes_with_the_right_checksums_never_panic_and_what_opens_can_be_read(
        mut bytes in prop::collection::vec(any::<u8>(), 64..3000),
    ) {
        let disk = SimDisk::new(0);
        let first = seal(&mut bytes, SALT).unwrap();
        disk.put(&format!("log-{first:020}.wal"), &bytes);
        if let Ok((wal, recovered)) = Wal::open(Arc::new(disk), options()) {
            let model = Model::of(&wal).map_err(TestCaseError::fail)?;
            prop_assert_eq!(model.records.len() as u64, recovered.records);
        }
    }
}

/// Or the property above would say little.
#[test]
fn bytes_with_the_right_checksums_open_often_enough_and_not_always() {
    let mut rng = StdRng::seed_from_u64(0);
    let (mut opened, mut records) = (0, 0);
    for _ in 0..1000 {
        let mut bytes = vec![0; rng.random_range(64..600)];
        rng.fill_bytes(&mut bytes);
        let disk = SimDisk::new(0);
        let first = seal(&mut bytes, SALT).unwrap();
        disk.put(&format!("log-{first:020}.wal"), &bytes);
        if let Ok((_, recovered)) = Wal::open(Arc::new(disk), options()) {
            opened += 1;
            records += recovered.records;
        }
    }
    assert!((100..900).contains(&opened) && records > 200, "{opened} opened, {records} records");
}
