//! Client-side caches under load: once a write is answered, no client that was told, or has since had an
//! answer, still has the old value.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::common::{Client, Server, Value};

const KEYS: usize = 20;
const READERS: usize = 8;
const WRITERS: usize = 4;
const WRITES: u64 = 1500;
const ROUNDS: usize = 3000;

/// For each key, the number of the last write that was answered.
type Answered = Arc<Vec<AtomicU64>>;

fn name(key: usize) -> String {
    format!("key {key}")
}

/// A client with a cache of its own.
struct Reader {
    client: Client,
    cache: HashMap<String, u64>,
    invalidated: usize,
}

impl Reader {
    /// Reads one reply, and obeys the invalidations before it.
    fn reply(&mut self) -> Value {
        loop {
            match self.client.read() {
                Value::Push(elements) => {
                    assert_eq!(elements[0].text(), "invalidate");
                    for key in elements[1].elements() {
                        self.cache.remove(&key.text());
                        self.invalidated += 1;
                    }
                }
                reply => return reply,
            }
        }
    }

    fn read(&mut self, key: usize) {
        let name = name(key);
        self.client.send(&["GET", &name]);
        let reply = self.reply();
        let value = if reply == Value::Null { 0 } else { reply.text().parse().unwrap() };
        self.cache.insert(name, value);
    }

    /// Checks that nothing in the cache is older than the writes that were answered before a request
    /// whose answer is here.
    fn check(&mut self, answered: &Answered) {
        let before: Vec<u64> = answered.iter().map(|n| n.load(Ordering::SeqCst)).collect();
        self.client.send(&["PING"]);
        assert!(self.reply().is("PONG"));
        for (key, answered) in before.into_iter().enumerate() {
            let cached = self.cache.get(&name(key));
            assert!(
                cached.is_none_or(|cached| *cached >= answered),
                "key {key}: {cached:?} is cached after write {answered} was answered"
            );
        }
    }
}

fn check_with(tracking: &'static str) {
    let server = Server::start(&["--io-threads", "4"]);
    let answered: Answered = Arc::new((0..KEYS).map(|_| AtomicU64::new(0)).collect());
    let readers: Vec<_> = (0..READERS)
        .map(|seed| {
            let answered = answered.clone();
            let mut client = server.connect();
            client.run("HELLO 3");
            assert!(client.run(tracking).is("OK"));
            thread::spawn(move || {
                let mut reader = Reader { client, cache: HashMap::new(), invalidated: 0 };
                let mut random = fastrand::Rng::with_seed(seed as u64);
                for _ in 0..ROUNDS {
                    reader.read(random.usize(..KEYS));
                    reader.check(&answered);
                }
                reader.invalidated
            })
        })
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let answered = answered.clone();
            let mut client = server.connect();
            thread::spawn(move || {
                for number in 1..=WRITES {
                    // Each key has one writer, so its values ascend.
                    for key in (writer..KEYS).step_by(WRITERS) {
                        client.command(&["SET", &name(key), &number.to_string()]);
                        answered[key].store(number, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let invalidated: usize = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
    assert!(invalidated > 100, "{invalidated} keys were invalidated");
}

#[test]
fn no_cache_is_stale_once_a_write_is_answered() {
    check_with("CLIENT TRACKING ON");
}

#[test]
fn no_cache_of_a_prefix_is_stale_once_a_write_is_answered() {
    check_with("CLIENT TRACKING ON BCAST PREFIX key");
}
