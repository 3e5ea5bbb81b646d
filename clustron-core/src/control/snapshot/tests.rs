mod golden;

use std::io::{self, Read, Write};

use proptest::prelude::*;

use super::*;
use crate::codec;
use crate::control::state::Agreed;

/// What a snapshot says, by module.
type Told = Vec<(String, Option<Vec<u8>>)>;

fn write(sections: &[(&str, Option<Vec<u8>>)]) -> Vec<u8> {
    let mut bytes = vec![];
    let agreed =
        |out: &mut dyn Write| codec::encode_into(&Agreed::default(), out).map_err(io::Error::other);
    let mut writer = SnapshotWriter::begin(&mut bytes, agreed).unwrap();
    for (name, state) in sections {
        match state {
            Some(state) => writer.module(name, |out| out.write_all(state)).unwrap(),
            None => writer.missed(name).unwrap(),
        }
    }
    writer.finish().unwrap();
    bytes
}

fn read(mut bytes: &[u8]) -> Result<(Agreed, Told), SnapshotError> {
    let (mut reader, agreed) = SnapshotReader::begin(&mut bytes)?;
    let mut told = vec![];
    while let Some(section) = reader.next_section()? {
        told.push(match section {
            Section::State(name) => {
                let mut state = vec![];
                reader.read_to_end(&mut state).map_err(SnapshotError::Read)?;
                (name, Some(state))
            }
            Section::Missed(name) => (name, None),
        });
    }
    Ok((agreed, told))
}

fn sample() -> Vec<u8> {
    let state = vec![7; PIECE_BYTES + 1000];
    write(&[("cache", Some(vec![1, 2, 3])), ("topics", None), ("scheduler", Some(state))])
}

#[test]
fn what_is_written_is_read_again() {
    let (agreed, told) = read(&sample()).unwrap();
    assert_eq!(agreed, Agreed::default());
    assert_eq!(told[0], ("cache".to_owned(), Some(vec![1, 2, 3])));
    assert_eq!(told[1], ("topics".to_owned(), None));
    assert_eq!(told[2], ("scheduler".to_owned(), Some(vec![7; PIECE_BYTES + 1000])));
    assert_eq!(told.len(), 3);
}

#[test]
fn a_state_of_any_length_ends_where_it_ended() {
    for bytes in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES] {
        let state: Vec<u8> = (0..bytes).map(|at| (at / 7) as u8).collect();
        let (_, told) = read(&write(&[("a", Some(state.clone())), ("b", Some(vec![]))])).unwrap();
        assert!(told[0].1 == Some(state), "{bytes} bytes");
        assert_eq!(told[1].1, Some(vec![]));
    }
}

#[test]
fn states_that_nobody_reads_are_passed_over_and_checked_all_the_same() {
    let mut bytes = sample();
    assert_eq!(check_whole(&mut &bytes[..]).unwrap(), Agreed::default());
    let late = bytes.len() - 100;
    bytes[late] ^= 1;
    assert!(matches!(check_whole(&mut &bytes[..]), Err(SnapshotError::Checksum { .. })));
}

#[test]
fn a_module_that_is_named_twice_is_refused() {
    let bytes = write(&[("a", Some(vec![1])), ("a", None)]);
    let error = read(&bytes).unwrap_err().to_string();
    assert_eq!(error, "the snapshot has module \"a\" twice");
}

#[test]
fn lengths_that_are_merely_claimed_allocate_nothing() {
    let whole = write(&[]);
    let head = whole.len() - 1 - SUM_BYTES;
    for (mark, claim) in [(STATE, u32::MAX), (MISSED, u32::MAX)] {
        let bytes = [&whole[..head], &[mark], &claim.to_le_bytes()].concat();
        let error = read(&bytes).unwrap_err().to_string();
        assert!(error.contains("a module's name of 4294967295 bytes"), "{error}");
    }
    let piece = [&whole[..head], &[STATE], &1u32.to_le_bytes(), b"a", &u32::MAX.to_le_bytes()];
    let error = check_whole(&mut &piece.concat()[..]).unwrap_err().to_string();
    assert!(error.contains("a piece of 4294967295 bytes"), "{error}");
}

proptest! {
    #[test]
    fn any_damage_is_found(at: prop::sample::Index, bit in 0u8..8, cut in any::<bool>()) {
        let mut bytes = sample();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, begins_well: bool, ends_well: bool) {
        let mut content = if begins_well { write(&[]) } else { vec![] };
        content.truncate(content.len().saturating_sub(1 + SUM_BYTES));
        content.extend(bytes);
        if ends_well {
            let sum = crc32fast::hash(&content);
            content.extend(sum.to_le_bytes());
        }
        let _ = read(&content);
        let _ = check_whole(&mut &content[..]);
    }
}
