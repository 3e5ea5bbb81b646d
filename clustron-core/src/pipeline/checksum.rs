//! `checksum`: damage on the way is noticed.
//!
//! ```text
//! u32 crc32 of the rest | the rest
//! ```
//!
//! Big-endian. Where `reliable` stands above, a damaged packet is dropped, and is sent again like
//! any that was lost. Otherwise it ends the conversation: what was dropped would be missing, and
//! nobody would know.

use std::time::Duration;

use super::settings::Settings;
use super::{Context, Input, Layer, Out, Packet, PipelineError, reliable};

pub(super) const NAME: &str = "checksum";

/// See the module's documentation.
#[derive(Debug)]
struct Checksum {
    is_sent_again: bool,
    /// Packets that had come to harm.
    damaged: u64,
}

pub(super) fn make(
    _: &mut Settings<'_>,
    context: &Context,
) -> Result<Box<dyn Layer>, PipelineError> {
    Ok(Box::new(Checksum { is_sent_again: context.is_below(reliable::NAME), damaged: 0 }))
}

impl Layer for Checksum {
    fn handle(&mut self, _: Duration, input: Input, out: &mut Out) {
        match input {
            Input::Down(mut packet) => {
                packet.push(&sum(&packet).to_be_bytes());
                out.down(packet);
            }
            Input::Up(mut packet) => match check(&mut packet) {
                Ok(()) => out.up(packet),
                Err(reason) => {
                    self.damaged += 1;
                    if !self.is_sent_again {
                        out.fail(reason);
                    }
                }
            },
            Input::Connected | Input::Disconnected | Input::Taken | Input::Wake | Input::Room => {}
        }
    }

    fn counts(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        tell("damaged_packets", self.damaged);
    }
}

fn check(packet: &mut Packet) -> Result<(), String> {
    let bytes = packet.len();
    let Some(found) = packet.take().map(u32::from_be_bytes) else {
        return Err(format!("a packet of {bytes} bytes has no room for a checksum"));
    };
    let computed = sum(packet);
    if found != computed {
        return Err(format!(
            "the checksum of a packet of {bytes} bytes is {found:08x}, its content has \
             {computed:08x}: it was damaged on the way"
        ));
    }
    Ok(())
}

fn sum(packet: &Packet) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    packet.parts().iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}
