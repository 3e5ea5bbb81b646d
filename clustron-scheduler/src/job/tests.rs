use super::*;

fn spec() -> JobSpec {
    let schedule = Schedule::every(Duration::from_secs(1)).unwrap();
    JobSpec::new(JobName::new("a").unwrap(), schedule)
}

#[test]
fn names_are_refused_with_the_name_and_the_remedy() {
    for good in ["a", "team/job:v2", "A_b-c.9"] {
        assert!(JobName::new(good).is_ok(), "{good}");
    }
    for bad in ["", "two words", "ümlaut", &"x".repeat(129)] {
        let error = JobName::new(bad).unwrap_err().to_string();
        assert!(error.contains(&format!("{bad:?}")), "{error}");
    }
}

#[test]
fn a_bad_name_does_not_decode() {
    let bytes = codec::encode("two words").unwrap();
    assert!(codec::decode::<JobName>(&bytes).is_err());
}

#[test]
fn numbers_out_of_range_are_refused_with_the_range() {
    assert_eq!(spec().check(), Ok(()));
    for (bad, message) in [
        (spec().history(0), "history is 0; allowed are 1 to 10000"),
        (spec().history(10_001), "history is 10001; allowed are 1 to 10000"),
        (spec().grace(Duration::MAX), "grace_ms is 18446744073709551615"),
        (spec().overlap(Overlap::BufferAll { max: 0 }), "overlap max is 0"),
        (spec().overlap(Overlap::Allow { max: 1_001 }), "overlap max is 1001"),
        (spec().misfire(Misfire::All { max: 0, max_age_ms: 1 }), "misfire max is 0"),
        (spec().payload(&vec![0u8; 65_536]).unwrap(), "payload bytes is 65541; allowed"),
        (spec().timeout(Duration::ZERO), "timeout_ms is 0; allowed are 1 to 31536000000"),
        (spec().retries(Retries { max: 1_001, ..Retries::default() }), "retries max is 1001"),
        (spec().retries(Retries { backoff_ms: u64::MAX, ..Retries::default() }), "backoff_ms"),
    ] {
        let error = bad.check().unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn what_is_set_to_its_default_makes_no_other_job() {
    let same = spec().pause_after(3).pause_after(0).retries(Retries::default());
    assert_eq!(same, spec());
    let other = spec().handled_by(JobName::new("b").unwrap()).ephemeral();
    assert_eq!((other.handler().as_str(), other.is_ephemeral()), ("b", true));
    assert_eq!(spec().handler().as_str(), "a");
}
