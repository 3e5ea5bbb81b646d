//! `compress`: large messages get shorter, where they can.
//!
//! ```text
//! u8 0 | the message as it is
//! u8 1 | u32 its size | the message as an LZ4 block
//! ```
//!
//! Big-endian; the block is as in the [LZ4 block
//! format](https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md). What is smaller than
//! `above_bytes`, or does not get shorter, goes as it is.
//!
//! The size that a block claims is checked twice before anything is allocated for it: against the
//! limit for messages, and against what a block of this length can give at all.

use std::time::Duration;

use super::settings::Settings;
use super::{Context, Input, Layer, Out, Packet, PipelineError};

pub(super) const NAME: &str = "compress";

const PLAIN: u8 = 0;
const LZ4: u8 = 1;

/// Each byte of a block gives at most so many: a match grows by 255 with each byte of its length.
const GROWTH_MAX: usize = 255;

/// See the module's documentation.
#[derive(Debug)]
struct Compress {
    above_bytes: usize,
    packet_bytes_max: usize,
    /// What it was given to send, and what it gave on, in bytes.
    bytes_before: u64,
    bytes_after: u64,
}

pub(super) fn make(
    settings: &mut Settings<'_>,
    context: &Context,
) -> Result<Box<dyn Layer>, PipelineError> {
    let above_bytes = settings.own("above_bytes").size(1024, 0..=1 << 30)?;
    let packet_bytes_max = context.packet_bytes_max();
    Ok(Box::new(Compress { above_bytes, packet_bytes_max, bytes_before: 0, bytes_after: 0 }))
}

impl Layer for Compress {
    fn handle(&mut self, _: Duration, input: Input, out: &mut Out) {
        match input {
            Input::Down(mut packet) => {
                self.bytes_before += packet.len() as u64;
                self.shorten(&mut packet);
                self.bytes_after += packet.len() as u64;
                out.down(packet);
            }
            Input::Up(mut packet) => match self.restore(&mut packet) {
                Ok(()) => out.up(packet),
                Err(reason) => out.fail(reason),
            },
            Input::Connected | Input::Disconnected | Input::Taken | Input::Wake | Input::Room => {}
        }
    }

    fn counts(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        tell("bytes_before", self.bytes_before);
        tell("bytes_after", self.bytes_after);
    }
}

impl Compress {
    fn shorten(&self, packet: &mut Packet) {
        let bytes = packet.len();
        if let Ok(size) = u32::try_from(bytes)
            && bytes > self.above_bytes
        {
            let block = lz4_flex::block::compress(&packet.to_bytes());
            if block.len() + size_of::<u32>() < bytes {
                packet.replace(block);
                packet.push(&size.to_be_bytes());
                packet.push(&[LZ4]);
                return;
            }
        }
        packet.push(&[PLAIN]);
    }

    fn restore(&self, packet: &mut Packet) -> Result<(), String> {
        match packet.take() {
            Some([PLAIN]) => Ok(()),
            Some([LZ4]) => {
                let size = packet.take().map(u32::from_be_bytes).ok_or("a block has no size")?;
                let size = usize::try_from(size).map_err(|e| e.to_string())?;
                let max = self.packet_bytes_max.min(packet.len() * GROWTH_MAX);
                if size > max {
                    return Err(format!(
                        "a block of {} bytes claims to have been {size}, at most {max} can be",
                        packet.len()
                    ));
                }
                let mut content = vec![0; size];
                match lz4_flex::block::decompress_into(&packet.to_bytes(), &mut content) {
                    Ok(bytes) if bytes == size => packet.replace(content),
                    Ok(bytes) => {
                        return Err(format!("a block gave {bytes} bytes and claimed {size}"));
                    }
                    Err(error) => return Err(format!("a block is not LZ4: {error}")),
                }
                Ok(())
            }
            Some([kind]) => Err(format!("a message is of kind {kind}: 0 and 1 are known")),
            None => Err("a message has no header".into()),
        }
    }
}
