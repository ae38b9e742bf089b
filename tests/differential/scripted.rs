//! Comparisons that need bytes or an order of events which the random commands do not have.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::pair::Pair;
use crate::servers;
use crate::wire::{encode, quote};

/// Streams of which each is sent over a connection of its own.
const STREAMS: &[&[u8]] = &[
    b"PING\r\n",
    b"PING\n",
    b"\r\n\r\nPING\r\n",
    b"   \r\nPING\r\n",
    b"ping \t hello\r\n",
    b"ECHO \"a\\x41\\n\\\"b\"\r\n",
    b"ECHO 'it\\'s'\r\n",
    b"ECHO \"unbalanced\r\nPING\r\n",
    b"ECHO 'unbalanced\r\n",
    b"ECHO \"a\"b\r\n",
    b"ECHO a\"b c\"\r\n",
    b"ECHO \"\"\r\n",
    b"\0PING\r\n",
    b"PING\0\r\n",
    b"POST / HTTP/1.1\r\n\r\n",
    b"Host: x\r\n",
    b"*0\r\n*1\r\n$4\r\nPING\r\n",
    b"*-1\r\n*1\r\n$4\r\nPING\r\n",
    b"*-2147483649\r\nPING\r\n",
    b"*\r\nPING\r\n",
    b"*x\r\n",
    b"*1x\r\n",
    b"* 1\r\n$4\r\nPING\r\n",
    b"*+1\r\n$4\r\nPING\r\n",
    b"*01\r\n$4\r\nPING\r\n",
    b"*1\n$4\r\nPING\r\n",
    b"*1\r$4\r\nPING\r\n",
    b"*1\rx$4\r\nPING\r\n",
    b"*2147483647\r\n",
    b"*2147483648\r\n",
    b"*9223372036854775807\r\n",
    b"*9223372036854775808\r\n",
    b"*99999999999999999999\r\n",
    b"*1\r\nPING\r\n",
    b"*1\r\n:4\r\nPING\r\n",
    b"*1\r\n\r\n",
    b"*1\r\n\n",
    b"*1\r\n\x00",
    b"*1\r\n\xff\r\n",
    b"*1\r\n$\r\n",
    b"*1\r\n$x\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$-0\r\n",
    b"*1\r\n$+4\r\nPING\r\n",
    b"*1\r\n$04\r\nPING\r\n",
    b"*1\r\n$4\nPING\r\n",
    b"*1\r\n$4\r\nPINGxy*1\r\n$4\r\nPING\r\n",
    b"*1\r\n$4\r\nPING\n\n",
    b"*1\r\n$536870912\r\n",
    b"*1\r\n$536870913\r\n",
    b"*1\r\n$9223372036854775807\r\n",
    b"*1\r\n$9223372036854775808\r\n",
    b"*1\r\n$0\r\n\r\n",
    b"*2\r\n$0\r\n\r\n$1\r\na\r\n",
    b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
    b"*1\r\n$1\r\n\n\r\n",
    b"*1\r\n$3\r\n\r\n\r\r\n",
    b"*3\r\n$3\r\nfoo\r\n$6\r\na\r\nb\nc\r\n$1\r\n'\r\n",
    b"*2\r\n$3\r\nfoo\r\n$4\r\n\0\xff\xfe\x01\r\n",
    b"*1\r\n$4\r\nPING\r\n*1\r\n$x\r\n*1\r\n$4\r\nPING\r\n",
    b"$4\r\nPING\r\n",
    b"+PING\r\n",
    b":1\r\n",
    b"%1\r\n",
    b"_\r\n",
    b"\xff\xfe\r\n",
];

/// What the damaged requests were.
const REQUESTS: &[&[&[u8]]] = &[
    &[b"PING"],
    &[b"ECHO", b"some text"],
    &[b"SET", b"key", b"\r\n$3\r\n*1\r\n"],
    &[b"GET", b"key"],
    &[b"nothing", b"a", b"b"],
];

#[test]
fn malformed_requests_get_the_same_errors() {
    let mut streams = Streams::new();
    for stream in STREAMS {
        streams.compare(stream, &[]);
    }
    // Lines around the limit of 64 KiB, ended and not.
    for len in [64 * 1024 - 2, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 200_000] {
        for start in [&b"ECHO "[..], b"*1", b"*1\r\n$1"] {
            for end in [&b""[..], b"\r\n", b"\n"] {
                let filler = if start == b"ECHO " { b'a' } else { b'0' };
                let mut stream = start.to_vec();
                stream.resize(len, filler);
                stream.extend_from_slice(end);
                // Whether Valkey takes a line that is just over it depends on how it arrives.
                if len > 64 * 1024 - 2 && len < 100_000 && !end.is_empty() {
                    continue;
                }
                streams.compare(&stream, &[]);
            }
        }
    }
    streams.finish();
}

#[test]
fn damaged_requests_get_the_same_replies() {
    let mut streams = Streams::new();
    for seed in 0..1500 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut stream = Vec::new();
        for _ in 0..rng.random_range(1..6) {
            let words = REQUESTS.choose(&mut rng).unwrap();
            if rng.random_bool(0.7) {
                encode(&mut stream, words);
            } else {
                stream.extend_from_slice(&words.join(&b' '));
                stream.extend_from_slice(b"\r\n");
            }
        }
        for _ in 0..rng.random_range(1..4) {
            damage(&mut stream, &mut rng);
        }
        let mut cuts = (0..rng.random_range(0..4))
            .map(|_| rng.random_range(0..=stream.len()))
            .collect::<Vec<_>>();
        cuts.sort_unstable();
        streams.compare(&stream, &cuts);
    }
    streams.finish();
}

fn damage(stream: &mut Vec<u8>, rng: &mut StdRng) {
    const BYTES: &[u8] = b"\r\n$*0123456789-+ \"'\\x:\0\xff";
    if stream.is_empty() {
        return;
    }
    let at = rng.random_range(0..stream.len());
    let byte = *BYTES.choose(rng).unwrap();
    match rng.random_range(0..4) {
        0 => stream[at] = byte,
        1 => stream.insert(at, byte),
        2 => drop(stream.remove(at)),
        _ => stream.truncate(at),
    }
}

/// Connections that carry one stream of bytes each, and what differed in their replies.
struct Streams {
    pair: Pair,
    differences: Vec<String>,
}

impl Streams {
    fn new() -> Streams {
        Streams { pair: servers(), differences: Vec::new() }
    }

    /// Sends the stream to both servers, in several writes, ends it, and compares all that comes back.
    fn compare(&mut self, stream: &[u8], cuts: &[usize]) {
        let (mut oracle, mut subject) = self.pair.connect();
        let [oracle, subject] = [&mut oracle, &mut subject].map(|wire| {
            let mut start = 0;
            for &cut in cuts.iter().chain([&stream.len()]) {
                // A server that has had enough closes the connection; what it said is what counts.
                if wire.write(&stream[start..cut]).is_err() {
                    break;
                }
                start = cut;
            }
            let _ = wire.end_writing();
            wire.read_to_end()
        });
        if oracle != subject && self.differences.len() < 20 {
            let sent = quote(&stream[..stream.len().min(300)]);
            let show = |answer: Option<Vec<u8>>| match answer {
                Some(bytes) => quote(&bytes[..bytes.len().min(300)]),
                None => "(not closed)".into(),
            };
            let (oracle, subject) = (show(oracle), show(subject));
            self.differences.push(format!(
                "sent:    {sent} ({} bytes, cut at {cuts:?})\nvalkey:  {oracle}\nverbena: {subject}",
                stream.len(),
            ));
        }
    }

    fn finish(self) {
        assert!(self.differences.is_empty(), "{}", self.differences.join("\n"));
    }
}

#[test]
fn the_longest_times_to_live_can_be_averaged() {
    let pair = servers();
    let (mut oracle, mut subject) = pair.connect();
    for wire in [&mut oracle, &mut subject] {
        for key in [b"a", b"b", b"c"] {
            wire.command(&[b"SET", key, b"1", b"PXAT", b"9223372036854775807"]);
        }
        let info = wire.command(&[b"INFO", b"keyspace"]);
        let text = info.reply().map(|reply| String::from_utf8_lossy(&reply.text).into_owned());
        assert!(text.is_some_and(|text| text.contains("db0:keys=3,expires=3")), "{info}");
    }
}

/// Where a sorted set was a listpack for a moment, it has lost the sign of its zeros.
#[test]
fn stored_ranges_have_the_same_zeros() {
    let pair = servers();
    let (mut oracle, mut subject) = pair.connect();
    let long = "x".repeat(65);
    let setup = [
        "CONFIG SET zset-max-listpack-entries 0".to_owned(),
        format!("ZADD long -0 a -0 {long} 1 b"),
        "ZADD short -0 a -0 b -0 c -0 d".to_owned(),
        "CONFIG SET zset-max-listpack-entries 2".to_owned(),
    ];
    let ranges =
        ["0 -1", "0 1", "0 -1 REV", "-inf +inf BYSCORE", "+inf -inf BYSCORE REV", "- + BYLEX"];
    let ranges = ["long", "short"].into_iter().flat_map(|source| {
        let store = move |range| format!("ZRANGESTORE d {source} {range}");
        ranges.into_iter().map(store)
    });
    let stored = ranges.flat_map(|store| {
        let read = ["ZRANGE d 0 -1 WITHSCORES", "OBJECT ENCODING d"].map(String::from);
        std::iter::once(store).chain(read)
    });
    let mut zeros = 0;
    for command in setup.into_iter().chain(stored) {
        let words = command.split(' ').map(str::as_bytes).collect::<Vec<_>>();
        let [theirs, ours] =
            [&mut oracle, &mut subject].map(|wire| wire.command(&words).to_string());
        assert_eq!(theirs, ours, "{command}");
        zeros += usize::from(theirs.contains("-0"));
    }
    assert!(zeros > 0, "no score is a negative zero");
}
