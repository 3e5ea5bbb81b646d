//! Everything of the scheduler that turns bytes from outside into values, and what is then done
//! with these. The target `scheduler` in `fuzz` has the same list.

use clustron_core::simulation::{Decoder, pieces};
use clustron_core::{Epoch, FencingToken, Timestamp, codec};
use clustron_scheduler::{
    Ask, AskClock, Command, CronExpr, JobName, Look, Placement, Reply, Run, Schedule,
    SchedulerState,
};

/// All of them.
pub(crate) const DECODERS: [Decoder; 12] = [
    Decoder::request::<Run>(),
    Decoder::request::<Ask>(),
    Decoder::request::<Look>(),
    Decoder::request::<AskClock>(),
    Decoder::new("a command", |bytes| drop(codec::decode::<Command>(bytes))),
    Decoder::new("a reply", |bytes| drop(codec::decode::<Reply>(bytes))),
    Decoder::new("a state", |bytes| drop(codec::decode::<SchedulerState>(bytes))),
    Decoder::new("a job's name", |bytes| {
        if let Ok(name) = JobName::new(String::from_utf8_lossy(bytes)) {
            assert!(name.as_str().len() <= clustron_scheduler::JOB_NAME_BYTES_MAX);
        }
    }),
    Decoder::new("commands, one after the other", |bytes| {
        let mut state = SchedulerState::default();
        for (token, piece) in (1..).zip(pieces(bytes)) {
            if let Ok(command) = codec::decode::<Command>(piece) {
                let reply = state.apply(token, Epoch(1), command);
                drop(format!("{reply:?}"));
                for job in state.jobs() {
                    let _ = (job.next_due(), job.startable().count());
                }
            }
        }
        assert!(state.open_ticks().all(|(_, firing)| firing.claim_token < FencingToken(u64::MAX)));
        let Ok(bytes) = codec::encode(&state) else { panic!("a state cannot be kept") };
        assert_eq!(codec::decode::<SchedulerState>(&bytes).ok(), Some(state));
    })
    .of_pieces(),
    Decoder::new("a placement", |bytes| {
        if let Ok(placement) = String::from_utf8_lossy(bytes).parse::<Placement>() {
            assert_eq!(placement.as_str().parse().as_ref(), Ok(&placement));
        }
    }),
    // The first byte chooses from when on.
    Decoder::new("a line of cron", |bytes| {
        let Some((from, text)) = bytes.split_first() else { return };
        let Ok(cron) = CronExpr::parse(&String::from_utf8_lossy(text)) else { return };
        let again = CronExpr::parse(cron.as_str()).map(|again| again.as_str() == cron.as_str());
        assert_eq!(again, Ok(true));
        rise(*from, |at| cron.next_after(at));
    }),
    // The same.
    Decoder::new("a schedule as text", |bytes| {
        let Some((from, text)) = bytes.split_first() else { return };
        let Ok(schedule) = String::from_utf8_lossy(text).parse::<Schedule>() else { return };
        if schedule.check().is_ok() {
            let again = schedule.to_string().parse::<Schedule>();
            assert_eq!(again.as_ref(), Ok(&schedule), "{schedule} reads back as another one");
        }
        rise(*from, |at| schedule.next_after(at));
    }),
];

/// Asks for a few instants, each after the last.
fn rise(from: u8, next_after: impl Fn(Timestamp) -> Option<Timestamp>) {
    let from = match from {
        0 => i64::MIN,
        1 => i64::MAX,
        years => (i64::from(years) - 100) * 365 * 86_400_000,
    };
    let mut at = Timestamp::from_unix_ms(from);
    for _ in 0..4 {
        let Some(next) = next_after(at) else { return };
        assert!(next > at, "{next} is not after {at}");
        at = next;
    }
}
