//! The records and keys of a store as they may stand on a damaged disk: nothing panics, nothing damaged is served, and
//! what is accepted is written back byte for byte. Seeds: `examples/seeds.rs`.
#![no_main]

use bytes::Bytes;
use dynamokv_storage::{
    Batch, Engine, Error, Family, MemoryEngine, ObjectKey, ObjectStore, decode_state, encode_state,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let input = Bytes::copy_from_slice(input);
    if let Ok(state) = decode_state(&input) {
        assert_eq!(encode_state(&state), input);
    }
    if let Ok(key) = ObjectKey::decode(&input) {
        assert_eq!(key.encode(), input);
    }
    read(&input);
    // Nothing random has the right checksum.
    read(&with_checksum(&input));
});

fn key() -> ObjectKey {
    ObjectKey::new("default", "cart").expect("a valid key")
}

/// Reads the bytes as the record of a key, in every way that there is.
fn read(record: &Bytes) {
    let engine = MemoryEngine::new(Family::CLUSTER);
    let mut batch = Batch::new();
    batch.put(&Family::OBJECTS, key().encode(), record.clone());
    engine.write(batch).expect("memory takes all");
    let verified = ObjectStore::verify(&engine).expect("memory reads all");
    match ObjectStore::peek(&engine, &key()) {
        Ok(state) => {
            // The canonical state is the record's end, behind the header and perhaps a position.
            let state = encode_state(&state.expect("it was put there"));
            assert!(record.ends_with(&state));
            assert!([0, 24].contains(&(record.len() - HEADER - 1 - state.len())));
            assert!(verified.is_intact());
        }
        Err(Error::Damaged { key: of, reason }) => {
            assert_eq!(of, key());
            assert_eq!((verified.records, verified.damaged_records), (1, 1));
            assert_eq!(verified.damaged[0].reason, reason);
        }
        Err(error) => panic!("another error: {error}"),
    }
}

/// Format and checksum.
const HEADER: usize = 5;

/// The input as the body of a record: `[format][crc32c][body]`, the sum over engine key, format and body.
fn with_checksum(body: &[u8]) -> Bytes {
    const FORMAT: u8 = 1;
    let sum = crc32c::crc32c_append(crc32c::crc32c(&key().encode()), &[FORMAT]);
    let sum = crc32c::crc32c_append(sum, body);
    [&[FORMAT], sum.to_le_bytes().as_slice(), body]
        .concat()
        .into()
}
