//! HyperLogLogs that are made of the same elements are the same bytes, whatever the limit for sparse
//! ones is.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::servers;
use crate::wire::{Outcome, Wire, Words};

/// Values of `hll-sparse-max-bytes`.
const LIMITS: &[&str] = &["0", "17", "30", "300", "3000", "15000", "20000"];

const KEYS: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];

/// Commands for each limit, after which all keys are compared.
const STEPS: usize = 400;

#[test]
fn sketches_of_the_same_elements_are_the_same_bytes() {
    let pair = servers();
    let (mut oracle, mut subject) = pair.connect();
    let mut both = |words: &[&[u8]]| -> Outcome {
        let [a, b] = [&mut oracle, &mut subject].map(|wire: &mut Wire| wire.command(words));
        assert!(
            a == b,
            "{}\nvalkey:  {a}\nverbena: {b}",
            String::from_utf8_lossy(&words.join(&b' '))
        );
        a
    };
    both(&[b"PFSELFTEST"]);
    for (seed, limit) in LIMITS.iter().enumerate() {
        let mut rng = StdRng::seed_from_u64(seed as u64);
        both(&[b"CONFIG", b"SET", b"hll-sparse-max-bytes", limit.as_bytes()]);
        both(&[b"FLUSHALL"]);
        for _ in 0..STEPS {
            let words = step(&mut rng);
            both(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
            for key in KEYS {
                both(&[b"GET", key]);
            }
        }
    }
}

/// Mostly PFADD: of a few elements of few, which are there already, or of many new ones.
fn step(rng: &mut StdRng) -> Words {
    let key = |rng: &mut StdRng| KEYS.choose(rng).unwrap().to_vec();
    match rng.random_range(0..20) {
        0 => vec![b"DEL".to_vec(), key(rng)],
        1 => vec![b"PFCOUNT".to_vec(), key(rng)],
        2 => vec![b"PFCOUNT".to_vec(), key(rng), key(rng), key(rng)],
        3 | 4 => vec![b"PFMERGE".to_vec(), key(rng), key(rng), key(rng)],
        kind => {
            let (count, range) = if kind < 8 {
                (rng.random_range(0..800), 1_000_000)
            } else {
                (rng.random_range(0..20), 300)
            };
            let mut words = vec![b"PFADD".to_vec(), key(rng)];
            words.extend((0..count).map(|_| rng.random_range(0..range).to_string().into_bytes()));
            words
        }
    }
}
