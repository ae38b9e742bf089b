//! Values in the RDB format, which RESTORE takes from anybody.

use verbena::config::Settings;
use verbena::rdb::{self, Reader, Writer};
use verbena::value::Entry;

/// Any bytes are a value or none. What is loaded is saved, and that is loaded again as the same.
///
/// The first byte chooses the limits of the encodings; the rest is the value.
pub fn check(data: &[u8]) {
    let [mode, value @ ..] = data else { return };
    let settings = settings(*mode);
    let Some(entry) = load(value, &settings) else { return };
    let saved = save(&entry, false);
    let again = load(&saved, &settings).expect("what is saved can be loaded");
    let saved_again = save(&again, false);
    // What outgrew its encoding and shrank again is loaded in the smaller one.
    if saved[0] == saved_again[0] {
        assert!(sorted(saved) == sorted(saved_again), "a value changes by being saved and loaded");
    }
    assert!(load(&save(&entry, true), &settings).is_some(), "what is compressed can be loaded");
}

fn settings(mode: u8) -> Settings {
    if mode & 1 == 0 {
        return Settings::default();
    }
    Settings {
        hash_max_listpack_entries: 3,
        hash_max_listpack_value: 5,
        list_max_listpack_size: 4,
        set_max_intset_entries: 4,
        set_max_listpack_entries: 3,
        set_max_listpack_value: 5,
        zset_max_listpack_entries: 3,
        zset_max_listpack_value: 5,
        ..Settings::default()
    }
}

fn load(value: &[u8], settings: &Settings) -> Option<Entry> {
    let value = rdb::typed(&mut Reader::new(value)).ok()?;
    rdb::load(b"key", value, None, settings).ok()
}

fn save(entry: &Entry, compress: bool) -> Vec<u8> {
    let mut out = Writer::new(compress);
    rdb::save(entry, &mut out);
    out.into_bytes()
}

/// A table has its own order.
fn sorted(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.sort_unstable();
    bytes
}
