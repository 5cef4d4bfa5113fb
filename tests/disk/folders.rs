//! Data directories that are not what the node needs.

use std::path::Path;

use dynamokv::storage::{
    Batch, Engine, Family, ObjectStore, RocksEngine, RocksOptions, StoreOptions,
};

use crate::support::process::refusal;

fn open(path: &Path, families: &[Family]) -> RocksEngine {
    RocksEngine::open(path, families.iter().cloned(), &RocksOptions::default()).unwrap()
}

/// The store of a node, as a clean stop leaves it, with `change` made to it.
fn store(path: &Path, change: impl FnOnce(&mut Batch)) {
    let engine = std::sync::Arc::new(open(path, &Family::CLUSTER));
    let store = ObjectStore::open(engine.clone(), StoreOptions::new(7, 7)).unwrap();
    store.close().unwrap();
    let mut batch = Batch::new();
    change(&mut batch);
    engine.write(batch).unwrap();
    engine.sync().unwrap();
}

/// A fact of the store in the form that it is kept in: a checksum over name and value, then the value.
fn put_fact(batch: &mut Batch, name: &'static str, number: u64) {
    let value = number.to_be_bytes();
    let sum = crc32c::crc32c_append(crc32c::crc32c(name.as_bytes()), &value);
    let entry = [&sum.to_le_bytes()[..], &value].concat();
    batch.put(&Family::META, name, entry);
}

async fn is_refused(path: &Path, options: &[&str], words: &[&str]) {
    let path = path.to_str().unwrap();
    let args = [&["--data-dir", path, "--listen", "127.0.0.1:0"], options].concat();
    let said = refusal(&args).await;
    for word in words.iter().chain([&path]) {
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_a_newer_format_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path(), |batch| put_fact(batch, "store/format", 99));
    is_refused(
        folder.path(),
        &["--bootstrap"],
        &["format 99", "newer release"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_of_another_node_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path(), |_| {});
    let options = ["--bootstrap", "--id", "00000000000000a1"];
    is_refused(
        folder.path(),
        &options,
        &[
            "belongs to node 0000000000000007",
            "check the data folder and the node id",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_column_family_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path(), &[Family::DEFAULT, Family::LOCK]));
    let words = ["column family \"lock\"", "choose another folder"];
    is_refused(folder.path(), &["--bootstrap"], &words).await;
    store(&folder.path().join("member"), |_| {});
    let words = ["column family \"hints\"", "choose another folder"];
    is_refused(&folder.path().join("member"), &["--standalone"], &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lacks_a_column_family_is_named_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let families = [Family::META, Family::OBJECTS, Family::TOMBSTONES];
    let engine = std::sync::Arc::new(open(folder.path(), &families));
    let store = ObjectStore::open(engine, StoreOptions::new(7, 7)).unwrap();
    store.close().unwrap();
    drop(store);
    for _ in 0..2 {
        let words = ["without its column family \"hints\"", "restore the folder"];
        is_refused(folder.path(), &["--bootstrap"], &words).await;
    }
}
