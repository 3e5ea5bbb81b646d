//! `cargo xtask sim sizes`: the table of sizes in the documentation of `clustron_testkit::swim`.

use std::process::ExitCode;

use clustron_core::membership::DetectorKind;
use clustron_testkit::swim::Sizes;

use crate::{print, words};

pub(crate) fn run(words: Vec<String>) -> Result<ExitCode, String> {
    let numbers = words::numbers(words, &[("--seeds", 20)])?;
    let quorum = |inner| DetectorKind::Quorum(Box::new(inner));
    let detectors = [
        ("ping-pong", DetectorKind::PingPong),
        ("heartbeat", DetectorKind::Heartbeat),
        ("quorum of ping-pong", quorum(DetectorKind::PingPong)),
        ("quorum of heartbeat", quorum(DetectorKind::Heartbeat)),
    ];
    print(
        "| detector | nodes | seeds | removed, median | slowest | change known, median | slowest | bytes/node/s | messages/node/s |",
    );
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (name, detector) in detectors {
        for nodes in [3, 10, 100, 1000] {
            // A thousand nodes take a while.
            let seeds =
                if nodes < 1000 { numbers["--seeds"] } else { numbers["--seeds"].div_ceil(4) };
            let sizes = match Sizes::measure(&detector, nodes, seeds) {
                Ok(sizes) => sizes,
                Err(failure) => {
                    print(&failure.to_string());
                    return Ok(ExitCode::FAILURE);
                }
            };
            let Sizes { removed, removed_max, changed, changed_max, bytes, messages, .. } = sizes;
            print(&format!(
                "| {name} | {nodes} | {seeds} | {:.2} s | {:.2} s | {:.2} s | {:.2} s | {bytes:.0} | {messages:.1} |",
                removed.as_secs_f64(),
                removed_max.as_secs_f64(),
                changed.as_secs_f64(),
                changed_max.as_secs_f64(),
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}
