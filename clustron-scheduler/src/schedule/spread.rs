//! Numbers that look random and that every node computes alike: what `~` and jitter choose by.
//!
//! Jobs that all say "some minute of the hour" should not all take the same one, and a leader must
//! not choose another than the leader before. So the number follows from the job's name.

use clustron_core::Timestamp;

use crate::job::JobName;

/// A number from 0 to below `bound` that follows from the names and the number. It is the same in
/// every build for ever: a job must not move because a node was upgraded.
pub(crate) fn below(bound: u64, names: &[&str], number: u64) -> u32 {
    u32::try_from(hash(names, number) % bound.max(1)).unwrap_or(0)
}

/// How long after its scheduled instant a tick is started, in milliseconds: 0 to `jitter_ms`.
pub(super) fn jitter(job: &JobName, tick: Timestamp, jitter_ms: u64) -> u64 {
    let number = u64::from_ne_bytes(tick.unix_ms().to_ne_bytes());
    hash(&[job.as_str(), "jitter"], number) % (jitter_ms + 1)
}

/// FNV-1a over the names, each with an end that no name has, and the finish of SplitMix64, without
/// which neighbouring numbers would get neighbouring results.
fn hash(names: &[&str], number: u64) -> u64 {
    let bytes = names.iter().flat_map(|name| name.bytes().chain([0xff]));
    let bytes = bytes.chain(number.to_le_bytes());
    let mut z = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_never_change() {
        let job = JobName::new("close-day").unwrap();
        let tick = Timestamp::from_unix_ms(1_795_000_000_000);
        let seen = [
            u64::from(below(60, &["close-day", "minute"], 0)),
            u64::from(below(60, &["close-week", "minute"], 0)),
            jitter(&job, tick, 30_000),
            jitter(&job, Timestamp::from_unix_ms(-1), 30_000),
        ];
        assert_eq!(seen, [31, 16, 16385, 2820], "nodes of two versions must agree");
    }

    #[test]
    fn names_are_spread_evenly() {
        let mut minutes = [0; 60];
        for job in 0..60_000 {
            minutes[below(60, &[&format!("job-{job}"), "minute"], 0) as usize] += 1;
        }
        assert!(minutes.iter().all(|jobs| (800..1_200).contains(jobs)), "{minutes:?}");
    }
}
