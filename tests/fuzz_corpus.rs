//! Replays the corpus of the fuzz targets (`scripts/fuzz`): inputs that reach every branch, and every
//! input that once broke something.

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/rdb.rs"]
mod rdb;
#[cfg(feature = "rdma")]
#[path = "../fuzz/src/rdma_control.rs"]
mod rdma_control;
#[path = "../fuzz/src/resp.rs"]
mod resp;
#[path = "../fuzz/src/tls_records.rs"]
mod tls_records;

fn replay(name: &str, check: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let mut count = 0;
    for file in fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = file.unwrap().path();
        // The message of a failure names the input.
        println!("{}", path.display());
        check(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 10, "{}: only {count} inputs", dir.display());
}

#[test]
fn the_request_parser_survives_its_corpus() {
    replay("resp", resp::check);
}

#[test]
fn the_rdb_format_survives_its_corpus() {
    replay("rdb", rdb::check);
}

#[cfg(feature = "rdma")]
#[test]
fn the_rdma_state_machine_survives_its_corpus() {
    replay("rdma_control", rdma_control::check);
}

#[test]
fn tls_connections_survive_their_corpus() {
    replay("tls_records", tls_records::check);
}

/// Random scripts too: few of them are the corpus's kind of wrong.
#[test]
fn tls_connections_survive_random_peers() {
    let mut random = fastrand::Rng::with_seed(18);
    for number in 0..600 {
        let mut script = vec![number as u8];
        for _ in 0..random.usize(..12) {
            let len = random.u8(..40);
            script.extend([random.u8(..), len]);
            script.extend(std::iter::repeat_with(|| random.u8(..)).take(len.into()));
        }
        println!("{script:?}");
        tls_records::check(&script);
    }
}
