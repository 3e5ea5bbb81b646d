//! The layout of a control-log snapshot: the core's agreed state, then each module's.
//!
//! Like a removal van's list: every box says whose it is, and the list is added up at its end, so
//! that nobody unpacks before the sum is right.
//!
//! ```text
//! "CLSNAP" u16 version 2
//! state:     Agreed
//! repeated:  u8 1 | name | state       a module's state
//!        or  u8 2 | name               a module's state was missed: see below
//! u8 0
//! u32 crc32 of everything before it
//!
//! name       u32 length | text
//! state      pieces, ended by one of length 0:  u32 length, at most 64 KiB | bytes
//! ```
//!
//! Numbers are little-endian. Nobody knows a state's length before it is encoded, and nobody has to
//! keep one in memory beside the value: that is what the pieces are for. A length is checked before
//! anything is taken for it.
//!
//! A node need not run all modules whose commands are in the log. Where it cannot vouch for the
//! state of such a module it says so in its snapshot. Of a module that a snapshot does not name
//! at all there has been no command before it: its state is the one that it begins with.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

use crate::codec::CodecError;

pub(crate) use reader::{Section, SnapshotReader, check_whole};
pub(crate) use writer::SnapshotWriter;

pub(super) const MAGIC: [u8; 8] = *b"CLSNAP\x02\0";

/// The largest piece of a state.
pub(super) const PIECE_BYTES: usize = 64 << 10;

/// The most bytes that the core's state may claim: a view of 65 536 nodes, each described in 4 KiB.
pub(super) const AGREED_BYTES_MAX: usize = 256 << 20;

/// The longest name of a module.
const NAME_BYTES_MAX: usize = 64 << 10;

/// What a section begins with.
const END: u8 = 0;
const STATE: u8 = 1;
const MISSED: u8 = 2;

/// The checksum at the end.
pub(super) const SUM_BYTES: usize = 4;

/// Why a snapshot cannot be used. Nothing of it has taken effect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("the snapshot does not begin as this version's do, with {MAGIC:02x?}")]
    Magic,
    #[error("the snapshot's checksum is {found:08x}, its content has {computed:08x}")]
    Checksum { found: u32, computed: u32 },
    #[error("the snapshot is cut short in {0}")]
    CutShort(&'static str),
    #[error("the snapshot has {0}")]
    Layout(String),
    #[error("the snapshot cannot be read: {0}")]
    Read(std::io::Error),
    #[error(transparent)]
    Codec(#[from] CodecError),
}
