//! In which order the built-in layers may stand.
//!
//! From the application to the wire: `flow`, `compress`, `fragment`, `reliable`, and `fault` last;
//! `checksum` anywhere before that. Each of the rules has a reason; layers of users have none here,
//! and their own documentation says where they belong.

use super::{PipelineError, checksum, compress, fault, flow, fragment, reliable};

/// Layers in a stack at most. More than that is a mistake, and the headers would not fit.
pub(super) const LAYERS_MAX: usize = 16;

/// The first stands above the second, or else the third happens.
const RULES: &[(&str, &str, &str)] = &[
    (
        flow::NAME,
        compress::NAME,
        "credits must count what the application holds, not what that was compressed to",
    ),
    (compress::NAME, fragment::NAME, "a message compresses better as a whole than piece by piece"),
    (compress::NAME, reliable::NAME, "what is sent again would be compressed again"),
    (
        flow::NAME,
        fragment::NAME,
        "credits come back with each message that is taken, and pieces are not taken",
    ),
    (flow::NAME, reliable::NAME, "a credit that is lost would never come back"),
    (
        fragment::NAME,
        reliable::NAME,
        "pieces must arrive in order and without loss, and are sent again one by one",
    ),
    (compress::NAME, fault::NAME, FAULT_IS_THE_WIRE),
    (flow::NAME, fault::NAME, FAULT_IS_THE_WIRE),
    (fragment::NAME, fault::NAME, FAULT_IS_THE_WIRE),
    (reliable::NAME, fault::NAME, FAULT_IS_THE_WIRE),
    (checksum::NAME, fault::NAME, FAULT_IS_THE_WIRE),
];

const FAULT_IS_THE_WIRE: &str = "it stands for a bad wire, and nothing is between it and the wire";

/// Checks the names, from the application to the wire.
pub(super) fn check(names: &[&str]) -> Result<(), PipelineError> {
    if names.len() > LAYERS_MAX {
        return Err(PipelineError::TooMany { count: names.len(), max: LAYERS_MAX });
    }
    for (place, name) in names.iter().enumerate() {
        if names[..place].contains(name) {
            return Err(PipelineError::Twice { name: (*name).to_owned() });
        }
    }
    let place = |name: &str| names.iter().position(|named| *named == name);
    for (above, below, why) in RULES {
        if let (Some(a), Some(b)) = (place(above), place(below))
            && b < a
        {
            let (above, below) = ((*above).to_owned(), (*below).to_owned());
            return Err(PipelineError::Order { above, below, why });
        }
    }
    Ok(())
}
