//! The one place that turns values into bytes and back.
//!
//! bincode 2 in its standard configuration (varint, little endian). Decoding counts what a value
//! claims to allocate against [`DECODE_BYTES_MAX`] before allocating it, and refuses bytes that are
//! left over, so a hostile peer can neither make us allocate nor smuggle a second meaning.

use serde::{Serialize, de::DeserializeOwned};

/// The most bytes that one decoded value may claim. Larger than any frame, so only a value that
/// claims more than it sent ever meets it.
pub const DECODE_BYTES_MAX: usize = 32 << 20;

/// A value could not be turned into bytes, or bytes into a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The value has a shape that the format does not carry.
    #[error("cannot encode {what}: {reason}")]
    Encode {
        /// The type's name.
        what: &'static str,
        /// What the encoder said.
        reason: String,
    },
    /// The bytes are cut short, hostile or of another type or version.
    #[error("cannot decode {what} from {bytes} bytes: {reason}")]
    Decode {
        /// The type's name.
        what: &'static str,
        /// How many bytes were given.
        bytes: usize,
        /// What the decoder said.
        reason: String,
    },
}

/// Encodes a value.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).map_err(|error| {
        CodecError::Encode { what: std::any::type_name::<T>(), reason: error.to_string() }
    })
}

/// How many bytes [`encode`] would give.
pub fn encoded_len<T: Serialize + ?Sized>(value: &T) -> Result<usize, CodecError> {
    let mut size = bincode::enc::write::SizeWriter::default();
    let counted = bincode::serde::encode_into_writer(value, &mut size, bincode::config::standard());
    counted.map(|()| size.bytes_written).map_err(|error| CodecError::Encode {
        what: std::any::type_name::<T>(),
        reason: error.to_string(),
    })
}

/// Decodes a value that must fill `bytes` exactly.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    decode_whole::<T, DECODE_BYTES_MAX>(bytes)
}

/// The most bytes that a module's whole state may claim when it is restored from a snapshot, which
/// has been received in full and may be far larger than a frame.
const STATE_BYTES_MAX: usize = 4 << 30;

/// Decodes a module's state from its part of a snapshot.
pub(crate) fn decode_state<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    decode_whole::<T, STATE_BYTES_MAX>(bytes)
}

/// Decodes a value from the front of `bytes` and says how many it took.
pub(crate) fn decode_prefix<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), CodecError> {
    decode_front::<T, DECODE_BYTES_MAX>(bytes)
}

fn decode_whole<T: DeserializeOwned, const MAX: usize>(bytes: &[u8]) -> Result<T, CodecError> {
    let (value, used) = decode_front::<T, MAX>(bytes)?;
    if used != bytes.len() {
        return Err(failed::<T>(bytes, format!("{} bytes are left over", bytes.len() - used)));
    }
    Ok(value)
}

fn decode_front<T: DeserializeOwned, const MAX: usize>(
    bytes: &[u8],
) -> Result<(T, usize), CodecError> {
    let config = bincode::config::standard().with_limit::<MAX>();
    bincode::serde::decode_from_slice(bytes, config).map_err(|e| failed::<T>(bytes, e.to_string()))
}

fn failed<T>(bytes: &[u8], reason: String) -> CodecError {
    CodecError::Decode { what: std::any::type_name::<T>(), bytes: bytes.len(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_claimed_length_allocates_nothing() {
        // A varint that announces 2^60 bytes, and then nothing.
        let mut hostile = vec![253];
        hostile.extend_from_slice(&(1u64 << 60).to_le_bytes());
        assert!(decode::<Vec<u8>>(&hostile).is_err());
        assert!(decode::<String>(&hostile).is_err());
    }

    #[test]
    fn leftover_bytes_are_an_error() {
        let mut bytes = encode(&7u32).unwrap();
        bytes.push(0);
        assert!(decode::<u32>(&bytes).unwrap_err().to_string().contains("1 bytes are left over"));
    }

    proptest! {
        #[test]
        fn values_come_back(value: (u64, String, Option<Vec<i32>>)) {
            let bytes = encode(&value).unwrap();
            prop_assert_eq!(encoded_len(&value).unwrap(), bytes.len());
            prop_assert_eq!(decode::<(u64, String, Option<Vec<i32>>)>(&bytes).unwrap(), value);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = decode::<(u64, String, Option<Vec<String>>)>(&bytes);
        }
    }
}
