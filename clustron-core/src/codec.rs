//! The one place that turns values into bytes and back.
//!
//! bincode 2 in its standard configuration (varint, little endian). Decoding counts what a value
//! claims to allocate against [`DECODE_BYTES_MAX`] before allocating it, and refuses bytes that are
//! left over, so a hostile peer can neither make us allocate nor smuggle a second meaning.

use std::cell::RefCell;
use std::io::{self, Read, Write};

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
        /// How many bytes were given; of a stream, how many were read.
        bytes: usize,
        /// What the decoder said.
        reason: String,
    },
}

/// How much of its scratch buffer a thread keeps.
const SCRATCH_KEEP_BYTES: usize = 64 << 10;

thread_local! {
    /// Where values are encoded before it is known how large they get: small ones, which most are,
    /// would otherwise be moved from one allocation to the next as they grow.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(vec![]) };
}

/// Encodes a value.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    SCRATCH.with(|scratch| {
        let Ok(mut scratch) = scratch.try_borrow_mut() else {
            // Called while a value is encoded, by one of its parts.
            let mut out = vec![];
            return encode_into(value, &mut out).map(|()| out);
        };
        scratch.clear();
        let encoded = encode_into(value, &mut *scratch);
        let encoded = encoded.map(|()| scratch.as_slice().to_vec());
        if scratch.capacity() > SCRATCH_KEEP_BYTES {
            *scratch = vec![];
        }
        encoded
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
    let (value, used) = decode_prefix::<T>(bytes)?;
    if used != bytes.len() {
        return Err(failed::<T>(bytes, format!("{} bytes are left over", bytes.len() - used)));
    }
    Ok(value)
}

/// Encodes a value as it goes out, so that its bytes are never together in memory.
pub(crate) fn encode_into<T: Serialize + ?Sized>(
    value: &T,
    mut out: &mut dyn Write,
) -> Result<(), CodecError> {
    let encoded =
        bincode::serde::encode_into_std_write(value, &mut out, bincode::config::standard());
    encoded.map(drop).map_err(|error| CodecError::Encode {
        what: std::any::type_name::<T>(),
        reason: error.to_string(),
    })
}

/// The most bytes that a module's whole state may claim when it is restored from a snapshot, which
/// has been received in full and may be far larger than a frame.
const STATE_BYTES_MAX: usize = 4 << 30;

/// Decodes a value as it comes in, which the stream must hold exactly.
pub(crate) fn decode_from<T: DeserializeOwned>(input: &mut dyn Read) -> Result<T, CodecError> {
    decode_up_to::<T, STATE_BYTES_MAX>(input)
}

/// The same for a value that may claim at most `BYTES_MAX`. Of a stream nobody knows how much is
/// still to come, so a text that claims less than that gets its room before it is there.
pub(crate) fn decode_up_to<T: DeserializeOwned, const BYTES_MAX: usize>(
    input: &mut dyn Read,
) -> Result<T, CodecError> {
    let config = bincode::config::standard().with_limit::<BYTES_MAX>();
    let mut input = Counting { input, bytes: 0 };
    let decoded = bincode::serde::decode_from_std_read(&mut input, config);
    let failed = |reason: String, bytes: usize| {
        Err(CodecError::Decode { what: std::any::type_name::<T>(), bytes, reason })
    };
    let value = match decoded {
        Ok(value) => value,
        Err(error) => return failed(error.to_string(), input.bytes),
    };
    match input.read(&mut [0]) {
        Ok(0) => Ok(value),
        Ok(_) => failed("more bytes are left over".to_owned(), input.bytes),
        Err(error) => failed(error.to_string(), input.bytes),
    }
}

/// Knows how much has been read.
struct Counting<'a> {
    input: &'a mut dyn Read,
    bytes: usize,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.bytes += read;
        Ok(read)
    }
}

/// Decodes a value from the front of `bytes` and says how many it took.
pub(crate) fn decode_prefix<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), CodecError> {
    let config = bincode::config::standard().with_limit::<DECODE_BYTES_MAX>();
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
        assert!(decode_from::<Vec<u8>>(&mut &hostile[..]).is_err());
        assert!(decode_from::<String>(&mut &hostile[..]).is_err());
    }

    /// Encodes another value while it is encoded itself.
    struct Nested(u32);

    impl Serialize for Nested {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&encode(&(self.0, "inner")).unwrap())
        }
    }

    #[test]
    fn a_value_may_encode_another_while_it_is_encoded() {
        let (first, second) = (encode(&(1u8, Nested(7))).unwrap(), encode(&Nested(7)).unwrap());
        assert_eq!(first, [&[1], &second[..]].concat());
        assert_eq!(decode::<Vec<u8>>(&second).unwrap(), encode(&(7u32, "inner")).unwrap());
    }

    #[test]
    fn large_values_leave_no_large_scratch_behind() {
        assert_eq!(
            encode(&vec![7u8; 4 * SCRATCH_KEEP_BYTES]).unwrap().len(),
            5 + 4 * SCRATCH_KEEP_BYTES
        );
        SCRATCH.with_borrow(|scratch| assert!(scratch.capacity() <= SCRATCH_KEEP_BYTES));
    }

    #[test]
    fn leftover_bytes_are_an_error() {
        let mut bytes = encode(&7u32).unwrap();
        bytes.push(0);
        assert!(decode::<u32>(&bytes).unwrap_err().to_string().contains("1 bytes are left over"));
        assert!(decode_from::<u32>(&mut &bytes[..]).unwrap_err().to_string().contains("left over"));
    }

    proptest! {
        #[test]
        fn values_come_back(value: (u64, String, Option<Vec<i32>>)) {
            let bytes = encode(&value).unwrap();
            prop_assert_eq!(encoded_len(&value).unwrap(), bytes.len());
            let mut streamed = vec![];
            encode_into(&value, &mut streamed).unwrap();
            prop_assert_eq!(&streamed, &bytes);
            let decoded = decode_from::<(u64, String, Option<Vec<i32>>)>(&mut &bytes[..]).unwrap();
            prop_assert_eq!(&decoded, &value);
            prop_assert_eq!(decode::<(u64, String, Option<Vec<i32>>)>(&bytes).unwrap(), value);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = decode::<(u64, String, Option<Vec<String>>)>(&bytes);
            let _ = decode_from::<(u64, String, Option<Vec<String>>)>(&mut &bytes[..]);
        }
    }
}
