//! Replays the corpus of the fuzz targets (`scripts/fuzz`): inputs that reach every branch, and every
//! input that once broke something.

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/acl.rs"]
mod acl;
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

#[test]
fn users_survive_their_corpus() {
    replay("acl", acl::check);
}

#[cfg(feature = "rdma")]
#[test]
fn the_rdma_state_machine_survives_its_corpus() {
    replay("rdma_control", rdma_control::check);
}

/// What users' rules and lines are made of.
const WORDS: &[&[u8]] = &[
    b"user ",
    b"a",
    b"default",
    b"\n",
    b"\xff",
    b"(",
    b")",
    b"\"",
    b"'",
    b"\\",
    b"\\x41",
    b" ",
    b"\t",
    b"\r",
    b"\0",
    b"~",
    b"%R~",
    b"%RW~",
    b"%",
    b"&",
    b"*",
    b"db=",
    b"1",
    b",",
    b"+",
    b"-",
    b"+get",
    b"-get",
    b"+@read",
    b"-@all",
    b"+select|",
    b"+config|get",
    b"|",
    b">p",
    b"<p",
    b"#",
    b"on",
    b"nopass",
    b"reset",
    b"clearselectors",
    b"allkeys",
    b"resetchannels",
    b"allchannels",
    b"resetdbs",
    b"(+get ~a)",
    b"\xff(",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4000))]

    #[test]
    fn users_survive_random_rules(picks in proptest::collection::vec(0..WORDS.len(), 0..40)) {
        let parts: Vec<&[u8]> = picks.iter().map(|pick| WORDS[*pick]).collect();
        acl::check(&parts.concat());
    }
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
