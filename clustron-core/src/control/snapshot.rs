//! The layout of a control-log snapshot: the core's agreed state, then each module's.
//!
//! ```text
//! u32 length | Agreed, encoded
//! repeated:  u32 length | module name    u64 length | its state, encoded
//! u32 crc32 of everything before it
//! ```
//! Lengths are little-endian and checked against what is there before anything is taken.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::state::Agreed;
use crate::codec::{self, CodecError};

/// Why a snapshot cannot be used. Nothing of it has taken effect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("the snapshot's checksum is {found:08x}, its content has {computed:08x}")]
    Checksum { found: u32, computed: u32 },
    #[error("the snapshot is cut short in {0}")]
    CutShort(&'static str),
    #[error("the snapshot names a module in bytes that are no text")]
    Name,
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Puts a snapshot together.
pub(crate) fn join(
    agreed: &Agreed,
    states: &BTreeMap<&'static str, Vec<u8>>,
) -> Result<Bytes, CodecError> {
    let agreed = codec::encode(agreed)?;
    let bytes: usize = states.values().map(|s| s.len() + 64).sum();
    let mut out = BytesMut::with_capacity(agreed.len() + bytes + 16);
    out.put_u32_le(agreed.len() as u32);
    out.put_slice(&agreed);
    for (name, state) in states {
        out.put_u32_le(name.len() as u32);
        out.put_slice(name.as_bytes());
        out.put_u64_le(state.len() as u64);
        out.put_slice(state);
    }
    let checksum = crc32fast::hash(&out);
    out.put_u32_le(checksum);
    Ok(out.freeze())
}

/// Takes a snapshot apart, sharing its memory.
pub(crate) fn split(data: &Bytes) -> Result<(Agreed, BTreeMap<String, Bytes>), SnapshotError> {
    let mut rest = data.clone();
    let Some(content) = rest.len().checked_sub(4) else {
        return Err(SnapshotError::CutShort("its checksum"));
    };
    let found = rest.split_off(content).get_u32_le();
    let computed = crc32fast::hash(&rest);
    if found != computed {
        return Err(SnapshotError::Checksum { found, computed });
    }
    let length = rest.try_get_u32_le().map_err(|_| SnapshotError::CutShort("the core's length"))?;
    let agreed = codec::decode_state(&take(&mut rest, u64::from(length), "the core's state")?)?;
    let mut states = BTreeMap::new();
    while !rest.is_empty() {
        let length =
            rest.try_get_u32_le().map_err(|_| SnapshotError::CutShort("a name's length"))?;
        let name = take(&mut rest, u64::from(length), "a module's name")?;
        let name = String::from_utf8(name.to_vec()).map_err(|_| SnapshotError::Name)?;
        let length =
            rest.try_get_u64_le().map_err(|_| SnapshotError::CutShort("a state's length"))?;
        states.insert(name, take(&mut rest, length, "a module's state")?);
    }
    Ok((agreed, states))
}

fn take(rest: &mut Bytes, length: u64, what: &'static str) -> Result<Bytes, SnapshotError> {
    match usize::try_from(length) {
        Ok(length) if length <= rest.len() => Ok(rest.split_to(length)),
        Ok(_) | Err(_) => Err(SnapshotError::CutShort(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Bytes {
        let states = BTreeMap::from([("cache", vec![1, 2, 3]), ("scheduler", vec![0; 1000])]);
        join(&Agreed::default(), &states).unwrap()
    }

    #[test]
    fn what_is_joined_splits_again() {
        let (agreed, states) = split(&sample()).unwrap();
        assert_eq!(agreed, Agreed::default());
        assert_eq!(states["cache"], [1, 2, 3][..]);
        assert_eq!(states["scheduler"].len(), 1000);
    }

    proptest! {
        #[test]
        fn any_damage_is_found(at in 0usize..1050, bit in 0u8..8, cut in any::<bool>()) {
            let mut bytes = sample().to_vec();
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            prop_assert!(split(&bytes.into()).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes: Vec<u8>, valid: bool) {
            if valid {
                let checksum = crc32fast::hash(&bytes);
                bytes.extend(checksum.to_le_bytes());
            }
            let _ = split(&bytes.into());
        }
    }
}
