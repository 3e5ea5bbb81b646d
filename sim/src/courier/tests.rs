use super::*;

/// Runs seeds until one fails, which must be soon, and shows that this seed fails again.
fn finds(flaw: Flaw) -> Failure {
    let courier = Courier { flaw };
    let failed = (0..50).find_map(|seed| courier.run(seed, Tracing::off()).err());
    let failure = failed.unwrap_or_else(|| panic!("{flaw:?} was not found in 50 seeds"));
    let again = courier.run(failure.seed, Tracing::tail()).unwrap_err();
    assert_eq!((again.at, &again.what), (failure.at, &failure.what));
    assert!(!again.tail.is_empty());
    failure
}

#[test]
fn careful_couriers_keep_their_promises() {
    for seed in 0..30 {
        let report =
            Courier::default().run(seed, Tracing::tail()).unwrap_or_else(|f| panic!("{f}"));
        assert!(report.faults >= 3, "seed {seed} was too kind: {report:?}");
    }
}

#[test]
fn a_courier_that_forgets_what_it_took_hands_it_over_twice() {
    let failure = finds(Flaw::ForgetsWhatItTook);
    assert!(failure.what.ends_with("twice"), "{failure}");
}

#[test]
fn a_courier_that_sends_once_loses_parcels() {
    assert_eq!(finds(Flaw::SendsOnce).predicate, "converge");
}

#[test]
fn a_courier_that_keeps_its_name_without_its_disk_loses_parcels() {
    assert_eq!(finds(Flaw::KeepsItsName).predicate, "converge");
}

#[test]
fn a_courier_that_trusts_damaged_frames_is_found_out() {
    finds(Flaw::TrustsDamagedFrames);
}
