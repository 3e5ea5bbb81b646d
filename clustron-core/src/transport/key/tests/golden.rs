//! The bytes of the handshake with a key, and of what it seals.
//!
//! The ephemeral keys are fixed, as they must never be elsewhere: so pattern, prologue, and what is
//! made of the cluster key show in the bytes.

use super::*;
use crate::golden;
use crate::transport::greeting::KEYED;
use handshake::{MESSAGE_BYTES, builder};
use records::{HEAD_BYTES, RECORD_PAYLOAD_MAX, Records};

#[test]
fn the_bytes_of_the_key_handshake_and_of_records_are_frozen() {
    let key = ClusterKey::new("k", [7; 32]).unwrap();
    let near = builder(&key).unwrap().fixed_ephemeral_key_for_testing_only(&[1; 32]);
    let far = builder(&key).unwrap().fixed_ephemeral_key_for_testing_only(&[2; 32]);
    let (mut near, mut far) = (near.build_initiator().unwrap(), far.build_responder().unwrap());
    let mut table = golden::file("key.txt");

    let mut message = [0; MESSAGE_BYTES];
    near.write_message(&[], &mut message).unwrap();
    far.read_message(&message, &mut []).unwrap();
    table.add_bytes("first message", &"psk e", &[KEYED, &message[..]].concat());
    far.write_message(&[], &mut message).unwrap();
    near.read_message(&message, &mut []).unwrap();
    table.add_bytes("answer", &"e ee", &[KEYED, &message[..]].concat());

    let (mut near, mut far) = (Records::new(near).unwrap(), Records::new(far).unwrap());
    for (name, payload) in
        [("confirmation", &b""[..]), ("record", b"body"), ("next record", b"body"), ("end", b"")]
    {
        let mut record = vec![];
        near.seal(payload, &mut record).unwrap();
        let mut opened = vec![0; RECORD_PAYLOAD_MAX];
        let bytes = far.open(&record[HEAD_BYTES..], &mut opened).unwrap();
        assert_eq!(&opened[..bytes], payload);
        table.add_bytes(name, &String::from_utf8_lossy(payload), &record);
    }
    table.check();
}
